# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The browser, and the pages that it opens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "unit" / "plugins" / "plugin_utils")]

import chromium
import report_fleet
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_document, _report_page

WORDS = json.loads((_report_page.FOLDER / "words.json").read_text(encoding="utf-8"))
#: More pages to look at, such as that of a simulated fleet: paths with colons between them.
MORE = [Path(path) for path in os.environ.get("ASCEND_REPORT_PAGES", "").split(":") if path]


def unreachable() -> dict:
    """The report of a fleet of which nobody has answered."""
    about = {"a2-1": _report_document.About(reason="unreachable: no route to host")}
    return _report_document.build(report_fleet.MADE, about, {}, [], "nobody") | {
        "since": {"made": None, "problem": "there is no earlier report", "entries": []}
    }


DOCUMENTS = {
    "small": report_fleet.report(12),
    "hostile": report_fleet.report(12, hostile=True),
    "large": report_fleet.report(500),
    "nobody": unreachable(),
}


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by their names."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, document in DOCUMENTS.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(_report_page.page(document), encoding="utf-8")
    return {**found, **{path.name: path for path in MORE}}


@pytest.fixture(scope="session")
def browser():
    """A browser for all tests: starting one takes longer than a test."""
    with chromium.Chromium() as found:
        yield found


@pytest.fixture
def opened(browser, pages):
    """Opens a page by its name, in English and by the light theme; fails where the page complains."""

    def open_page(name: str) -> chromium.Chromium:
        browser.media(prefers_color_scheme="light")
        browser.size(1440, 900)
        browser.console.clear()
        browser.requests.clear()
        browser.open(pages[name])
        if browser.ask("document.documentElement.lang") != "en":
            switch(browser)
        return browser

    yield open_page
    assert browser.console == []


def switch(browser: chromium.Chromium) -> None:
    """Press the button of the other language."""
    browser.ask("document.getElementById('language').click()")
    browser.wait("document.documentElement.dataset.ready")
