# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of 500 generated hosts: its size, and how long a real Chromium takes to show, to sort and to filter it.

Sorting and filtering are timed in the page, from the press of a key to the end of the layout.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from ratios import Impossible, Ratio

TITLE = "the report of 500 hosts in Chromium"
TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "browser"), str(TESTS / "unit" / "plugins" / "plugin_utils")]

import chromium
import report_fleet
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_page

REPEATS = 7
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
#: Presses a head, and lays the page out.
SORT = """(() => { const began = performance.now();
document.querySelector('[data-table=hosts] [data-sort=temperature]').click();
document.body.offsetHeight; return performance.now() - began; })()"""
#: Types a word that few hosts have, and takes it away again.
FILTER = """(() => { const field = document.querySelector('[data-table=hosts] input'); const began = performance.now();
field.value = field.value ? '' : 'training'; field.dispatchEvent(new Event('input'));
document.body.offsetHeight; return performance.now() - began; })()"""


def median(measured: Callable[[], Any]) -> float:
    """The middle of some repetitions."""
    return statistics.median(float(measured()) for _ in range(REPEATS))


def measure() -> list[Ratio]:
    """Make the pages and look at them."""
    if chromium.find() is None:
        raise Impossible("there is no chromium: apt-get install chromium")
    fleet = report_fleet.Fleet(500)
    began = time.process_time()
    document = fleet.document()
    shaped = time.process_time() - began
    document["since"] = report_fleet.changes.unknown("")
    large = _report_page.page(document)
    made = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder, chromium.Chromium() as browser:
        small_path, large_path = Path(folder, "small.html"), Path(folder, "large.html")
        small_path.write_text(_report_page.page(report_fleet.report(8)), encoding="utf-8")
        large_path.write_text(large, encoding="utf-8")

        def paint(path: Path) -> float:
            browser.open(path)
            browser.wait(PAINT)
            return float(browser.ask(PAINT))

        first = {path: median(lambda path=path: paint(path)) for path in (small_path, large_path)}
        whole = float(browser.ask("Number(document.documentElement.dataset.ready)"))
        sorting, filtering = (median(lambda code=code: browser.ask(code)) for code in (SORT, FILTER))
    report = "500 hosts, %d chips, %d replicas" % (len(document["chips"]), len(document["replicas"]))
    size = len(large.encode())
    return [
        Ratio("size of the page of " + report, "3 MB", size / 1e6, 3.0, "aim: below 1 ×"),
        Ratio("first paint of 500 hosts", "first paint of 8 hosts", first[large_path], first[small_path]),
        Ratio("first paint of 500 hosts", "one second", first[large_path], 1000.0, "aim: below 1 ×"),
        Ratio("all sections of 500 hosts", "one second", whole, 1000.0),
        Ratio("500 hosts sorted by temperature", "200 ms", sorting, 200.0, "aim: below 1 ×"),
        Ratio("500 hosts filtered by a word", "200 ms", filtering, 200.0, "aim: below 1 ×"),
        Ratio("page and document of 500 hosts, on the controller", "the document alone", made, shaped),
    ]
