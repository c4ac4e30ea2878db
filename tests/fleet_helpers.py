# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share: the simulator's command line and ansible-playbook, called as people call them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FLEET = os.environ.get("ASCEND_SIM_TEST_FLEET", "test")


def fleet(*words: str) -> str:
    """Call the simulator for the tests' fleet; what it printed."""
    command = [sys.executable, "tests/sim/fleet", "--name", FLEET, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_on(host: str, command: str, seconds: int) -> bool:
    """Whether a command succeeds on a host within a time; it is asked there, however often with one call."""
    loop = 'until sh -c "$1" >/dev/null 2>&1; do [ "$(date +%s)" -lt "$2" ] || { echo late; break; }; sleep 0.1; done'
    deadline = int(time.time()) + seconds
    return fleet("exec", host, "--", "sh", "-c", loop, "sh", command, str(deadline)) == ""


def playbook_command(inventory: str, name: str, *options: str, root: Path = ROOT) -> tuple[list[str], dict[str, str]]:
    """The command and environment of one run of a playbook, of this checkout or the one at ``root``."""
    env = dict(os.environ, ANSIBLE_CONFIG=str(root / "ansible.cfg"), ANSIBLE_NOCOLOR="1")
    env["ANSIBLE_COLLECTIONS_PATH"] = str(root / ".collections")
    env.pop("ANSIBLE_FORCE_COLOR", None)  # molecule sets it, and it wins over ANSIBLE_NOCOLOR
    return [str(BIN / "ansible-playbook"), "-i", inventory, name, *options], env


def playbook(inventory: str, name: str, *options: str, timeout: int = 900, root: Path = ROOT) -> tuple[int, str]:
    """Run a playbook to its end; its exit status and everything it printed."""
    command, env = playbook_command(inventory, name, *options, root=root)
    done = subprocess.run(
        command,
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def recap(output: str) -> dict[str, dict[str, int]]:
    """The numbers of PLAY RECAP by host."""
    found = {}
    for line in output.partition("PLAY RECAP")[2].splitlines()[1:]:
        host, colon, numbers = line.partition(":")
        if colon and "ok=" in numbers:
            found[host.strip()] = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", numbers)}
    return found


def derived_archive(archive: str | Path, target: Path, tag: str) -> Path:
    """An archive of another image with the same layers: only its environment tells it apart."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as sink:

        def member_of(name: str) -> IO[bytes]:
            found = source.extractfile(name)
            assert found is not None, name
            return found

        manifest = json.load(member_of("manifest.json"))
        config = json.load(member_of(manifest[0]["Config"]))
        config["config"]["Env"].append(f"REVISION={tag}")
        document = json.dumps(config).encode()
        name = hashlib.sha256(document).hexdigest() + ".json"
        manifest[0].update(Config=name, RepoTags=[tag])
        for path in manifest[0]["Layers"]:
            sink.addfile(source.getmember(path), member_of(path))
        for path, data in ((name, document), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            sink.addfile(member, BytesIO(data))
    return target
