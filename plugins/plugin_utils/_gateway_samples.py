# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateways in front of hosts have said, for a gate. For the controller alone."""

from __future__ import annotations

from typing import Any, Callable, Collection, Optional, Sequence

Sample = Optional[dict[str, Any]]


def samples(
    names: Sequence[str],
    shared: Sequence[str],
    *,
    variables_of: Callable[[str], Any],
    sample_of: Callable[[str], Sample],
    alive: Collection[str],
) -> dict[str, Sample]:
    """By host with a gateway, what it has said; where HAProxy takes nobody out of traffic, none is needed.

    names: the hosts with replicas. shared: those of the group ``gateways``.
    """
    found: dict[str, Sample] = {}
    for name in names:
        try:
            variables = variables_of(name)
            driver, placement = variables["vllm_gateway_traffic"], variables["vllm_gateway_placement"]
        except Exception:  # noqa: S112 - the host's release says that its variables cannot be used
            continue
        if driver == "haproxy" and placement == "hosts" and name in alive:
            found[name] = sample_of(name)
        elif driver == "haproxy" and placement == "gateways":
            found.update({gateway: sample_of(gateway) for gateway in shared})
    return found
