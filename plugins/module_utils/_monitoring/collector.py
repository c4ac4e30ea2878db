# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what a host says of itself for node_exporter: the program of ascend-fleet-collector.service.

Usage: collector.py CONFIGURATION

Installed as it is, with what it imports beside it. A timer starts it again and again, never twice at a time.

npu-smi is asked by this program alone, one question at a time. Every question holds the lock POLLER for as long as its
process lives, whatever becomes of this program: a driver that hangs makes one process hang, and while it does nothing
more is asked. What cannot be read is left out of the file, and ``ascend_fleet_collector_success`` says so.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping, Optional

from .._base import command
from .._base.files import read_text, write_atomically
from .._base.locks import awaited_lock, try_lock
from .._host.systemd import Systemd, SystemdError
from .._npu import hccn, smi, smi_commands
from .._npu.errors import NpuSmiError
from .._npu.hardware import HCCN_TOOL
from . import fleet_metrics, npu_metrics
from .exposition import Metrics

#: Held by whatever asks the driver for us; inherited by it.
POLLER = "/run/ascend-fleet-collector.lock"
#: Held for a moment by each program that asks npu-smi on this host, such as replicas before their start.
SHARED = "/run/ascend-fleet-npu-smi.lock"
#: What is asked of each chip, kept from look to look.
SLOW = "/run/ascend-fleet-collector.json"
NAME = "ascend_fleet.prom"

_SMI_SECONDS = 60.0
_CARD_SECONDS = 20.0
_SHARED_SECONDS = 20.0
_UNIT_DIR = "/etc/systemd/system"
_STATE_DIR = "/var/lib/ascend-fleet"
_NODE = re.compile(r"davinci([0-9]+)\Z")
_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unread(Exception):
    """A part of the host could not be read; the message says why."""


@dataclass(frozen=True)
class Config:
    """What is wanted. ``source``: npu_smi, npu_exporter (another program asks the chips), or none (there are none)."""

    source: str = "none"
    textfile: str = "/var/lib/prometheus/node-exporter"
    slow_seconds: int = 300
    expected_chips: Optional[int] = None
    #: Paths, and the room that the next release needs there; None: not known.
    disk: Mapping[str, Optional[int]] = field(default_factory=dict)
    certificates: tuple[str, ...] = ()


def config_of(data: Mapping[str, Any]) -> Config:
    """The configuration, from the data of its file."""
    known = {name: value for name, value in data.items() if name in Config.__dataclass_fields__}
    return Config(**{**known, "certificates": tuple(known.get("certificates") or ())})


@dataclass
class Host:
    """Everything that is asked of this host, so that a test can answer instead."""

    root: str = "/"
    run: Callable[..., command.Completed] = command.run
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    shared_seconds: float = _SHARED_SECONDS

    def path(self, path: str) -> str:
        """Where a path of the host lies."""
        return os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> Optional[str]:
        """A file's text; None where there is none. Raises Unread."""
        try:
            return read_text(self.path(path))
        except OSError as exc:
            raise Unread("%s: %s" % (path, exc.strerror)) from exc

    def data(self, path: str) -> dict[str, Any]:
        """A JSON object's file; empty where there is none. Raises Unread."""
        text = self.read(path)
        try:
            found = json.loads(text) if text and text.strip() else {}
        except ValueError as exc:
            raise Unread("%s: %s" % (path, exc)) from exc
        if not isinstance(found, dict):
            raise Unread("%s: found no JSON object" % path)
        return found

    def nodes(self) -> list[int]:
        """The N of every /dev/davinciN."""
        matches = (_NODE.search(path) for path in glob.glob(self.path("/dev/davinci*")))
        return sorted(int(match.group(1)) for match in matches if match)


class Collector:
    """One look at the host."""

    def __init__(self, config: Config, host: Host) -> None:
        self._config = config
        self._host = host
        self._hung = False
        self.out = Metrics({**fleet_metrics.CATALOGUE, **npu_metrics.CATALOGUE})
        self.problems: list[str] = []

    def look(self) -> str:
        """Read every part, and return the text of the file."""
        self.out.add("ascend_fleet_collector_info", 1, {"source": self._config.source})
        self.out.add("ascend_fleet_expected_chips", self._config.expected_chips)
        if self._config.source == "npu_smi":
            self._chips()
        parts: dict[str, Callable[[], None]] = {
            "units": self._units,
            "state": self._state,
            "traffic": self._traffic,
            "disk": self._disk,
            "certificates": self._certificates,
        }
        for name, read in parts.items():
            self._part(name, read)
        self.out.add("ascend_fleet_collector_time_seconds", int(self._host.wall()))
        return self.out.text()

    def _part(self, name: str, read: Callable[[], None]) -> None:
        began = self._host.clock()
        try:
            read()
            success = 1
        except (Unread, OSError, ValueError) as exc:
            self.problems.append("%s: %s" % (name, exc))
            success = 0
        self.out.add("ascend_fleet_collector_success", success, {"part": name})
        self.out.add("ascend_fleet_collector_seconds", round(self._host.clock() - began, 3), {"part": name})

    # - the chips -

    def _chips(self) -> None:
        descriptor = os.open(self._host.path(POLLER), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(descriptor):
                self._hung = True
                self.problems.append("npu: a question of an earlier look has not ended; nothing more is asked")
                for name in ("npu", "ecc", "network"):
                    self.out.add("ascend_fleet_collector_success", 0, {"part": name})
            else:
                chips: list[dict[str, Any]] = []
                self._part("npu", lambda: chips.extend(self._table(descriptor)))
                if chips:
                    self._slow(chips, descriptor)
        finally:
            os.close(descriptor)
        self.out.add("ascend_fleet_npu_smi_hung", int(self._hung))

    def _ask(self, argv: list[str], seconds: float, descriptor: int) -> str:
        """One question to the driver. It holds the lock as long as its process lives."""
        if self._hung:
            raise Unread("not asked: the driver hangs")
        done = self._host.run(argv, timeout=seconds, pass_fds=(descriptor,))
        if done.timed_out:
            self._hung = True
        if not done.ok:
            raise Unread(done.describe())
        return done.stdout

    def _smi(self, *words: str) -> list[str]:
        program = shutil.which("npu-smi", path=_PROGRAMS)
        if program is None and self._host.root == "/":
            raise Unread("found no npu-smi; needed the driver's program")
        return [program or "npu-smi", "info", *words]

    def _table(self, descriptor: int) -> list[dict[str, Any]]:
        with awaited_lock(self._host.path(SHARED), self._host.shared_seconds) as held:
            if not held:
                raise Unread("another program has asked npu-smi for %d s" % self._host.shared_seconds)
            text = self._ask(self._smi(), _SMI_SECONDS, descriptor)
        table = smi.parse_info(text)
        chips = npu_metrics.chips_of(table, self._host.nodes())
        npu_metrics.add_table(self.out, table, chips)
        versions = {"version": table["driver_version"] or "", "npu_smi_version": table["npu_smi_version"] or ""}
        self.out.add("ascend_fleet_driver_info", 1, versions)
        return chips

    def _slow(self, chips: list[dict[str, Any]], descriptor: int) -> None:
        """What is asked of every chip: now and then, and said again until then."""
        try:
            kept = self._host.data(SLOW)
        except Unread:
            kept = {}
        if not 0 <= self._host.wall() - float(kept.get("at") or 0) < self._config.slow_seconds:
            kept = {"at": self._host.wall(), "counts": {}, "success": {}}
            for name, read in (("ecc", self._ecc), ("network", self._network)):
                began = self._host.clock()
                kept["success"][name] = 1
                for key, values, problem in read(chips, descriptor):
                    kept["counts"].setdefault(key, {}).update(values)
                    if problem:
                        kept["success"][name] = 0
                        self.problems.append("%s: %s" % (name, problem))
                self.out.add("ascend_fleet_collector_seconds", round(self._host.clock() - began, 3), {"part": name})
            write_atomically(self._host.path(SLOW), json.dumps(kept), 0o600, durable=False)
        npu_metrics.add_slow(self.out, chips, kept.get("counts") or {})
        for name, success in (kept.get("success") or {}).items():
            self.out.add("ascend_fleet_collector_success", success, {"part": name})

    def _ecc(self, chips: list[dict[str, Any]], descriptor: int) -> Iterator[tuple[str, dict[str, int], str]]:
        for npu in dict.fromkeys(chip["npu_id"] for chip in chips):
            try:
                text = self._ask(self._smi("-t", "ecc", "-i", str(npu)), _CARD_SECONDS, descriptor)
                counts = npu_metrics.ecc_counts(smi_commands.parse_blocks(text)["blocks"])
            except (Unread, NpuSmiError) as exc:
                yield npu_metrics.slow_key({"npu_id": npu, "chip_id": 0}), {}, str(exc)
                continue
            for chip_id, values in counts.items():
                yield npu_metrics.slow_key({"npu_id": npu, "chip_id": chip_id}), values, ""

    def _network(self, chips: list[dict[str, Any]], descriptor: int) -> Iterator[tuple[str, dict[str, int], str]]:
        if not os.path.exists(self._host.path(HCCN_TOOL)):
            return  # cards without a network of their own
        for chip in chips:
            found: dict[str, int] = {}
            problem = ""
            for option, metric, parse, good in (
                ("-link", "npu_chip_info_link_status", hccn.parse_link, "UP"),
                ("-net_health", "npu_chip_info_network_status", hccn.parse_net_health, "Success"),
            ):
                try:
                    argv = [HCCN_TOOL, "-i", str(chip["index"]), option, "-g"]
                    found[metric] = int(parse(self._ask(argv, _CARD_SECONDS, descriptor)) == good)
                except (Unread, hccn.HccnError) as exc:
                    problem = str(exc)
            yield npu_metrics.slow_key(chip), found, problem

    # - what ascend.fleet knows -

    def _units(self) -> None:
        units: dict[str, dict[str, str]] = {}
        written: dict[str, float] = {}
        for path in sorted(glob.glob(self._host.path(_UNIT_DIR + "/vllm-*@*.service"))):
            about = fleet_metrics.parse_unit(self._host.read("%s/%s" % (_UNIT_DIR, os.path.basename(path))) or "")
            if about:
                units[os.path.basename(path)] = about
                written[os.path.basename(path)] = os.stat(path).st_mtime
        shown: dict[str, dict[str, str]] = {}
        problem = ""
        if units:
            wanted = ("ActiveState", "NRestarts", "ActiveEnterTimestampMonotonic")
            try:
                shown = Systemd(self._host.run, timeout=30).matching(list(units), wanted)
            except SystemdError as exc:
                problem = str(exc)
        fleet_metrics.add_units(self.out, units, shown, written, self._host.wall() - self._host.clock())
        if problem:
            raise Unread(problem)

    def _state(self) -> None:
        fleet_metrics.add_findings(self.out, self._host.data(_STATE_DIR + "/findings.json"))
        fleet_metrics.add_state(self.out, self._host.data(_STATE_DIR + "/state.json"))

    def _traffic(self) -> None:
        fleet_metrics.add_traffic(
            self.out,
            self._host.data(_STATE_DIR + "/gateway/drains.json"),
            self._host.data("/run/ascend-fleet/watchdog-out.json"),
            self._host.data("/run/ascend-fleet/watchdog.json"),
        )

    def _disk(self) -> None:
        for path, needed in self._config.disk.items():
            folder = path
            while not os.path.exists(self._host.path(folder)) and folder != "/":
                folder = os.path.dirname(folder)  # a folder that is made when it is needed
            room = os.statvfs(self._host.path(folder))
            self.out.add("ascend_fleet_disk_free_bytes", room.f_bavail * room.f_frsize, {"path": path})
            self.out.add("ascend_fleet_disk_needed_bytes", needed, {"path": path})

    def _certificates(self) -> None:
        for path in self._config.certificates:
            if not os.path.exists(self._host.path(path)):
                continue
            argv = ["openssl", "x509", "-noout", "-enddate", "-in", self._host.path(path)]
            done = self._host.run(argv, timeout=10)
            end = fleet_metrics.certificate_end(done.stdout)
            if not done.ok or end is None:
                raise Unread(done.describe())
            self.out.add("ascend_fleet_certificate_end_time_seconds", end, {"path": path})


def collect(path: str, host: Host) -> list[str]:
    """Look once, and write the file; what could not be read is returned."""
    config = config_of(host.data(path))
    collector = Collector(config, host)
    text = collector.look()
    write_atomically(os.path.join(host.path(config.textfile), NAME), text, 0o644, durable=False)
    return collector.problems


def main(argv: list[str]) -> int:
    """Look once."""
    if len(argv) != 1:
        sys.stderr.write("usage: collector.py CONFIGURATION\n")
        return 2
    try:
        for problem in collect(argv[0], Host()):
            sys.stderr.write("<4>%s\n" % problem)  # systemd reads the priority
    except (Unread, OSError) as exc:
        sys.stderr.write("<3>found: %s; needed to write what the host says\n" % exc)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
