# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record in a host's state how far a change is, and who makes it."""

from __future__ import annotations

from ..plugin_utils._state_action import StateAction


class ActionModule(StateAction):
    """The action of ``ascend.fleet.fleet_state``."""

    MODULE = "ascend.fleet.fleet_state"
