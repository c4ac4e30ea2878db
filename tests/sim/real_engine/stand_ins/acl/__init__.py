# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for CANN's acl, see ``torch_npu`` beside it."""

from unittest.mock import MagicMock

rt = MagicMock()
