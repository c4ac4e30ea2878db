# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address that one of several gateways has at any time."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host import service as _service
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_floating
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_floating import Floating
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_unit import DOWN, unit_text
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError

# ip -o addr show (iproute2 6.1)
ADDRESSES = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
12: eth0@if13    inet 192.0.2.21/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever
12: eth0@if13    inet 192.0.2.10/24 scope global secondary eth0\\       valid_lft forever preferred_lft forever
14: eth1    inet 198.51.100.4/24 scope global eth1\\       valid_lft forever preferred_lft forever
14: eth1    inet6 2001:db8::4/64 scope global \\       valid_lft forever preferred_lft forever
"""
FLOATING = Floating("192.0.2.10/24", own="192.0.2.21", peers=("192.0.2.22",))


@pytest.mark.parametrize(
    ("floating", "interface"),
    [
        (FLOATING, "eth0"),
        (Floating("2001:db8::10/64"), "eth1"),
        (Floating("203.0.113.1/24", interface="bond0"), "bond0"),
    ],
)
def test_the_interface_is_that_of_the_network(floating, interface):
    assert gateway_floating.interface_of(floating, ADDRESSES) == interface


def test_an_address_of_no_network_of_the_host_needs_the_interface_named():
    with pytest.raises(
        ServingError, match=r"found no interface .* 203\.0\.113\.1/24; .*vllm_gateway_floating_interface"
    ):
        gateway_floating.interface_of(Floating("203.0.113.1/24"), ADDRESSES)


def test_no_gateway_takes_the_address_from_one_that_is_well():
    text = gateway_floating.keepalived_text(FLOATING, "eth0", "/usr/bin/python3")
    assert "    state BACKUP\n    nopreempt\n    interface eth0\n    virtual_router_id 51\n    priority 100\n" in text
    assert "    unicast_src_ip 192.0.2.21\n    unicast_peer {\n        192.0.2.22\n    }\n" in text
    assert "state.py check /run/ascend-fleet-gateway/admin.sock" in text
    # A busy host on which a program starts slowly is no reason to move: open streams would hear nothing any more.
    assert "    interval 5\n    timeout 10\n    fall 3\n" in text
    # The unit writes there as soon as HAProxy has ended, however it ended.
    assert "file %s" % DOWN in text.replace('"', "")
    assert 'ExecStopPost=-+/bin/sh -c "echo -254 > %s"' % DOWN in unit_text("/usr/sbin/haproxy", "/usr/bin/python3")


def test_gateways_that_are_known_by_name_find_each_other_by_multicast():
    text = gateway_floating.keepalived_text(Floating("192.0.2.10/24", own="gw-1", peers=("gw-2",)), "eth0", "python3")
    assert "unicast" not in text


def test_it_is_a_service_of_its_own_with_the_rights_of_a_network_program():
    found = gateway_floating.service(FLOATING, ADDRESSES, keepalived="/usr/sbin/keepalived", python="/usr/bin/python3")
    text = _service.unit_text(found)
    assert "ExecStart=/usr/sbin/keepalived -n -f /etc/ascend-fleet/gateway/keepalived.conf" in text
    assert "CAP_NET_ADMIN" in text
    assert "DynamicUser" not in text
    with pytest.raises(ServingError, match="found no keepalived"):
        gateway_floating.service(FLOATING, ADDRESSES, keepalived=None, python="/usr/bin/python3")
