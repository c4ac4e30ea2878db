# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as a tree of files and recorded commands, for the tests of what is read of a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "npu_smi"
A2 = (FIXTURES / "info/910b3-x8-25.2.0-1proc.txt").read_text(encoding="utf-8")

A3 = (FIXTURES / "info/a3-ascend910-x4-25.2.0-1proc.txt").read_text(encoding="utf-8")

TOPO = (FIXTURES / "sub/topo-910b1-x8-hccs.txt").read_text(encoding="utf-8")
BOARD = (FIXTURES / "sub/board-i0-910b-25.5.1.txt").read_text(encoding="utf-8")
ALARM = (FIXTURES / "sub/health-i0-c0-alarm-multi-error.txt").read_text(encoding="utf-8")
MAPPING = (FIXTURES / "sub/info-m-910b4-x8-mcu.txt").read_text(encoding="utf-8")
CONTAINER = "c" * 64
OUTER = "d" * 64
DF = "Filesystem Type 1-blocks Used Available Capacity Mounted on\n/dev/sda1 xfs 1000 400 600 40% /\n"
HCCN = {
    "-link": "link status: UP\n",
    "-net_health": "net health status: Success\n",
    "-ip": (FIXTURES / "files/hccn-ip-910b.txt").read_text(encoding="utf-8"),
    "-tls": (FIXTURES / "files/hccn-doc-tls.txt").read_text(encoding="utf-8"),
}

UNITS = """Id=vllm-qwen3.5@1.service
LoadState=loaded
ActiveState=failed
SubState=failed
MainPID=0
NRestarts=5

MainPID=4242
NRestarts=0
Id=vllm-qwen3.5@0.service
LoadState=loaded
ActiveState=active
SubState=running

Id=vllm-gone.service
LoadState=not-found
ActiveState=inactive
"""

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F4A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0000 100 0 0 10 0
   1: 0100007F:1F4B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0000 100 0 0 10 0
   2: 0100007F:0016 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 999 1 0000 100 0 0 10 0
   3: cut off
"""


class Machine:
    """A tree of files with recorded commands: what a Host is made of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: dict[str, tuple[Optional[int], str, str]] = {"df": (0, DF, ""), "du": (0, "123\t/x\n", "")}
        self.calls: list[str] = []

    def file(self, path: str, text: str = "", mode: int = 0o644) -> None:
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text, encoding="utf-8")
        full.chmod(mode)

    def program(self, path: str) -> None:
        self.file(path, "#!/bin/sh\n", 0o755)

    def link(self, path: str, target: str) -> None:
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.symlink_to(target)

    def run(self, argv: Any, *, timeout: float, env: Any = None, **_more: Any) -> Completed:
        command = " ".join([os.path.basename(argv[0]), *argv[1:]])
        self.calls.append(command)
        best = max((w for w in self.answers if command.startswith(w)), key=len, default=None)
        if best is None:
            return Completed(tuple(argv), 127, "", "%s: No such file or directory" % argv[0], False)
        status, out, err = self.answers[best]
        return Completed(tuple(argv), status, out, err, status is None)

    def host(self) -> Host:
        return Host(root=str(self.root), run=self.run, timeout=7)


def foreign(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "Id": CONTAINER,
        "Name": "/training",
        "Image": "sha256:1",
        "State": {"Status": "running", "Pid": 1601114},
        "Config": {"Image": "pytorch:latest", "Labels": {}},
        "HostConfig": {"Privileged": False, "Devices": [{"PathOnHost": "/dev/davinci5"}]},
    }
    raw.update(changes)
    return raw
