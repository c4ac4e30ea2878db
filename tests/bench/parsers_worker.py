# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time three readers of one table (standard input); prints the seconds each needs. Run by measurements/parsers.py."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Callable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import conftest  # noqa: F401 - makes the checkout importable as the collection
import textfsm
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi import parse_info
from ttp import ttp

Values = list[dict[str, str]]
FIELDS = (
    "npu_id", "chip_id", "phy_id", "name", "health", "power_watts", "temperature_celsius", "hugepages_used",
    "hugepages_total", "bus_id", "utilization_percent", "memory_used_mb", "memory_total_mb", "hbm_used_mb",
    "hbm_total_mb",
)  # fmt: skip


def best(function: Callable[[], Any], rounds: int = 15) -> float:
    """Seconds of one call, the best of some rounds: what else the machine does only ever adds."""
    began = time.perf_counter()
    function()
    calls = max(1, int(0.05 / (time.perf_counter() - began)))
    found = []
    for _round in range(rounds):
        began = time.perf_counter()
        for _call in range(calls):
            function()
        found.append((time.perf_counter() - began) / calls)
    return min(found)


def plain(device: dict[str, Any]) -> dict[str, str]:
    """One chip as text, as the two others have it."""
    device = dict(device)
    for pair in ("hugepages", "memory", "hbm"):  # TTP's template takes a pair whole
        if pair in device:
            used, _slash, total = str(device.pop(pair)).partition("/")
            device.update({f"{pair}_used": used.strip(), f"{pair}_total": total.strip()})
            if pair != "hugepages":
                device[f"{pair}_used_mb"], device[f"{pair}_total_mb"] = used.strip(), total.strip()
    return {f: "-" if device[f] is None else str(device[f]) for f in FIELDS}


def main() -> None:
    """Compare, then time."""
    text = sys.stdin.read()
    logging.disable(logging.CRITICAL)
    with (HERE / "templates" / "npu_smi_info_a3.textfsm").open(encoding="utf-8") as stream:
        machine = textfsm.TextFSM(stream)
    parser = ttp(template=(HERE / "templates" / "npu_smi_info_a3.ttp").read_text(encoding="utf-8"), log_level="ERROR")

    def by_textfsm() -> Values:
        machine.Reset()
        return machine.ParseTextToDicts(text)

    def by_ttp() -> Values:
        parser.clear_input()
        parser.clear_result()
        parser.add_input(text)
        parser.parse(one=True)
        return parser.result()[0][0]["devices"]

    ours = [plain(d) for d in parse_info(text)["devices"]]
    if len(ours) != 16:
        sys.exit("the table has %d chips, needed 16" % len(ours))
    for name, other in (("TextFSM", by_textfsm()), ("TTP", by_ttp())):
        if [plain(d) for d in other] != ours:
            sys.exit("%s reads other values: %s instead of %s" % (name, [plain(d) for d in other][:1], ours[:1]))
    print(json.dumps({"ours": best(lambda: parse_info(text)), "textfsm": best(by_textfsm), "ttp": best(by_ttp)}))


if __name__ == "__main__":
    main()
