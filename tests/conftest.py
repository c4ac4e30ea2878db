# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the checkout importable as ``ansible_collections.ascend.fleet``, wherever it lies and whatever is installed."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _namespace(name: str, path: Path | None) -> types.ModuleType:
    module = sys.modules.get(name)
    if module is None:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        sys.modules[name] = module
    if path is not None:
        module.__path__ = [str(path)]
    return module


# ansible-test brings its own importer for the collection; elsewhere this one serves.
if "ansible_collections.ascend.fleet" not in sys.modules and ROOT.parent.parent.name != "ansible_collections":
    _namespace("ansible_collections", None)
    _namespace("ansible_collections.ascend", None)
    _namespace("ansible_collections.ascend.fleet", ROOT)
