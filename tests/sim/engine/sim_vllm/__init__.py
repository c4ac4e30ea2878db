# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of vLLM on Ascend: its options, its log, its API, its failures; no model in it. Standard library only."""

from __future__ import annotations

import os

VERSION = "0.16.0rc2.dev55+g65bb4942b.empty"
_FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "VERSION")
if os.path.exists(_FILE):  # an image of another release says so
    with open(_FILE, encoding="utf-8") as _stream:
        VERSION = _stream.read().strip()
