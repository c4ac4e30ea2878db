# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Save what helps to find why an engine hangs, in the way of the watchdog, while it still hangs."""

from __future__ import annotations

import os
from typing import Optional

from . import watchdog_program, watchdog_rules
from .deployed import UNIT_DIR, parse_unit, read_text


def save(unit: str, reason: str, host: Optional[watchdog_program.Host] = None, unit_dir: str = UNIT_DIR) -> str:
    """The folder of the evidence: journal, CANN's last lines, processes, npu-smi, and stacks where py-spy is installed.

    Empty for a unit that is not of this collection.
    """
    metadata = parse_unit(read_text(os.path.join(unit_dir, unit)) or "")
    if metadata is None or not metadata.get("Port", "").isdigit():
        return ""
    memory = watchdog_rules.stalled(watchdog_rules.Memory(), reason)
    return (host or watchdog_program.Host()).save_evidence({"unit": unit, **metadata}, memory)
