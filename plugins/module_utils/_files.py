# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a file so that a kill at any moment leaves the old one or the new one, never half of it."""

from __future__ import annotations

import os


def write_atomically(name: str, text: str) -> None:
    """Write ``text`` beside ``name``, flush it to disk, and rename it over ``name``. OSError as open() raises it.

    What a killed run left beside it (``NAME.new``) is written over.
    """
    fresh = name + ".new"
    with open(fresh, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(fresh, name)
