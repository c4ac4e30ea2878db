# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waves in which hosts are changed."""

from __future__ import annotations

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.waves import (
    Host,
    default_canary,
    describe,
    size_of,
    waves_of,
)
from hypothesis import given
from hypothesis import strategies as st


def hosts(count, *, domains=("",), in_service=2, out=1, first=1):
    return [
        Host("h%d" % n, models=("m",), domain=domains[n % len(domains)], in_service=in_service, out_at_once=out)
        for n in range(first, first + count)
    ]


def names(waves):
    return [[h.name for h in wave] for wave in waves.waves]


def test_one_host_then_a_tenth_then_quarters():
    waves = waves_of(hosts(40))
    assert waves.sizes == [1, 4, 10, 10, 10, 5]
    assert waves.hosts == ["h%d" % n for n in range(1, 41)]
    assert waves.outages == []


def test_few_hosts_go_one_by_one():
    assert waves_of(hosts(3)).sizes == [1, 1, 1]


def test_hosts_that_lose_nothing_go_first_and_together():
    new = [Host("new%d" % n, models=("m",)) for n in range(5)]
    waves = waves_of([*hosts(2), *new, Host("kept", models=("m",), in_service=2, changes=False)])
    assert waves.at_once == ["new0", "new1", "new2", "new3", "new4"]
    assert waves.sizes == [5, 1, 1]
    assert waves.lines() == [
        "at once, because they lose nothing: new0, new1, new2, new3, new4",
        "wave 1 of 2: h1: 1 of 2 out at a time",
        "wave 2 of 2: h2: 1 of 2 out at a time",
    ]
    assert waves_of(new).lines() == []


def test_nothing_to_do():
    waves = waves_of([Host("kept", models=("m",), in_service=2, changes=False)])
    assert (waves.hosts, waves.sizes, waves.outages) == ([], [], [])


def test_a_wave_lies_in_one_failure_domain():
    waves = waves_of(hosts(8, domains=("rack a", "rack b")), batches=[1, 3])
    assert names(waves) == [["h1"], ["h3", "h5", "h7"], ["h2", "h4", "h6"], ["h8"]]
    assert waves.lines()[0] == "wave 1 of 4 (rack b): h1: 1 of 2 out at a time"


def test_no_more_hosts_than_the_fleet_may_miss():
    assert waves_of(hosts(8), batches=["100%"], max_unavailable=2).sizes == [2, 2, 2, 2]
    assert waves_of(hosts(8), batches=["100%"], max_unavailable="50%").sizes == [4, 4]


def test_one_replica_of_a_model_serves_in_every_wave():
    waves = waves_of(hosts(4, in_service=1, out=1), batches=["100%"])
    assert waves.sizes == [3, 1]
    two = [*hosts(2, in_service=1), Host("other", models=("n",), in_service=2, out_at_once=1)]
    assert names(waves_of(two, batches=["100%"])) == [["h1", "other"], ["h2"]]


def test_the_last_replica_is_an_outage():
    [words] = waves_of(hosts(1, in_service=1)).outages
    assert words.startswith("h1: found 1 replica of m in service in the whole fleet, and the change takes out it")
    assert "fleet_accept_outage=true" in words
    [words] = waves_of(hosts(1, in_service=1), others=3).outages
    assert "3 more hosts of the inventory were not asked" in words
    # Another host serves the same model; another model does not help.
    assert waves_of([*hosts(1, in_service=1), Host("k", ("m",), in_service=1, changes=False)]).outages == []
    assert len(waves_of([*hosts(1, in_service=1), Host("k", ("n",), in_service=1, changes=False)]).outages) == 1


@pytest.mark.parametrize("value", [0, "0", "0%", "101%", "x", -1, 1.5, None, True, ""])
def test_a_size_is_a_number_or_a_percentage(value):
    with pytest.raises(ServingError, match="fleet_batches"):
        size_of(value, 10, "fleet_batches")
    with pytest.raises(ServingError):
        waves_of(hosts(2), batches=[value])


def test_no_batches_are_a_mistake():
    with pytest.raises(ServingError, match="fleet_batches"):
        waves_of(hosts(2), batches=[])


_HOSTS = st.lists(
    st.builds(
        Host,
        name=st.uuids().map(str),
        models=st.sampled_from([("m",), ("n",)]),
        domain=st.sampled_from(["", "a", "b"]),
        in_service=st.integers(1, 4),
        out_at_once=st.integers(0, 1),
        changes=st.booleans(),
    ),
    max_size=25,
    unique_by=lambda h: h.name,
)


@given(fleet=_HOSTS, batches=st.lists(st.sampled_from([1, 3, "10%", "50%", "100%"]), min_size=1, max_size=3))
def test_whatever_the_fleet_is(fleet, batches):
    waves = waves_of(fleet, batches=batches)
    assert sorted(waves.hosts) == sorted(h.name for h in fleet if h.changes)
    assert sum(waves.sizes) == len(waves.hosts)
    for wave in waves.waves:
        assert len({h.domain for h in wave}) == 1
        for model in ("m", "n"):
            served = sum(h.in_service for h in fleet if model in h.models)
            out = sum(h.out_at_once for h in wave if model in h.models)
            assert out < served or waves.outages or out == 0


class TestCanary:
    def test_it_goes_first_and_the_sizes_begin_behind_it(self):
        waves = waves_of(hosts(8), canary=["h3"], batches=[2, "100%"])
        assert names(waves) == [["h3"], ["h1", "h2"], ["h4", "h5", "h6", "h7", "h8"]]
        assert waves.canary == ["h3"]
        assert waves.lines()[0] == "wave 1 of 3, canary: h3: 1 of 2 out at a time"
        assert describe(waves)["canary"] == ["h3"]

    def test_also_before_hosts_that_lose_nothing(self):
        new = [Host("new%d" % n, models=("m",)) for n in range(2)]
        waves = waves_of([*hosts(2), *new], canary=["h2"])
        assert (waves.hosts, waves.sizes) == (["h2", "new0", "new1", "h1"], [1, 2, 1])
        assert waves.at_once == ["new0", "new1"]
        assert waves.lines()[1] == "at once, because they lose nothing: new0, new1"

    def test_several_go_together_where_they_may(self):
        fleet = hosts(6, domains=("b", "a"))
        assert names(waves_of(fleet, canary=["h5", "h3", "h2"], batches=[9]))[:2] == [["h5", "h3"], ["h2"]]
        assert names(waves_of(fleet, canary=["h5", "h3"], max_unavailable=1))[:2] == [["h5"], ["h3"]]
        assert names(waves_of(hosts(2, in_service=1), canary=["h1", "h2"])) == [["h1"], ["h2"]]

    def test_one_that_is_as_wanted_needs_no_wave(self):
        kept = Host("kept", models=("m",), in_service=2, changes=False)
        assert names(waves_of([kept, *hosts(2)], canary=["kept"])) == [["h1"], ["h2"]]

    def test_one_that_is_not_in_the_fleet_is_a_mistake(self):
        with pytest.raises(ServingError, match="fleet_canary: h9, which is not in npu_hosts"):
            waves_of(hosts(2), canary=["h1", "h9"])
        assert names(waves_of(hosts(2), canary=["h9"], fleet=["h1", "h2", "h9"])) == [["h1"], ["h2"]]

    def test_the_default_is_the_first_of_each_generation(self):
        fleet = [Host("h%d" % n, generation=g) for n, g in enumerate(["a2", "a2", "a3", "a2", "a3"])]
        assert default_canary(fleet) == ["h0", "h2"]


class TestMinAvailable:
    @pytest.mark.parametrize(
        ("least", "sizes"), [(None, [4]), (4, [4]), (5, [3, 1]), (7, [1, 1, 1, 1]), ("50%", [4]), ("51%", [3, 1])]
    )
    def test_no_wave_leaves_fewer(self, least, sizes):
        waves = waves_of(hosts(4), batches=["100%"], min_available=least)
        assert (waves.sizes, waves.outages) == (sizes, [])

    def test_a_host_that_takes_out_more_by_itself_is_told(self):
        outages = waves_of(hosts(2), min_available=4).outages
        assert len(outages) == 2
        assert outages[0].startswith(
            "h1: found 4 of m in service in the whole fleet, of which the change takes out 1; "
        )
        assert "needed 4 that stay (fleet_min_available)" in outages[0]

    @pytest.mark.parametrize("least", [0, "0%", "101%", "x", True])
    def test_a_number_that_cannot_be_is_told(self, least):
        with pytest.raises(ServingError, match="fleet_min_available"):
            waves_of(hosts(2), min_available=least)


def test_groups_that_do_not_fit_are_left():
    waves = waves_of(hosts(4), batches=[2])
    waves.keep(1)
    assert (waves.hosts, waves.left) == (["h1", "h2"], ["h3", "h4"])
