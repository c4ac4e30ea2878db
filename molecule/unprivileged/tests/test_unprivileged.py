# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job as a user who must give sudo a password: everything is brought about, and no leftover of a job stays."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
import yaml

from tests.fleet_helpers import ROOT, fleet, playbook, recap

HOST = "a2-1"
LIMIT = ("--limit", f"{HOST},localhost")
REMOVED_WITH_IMAGES = ("-e", "decommission_confirm=true", "-e", "decommission_images=true")
PASSWORD = "a password with spaces"
SUDOERS = "/etc/sudoers.d/ops"
WITHOUT_PASSWORD = "ops ALL=(ALL) NOPASSWD:ALL\n"
# The second variant keeps the user's HOME: the folder of asynchronous jobs is then not below the home of root.
WITH_PASSWORD = 'ops ALL=(ALL) ALL\nDefaults:ops env_keep += "HOME"\n'
PYTHON_39 = "/opt/python-3.9"
PYTHON_39_LIBRARY = "/etc/ld.so.conf.d/python-3.9.conf"
LEFTOVERS = "find /root/.ansible_async /home/ops/.ansible_async -mindepth 1 2>/dev/null; true"


def on_host(command: str) -> str:
    return fleet("exec", HOST, "--", "sh", "-c", command)


def write_sudoers(content: str) -> None:
    new = f"{SUDOERS}.new"
    on_host(f"umask 227; printf %s '{content}' > {new} && visudo -c -q -f {new} && mv {new} {SUDOERS}")


@pytest.fixture(scope="module", autouse=True)
def sudo_password() -> Iterator[None]:
    """The user ``ops`` needs a password for sudo."""
    on_host(f"echo 'ops:{PASSWORD}' | chpasswd")
    write_sudoers(WITH_PASSWORD)
    try:
        yield
    finally:
        write_sudoers(WITHOUT_PASSWORD)


@pytest.fixture(scope="module")
def interpreter(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Python 3.9 on the host, copied from this machine; the host's own where this machine has none."""
    found = sorted((Path.home() / ".pyenv" / "versions").glob("3.9.*/bin/python3.9"))
    if not found:
        yield "/usr/bin/python3"
        return
    variables = yaml.safe_load((ROOT / request.config.getoption("ansible_inventory") / "hosts.yml").read_text())["all"]
    address = variables["children"]["npu_hosts"]["children"]["atlas_a2"]["hosts"][HOST]["ansible_host"]
    ssh = ["ssh", "-i", variables["vars"]["ansible_ssh_private_key_file"]]
    ssh += [*shlex.split(variables["vars"]["ansible_ssh_common_args"]), f"root@{address}"]
    source = found[-1].parents[1]
    packed = subprocess.Popen(
        ["tar", "-C", source, "-cf", "-", "--exclude=test", "--exclude=site-packages", "--exclude=*.a", "bin", "lib"],
        stdout=subprocess.PIPE,
    )
    with packed:
        subprocess.run(
            [*ssh, f"mkdir -p {PYTHON_39} && tar -C {PYTHON_39} -xf -"], stdin=packed.stdout, check=True, timeout=300
        )
    assert packed.returncode == 0
    on_host(f"echo {PYTHON_39}/lib > {PYTHON_39_LIBRARY} && ldconfig")
    try:
        assert on_host(f"{PYTHON_39}/bin/python3.9 --version").startswith("Python 3.9.")
        yield f"{PYTHON_39}/bin/python3.9"
    finally:
        on_host(f"rm -rf {PYTHON_39} {PYTHON_39_LIBRARY}; ldconfig")


def extra_vars(folder: Path, **variables: str | bool) -> list[str]:
    path = folder / "variables.yml"
    given = {"ansible_user": "ops", "ansible_become_password": PASSWORD, **variables}
    path.write_text(yaml.safe_dump(given))
    os.chmod(path, 0o600)
    return ["-e", f"@{path}"]


def test_the_main_job_with_pipelining_and_an_old_python(
    request: pytest.FixtureRequest, tmp_path: Path, interpreter: str
) -> None:
    inventory = request.config.getoption("ansible_inventory")
    given = extra_vars(tmp_path, ansible_pipelining=True, ansible_python_interpreter=interpreter)
    status, output = playbook(inventory, "site.yml", *LIMIT, *given)
    assert status == 0, output
    assert PASSWORD not in output
    assert on_host(LEFTOVERS) == ""
    status, output = playbook(inventory, "site.yml", *LIMIT, *given)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] == 0, output


def test_nothing_is_removed_before_it_is_listed_and_confirmed(request: pytest.FixtureRequest) -> None:
    inventory = request.config.getoption("ansible_inventory")
    running = on_host("docker ps --quiet --no-trunc | sort; ls /etc/ascend-fleet /var/lib/ascend-fleet")
    for options, ends_well in (((), False), (("--check",), True)):
        status, output = playbook(inventory, "playbooks/decommission.yml", *LIMIT, *options)
        assert (status == 0) == ends_well, output
        assert "vllm-qwen3.5@0.service (port 8010)" in output, output
        assert "-e decommission_artifacts=true removes it too" in output, output
        assert "-e decommission_confirm=true" in output, output
        assert on_host("docker ps --quiet --no-trunc | sort; ls /etc/ascend-fleet /var/lib/ascend-fleet") == running


def test_the_main_job_without_pipelining_and_with_another_home(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    inventory = request.config.getoption("ansible_inventory")
    status, output = playbook(inventory, "playbooks/decommission.yml", *LIMIT, *REMOVED_WITH_IMAGES)
    assert status == 0, output
    on_host("rm -rf /var/lib/ascend-fleet/models")
    given = extra_vars(tmp_path, ansible_pipelining=False, ansible_become_flags="-S")
    status, output = playbook(inventory, "site.yml", *LIMIT, *given)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] > 0, output
    assert on_host("ls -d /home/ops/.ansible_async").strip() == "/home/ops/.ansible_async"
    assert on_host(LEFTOVERS) == ""
