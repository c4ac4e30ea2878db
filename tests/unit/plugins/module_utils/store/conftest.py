# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that the tests of a store share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lfs_server import LARGE, SMALL, Server, make_store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(make_store(tmp_path / "store", {**SMALL, "large.bin": LARGE}))
    yield server
    server.close()
