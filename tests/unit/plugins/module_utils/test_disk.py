# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether something fits on a file system."""

from __future__ import annotations

from ansible_collections.ascend.fleet.plugins.module_utils._base import disk


def test_disk_problem_names_found_needed_and_place() -> None:
    text = disk.disk_problem(
        needed=54_000_000_000, free=3_200_000_000, place="/var/lib/x", mount="/var", what="14 files of URL"
    )
    assert text is not None
    for part in ("/var/lib/x", "/var", "3.0 GiB", "50.3 GiB", "47.3 GiB", "14 files of URL"):
        assert part in text
    assert disk.disk_problem(needed=1, free=1, place="/", mount="/", what="") is None
