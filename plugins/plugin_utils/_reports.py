# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports lie on the controller. For the controller alone."""

from __future__ import annotations

import os
from typing import Any, Mapping

from ..module_utils._base.native import to_native_types
from . import _locks

VARIABLE = "fleet_reports"


def folder(wanted: str, task_vars: Mapping[str, Any], name: str) -> str:
    """The folder ``name`` in ``fleet_reports``, or in ``reports/`` beside the inventory; empty where there is neither.

    wanted: the value of ``fleet_reports``, which may be empty.
    """
    if wanted:
        return os.path.join(os.path.expanduser(wanted), name)
    beside = _locks.folder({k: to_native_types(task_vars[k]) for k in _locks.VARIABLES[:2] if task_vars.get(k)})
    return "" if beside is None else os.path.join(str(beside.parent), "reports", name)
