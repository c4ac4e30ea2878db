# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show how far the module is, which goes on when the controller goes away."""

from __future__ import annotations

from ..plugin_utils._detached import TransferAction


class ActionModule(TransferAction):
    """The action of ``ascend.fleet.image_load``."""

    MODULE = "ascend.fleet.image_load"
    TITLE = "image"
