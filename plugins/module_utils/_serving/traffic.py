# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has taken which replica out of traffic, and what may be undone by whom. Pure: no gateway is spoken to here.

A gateway knows that a server is drained; the records beside it know by whom, why and since when. A drain without a
record was made by hand, on the gateway's socket: it counts as the operator's. Nobody undoes the drain of another owner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._host.haproxy import Server

#: The owner of what the agent of its host has taken out.
WATCHDOG = "watchdog"
OWNERS = ("change", "operator", WATCHDOG)
STATES = ("in", "out", "query", "restore", "idle")
#: Who is named for a drain that no record explains.
BY_HAND = "by hand"
#: The owner of a server that the configuration of the gateway itself keeps out.
CONFIGURATION = "configuration"

_FIELDS = ("by", "reason", "since", "owner")
_SERVING = ("UP", "no check")

Record = Mapping[str, str]


class TrafficError(ValueError):
    """What was asked cannot be done; the message says what was found, what is needed and what to do."""


@dataclass(frozen=True)
class Replica:
    """What a server's name says: the host in the inventory, and the replica there. None means every replica of it."""

    host: str
    replica: Optional[int] = None

    def text(self) -> str:
        """``a2-1:0``, or ``a2-1`` for the whole host."""
        return self.host if self.replica is None else "%s:%d" % (self.host, self.replica)


@dataclass(frozen=True)
class Request:
    """What is wanted: ``state`` of these replicas (none named: of all that the gateway knows)."""

    state: str
    replicas: Sequence[Replica] = ()
    backend: str = ""
    owner: str = "operator"
    by: str = ""
    reason: str = ""
    #: Whether the last server of a backend that serves may be taken out.
    allow_last: bool = True


@dataclass(frozen=True)
class Decision:
    """What becomes of one server: ``command`` is what the gateway is told (None: nothing), ``record`` what is noted."""

    server: Server
    command: Optional[str]
    record: Optional[Record]
    changed: bool

    @property
    def after(self) -> str:
        """The administrative state afterwards."""
        return self.command or self.server.admin_state


def replica_of(server: str) -> Replica:
    """``a2-1:0`` as host and replica; a name of another form is a host without a number."""
    host, colon, number = server.rpartition(":")
    if colon and number.isdigit():
        return Replica(host, int(number))
    return Replica(server)


def parse_replicas(given: Iterable[Any], host: str = "") -> list[Replica]:
    """Replicas as users name them: a number (of ``host``), ``HOST:NUMBER``, ``HOST``, or a mapping of both.

    An empty list with a ``host`` means all of that host.
    """
    found = []
    for entry in given:
        if isinstance(entry, Mapping):
            number = entry.get("replica")
            named = "%s:%s" % (entry.get("host") or "", number) if number not in (None, "") else entry.get("host") or ""
            one = replica_of(str(named))
        elif str(entry).strip().isdigit():
            one = Replica(host, int(str(entry)))
        else:
            one = replica_of(str(entry).strip())
        if not one.host:
            raise TrafficError(
                "found the replica %r without a host; needed a number of a host, HOST:NUMBER, or HOST. "
                "Fix: correct the list of replicas" % (entry,)
            )
        found.append(one)
    return found or ([Replica(host)] if host else [])


def select(servers: Sequence[Server], request: Request) -> tuple[list[Server], list[str]]:
    """The servers that are meant, in the gateway's order, and the replicas that it does not have."""
    within = [s for s in servers if request.backend in ("", s.backend)]
    if not request.replicas:
        return within, []
    chosen: set[str] = set()
    missing: list[str] = []
    for wanted in request.replicas:
        named = [s for s in within if replica_of(s.name) == wanted or wanted == Replica(replica_of(s.name).host)]
        chosen.update(s.key for s in named)
        if not named:
            missing.append(wanted.text())
    return [s for s in within if s.key in chosen], missing


# - records -


def parse_records(text: str, path: str) -> dict[str, dict[str, str]]:
    """The records in their file; TrafficError for one that nobody can have meant."""
    try:
        data = json.loads(text) if text.strip() else {}
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        for key, record in data.items():
            if not isinstance(record, dict) or record.get("owner") not in OWNERS:
                raise ValueError("%s has no owner of: %s" % (key, ", ".join(OWNERS)))
    except ValueError as exc:
        raise TrafficError(
            "found %s unreadable: %s; needed who drained which server. Fix: correct it, or remove it: the drains then "
            "count as made by hand" % (path, exc)
        ) from exc
    return {key: {name: str(record.get(name) or "") for name in _FIELDS} for key, record in data.items()}


def dump_records(records: Mapping[str, Record]) -> str:
    """The records as their file holds them."""
    return json.dumps({key: dict(records[key]) for key in sorted(records)}, indent=1, ensure_ascii=False) + "\n"


def time_text(seconds: float) -> str:
    """A time as records have it, such as ``2026-11-24T21:58:23Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# - decisions -


def decide(servers: Sequence[Server], records: Mapping[str, Record], request: Request, *, now: float) -> list[Decision]:
    """What to do with each server that is meant. ``now`` is what new records say.

    Raises TrafficError where the last server in service would be taken out and that is not allowed.
    """
    chosen, _missing = select(servers, request)
    decisions = [_decide(server, records.get(server.key), request, now) for server in chosen]
    if not request.allow_last and request.state == "out":
        _check_last(servers, decisions)
    return decisions


def _decide(server: Server, record: Optional[Record], request: Request, now: float) -> Decision:
    is_out = server.admin_state != "ready"
    noted = {"by": request.by, "reason": request.reason, "since": time_text(now), "owner": request.owner}
    if request.state == "restore" and record and not is_out:
        return Decision(server, "drain", record, changed=True)
    if not is_out:
        # A record without a drain: it was undone by hand, and that counts. The unit of the gateway sees to it that a
        # start forgets none.
        drains = request.state == "out"
        return Decision(server, "drain" if drains else None, noted if drains else None, changed=drains)
    owner = record["owner"] if record else "operator" if server.commanded else CONFIGURATION
    if request.state == "in" and owner == request.owner:
        return Decision(server, "ready", None, changed=True)
    if request.state == "out" and record and request.owner == "operator" != owner:
        # From now on it is the operator's: a change that ends must not put it back.
        return Decision(server, None, noted, changed=True)
    return Decision(server, None, record, changed=False)


def _check_last(servers: Sequence[Server], decisions: Sequence[Decision]) -> None:
    after = {d.server.key: d.after for d in decisions if d.command}
    for backend in dict.fromkeys(d.server.backend for d in decisions if d.command == "drain"):
        serving = [s for s in servers if s.backend == backend and in_service(s)]
        if serving and not [s for s in serving if after.get(s.key, s.admin_state) == "ready"]:
            raise TrafficError(
                "found that %s has no other replica in service than %s; needed one that goes on serving. "
                "Fix: put another one into traffic first, or accept the outage with -e fleet_accept_outage=true"
                % (backend, ", ".join(s.name for s in serving))
            )


def in_service(server: Server) -> bool:
    """Whether new requests go to a server: nobody has taken it out, and its health check is content."""
    return server.admin_state == "ready" and server.status.startswith(_SERVING)


def remaining(
    records: Mapping[str, Record], servers: Sequence[Server], decisions: Sequence[Decision]
) -> dict[str, Any]:
    """The records afterwards. A change's record of a server that is gone goes too; an operator's stays."""
    present = {s.key for s in servers}
    kept = {k: r for k, r in records.items() if k in present or r["owner"] != "change"}
    for decision in decisions:
        kept.pop(decision.server.key, None)
        if decision.record:
            kept[decision.server.key] = decision.record
    return kept


def without_hosts(records: Mapping[str, Record], hosts: Iterable[str]) -> dict[str, Any]:
    """The records without what a change has noted of hosts that serve no more; an operator's stay."""
    gone = set(hosts)
    return {
        key: record
        for key, record in records.items()
        if record["owner"] != "change" or replica_of(key.rpartition("/")[2]).host not in gone
    }


# - words -


def entry(decision: Decision) -> dict[str, Any]:
    """What is returned of one server."""
    server, record = decision.server, decision.record
    after = replace(server, admin_state=decision.after)
    is_out = after.admin_state != "ready"
    named = replica_of(server.name)
    owner, drained_by = "", ""
    if is_out and record:
        owner, drained_by = record["owner"], record["by"] or record["owner"]
    elif is_out and server.commanded:
        owner, drained_by = "operator", BY_HAND
    elif is_out:
        owner, drained_by = CONFIGURATION, "the gateway's configuration"
    known: Record = record if is_out and record else {}
    if not is_out and server.out_by_agent:
        owner = drained_by = WATCHDOG
        known = {"reason": server.agent_reason}
    return {
        "backend": server.backend,
        "server": server.name,
        "host": named.host,
        "replica": named.replica,
        "admin_state": after.admin_state,
        "status": server.status,
        "sessions": server.sessions,
        "queued": server.queued,
        "owner": owner,
        "drained_by": drained_by,
        "reason": known.get("reason", ""),
        "since": known.get("since", ""),
        "changed": decision.changed,
    }


def out_text(told: Mapping[str, Any]) -> str:
    """An entry that is out of traffic as a sentence."""
    who = str(told["drained_by"])
    words = "%s is out of traffic" % told["server"]
    if told["since"]:
        words += " since %s" % told["since"]
    words += ", drained %s" % who if who == BY_HAND else ", by %s" % who
    if told["owner"] in OWNERS and who not in (BY_HAND, told["owner"]):
        words += " (%s)" % told["owner"]
    return words + (": %s" % told["reason"] if told["reason"] else "")


def diff_lines(decisions: Sequence[Decision], records: Mapping[str, Record], *, after: bool) -> str:
    """The servers that change as text, before or after."""
    lines = []
    for decision in decisions:
        if decision.changed:
            record = decision.record if after else records.get(decision.server.key)
            state = decision.after if after else decision.server.admin_state
            said = [record["owner"], record["by"], record["reason"]] if record else []
            words = " (%s)" % ", ".join(filter(None, said)) if said else ""
            lines.append("%s: %s%s\n" % (decision.server.key, state, words))
    return "".join(lines)


def left(servers: Iterable[Server]) -> list[Server]:
    """The servers that still have a request or a session."""
    return [s for s in servers if s.sessions is None or s.queued is None or s.sessions or s.queued]


def load_text(servers: Iterable[Server]) -> str:
    """What is left, in a line: ``a2-1:0: 3 sessions, a2-1:1: 1 session, 2 queued``."""
    words = []
    for server in servers:
        if server.sessions is None:
            words.append("%s: an unknown number of sessions" % server.name)
            continue
        sessions = "%d session%s" % (server.sessions, "" if server.sessions == 1 else "s")
        words.append("%s: %s%s" % (server.name, sessions, ", %d queued" % server.queued if server.queued else ""))
    return ", ".join(words)


# - what several gateways have said -


def gather(told: Sequence[Mapping[str, Any]], *, required: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The answers of ``vllm_traffic`` at several gateways as one, and what is wrong with them, a line for each gateway.

    ``told`` are the results of a task that loops over the gateways' names. A gateway that did not answer is wrong:
    what it keeps out is unknown. required: whether at least one gateway must have one of the replicas.
    """
    servers: list[dict[str, Any]] = []
    notes: list[str] = []
    problems: list[str] = []
    for answer in told:
        gateway = str(answer.get("item"))
        if not isinstance(answer.get("servers"), (list, tuple)):
            said = " ".join(str(answer.get("msg") or answer.get("module_stderr") or "no reason was given").split())
            if answer.get("unreachable"):
                said = (
                    "unreachable: %s; needed every gateway, since one that was not told goes on sending requests. "
                    "Fix: bring it back, or take it out of the group gateways" % said
                )
            problems.append("gateway %s: %s" % (gateway, said))
            continue
        servers += [{"gateway": gateway, **server} for server in answer["servers"]]
        if not answer.get("installed", True):
            notes.append("gateway %s: not installed yet, so it sends no requests and holds none off" % gateway)
        for name in answer.get("missing") or ():
            notes.append("gateway %s: does not have %s, so it sends no requests there" % (gateway, name))
    if not told:
        notes.append("there is no gateway: new requests are not held off")
    if required and not servers and not problems:
        problems.append(
            "found no gateway that has the replicas (%s); needed one that can hold requests off. Fix: run gateway.yml, "
            "or set vllm_gateway_traffic to what stands in front of them" % ("; ".join(notes) or "there is none")
        )
    installed = bool(told) and all(answer.get("installed", True) for answer in told)
    return {"driver": "haproxy", "servers": servers, "notes": notes, "installed": installed}, problems
