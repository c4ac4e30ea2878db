# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replicas of a whole play as one table, from what tasks have registered on its hosts. For the controller alone."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import status, traffic
from ._play_variables import PlayVariables
from ._registered import MOST, PlayHosts, failure


def gather(task_vars: Mapping[str, Any], play: PlayVariables, options: Mapping[str, Any]) -> dict[str, Any]:
    """The table of every host of the play."""
    hosts = PlayHosts(task_vars).everyone
    replicas: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    drivers: dict[str, str] = {}
    problems: list[str] = []
    servers: list[dict[str, Any]] = []
    unasked: list[str] = []
    recorded: dict[str, Any] = {}
    sharing: set[str] = set()
    shared_answers: Optional[list[Any]] = None
    for host in hosts:
        try:
            variables = play.of(host)
            node, own = (variables.get(options[name]) for name in ("node_variable", "own_variable"))
            drivers[host], placement = str(variables["vllm_gateway_traffic"]), variables["vllm_gateway_placement"]
            if shared_answers is None:
                shared_answers = (variables.get(options["shared_variable"]) or {}).get("results")
        except Exception as exc:  # one host's broken variables must not hide another's replicas
            reasons[host] = "its variables cannot be used: %s" % " ".join(str(exc).split())
            continue
        if isinstance(node, Mapping) and isinstance(node.get("replicas"), list):
            replicas[host] = node["replicas"]
            if isinstance(node.get("recorded"), Mapping):
                recorded[host] = node["recorded"]
            problems += ["%s: %s" % (host, words) for words in node.get("problems") or []]
        else:
            reasons[host] = unread(node)
        if drivers[host] == "external" or (drivers[host] == "haproxy" and placement == "hosts"):
            found, wrong = traffic.gather([{**(own if isinstance(own, Mapping) else {}), "item": host}])
            servers += found["servers"]
            problems += wrong
            unasked += [host] if wrong else []
        elif drivers[host] == "haproxy":
            sharing.add(host)
    found, wrong = traffic.gather(shared_answers or [])
    problems += wrong
    if wrong and len(wrong) == len(shared_answers or []):
        unasked += sorted(sharing)  # no gateway has answered
    servers += [s for s in found["servers"] if s["host"] in sharing]
    return status.build(
        hosts, replicas, reasons, servers, problems, drivers=drivers, unasked=unasked, recorded=recorded
    )


def unread(result: Any) -> str:
    """Why a registered result of ``vllm_status_info`` holds no replicas, in a line."""
    result = to_native_types(result)
    if not isinstance(result, Mapping):
        return "it was not asked"
    return failure(result, most=MOST)
