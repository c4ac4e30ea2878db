# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes of actions that look at all hosts of a play, on the controller."""

from __future__ import annotations


class ModuleDocFragment:
    """``extends_documentation_fragment: ascend.fleet.on_controller``; what a module says itself comes first."""

    DOCUMENTATION = r"""
attributes:
  action:
    description: Runs on the controller and needs no connection.
    support: full
  bypass_host_loop:
    description: Looks at all hosts of the play, and is meant for C(run_once).
    support: none
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
"""
