# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the stand-in of the engine share: a host, and an engine that serves on one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine_lab import ENGINE, Lab, Served

sys.path.insert(0, str(ENGINE))

from sim_vllm import picture


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lab = Lab(tmp_path_factory.mktemp("served"))
    media = lab.root / "media"
    media.mkdir()
    (media / "a.png").write_bytes(picture.draw_text("from a file"))
    with lab.serving("--allowed-local-media-path", str(media), "--max-num-seqs", "2") as server:
        yield server
