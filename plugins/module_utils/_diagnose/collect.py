# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect the bundle of a host. Nothing on the host changes but the bundle's own folder.

Every source that failed, hung, was cut or was left out is listed in the bundle's index, with the reason.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence

from .._host import by_hand
from .._host.haproxy import ADMIN_SOCKET
from .._node.host import Host
from .._serving import log, watchdog_program
from . import signs, sources
from .bundle import Bundle
from .look import Look, Looker
from .redact import Redactor
from .take import FAILED, KIB, LEFT_OUT, TAIL, TIMED_OUT, Source, Taken, Taker, newest

#: Of this kind so many files of the chips' own report are taken.
_REPORT_FILES = 24
_REPORT_SECONDS = 240
_SPARE_BYTES = 4 * 1024 * 1024 * 1024
_HANGS = 1

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Options:
    """How a bundle is made. ``seconds`` and ``size`` limit all sources together, ``size`` before compression."""

    name: str
    base: str = "/var/tmp"  # noqa: S108 - a private folder with a name of its own is made there
    addresses: bool = False
    salt: str = ""
    seconds: float = 900.0
    size: int = 64 * KIB * KIB
    device_logs: bool = True


@dataclass
class Collector:
    """Collects once. ``tell``: called before each source with its number, the count of all, and its title."""

    host: Host
    options: Options
    tell: Tell = lambda number, count, title: None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    taken: list[Taken] = field(default_factory=list)

    def plan(self) -> tuple[Looker, Look, list[Source]]:
        """What is there, and what would be taken."""
        looker = Looker(self.host)
        look = looker.look()
        every = sources.every(self.host, look)
        if self.options.device_logs:
            every.append(Source("chips_report", "msnpureport", argv=(sources.MSNPUREPORT,), seconds=_REPORT_SECONDS))
        return looker, look, every

    def collect(self) -> dict[str, Any]:
        """Write the bundle; returns where it lies and what was found. Raises BundleError and OSError."""
        began = self.clock()
        looker, look, every = self.plan()
        redactor = Redactor(looker.secrets(), addresses=self.options.addresses, salt=self.options.salt)
        taker = Taker(redactor, looker.resolve, self.host.path, self.clock)
        bundle = Bundle(self.options.base, self.options.name, self.wall())
        try:
            self._take_all(every, taker, bundle, began)
            states = {unit.name: unit.state for unit in look.units}
            found = self._stalled(redactor) + signs.find(self.taken, states, self.wall())
            facts = self._facts(look, redactor)
            index = self._index(found, facts, look, redactor, began)
            bundle.add("index.json", json.dumps(index, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
            bundle.add("README.txt", _read_me(index))
            size, digest = bundle.close()
        except BaseException:
            bundle.discard()
            raise
        return {**index, "path": bundle.path, "size": size, "sha256": digest}

    # - sources -

    def _take_all(self, every: Sequence[Source], taker: Taker, bundle: Bundle, began: float) -> None:
        hung: dict[str, int] = {}
        for number, source in enumerate(every):
            self.tell(number, len(every), source.title)
            left = self.options.seconds - (self.clock() - began)
            reason = ""
            if left <= 0:
                reason = "the time for all sources (%d s) was over" % self.options.seconds
            elif bundle.size >= self.options.size:
                reason = "the bundle was full (%d MiB)" % (self.options.size // (KIB * KIB))
            elif source.group and hung.get(source.group, 0) >= _HANGS:
                reason = "%s hung before" % source.group.split()[0]
            if reason and not source.reason:
                self.taken.append(Taken(source, reason=reason))
                continue
            if source.argv == (sources.MSNPUREPORT,) and not source.reason:
                self._report(source, taker, bundle, left)
                continue
            self._add(taker.take(source, left), bundle)
            if self.taken[-1].state == TIMED_OUT and source.group:
                hung[source.group] = hung.get(source.group, 0) + 1
        self.tell(len(every), len(every), "done")

    def _add(self, taken: Taken, bundle: Bundle) -> None:
        if taken.text:
            name = bundle.add(taken.source.name, taken.text)
            if name != taken.source.name:
                taken.source = Source(**{**taken.source.__dict__, "name": name})
        self.taken.append(taken)

    def _report(self, source: Source, taker: Taker, bundle: Bundle, seconds: float) -> None:
        """The chips' own logs: msnpureport writes them into a folder, from which the texts are taken."""
        if self.host.kind(sources.MSNPUREPORT) != "file":
            self.taken.append(Taken(source, reason="msnpureport is not installed"))
            return
        if shutil.disk_usage(bundle.folder).free < _SPARE_BYTES:
            self.taken.append(Taken(source, reason="there are less than 4 GiB left in %s" % self.options.base))
            return
        folder = os.path.join(bundle.folder, "report")
        os.mkdir(folder, 0o700)
        try:
            changed = {**source.__dict__, "cwd": folder, "name": "chips_report/output.txt"}
            self._add(taker.take(Source(**changed), seconds), bundle)
            paths = [os.path.join(top, name) for top, _folders, names in os.walk(folder) for name in names]
            texts = newest([p for p in paths if p.endswith((".log", ".txt", ".gz", ".json"))], _REPORT_FILES)
            inside = Taker(taker.redactor, lambda program: None, lambda path: path, self.clock)
            for path in texts:
                name = "chips_report/" + os.path.relpath(path, folder).replace(os.sep, "_")
                one = Source(name, source.title, path=path, folder=folder, limit=256 * KIB, keep=TAIL)
                self._add(inside.take(one, 30), bundle)
            if len(paths) > len(texts):
                words = "%d more files, of no text or older" % (len(paths) - len(texts))
                self.taken.append(Taken(source, reason=words))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # - what is reported of it -

    def _stalled(self, redactor: Redactor) -> list[signs.Sign]:
        try:
            found = signs.stalled(json.loads(self.host.read(watchdog_program.STATE) or "{}"))
        except ValueError:
            return []  # it lies in the bundle as it is
        for sign in found:
            sign.lines = [redactor.line(line) for line in sign.lines]
        return found

    def _facts(self, look: Look, redactor: Redactor) -> dict[str, Any]:
        return {
            "hostname": platform.node(),
            "system": _os_name(self.host.read("/etc/os-release") or ""),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "driver": look.driver or None,
            "npu_smi": redactor.line(look.npu_smi_problem) or None,
            "chips": len(look.chips) or len(look.indices),
            "chips_not_ok": [
                "NPU %s chip %s: %s" % (c["npu_id"], c["chip_id"], redactor.line(str(c["health"])))
                for c in look.chips
                if c["health"] != "OK"
            ],
            "units": [self._unit(unit) for unit in look.units],
            "by_hand": by_hand.serving_others(look.containers),
            "gateway": os.path.exists(self.host.path(ADMIN_SOCKET)),
        }

    def _unit(self, unit: Any) -> dict[str, Any]:
        state = unit.state
        start = next((t for t in self.taken if t.source.signs == sources.START and t.source.unit == unit.name), None)
        progress = log.follow((start.text if start else "").splitlines())
        return {
            "unit": unit.name,
            "release": unit.about.get("release"),
            "port": unit.about.get("port"),
            "active": state.get("ActiveState", "unknown"),
            "sub": state.get("SubState", "unknown"),
            "result": state.get("Result", ""),
            "restarts": int(state["NRestarts"]) if state.get("NRestarts", "").isdigit() else None,
            "stage": progress.stage if start and start.text else None,
        }

    def _index(
        self, found: Sequence[signs.Sign], facts: Mapping[str, Any], look: Look, redactor: Redactor, began: float
    ) -> dict[str, Any]:
        entries = [_entry(taken, redactor) for taken in self.taken]
        return {
            "schema": 1,
            "name": self.options.name,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.wall())),
            "seconds": round(self.clock() - began, 1),
            "addresses_redacted": self.options.addresses,
            "redacted": sum(taken.redacted for taken in self.taken),
            "facts": facts,
            "signs": [sign.as_dict() for sign in found],
            "sources": entries,
            "never_taken": [{"what": what, "why": why} for what, why in sources.NEVER],
            "problems": [{k: redactor.line(v) for k, v in problem.items()} for problem in look.problems],
        }


def _entry(taken: Taken, redactor: Redactor) -> dict[str, Any]:
    return {
        "name": taken.source.name,
        "title": redactor.line(taken.source.title),
        "state": taken.state,
        "reason": redactor.line(taken.reason),
        "bytes": len(taken.text.encode("utf-8", "replace")),
        "cut": bool(taken.cut_bytes),
        "redacted": taken.redacted,
        "seconds": taken.seconds,
    }


def incomplete(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sources of an index that are missing or not whole, each with why."""
    found = []
    for entry in index.get("sources") or ():
        if entry["state"] in (FAILED, TIMED_OUT, LEFT_OUT) or entry["cut"]:
            words = entry["reason"] or ("only a part was kept" if entry["cut"] else entry["state"])
            found.append({"name": entry["name"], "state": entry["state"], "reason": words})
    return found


def _read_me(index: Mapping[str, Any]) -> str:
    """The first page of a bundle."""
    lines = [
        "Bundle of %s, made %s by ascend.fleet." % (index["facts"]["hostname"], index["at"]),
        "Secrets are replaced by [redacted] (%d places)%s."
        % (
            index["redacted"],
            ", and addresses by names of their own" if index["addresses_redacted"] else "; addresses are shown",
        ),
        "",
        "== What was found",
        "",
    ]
    for sign in index["signs"]:
        lines += [
            "* %s%s%s"
            % (
                sign["name"],
                " (%s)" % sign["unit"] if sign["unit"] else "",
                "" if sign["is_now"] else ", in a former run",
            )
        ]
        lines += ["  meaning: %s" % sign["meaning"], "  fix: %s" % sign["fix"]]
        lines += ["  %s, line %d" % (sign["source"], sign["line"]), *["    | %s" % line for line in sign["lines"]], ""]
    lines += [] if index["signs"] else ["No sign of a known failure.", ""]
    lines += ["== What is missing or not whole", ""]
    lines += ["* %s: %s (%s)" % (e["name"], e["state"], e["reason"]) for e in incomplete(index)]
    lines += ["", "== What is never taken", ""]
    lines += ["* %s: %s" % (e["what"], e["why"]) for e in index["never_taken"]]
    return "\n".join(lines) + "\n"


def _os_name(text: str) -> Optional[str]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name == "PRETTY_NAME":
            return value.strip().strip("\"'")
    return None
