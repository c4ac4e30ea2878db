# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of several hosts is said once."""

from __future__ import annotations

from ansible_collections.ascend.fleet.plugins.plugin_utils._registered import together


def test_hosts_of_which_the_same_is_said_share_a_line_in_their_order():
    assert together({"h2": "held", "h1": "dead", "h3": "held"}) == ["h2, h3: held", "h1: dead"]
    assert together({}) == []
