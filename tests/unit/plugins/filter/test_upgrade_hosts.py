# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has part in a change: everybody, unless nobody has anything to do."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ascend.fleet.plugins.filter.upgrade_hosts import upgrade_hosts

DONE = {"__site_state": {"converged": True}}
ASIDE = {"fleet_maintenance": {"reason": "a fan"}}


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"__site_state": {"converged": False}},
        # What is not known is not done.
        {"__site_state": {"unreachable": True, "converged": True}},
        {"__site_state": {"failed": True, "msg": "no"}},
    ],
)
def test_one_with_something_to_do_concerns_all(other):
    assert upgrade_hosts(["h1", "h2"], {"h1": DONE, "h2": other}) == ["h1", "h2"]
    assert upgrade_hosts(["h1", "h2"], {"h1": DONE, "h2": {**other, **ASIDE}}) == []


def test_where_all_are_done_nobody_has_part():
    assert upgrade_hosts(["h1", "h2"], {"h1": DONE, "h2": DONE}) == []
    named = {"mine": {"converged": True}}
    assert upgrade_hosts(["h1"], {"h1": named}) == ["h1"]
    assert upgrade_hosts(["h1"], {"h1": named}, converged_variable="mine") == []


@pytest.mark.parametrize(("hosts", "more"), [("h1", {}), (["h1"], {"fleet_maintenance": {"until": "soon"}})])
def test_what_it_cannot_use_is_an_error(hosts, more):
    with pytest.raises(AnsibleFilterError, match="found"):
        upgrade_hosts(hosts, {"h1": {**DONE, **more}})
