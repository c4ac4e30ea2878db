# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A generated fleet for the tests and the measurement of the report: what each host would have said.

Every number comes from a seed, so that two runs make the same report. Chips and versions look like those of A2 and A3
hosts as `npu-smi info` shows them; a few hosts are hot, old, slow, occupied, or gone.
"""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.ascend.fleet.plugins.module_utils._serving import status
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_changes as changes
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_document as document

MADE = "2026-11-30T06:15:00Z"
EARLIER = "2026-11-29T06:15:00Z"
CHIPS = {"a2": 8, "a3": 16}
RELEASE = "qwen3_5_27b_v1"
FORMER = "qwen3_5_27b_v0"
#: What hosts may say, and a page must show as text.
HOSTILE = (
    "</script><script>window.hostile=1</script>",
    "<!--<script>window.hostile=2//",
    "<img src=x onerror=window.hostile=3>",
    "\u2028window.hostile=4;\u2029",
    "\"'><svg onload=window.hostile=5>",
    "{{script}}{{data}}",
    "\ud800 lone, \x1b[31mred, \u202eesrever",
)
_IMAGE = {"a2": "sha256:" + "4bcff639" * 8, "a3": "sha256:" + "9d2e71a0" * 8}


def release(name: str = RELEASE) -> dict[str, Any]:
    """A release with its lock, as the lookup returns it."""
    images = [
        {"generation": g, "architecture": "any", "tag": "vllm-ascend:qwen3_5-v1-%s" % g, "image_id": _IMAGE[g],
         "sha256": "ab" * 32, "commit": "c0" * 20, "revision": "main"}
        for g in CHIPS
    ]  # fmt: skip
    return {
        "release": name,
        "description": "Qwen3.5-27B, BF16",
        "driver": {"version": "25.2.0"},
        "firmware": {"package_version": "25.2.0"},
        "cann": {"version": "8.5.0"},
        "images": images,
        "model": {"name": "Qwen3.5-27B", "revision": "main", "commit": "d1" * 20},
    }


def device(number: int, generation: str, chance: random.Random, **more: Any) -> dict[str, Any]:
    """A chip as npu_info returns it."""
    dies = CHIPS[generation] // 8
    return {
        "npu_id": number // dies,
        "chip_id": number % dies,
        "index": number,
        "name": "910B3" if generation == "a2" else "Ascend910",
        "health": "OK",
        "power_watts": round(chance.uniform(90, 310), 1),
        "temperature_celsius": chance.randint(38, 66),
        "utilization_percent": chance.randint(0, 100),
        "hbm_used_mb": chance.randint(58000, 61500),
        "hbm_total_mb": 65536,
        "error_codes": [],
        "holders": [
            {"kind": "container", "name": "vllm-qwen3.5-%d" % (number // 4), "process": "VLLM::Worker", "managed": True}
        ],
        **more,
    }  # fmt: skip


def node(name: str, generation: str, chance: random.Random, **more: Any) -> dict[str, Any]:
    """A host as npu_info returns it, without what the report does not show."""
    return {
        "hostname": name,
        "architecture": "aarch64",
        "kernel": "5.10.0-216.0.0.115.oe2203sp4.aarch64",
        "boot_time": 1789000000,
        "os": {"pretty_name": "openEuler 22.03 (LTS-SP4)"},
        "npu_smi": {"error": None},
        "pci": [{"id": {"a2": "19e5:d802", "a3": "19e5:d803"}[generation]}],
        "devices": [device(n, generation, chance) for n in range(CHIPS[generation])],
        "versions": {
            "driver": {"version": "25.2.0"},
            "firmware": {"version": "7.8.0.7.220"},
            "cann": [{"version": "8.5.0"}],
        },
        "docker": {"server_version": "24.0.7"},
        "problems": [],
        **more,
    }


def replica(number: int, generation: str, chance: random.Random, **more: Any) -> dict[str, Any]:
    """A replica as vllm_status_info returns it."""
    return {
        "replica": number,
        "unit": "vllm-qwen3.5@%d.service" % number,
        "served_model_name": "qwen3.5",
        "release": RELEASE,
        "port": 8010 + number,
        "indices": list(range(4 * number, 4 * number + 4)),
        "image_id": _IMAGE[generation],
        "age_seconds": chance.randint(3600, 900000),
        "outdated": False,
        "active_state": "active",
        "restarts": 0,
        "health": "healthy",
        "running": chance.randint(0, 90),
        "waiting": chance.randint(0, 3),
        "hbm_used_mb": 236000 + chance.randint(0, 4000),
        "hbm_total_mb": 262144,
        **more,
    }


def state(names: int, chance: random.Random) -> dict[str, Any]:
    """A state as fleet_state_info returns it, with a history of so many changes of the whole fleet."""
    history = []
    for number in range(names):
        day = "2026-11-%02d" % (number + 1)
        outcome = "rolled_back" if number % 7 == 3 else "good"
        history.append(
            {
                "id": "%sT061500Z-upgrade" % day.replace("-", ""),
                "kind": "upgrade",
                "release": RELEASE if number % 2 else FORMER,
                "from_release": FORMER if number % 2 else RELEASE,
                "began": day + "T06:15:00Z",
                "ended": day + "T07:%02d:00Z" % chance.randint(0, 59),
                "by": "alice@controller",
                "outcome": outcome,
                "why": "" if outcome == "good" else "the bake found 2.1 % failed requests; needed below 1 %",
            }
        )
    good = {"release": RELEASE, "digest": "60" * 32, "since": "2026-11-20T07:00:00Z"}
    return {"last_good": good, "previous_good": {**good, "release": FORMER}, "change": None, "history": history}


def benchmark(number: int, workload: str, kind: str, chance: random.Random, slow: bool = False) -> dict[str, Any]:
    """A result as fleet_state_info returns it."""
    share = chance.uniform(0.96, 1.04) * (0.78 if slow else 1.0)
    values = (("output_throughput", 1210.0, "higher"), ("median_ttft_ms", 402.0, "lower"),
              ("median_tpot_ms", 26.4, "lower"))  # fmt: skip
    figures = [
        {"metric": metric, "value": float("%.4g" % (reference * (share if better == "higher" else 1 / share))),
         "reference": reference, "worse": slow}
        for metric, reference, better in values
    ]  # fmt: skip
    finding = {"id": "PERF-001", "severity": "error", "title": "The replica is slower than before",
               "found": "Output token throughput 944, 22 % less than 1210", "needed": "its own baseline",
               "fix": "compare `npu-smi info` with another host"}  # fmt: skip
    return {
        "unit": "vllm-qwen3.5@%d.service" % number,
        "replica": number,
        "workload": workload,
        "kind": kind,
        "run": "20261129T184000Z",
        "finished": "2026-11-29T18:%02d:05Z" % chance.randint(40, 59),
        "baseline": False,
        "problem": "",
        "with": "its own baseline (run 20261101T201103Z)",
        "outcome": "worse" if slow else "same",
        "reason": "",
        "figures": figures,
        "trend": [float("%.4g" % (1210 * chance.uniform(0.97, 1.03))) for _number in range(9)] + [figures[0]["value"]],
        "findings": [finding] if slow else [],
    }


def finding(
    identity: str, severity: str, title: str, hosts: list[str], ignored: bool = False, **more: str
) -> dict[str, Any]:
    """A finding as the report of the preflight has it."""
    words = {"found": "", "needed": "", "fix": "", **more}
    return {"id": identity, "severity": severity, "title": title, "ignored": ignored, "hosts": hosts, **words}


class Fleet:
    """A fleet of so many hosts, one in four of generation A3. hostile: whether some of them say HOSTILE things."""

    def __init__(self, hosts: int = 12, seed: int = 1, hostile: bool = False, day: int = 1) -> None:
        self.chance = random.Random(seed)
        self.about: dict[str, document.About] = {}
        self.replicas: dict[str, list[dict[str, Any]]] = {}
        self.reasons: dict[str, str] = {}
        self.servers: list[dict[str, Any]] = []
        self.places: dict[str, list[str]] = {}
        self.day = day
        for number in range(hosts):
            self._add(number, hosts)
        if hostile:
            self._spoil()

    def _add(self, number: int, hosts: int) -> None:
        chance = self.chance
        generation = "a3" if number % 4 == 3 else "a2"
        name = "%s-%0*d" % (generation, len(str(hosts)), number + 1)
        wanted = release()
        if number % 40 == 7:
            self.reasons[name] = "unreachable: Failed to connect to the host via ssh: Connection timed out"
            self.about[name] = document.About(reason=self.reasons[name], generation=generation, release=wanted)
            return
        found = node(name, generation, chance)
        units = CHIPS[generation] // 4
        self.replicas[name] = [replica(n, generation, chance) for n in range(units)]
        if number % 17 == 5 and self.day:
            found["devices"][3].update(health="Alarm", error_codes=["0x80E18401"])
            self._found("NPU-003", name)
        if number % 13 == 4:
            found["versions"]["driver"] = {"version": "25.0.0" if self.day else "24.1.0"}
            self._found("DRV-006", name)
        if number % 19 == 6:
            for chip in found["devices"][4:8]:
                chip["holders"] = [{"kind": "container", "name": "training", "process": "python", "managed": False}]
            self.replicas[name] = self.replicas[name][:1]
            self._found("NPU-008", name)
        if number % 11 == 2:
            for chip in found["devices"]:
                chip["temperature_celsius"] += 30
        if number % 29 == 9:
            self.replicas[name][0].update(health="starting", running=None, waiting=None)
        for own in self.replicas[name]:
            out = number % 23 == 10 and own["replica"] == 0
            self.servers.append(
                {"host": name, "replica": own["replica"], "gateway": "gw-1", "admin_state": "drain" if out else "ready",
                 "status": "UP", "owner": "operator", "drained_by": "alice", "reason": "exchange of a fan",
                 "since": "2026-11-29T21:58:23Z"}
            )  # fmt: skip
        slow = number % 31 == 8
        results = [
            benchmark(n, workload, kind, chance, slow=slow and kind == "full")
            for n in range(units)
            for workload, kind in (
                ("text_2048_output_2048", "full"),
                ("picture_1024_output_512", "full"),
                ("load", "quick"),
            )
        ]
        self.about[name] = document.About(
            node=found, generation=generation, release=wanted, state=state(20, chance), benchmarks=results,
            checked={"checked": True},
        )  # fmt: skip

    def _found(self, identity: str, name: str) -> None:
        self.places.setdefault(identity, []).append(name)

    def findings(self) -> list[dict[str, Any]]:
        """The findings of the preflight."""
        places = self.places
        texts = {
            "NPU-003": (
                "error",
                "A chip is not well",
                "chip 3/0 with health Alarm, code 0x80E18401",
                "health OK",
                "see `npu-smi info -t health -i 3`; reset the chip when it is free",
            ),
            "DRV-006": (
                "error",
                "The running driver is not the installed one",
                "driver 25.0.0 running, 25.2.0 installed",
                "the same of both",
                "reboot the host",
            ),
            "NPU-008": (
                "warning",
                "Chips are in use by others",
                "container training on /dev/davinci4-7",
                "free chips",
                "stop the container, or leave these chips out",
            ),
        }
        return [
            finding(identity, severity, title, places[identity], found=found, needed=needed, fix=fix)
            for identity, (severity, title, found, needed, fix) in texts.items()
            if identity in places
        ]

    def _spoil(self) -> None:
        names = [name for name, about in self.about.items() if about.node]
        for name, text in zip(names, HOSTILE):
            found = dict(self.about[name].node or {})
            found["hostname"] = found["kernel"] = text
            found["devices"][0]["holders"] = [{"kind": "process", "name": text, "managed": False}]
            found["devices"][1]["health"] = text
            kept = dict(self.about[name].state or {})
            kept["history"] = [*kept["history"], {**kept["history"][0], "id": text, "by": text, "why": text}]
            self.about[name] = document.About(
                **{**vars(self.about[name]), "node": found, "state": kept, "problems": [text]}
            )
            self.replicas[name][0]["served_model_name"] = text
            self.places.setdefault("DRV-006", []).append(name)

    def document(self, made: str = MADE) -> dict[str, Any]:
        """The report of this fleet."""
        told = status.build(
            list(self.about), self.replicas, self.reasons, self.servers,
            recorded={n: a.state for n, a in self.about.items() if a.state},
        )  # fmt: skip
        found = self.findings()
        return document.build(made, self.about, told, found, "demo")


def report(hosts: int = 12, hostile: bool = False) -> dict[str, Any]:
    """A report of today, compared with one of yesterday."""
    now = Fleet(hosts, hostile=hostile).document()
    now["since"] = changes.since(Fleet(hosts, day=0).document(EARLIER), now, "report.json")
    return now
