# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of vllm_serve by the values of its variables."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import Settings


def test_what_is_unset_keeps_its_default() -> None:
    assert Settings.of({"replicas": None, "profile": "", "api_key": "", "watchdog_port": None}) == Settings()
    assert Settings.of({"skip_unhealthy": False, "options": {}, "chip_wait_seconds": 0}).chip_wait_seconds == 0


def test_numbers_may_be_texts() -> None:
    assert Settings.of({"replicas": "2", "first_port": 9000}) == Settings(replicas=2, first_port=9000)
    with pytest.raises(ValueError, match="two"):
        Settings.of({"replicas": "two"})
