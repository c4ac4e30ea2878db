# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Divide the chips of a host among replicas."""

from __future__ import annotations

import itertools
from typing import Any, Mapping, Optional, Sequence

from .hardware import GENERATIONS

FIRST_PORT = 8010
# HCCL listens from its base port on, one port per chip of the host. These lie above the kernel's range for outgoing
# connections (32768-60999), in which HCCL's own default, 60000, may be taken.
FIRST_HCCL_PORT = 61000
HCCL_PORTS = 64
FIRST_MASTER_PORT = 29600

# A chip in the state Warning still works; preflight reports it.
WORKING = ("OK", "Warning")
# How far apart two chips are by the words of `npu-smi info -t topo`; links between NPUs (HCCS, SIO, UB …) are 0.
_DISTANCE = {"PIX": 1, "PXB": 2, "PHB": 3, "SYS": 4}


class SlotError(ValueError):
    """The chips do not suffice; the message says what was found, what is needed and what to do."""


def plan_slots(
    devices: Sequence[Mapping[str, Any]],
    chips: int,
    *,
    first_port: int = FIRST_PORT,
    replicas: Optional[int] = None,
    topology: Optional[Mapping[str, Any]] = None,
    skip_unhealthy: bool = False,
    first_hccl_port: int = FIRST_HCCL_PORT,
) -> list[dict[str, Any]]:
    """Return the replicas, each with its chips and ports.

    ``devices`` are those of ``npu_info``; ``chips`` is how many one replica needs; ``replicas`` None means as many as
    fit. Both dies of an NPU stay in one replica as long as that is possible; among equals, near chips (``topology``) on
    few NUMA nodes are preferred, then low numbers. Raises SlotError.

    A broken chip concerns its own replica alone: the others have the numbers, chips and ports that they have on the
    sound host. Chips that are left over may still make a replica, under the number of one that is gone.
    """
    if chips < 1:
        raise SlotError("found %d chips per replica; needed 1 or more" % chips)
    if replicas is not None and replicas < 1:
        raise SlotError("found %d replicas asked for; needed 1 or more, or null for as many as fit" % replicas)
    usable = _usable(devices, skip_unhealthy)
    near = _Nearness(devices, topology)
    limit = len(usable) // chips if replicas is None else replicas
    numbered = _stable_groups(devices, usable, chips, replicas, limit, near)
    wanted = max(limit, 1)
    if len(numbered) < wanted:
        listed = ", ".join(str(d["node"]) for d in usable) or "none"
        needed = "%d for %d replica%s of %d" % (wanted * chips, wanted, "" if wanted == 1 else "s", chips)
        fix = "fewer replicas, a smaller tensor-parallel-size, or repair the missing chips"
        noun = "1 usable chip" if len(usable) == 1 else "%d usable chips" % len(usable)
        raise SlotError("found %s (%s); needed %s. Fix: %s" % (noun, listed, needed, fix))
    slots: list[dict[str, Any]] = []
    for number, group in sorted(numbered.items()):
        slots.append(
            {
                "replica": number,
                "indices": [int(d["index"]) for d in group],
                "device_nodes": [str(d["node"]) for d in group],
                "npus": sorted({int(d["npu_id"]) for d in group}),
                "numa_nodes": sorted({int(d["numa_node"]) for d in group if d.get("numa_node") is not None}),
                "port": first_port + number,
                "hccl_if_base_port": first_hccl_port + HCCL_PORTS * number,
                "master_port": FIRST_MASTER_PORT + number,
            }
        )
    last = slots[-1]
    if last["port"] > 65535 or last["hccl_if_base_port"] > 65520:
        raise SlotError(
            "found ports up to %d and %d; needed 65535 and 65520 at most. Fix: a lower first port"
            % (last["port"], last["hccl_if_base_port"])
        )
    return slots


def nominal_node(generation: str) -> dict[str, Any]:
    """A healthy host of a generation as far as a plan needs it: for checks before any host was asked."""
    facts = GENERATIONS[generation]
    dies = int(facts["chips_per_npu"])
    return {
        "devices": [
            {"npu_id": n // dies, "chip_id": n % dies, "index": n, "node": "/dev/davinci%d" % n, "health": "OK"}
            for n in range(int(facts["chips"]))
        ]
    }


def _usable(devices: Sequence[Mapping[str, Any]], skip: bool) -> list[Mapping[str, Any]]:
    usable, broken = [], []
    for device in devices:
        name = "NPU %s chip %s" % (device.get("npu_id"), device.get("chip_id"))
        if device.get("index") is None or not device.get("node"):
            broken.append("%s (device node unknown)" % name)
        elif device.get("node_present") is False:
            broken.append("%s (%s is missing)" % (name, device["node"]))
        elif device.get("health", "OK") not in WORKING:
            broken.append("%s, %s (health %s)" % (name, device["node"], device["health"]))
        else:
            usable.append(device)
    if broken and not skip:
        fix = "repair them, or set vllm_serve_skip_unhealthy: true to serve on the others"
        raise SlotError("found unusable chips: %s; needed all chips usable. Fix: %s" % ("; ".join(broken), fix))
    return sorted(usable, key=lambda d: int(d["index"]))


class _Nearness:
    """How far apart the chips of a group are; smaller is better."""

    def __init__(self, devices: Sequence[Mapping[str, Any]], topology: Optional[Mapping[str, Any]]) -> None:
        names = list((topology or {}).get("devices") or [])
        self._links: Mapping[str, Mapping[str, str]] = (topology or {}).get("links") or {}
        # The matrix names chips by their order in the table; one of another size cannot be assigned to them.
        self._names = dict(zip((_key(d) for d in devices), names)) if len(names) == len(devices) else {}

    def cost(self, group: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
        distance = 0
        for one, other in itertools.combinations(group, 2):
            row = self._links.get(self._names.get(_key(one), ""), {})
            distance += _DISTANCE.get(row.get(self._names.get(_key(other), ""), ""), 0)
        numa = len({d.get("cpu_affinity") if d.get("numa_node") is None else d["numa_node"] for d in group})
        return distance, numa, sum(int(d["index"]) for d in group)


def _key(device: Mapping[str, Any]) -> tuple[Any, Any]:
    return device.get("npu_id"), device.get("chip_id")


def _stable_groups(
    devices: Sequence[Mapping[str, Any]],
    usable: Sequence[Mapping[str, Any]],
    chips: int,
    replicas: Optional[int],
    limit: int,
    near: _Nearness,
) -> dict[int, list[Mapping[str, Any]]]:
    """The chips of each replica by its number: those of the sound host, as far as their chips are usable."""
    every = _with_missing(devices, chips)
    sound = {_key(d) for d in usable}
    planned = _groups(every, chips, len(every) // chips if replicas is None else replicas, near)
    found = {n: group for n, group in enumerate(planned) if all(_key(d) in sound for d in group)}
    taken = {_key(d) for group in found.values() for d in group}
    left = [d for d in usable if _key(d) not in taken]
    free = [n for n in range(max(limit, len(planned))) if n not in found]
    more = _groups(left, chips, limit - len(found), near)
    return {**found, **dict(zip(free, more))}


def _with_missing(devices: Sequence[Mapping[str, Any]], chips: int) -> list[Mapping[str, Any]]:
    """The chips with a number, and in the gaps between them, where nothing is seen, chips as they would be there."""
    known = {int(d["index"]): d for d in devices if d.get("index") is not None}
    if not known:
        return []
    cards = [d["npu_id"] for d in known.values()]
    per_card = max(cards.count(card) for card in cards)
    regular = all(index // per_card == d["npu_id"] for index, d in known.items())
    first = 0 if min(known) < chips else min(known)
    for index in range(first, max(known)) if regular else ():
        known.setdefault(index, {"npu_id": index // per_card, "chip_id": index % per_card, "index": index})
    return [known[index] for index in sorted(known)]


def _groups(
    usable: Sequence[Mapping[str, Any]], chips: int, limit: int, near: _Nearness
) -> list[list[Mapping[str, Any]]]:
    cards: dict[Any, list[Mapping[str, Any]]] = {}
    for device in usable:
        cards.setdefault(device["npu_id"], []).append(device)
    per_card = max((len(c) for c in cards.values()), default=1)
    whole = [c for c in cards.values() if len(c) == per_card]
    groups: list[list[Mapping[str, Any]]] = []
    if chips % per_card == 0:
        size = chips // per_card
        while len(whole) >= size and len(groups) < limit:
            # The next group is the lowest card with its nearest neighbours: C(15, 7) = 6435 combinations at most.
            best = min(
                itertools.combinations(whole[1:], size - 1),
                key=lambda company: near.cost([d for c in (whole[0], *company) for d in c]),
            )
            chosen = [whole[0], *best]
            groups.append(sorted((d for c in chosen for d in c), key=lambda d: int(d["index"])))
            whole = [c for c in whole if all(c is not other for other in chosen)]
    # What is left: single dies, or a size that does not divide evenly into NPUs.
    taken = {_key(d) for g in groups for d in g}
    left = [d for d in usable if _key(d) not in taken]
    while len(left) >= chips and len(groups) < limit:
        groups.append(left[:chips])
        left = left[chips:]
    return groups
