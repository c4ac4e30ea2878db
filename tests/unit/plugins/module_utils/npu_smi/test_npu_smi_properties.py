# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to a table on its way here, no wrong number is read from it."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.ascend.fleet.plugins.module_utils._base.versions import Version, compare
from ansible_collections.ascend.fleet.plugins.module_utils._npu.errors import NpuSmiError
from ansible_collections.ascend.fleet.plugins.module_utils._npu.hccn import (
    HccnError,
    parse_values,
)
from ansible_collections.ascend.fleet.plugins.module_utils._npu.lspci import parse_lspci
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi import parse_info
from ansible_collections.ascend.fleet.plugins.module_utils._npu.smi_commands import (
    parse_blocks,
    parse_mapping,
    parse_topo,
)
from ansible_collections.ascend.fleet.plugins.module_utils._npu.version_files import parse_version_info
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))

from smi_tables import DATA, assert_values_are_true, text_of

TABLES = sorted(
    path.stem
    for path in (DATA / "expected").glob("*.json")
    if json.loads(path.read_text(encoding="utf-8")).get("result", {}).get("min_warnings") == 0
)
SUBS = sorted(path.name for path in (DATA / "sub").glob("*.txt"))
# How fast examples are made says something of this machine's load only.
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _check(text: str, wanted: dict[str, Any]) -> None:
    try:
        found = parse_info(text)
    except NpuSmiError:
        return
    assert_values_are_true(found, wanted)


@FEW
@given(st.data())
def test_padding(data: st.DataObject) -> None:
    text = text_of(data.draw(st.sampled_from(TABLES)))
    widths = iter(data.draw(st.lists(st.integers(1, 9), min_size=400, max_size=400)))
    changed = re.sub(r" {2,}", lambda _match: " " * next(widths, 3), text)
    assert parse_info(changed) == parse_info(text)


@FEW
@given(st.data())
def test_lines_lost_and_text_cut(data: st.DataObject) -> None:
    text = text_of(data.draw(st.sampled_from(TABLES)))
    wanted = parse_info(text)
    lines = text.splitlines()
    # one line lost, and the rest cut anywhere
    lost = data.draw(st.integers(0, len(lines) - 1))
    rest = "\n".join(lines[:lost] + lines[lost + 1 :])
    _check(rest[: data.draw(st.integers(0, len(rest)))], wanted)


@FEW
@given(st.data())
def test_pipes_lost(data: st.DataObject) -> None:
    text = text_of(data.draw(st.sampled_from(TABLES)))
    pipes = [at for at, char in enumerate(text) if char == "|"]
    at = data.draw(st.sampled_from(pipes))
    _check(text[:at] + text[at + 1 :], parse_info(text))
    _check(text[:at] + " " + text[at + 1 :], parse_info(text))


@FEW
@given(st.data())
def test_cells_blanked(data: st.DataObject) -> None:
    text = text_of(data.draw(st.sampled_from(TABLES)))
    values = [match.span() for match in re.finditer(r"(?<= )[0-9.]+(?= )", text)]
    start, end = data.draw(st.sampled_from(values))
    changed = text[:start] + " " * (end - start) + text[end:]
    wanted = parse_info(text)
    try:
        found = parse_info(changed)
    except NpuSmiError:
        return
    # an id that is gone shifts nothing into its place without a word
    if not found["warnings"]:
        assert found["devices"] == wanted["devices"] or len(found["devices"]) == len(wanted["devices"])
        for device, truth in zip(found["devices"], wanted["devices"]):
            assert all(value in (truth[field], None, "") for field, value in device.items())


@FEW
@given(st.text(alphabet="|+-= 0123456789/.:NAOKnpuChip\n\t", max_size=400))
def test_drawings_are_never_a_crash(text: str) -> None:
    for parser in (parse_info, parse_blocks, parse_mapping, parse_topo):
        with contextlib.suppress(NpuSmiError):
            parser(text)


@FEW
@given(st.text(max_size=300))
def test_any_text_is_never_a_crash(text: str) -> None:
    for parser in (parse_info, parse_blocks, parse_mapping, parse_topo):
        with contextlib.suppress(NpuSmiError):
            parser(text)
    with contextlib.suppress(HccnError):
        parse_values(text)
    parse_lspci(text)
    parse_version_info(text)
    assert compare(text, text) == 0


@FEW
@given(st.data())
def test_blocks_with_a_line_lost(data: st.DataObject) -> None:
    """A value stays with its chip, or its chip is unknown; the MCU's values never become a chip's."""
    name = data.draw(st.sampled_from([n for n in SUBS if n.startswith(("usages", "common", "temp", "health-2944"))]))
    text = (DATA / "sub" / name).read_text(encoding="utf-8")
    wanted = {(b["npu_id"], b["chip_id"], b["mcu"]): b["values"] for b in parse_blocks(text)["blocks"]}
    lines = text.splitlines()
    lost = data.draw(st.integers(0, len(lines) - 1))
    found = parse_blocks("\n".join(lines[:lost] + lines[lost + 1 :]))
    for block in found["blocks"]:
        if block["npu_id"] is None:
            continue  # the line that names the NPU is lost
        if block["chip_id"] is None and not block["mcu"]:
            continue  # nobody's, or the card's
        truth = wanted[(block["npu_id"], block["chip_id"], block["mcu"])]
        for key, value in block["values"].items():
            assert truth.get(key) == value or found["warnings"]


VERSIONS = st.builds(
    lambda numbers, suffix, more: ".".join([*map(str, numbers), *suffix, *more]),
    st.lists(st.integers(0, 30), min_size=2, max_size=4),
    st.lists(st.sampled_from(["rc1", "RC2", "rc10", "alpha1", "beta2", "T10"]), max_size=1),
    st.lists(st.sampled_from(["1", "2", "B030", "b169"]), max_size=2),
)


@FEW
@given(VERSIONS, VERSIONS, VERSIONS)
def test_versions_are_totally_ordered(one: str, two: str, three: str) -> None:
    a, b, c = Version(one), Version(two), Version(three)
    assert (a < b) + (a == b) + (a > b) == 1
    assert compare(one, two) == -compare(two, one)
    if a <= b and b <= c:
        assert a <= c
    if a == b:
        assert hash(a) == hash(b)
    assert a.matches(one)
