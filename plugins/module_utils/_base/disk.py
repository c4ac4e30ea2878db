# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether something fits on a file system, in words."""

from __future__ import annotations

from typing import Optional

from .progress import human_bytes


def disk_problem(*, needed: int, free: int, place: str, mount: str, what: str) -> Optional[str]:
    """Say why ``needed`` bytes do not fit at ``place``, or None when they do."""
    if needed <= free:
        return None
    return (
        "not enough room at %s (file system of %s): found %s free, needed %s for %s. "
        "Free at least %s there, or choose a folder on a larger file system."
        % (place, mount, human_bytes(free), human_bytes(needed), what, human_bytes(needed - free))
    )
