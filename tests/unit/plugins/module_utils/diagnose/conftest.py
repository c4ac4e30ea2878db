# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that the tests of a diagnosis share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.collect import Collector, Options
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from diagnose_host import FakeHost


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    root = tmp_path / "root"
    root.mkdir()
    return FakeHost(root)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a collection of such a host returns, made once for tests that only read it."""
    root = tmp_path_factory.mktemp("host") / "root"
    root.mkdir()
    FakeHost(root)
    return Collector(Host(root=str(root)), Options("a2-1", base=str(root / "var/tmp"))).collect()
