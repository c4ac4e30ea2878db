# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chips to replicas."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu.slots import SlotError, plan_slots


def chips(count=8, dies=1, numa=None, broken=()):
    """Devices as npu_info lists them."""
    devices = []
    for index in range(count):
        devices.append(
            {
                "npu_id": index // dies,
                "chip_id": index % dies,
                "index": index,
                "node": "/dev/davinci%d" % index,
                "node_present": True,
                "health": "Alarm" if index in broken else "OK",
                "numa_node": numa[index] if numa else None,
            }
        )
    return devices


def indices(slots):
    return [s["indices"] for s in slots]


@pytest.mark.parametrize(
    ("count", "dies", "size", "wanted"),
    [
        (8, 1, 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (16, 2, 4, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]),
        (8, 1, 8, [[0, 1, 2, 3, 4, 5, 6, 7]]),
        (8, 1, 3, [[0, 1, 2], [3, 4, 5]]),
        (8, 1, 1, [[n] for n in range(8)]),
        (16, 2, 1, [[n] for n in range(16)]),
        (16, 2, 2, [[2 * n, 2 * n + 1] for n in range(8)]),
        (16, 2, 8, [list(range(8)), list(range(8, 16))]),
        (6, 2, 4, [[0, 1, 2, 3]]),
    ],
)
def test_as_many_as_fit(count, dies, size, wanted):
    assert indices(plan_slots(chips(count, dies), size)) == wanted


def test_ports_are_apart():
    slots = plan_slots(chips(16, 2), 4)
    assert [s["port"] for s in slots] == [8010, 8011, 8012, 8013]
    bases = [s["hccl_if_base_port"] for s in slots]
    # One port per chip of the host from the base on, and none of them where the kernel opens outgoing connections.
    assert all(b - a >= 16 for a, b in zip(bases, bases[1:]))
    assert min(bases) > 60999
    assert max(bases) <= 65520
    assert len({s["master_port"] for s in slots}) == 4


def test_a_number_of_replicas():
    assert indices(plan_slots(chips(), 4, replicas=1)) == [[0, 1, 2, 3]]
    with pytest.raises(SlotError) as caught:
        plan_slots(chips(), 4, replicas=3)
    for words in ("found 8 usable chips", "needed 12 for 3 replicas of 4", "Fix: "):
        assert words in str(caught.value)


@pytest.mark.parametrize("replicas", [0, -1])
def test_no_replicas_is_a_mistake(replicas):
    with pytest.raises(SlotError, match="null for as many as fit"):
        plan_slots(chips(), 4, replicas=replicas)


def test_too_few_chips_are_listed():
    with pytest.raises(SlotError) as caught:
        plan_slots(chips(3), 4)
    assert "found 3 usable chips (/dev/davinci0, /dev/davinci1, /dev/davinci2); needed 4" in str(caught.value)


def test_no_chip_at_all():
    with pytest.raises(SlotError, match=r"found 0 usable chips \(none\)"):
        plan_slots([], 4)


def test_unhealthy_chips_are_an_error_unless_they_may_be_skipped():
    with pytest.raises(SlotError) as caught:
        plan_slots(chips(broken=(1, 6)), 4)
    for words in ("NPU 1 chip 0, /dev/davinci1 (health Alarm)", "/dev/davinci6", "vllm_serve_skip_unhealthy"):
        assert words in str(caught.value)
    assert indices(plan_slots(chips(broken=(1, 6)), 4, skip_unhealthy=True)) == [[0, 2, 3, 4]]


def test_a_missing_node_counts_as_broken():
    devices = chips()
    devices[5]["node_present"] = False
    with pytest.raises(SlotError, match=r"/dev/davinci5 is missing"):
        plan_slots(devices, 4)
    devices[5].update(node=None, index=None)
    with pytest.raises(SlotError, match="device node unknown"):
        plan_slots(devices, 4)


def test_a_warning_still_works():
    devices = chips()
    devices[0]["health"] = "Warning"
    assert len(plan_slots(devices, 4)) == 2


def test_both_dies_of_an_npu_stay_together_where_possible():
    assert indices(plan_slots(chips(16, 2), 4)) == [[n, n + 1, n + 2, n + 3] for n in (0, 4, 8, 12)]
    # What is left of broken replicas makes another one: whole NPUs first, halves in the end.
    slots = plan_slots(chips(16, 2, broken=(2, 4)), 4, skip_unhealthy=True)
    assert indices(slots) == [[0, 1, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    slots = plan_slots(chips(16, 2, broken=(1, 3, 5, 7)), 4, skip_unhealthy=True)
    assert indices(slots) == [[0, 2, 4, 6], [8, 9, 10, 11], [12, 13, 14, 15]]


@pytest.mark.parametrize(("count", "dies"), [(8, 1), (16, 2)])
def test_a_broken_chip_concerns_its_own_replica_alone(count, dies):
    whole = plan_slots(chips(count, dies), 4)
    for broken in range(count):
        for gone in (False, True):
            devices = chips(count, dies, broken=(broken,))
            if gone:  # npu-smi does not list it any more
                del devices[broken]
            slots = plan_slots(devices, 4, skip_unhealthy=True)
            assert slots == [slot for slot in whole if broken not in slot["indices"]]


def test_one_replica_of_few_moves_to_chips_that_nobody_uses():
    [slot] = plan_slots(chips(broken=(2,)), 4, replicas=1, skip_unhealthy=True)
    assert (slot["replica"], slot["port"]) == (0, 8010)
    assert slot["indices"] == [0, 1, 3, 4]


def test_numa_nodes_keep_together():
    # As on a host whose topology says 144-167, 0-23, 144-167, 0-23, 96-119, 48-71, 96-119, 48-71.
    slots = plan_slots(chips(numa=[6, 0, 6, 0, 4, 2, 4, 2]), 2)
    assert indices(slots) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert [s["numa_nodes"] for s in slots] == [[6], [0], [4], [2]]


def test_cpu_affinity_serves_where_numa_is_unknown():
    devices = chips(4)
    for device, affinity in zip(devices, ("0-23", "24-47", "0-23", "24-47")):
        device["cpu_affinity"] = affinity
    assert indices(plan_slots(devices, 2)) == [[0, 2], [1, 3]]


def test_links_matter_more_than_numa():
    names = ["NPU%d" % n for n in range(4)]
    near = {("NPU0", "NPU3"), ("NPU1", "NPU2")}
    links = {a: {b: "HCCS" if (a, b) in near or (b, a) in near else "SYS" for b in names if a != b} for a in names}
    topology = {"devices": names, "links": links}
    assert indices(plan_slots(chips(4, numa=[0, 0, 1, 1]), 2, topology=topology)) == [[0, 3], [1, 2]]
    # A matrix of another size says nothing about these chips.
    topology["devices"] = names[:3]
    assert indices(plan_slots(chips(4, numa=[0, 0, 1, 1]), 2, topology=topology)) == [[0, 1], [2, 3]]


def test_order_of_the_table_does_not_matter():
    assert indices(plan_slots(list(reversed(chips())), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("size", [0, -4])
def test_chips_per_replica_must_be_positive(size):
    with pytest.raises(SlotError, match="needed 1 or more"):
        plan_slots(chips(), size)


def test_ports_beyond_the_last_one():
    with pytest.raises(SlotError, match="lower first port"):
        plan_slots(chips(), 4, first_port=65535)
