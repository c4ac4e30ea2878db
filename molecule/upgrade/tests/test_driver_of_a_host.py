# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""driver.yml on the fleet of the scenario: a host goes through its reboot and back. `make driver` has all the rest."""

from __future__ import annotations

import pytest

from tests.driver_helpers import Driving

REPLICAS = {"a2-1": 2, "a2-2": 2, "a3-1": 4}
HOST, RELEASE, VERSION = "a2-2", "driver_new", "25.5.0"


@pytest.fixture(scope="module")
def driving(request):
    """The fleet under load by a client of this file's own; then the table."""
    found = Driving(request.config.getoption("ansible_inventory"), REPLICAS, ("gw-1", "gw-2"), 6, (HOST,))
    found.reset()
    found.have(RELEASE, VERSION, {}, {})
    with found.under_load():
        yield found


def test_no_client_notices_the_reboot(driving):
    name = "driver and firmware of a host"
    assert not driving.is_wholly_on(VERSION)
    driving.forget_starts()
    with driving.event(name, timeout=240):
        output = driving.change(RELEASE, "-e", "fleet_upgrade_bench=none")
    row = driving.row(name)
    assert row.requests > 0
    assert (row.failed, row.cut) == (0, 0), row
    assert row.lowest_in_service >= row.replicas - REPLICAS[HOST], row
    assert driving.is_wholly_on(VERSION), output[-6000:]
    assert driving.starts() == {HOST: ["Firmware", "Driver"]}
