# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that closes the ports of the replicas: its text, and what the kernel makes of it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release import ports
from ansible_collections.ascend.fleet.plugins.module_utils._release.variables import check_values
from ansible_collections.ascend.fleet.plugins.module_utils._serving import access, plan
from ansible_collections.ascend.fleet.plugins.module_utils._serving.deployed import UnitsError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import Settings

NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")


def names(*known):
    """A resolver that knows these names."""

    def resolve(name, _port, **_more):
        if name not in dict(known):
            raise OSError("Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in dict(known)[name]]

    return resolve


def test_sources_are_networks_in_order_and_each_once():
    given = ["192.0.2.30", "gw", "192.0.2.0/29", "192.0.2.3", "2001:db8::1", "[2001:db8::1]", "192.0.2.30/32"]
    found = access.networks(given, names(("gw", ["192.0.2.9", "2001:db8::2%eth0"])))
    assert found == ["192.0.2.0/29", "192.0.2.9", "192.0.2.30", "2001:db8::1", "2001:db8::2"]


def test_a_name_that_nobody_knows_is_an_error():
    with pytest.raises(UnitsError, match="found no address of gw-9"):
        access.networks(["gw-9"], names())


def test_the_text():
    text = access.rules_text((8010, 8011), ["192.0.2.21", "2001:db8::/64"])
    assert text.splitlines()[1:3] == ["table inet ascend_fleet", "delete table inet ascend_fleet"]
    assert "        tcp dport != { 8010, 8011 } accept\n" in text
    assert "        ip saddr { 192.0.2.21 } accept\n        ip6 saddr { 2001:db8::/64 } accept\n        drop\n" in text
    assert access.loaded(text).startswith("loaded_")
    assert access.loaded(text) != access.loaded(access.rules_text((8010,), ["192.0.2.21"]))


def test_nobody_but_the_host_itself():
    assert "saddr" not in access.rules_text((8010,), [])


def test_what_units_say():
    about = {"mode": "gateways", "ports": [8011, 8010], "sources": ["gw-1"]}
    assert access.wanted_of([{"access": about}, {}]) == access.Wanted("gateways", (8010, 8011), ("gw-1",))
    assert access.wanted_of([{}]) == access.wanted_of([]) == access.Wanted()


def test_every_unit_carries_the_ports_of_the_whole_host():
    layout = [{"port": 8010}, {"port": 8011}]
    closed = Settings(access="gateways", access_gateways=["gw-1", "gw-2"], access_from=["192.0.2.30", "gw-1"])
    assert plan.access_of(layout, closed) == {
        "mode": "gateways",
        "ports": [8010, 8011],
        "sources": ["192.0.2.30", "gw-1", "gw-2"],
    }
    watched = Settings(access="gateways", watchdog="restart", watchdog_port=8406)
    assert plan.access_of(layout, watched)["ports"] == [8010, 8011, 8406]
    assert plan.access_of(layout, Settings())["mode"] == "open"


@pytest.mark.parametrize("value", ["192.0.2.1", "192.0.2.0/24", "2001:db8::/64", "[2001:db8::1]", "gw-1.example.com"])
def test_who_may_be_let_in(value):
    assert check_values({"vllm_serve_access_from": [value]}) == []


@pytest.mark.parametrize("value", ["", "192.0.2.300", "10.0.0.0/99", "a b", "x;y", "-x", 5, None, True])
def test_who_may_not(value):
    assert [p.path for p in check_values({"vllm_serve_access_from": [value]})] == ["vllm_serve_access_from"]


def test_the_port_of_the_agent_is_claimed_where_there_is_one():
    def claimed(**values):
        return {claim.first for claim in ports.claims(values, [])}

    assert 8406 not in claimed()
    assert 8406 in claimed(vllm_serve_watchdog="restart")
    assert 9406 in claimed(vllm_serve_watchdog="restart", vllm_serve_watchdog_port="9406")


@pytest.mark.skipif(NFT is None or shutil.which("unshare") is None, reason="no nft on this machine")
def test_the_kernel_takes_it_twice_and_tells_what_it_has(tmp_path):
    """In a network namespace of its own: loaded, loaded again, changed, and read back."""
    first = access.rules_text((8010, 8011, 8406), ["192.0.2.0/29", "192.0.2.30", "2001:db8::1"])
    second = access.rules_text((8010,), [])
    for number, text in enumerate((first, second)):
        (tmp_path / str(number)).write_text(text)
    commands = "; ".join(
        ["set -e"]
        + ["%s -f %s" % (NFT, tmp_path / name) for name in "00"]
        + ["%s list table inet ascend_fleet" % NFT, "echo =====", "%s -f %s" % (NFT, tmp_path / "1")]
        + ["%s list table inet ascend_fleet" % NFT]
    )
    done = subprocess.run(["unshare", "-n", "sh", "-c", commands], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("no network namespace for this user")
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split("=====")
    assert access.loaded(before) == access.loaded(first)
    assert access.loaded(after) == access.loaded(second)
    assert before.count("saddr") == 2
    assert "saddr" not in after
