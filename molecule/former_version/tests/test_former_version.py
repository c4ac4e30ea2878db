# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet deployed by the former version is taken over: no restart, no second download, no unit rewritten unlisted."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile

import pytest

from tests.fleet_helpers import ROOT, fleet, playbook, recap

HOST = "a2-1"
LIMIT = ("--limit", f"{HOST},localhost")
#: The last commit before the collection's inside was rearranged.
FORMER = "228199c2e50b6df239f3aeba8c60ca22bea22c9b"
UNITS = "vllm-qwen3.5@0.service vllm-qwen3.5@1.service"
#: What tells that an engine has gone on running: its container, and when its process has begun.
RUNNING = "docker ps --no-trunc --format '{{.ID}} {{.Names}}' | sort; systemctl show -p MainPID,InvocationID " + UNITS


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    """The former version of the collection, as it was."""
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", FORMER], capture_output=True, check=False)
    if packed.returncode:
        pytest.skip("the history of this checkout does not reach back to the former version (a shallow clone?)")
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def downloads():
    """How many objects the origin has handed out."""
    return sum(" GET " in line and "/info/lfs/objects/storage/" in line for line in fleet("origin-log").splitlines())


def on_host(command):
    """What a command prints on the host."""
    return fleet("exec", HOST, "--", "sh", "-c", command)


def unit_texts():
    """The text of every unit of the host's replicas, by its name."""
    marked = on_host('cd /etc/systemd/system && for unit in vllm-*.service; do echo "==> $unit"; cat "$unit"; done')
    return dict(part.split("\n", 1) for part in marked.split("==> ")[1:])


def test_it_takes_over_what_runs(former, request):
    inventory = request.config.getoption("ansible_inventory")
    status, output = playbook(inventory, "site.yml", *LIMIT, root=former)
    assert status == 0, output
    before, units = on_host(RUNNING), unit_texts()
    fetched = downloads()

    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    assert on_host(RUNNING) == before, output
    assert downloads() == fetched, output
    after = unit_texts()
    assert set(after) == set(units)
    written = [name.removesuffix(".service") for name, text in after.items() if text != units[name]]
    assert [name for name in written if not re.search(f"{re.escape(name)} .*write unit", output)] == [], output

    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] == 0, output
    assert on_host(RUNNING) == before, output
    # One call has told that nothing is to be done: no role was asked.
    assert "Download and verify" not in output, output
