# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of this collection as text: some are installed on hosts and run there on their own."""

from __future__ import annotations

from types import ModuleType
from typing import Optional


def source_of(module: ModuleType) -> str:
    """A module's text, from wherever it was imported: a module of ansible comes to a host as a zip.

    Raises RuntimeError where there is none.
    """
    found: Optional[str] = None
    try:
        with open(str(module.__file__), encoding="utf-8") as file:
            found = file.read()
    except OSError:  # it lies in a zip
        loader = module.__loader__
        if loader is not None:
            found = loader.get_source(module.__name__)  # type: ignore[attr-defined]
    if not found:
        raise RuntimeError("found no text of %s; needed it. Fix: install the collection again" % module.__name__)
    return found
