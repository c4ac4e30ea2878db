# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet under constant load whose driver and firmware are changed: packages, releases, and what hosts say of it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Iterator

from tests.fleet_helpers import ROOT
from tests.serving_helpers import Play, Serving

sys.path.insert(0, str(ROOT / "tests" / "sim" / "silicon"))

import build_package

FOLDER = ROOT / ".cache" / "driver"
DRIVER = "playbooks/driver.yml"
RECORD = "/var/lib/ascend-fleet/driver.json"
#: Every start of an installer of the simulator.
STARTS = "/var/log/ascend_seclog/ascend-sim-starts.log"
PACKAGES = "/srv/hdk"
#: Two hosts through a reboot, one after the other.
TIMEOUT = 1200
BAD, BAD_OR_LOST = (2,), (2, 4)
#: What simulated hosts are, and what none of them is.
ARCHITECTURE = platform.machine()
OTHER_ARCHITECTURE = "aarch64" if ARCHITECTURE == "x86_64" else "x86_64"


def _releases() -> ModuleType:
    """molecule/driver/releases.py; another scenario has a module of the same name."""
    spec = importlib.util.spec_from_file_location("driver_releases", ROOT / "molecule" / "driver" / "releases.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Driving(Serving):
    """The fleet of the scenario `driver`. changed: the hosts whose driver is changed."""

    def __init__(
        self,
        inventory: str,
        replicas: Mapping[str, int],
        gateways: tuple[str, ...],
        concurrency: int,
        changed: tuple[str, ...],
    ) -> None:
        super().__init__(inventory, replicas, gateways, concurrency, FOLDER)
        self.changed = changed
        self._releases = _releases()

    # -- packages

    def have(self, name: str, version: str, firmware: Mapping[str, Any], driver: Mapping[str, Any]) -> None:
        """Packages of this version, with these faults, on every host that is changed, and their release."""
        entries = {}
        for kind, more in (("firmware", firmware), ("driver", driver)):
            wanted = build_package.Wanted(kind, version, **{"architecture": ARCHITECTURE, **more})
            data, path = build_package.package(wanted), build_package.file_name(wanted)
            # The release names each for the host, whatever the package itself is for.
            entry = {"generation": "a2", "architecture": "any", "path": path}
            entries[kind] = [{**entry, "sha256": hashlib.sha256(data).hexdigest()}]
            for host in self.changed:
                folder, text = f"{PACKAGES}/{name}", base64.b64encode(data).decode()
                self.on(host, f"mkdir -p {folder} && echo {text} | base64 -d > '{folder}/{path}'")
        self._releases.write_release(self.inventory, name, version, entries)

    def words(self, name: str, *options: str) -> tuple[str, ...]:
        """The options of driver.yml for a release of this scenario."""
        folder = f"npu_driver_folder={PACKAGES}/{name}"
        return ("-e", f"fleet_release={name}", "-e", folder, "--limit", ",".join(self.changed), *options)

    def change(self, name: str, *options: str, status: tuple[int, ...] = (0,)) -> str:
        """Run driver.yml to its end; what it printed."""
        return self.play(DRIVER, *self.words(name, *options), timeout=TIMEOUT, status=status)

    @contextmanager
    def changing(self, name: str, *options: str, status: tuple[int, ...] = (0,)) -> Iterator[Play]:
        """A change that runs meanwhile."""
        with self.playing(DRIVER, *self.words(name, *options), timeout=TIMEOUT, status=status) as play:
            yield play

    def kill_when(self, host: str, step: str, name: str) -> None:
        """Start driver.yml, and kill it with everything it started when the change of a host has come to a step."""
        self.kill_play_when(lambda: self.step(host) == step, DRIVER, *self.words(name), timeout=TIMEOUT)

    # -- what hosts say

    def record(self, host: str) -> dict[str, Any]:
        """What the host remembers of its driver; empty where nothing was noted, or where it is down."""
        text = self.on(host, f"[ ! -e {RECORD} ] || cat {RECORD}")
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def step(self, host: str) -> str:
        """How far the change of a host is; empty where none is open, or where the host is down."""
        try:
            change = self.record(host).get("change")
        except AssertionError:
            return ""
        return str(change["step"]) if change else ""

    def versions(self, host: str) -> tuple[str, str]:
        """The driver that runs, and the firmware that runs."""
        smi = re.search(r"Version: (\S+)", self.on(host, "npu-smi info"))
        board = re.search(r"Firmware Version\s*: (\S+)", self.on(host, "npu-smi info -t board -i 0"))
        assert smi, host
        assert board, host
        return smi[1], board[1]

    def starts(self) -> dict[str, list[str]]:
        """The installers that have been started since they were last forgotten, by host."""
        return {
            host: [line.split()[0] for line in self.on(host, f"[ ! -e {STARTS} ] || cat {STARTS}").splitlines()]
            for host in self.changed
        }

    def forget_starts(self) -> None:
        for host in self.changed:
            self.on(host, f"rm -f {STARTS}")

    def is_wholly_on(self, version: str) -> bool:
        """Whether every host that is changed runs this driver and its firmware, serves, and is in no maintenance."""
        wanted = (version, build_package.firmware_of(version))
        return all(self.versions(host) == wanted and not self.step(host) for host in self.changed)
