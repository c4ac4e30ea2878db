# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules have in common that work for long, detached on the host, while their action prints lines."""

from __future__ import annotations


class ModuleDocFragment:
    """Options, attributes and results of the modules behind the live actions."""

    DOCUMENTATION = r"""
options:
  progress:
    description:
      - File on the host into which to write how far the work is. The action plugin sets it, and prints a line now and
        then, as the variable C(fleet_progress) says.
    type: path
  check_settled:
    description:
      - Return at once, with RV(settled) saying whether there is anything to do. The action plugin uses it.
    type: bool
    default: false
attributes:
  action:
    description: >-
      The controller prints how far the work is. The work itself runs detached on the host, and goes on when the
      controller or the connection goes away; the next run waits for it.
    support: full
  async:
    description: Is refused, as the work runs detached in any case. C(timeout) of the module limits it.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
"""
