# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, measured against a release.

The catalogue holds the checks; each looks at the data of ``npu_info`` alone, and says nothing about parts of the node
that were not gathered.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional, Sequence

from .._npu import hardware as _hardware
from .catalogue import CATALOGUE
from .check import ERROR
from .facts import DEFAULT_MEMORY_BYTES, Facts

#: Findings that are made elsewhere and ignored by the same variable: drift, and the checks of a site.
ELSEWHERE = ("DRF-", "SITE-")


def findings(
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    *,
    generation: Optional[str] = None,
    ignore: Sequence[str] = (),
    plan: Optional[Mapping[str, Any]] = None,
    required_bytes: Optional[Mapping[str, int]] = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    require_host_cann: bool = False,
    fleet_tls: Iterable[bool] = (),
    fleet_drivers: Iterable[str] = (),
    table: Optional[Mapping[str, Any]] = None,
    system: Optional[Mapping[str, Any]] = None,
) -> list[dict[str, Any]]:
    """Everything that is wrong with ``node``, errors first, each with ``id``, ``severity``, ``message`` and ``fix``.

    generation: what the inventory says the host is; without it the PCI bus tells.
    ignore: ids that are accepted on purpose; they are returned with ``ignored`` set.
    plan: the layout of the replicas, ``replicas``, ``error`` and ``spans_hosts``; None where nothing is served.
    required_bytes: bytes still to be written, by path; the key ``docker`` stands for docker's own folder.
    fleet_tls: the states of TLS between cards that are found on hosts of this release.
    table: the compatibility table.
    system: what is known of the host's operating system, ``packages`` and ``install``.
    """
    unknown = sorted(i for i in set(ignore) - set(CATALOGUE) if not i.startswith(ELSEWHERE))
    if unknown:
        raise ValueError(
            "cannot ignore %s: no such finding; the ids stand in docs/findings.md, from %s to %s"
            % (", ".join(unknown), min(CATALOGUE), max(CATALOGUE))
        )
    if generation and generation not in _hardware.GENERATIONS:
        raise ValueError("the generation is `%s`; known are %s" % (generation, ", ".join(_hardware.GENERATIONS)))
    generation = generation or _hardware.generation_of_pci(list(node.get("pci") or []))
    facts = Facts(
        node=node,
        release=release,
        generation=generation,
        plan=plan,
        required_bytes=dict(required_bytes or {}),
        memory_bytes=memory_bytes,
        require_host_cann=require_host_cann,
        fleet_tls=frozenset(fleet_tls),
        fleet_drivers=frozenset(fleet_drivers),
        table=table or {},
        system=system or {},
    )
    gathered = set(node.get("gathered") or [])
    result = []
    for entry in CATALOGUE.values():
        if not set(entry.needs) <= gathered:
            continue
        for found in entry.apply(facts):
            result.append(
                {
                    "id": entry.id,
                    "severity": found.severity or entry.severity,
                    "area": entry.area,
                    "title": entry.title,
                    "message": "%s: found %s; needed %s" % (entry.title, found.found, found.needed),
                    "found": found.found,
                    "needed": found.needed,
                    "fix": found.fix or entry.fix,
                    "ignored": entry.id in ignore,
                }
            )
    return sorted(result, key=lambda f: (f["ignored"], f["severity"] != ERROR))
