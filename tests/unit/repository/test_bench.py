# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements can be found, and each has its place in docs/performance.md. Nothing is measured here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUN = ROOT / "tests" / "bench" / "run.py"


def listed():
    done = subprocess.run([sys.executable, str(RUN), "--list"], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def test_every_measurement_has_its_place_in_the_page():
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    names = listed()
    assert {"parsers", "preflight_ssh"} <= set(names)
    for name in names:
        assert page.count("<!-- bench %s -->\n" % name) == 1


def test_an_unknown_measurement_is_refused():
    done = subprocess.run([sys.executable, str(RUN), "nosuch"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "parsers" in done.stderr


@pytest.mark.parametrize(
    ("cost", "other", "words"), [(2.5, 1.0, "2.50 × (aim)"), (0.5, 1.0, "0.50 × (aim)"), (1.0, 40.0, "1/40 (aim)")]
)
def test_a_ratio_in_words(cost, other, words):
    spec = importlib.util.spec_from_file_location("bench_ratios", ROOT / "tests" / "bench" / "ratios.py")
    ratios = importlib.util.module_from_spec(spec)
    sys.modules["bench_ratios"] = ratios
    spec.loader.exec_module(ratios)
    assert ratios.Ratio("a", "b", cost, other, "aim").words() == words
