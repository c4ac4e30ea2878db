# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waves in which hosts are changed, so that a bad change stops at the first of them and the service goes on.

Hosts that lose nothing go first and all at once. The others follow in waves: one host, then a tenth of them, then a
quarter at a time. A wave lies in one failure domain, and never takes the last replicas of a model out of service.

Where there is a canary, its hosts go before all others, so that what is new shows itself on them alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Sequence, Union

from .._release.inventory import unknown_canary
from .._release.value_checks import share_of
from .settings import ServingError

BATCHES: tuple[Union[int, str], ...] = (1, "10%", "25%")


@dataclass(frozen=True)
class Host:
    """What a wave must know of a host."""

    name: str
    #: The models it serves or is to serve.
    models: tuple[str, ...] = ()
    #: Its failure domain; empty where the inventory names none.
    domain: str = ""
    #: Its NPU generation, such as ``a2``; empty where it is not known.
    generation: str = ""
    in_service: int = 0
    #: The most replicas in service that its plan takes out at a time; 0: it loses nothing.
    out_at_once: int = 0
    #: The fewest of its replicas that are in service while its plan is carried out; None: as out_at_once says.
    least_in_service: Optional[int] = None
    #: Why clients find nobody meanwhile, or are refused.
    outages: tuple[str, ...] = ()
    #: Whether its plan does anything.
    changes: bool = True
    #: How long its change takes; None where that is not known.
    expected_seconds: Optional[float] = None

    @property
    def lost(self) -> int:
        """How many replicas fewer than now it has in service at the worst moment."""
        return self.out_at_once if self.least_in_service is None else self.in_service - self.least_in_service


@dataclass(frozen=True)
class Group:
    """Hosts that are changed together. ``kind`` is ``canary``, ``at once`` or ``wave``."""

    kind: str
    hosts: tuple[Host, ...]

    @property
    def names(self) -> list[str]:
        """The names of its hosts."""
        return [host.name for host in self.hosts]

    @property
    def expected_seconds(self) -> Optional[float]:
        """How long the change of the slowest of them takes; None where that of any is not known."""
        known = [host.expected_seconds for host in self.hosts]
        return None if None in known else max((s for s in known if s is not None), default=0.0)


CANARY, AT_ONCE, WAVE = "canary", "at once", "wave"


@dataclass
class Waves:
    """The hosts in the order in which they are changed."""

    groups: list[Group] = field(default_factory=list)
    #: Why the service of a model will be interrupted, or fewer replicas of it stay than are to.
    outages: list[str] = field(default_factory=list)
    #: Hosts whose change does not begin, because the time does not suffice.
    left: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[str]:
        """Every host that is changed."""
        return [name for group in self.groups for name in group.names]

    @property
    def sizes(self) -> list[int]:
        """How many hosts go together, one number after the other."""
        return [len(group.hosts) for group in self.groups]

    @property
    def at_once(self) -> list[str]:
        """The hosts that lose nothing, and are no canary."""
        return [name for group in self.groups if group.kind == AT_ONCE for name in group.names]

    @property
    def waves(self) -> list[list[Host]]:
        """The canary and the other hosts, wave by wave."""
        return [list(group.hosts) for group in self.groups if group.kind != AT_ONCE]

    @property
    def canary(self) -> list[str]:
        """The hosts that go first, so that what is new shows itself on them."""
        return [name for group in self.groups if group.kind == CANARY for name in group.names]

    def keep(self, count: int) -> None:
        """Leave out all groups behind the first ``count``."""
        self.left += [name for group in self.groups[count:] for name in group.names]
        del self.groups[count:]

    def lines(self) -> list[str]:
        """The waves for people; none where no host in service is changed."""
        found = []
        at_once = ["at once, because they lose nothing: %s" % ", ".join(self.at_once)] if self.at_once else []
        count, number = len(self.waves), 0
        for group in self.groups:
            if group.kind == AT_ONCE:
                found += at_once
                continue
            number += 1
            domain = group.hosts[0].domain
            where = (" (%s)" % domain if domain else "") + (", canary" if group.kind == CANARY else "")
            names = ", ".join("%s: %d of %d out at a time" % (h.name, h.out_at_once, h.in_service) for h in group.hosts)
            found.append("wave %d of %d%s: %s" % (number, count, where, names))
        return found if number else []


def size_of(value: Union[int, str], count: int, variable: str) -> int:
    """How many of ``count`` hosts: a number, or a percentage rounded down; at least 1."""
    found = share_of(value, count)
    if found is None:
        raise ServingError(
            "found %r in %s; needed a number from 1, or a percentage from 1%% to 100%%. Fix: correct %s"
            % (value, variable, variable)
        )
    return found


def kept_of(value: Union[int, str], count: int) -> int:
    """How many of ``count`` replicas are to stay: a number, or a percentage rounded up."""
    if share_of(value, 1) is None:
        raise ServingError(
            "found %r in fleet_min_available; needed a number from 1, or a percentage from 1%% to 100%%. Fix: correct "
            "fleet_min_available" % (value,)
        )
    text = str(value).strip()
    return -(-count * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def default_canary(hosts: Sequence[Host]) -> list[str]:
    """The first host of each generation."""
    first: dict[str, str] = {}
    for host in hosts:
        first.setdefault(host.generation, host.name)
    return list(first.values())


@dataclass(frozen=True)
class _Service:
    """What serves now, and what is to stay of it, by model."""

    served: dict[str, int]
    #: The fewest that are to stay; at least one, so that a wave never takes all.
    least: dict[str, int]

    @classmethod
    def of(cls, hosts: Sequence[Host], min_available: Optional[Union[int, str]]) -> _Service:
        served: dict[str, int] = {}
        for host in hosts:
            for model in host.models:
                served[model] = served.get(model, 0) + host.in_service
        least = {m: 1 if min_available is None else max(1, kept_of(min_available, n)) for m, n in served.items()}
        return cls(served, least)

    def allows(self, out: dict[str, int]) -> bool:
        """Whether so many replicas by model may be out together."""
        return all(not count or self.served[model] - count >= self.least[model] for model, count in out.items())


def waves_of(
    hosts: Sequence[Host],
    *,
    batches: Sequence[Union[int, str]] = BATCHES,
    max_unavailable: Optional[Union[int, str]] = None,
    others: int = 0,
    canary: Sequence[str] = (),
    min_available: Optional[Union[int, str]] = None,
    fleet: Optional[Sequence[str]] = None,
) -> Waves:
    """Divide the hosts that are changed. ``hosts`` are all that are known, also those that are as wanted.

    max_unavailable: how many hosts may be in a wave at most, or a percentage of the known hosts. others: hosts of the
    inventory that were not asked, so that nothing is known of what they serve. canary: hosts that go before all others;
    the sizes of the waves begin behind them. min_available: how many replicas of a model stay in service, or a
    percentage of those that are. fleet: the names of all hosts, where ``hosts`` are not all.

    Raises ServingError for a value that cannot be, and for a canary that is not in the fleet.
    """
    mistake = unknown_canary(canary, [h.name for h in hosts] if fleet is None else fleet)
    if mistake:
        raise ServingError(mistake.text())
    changing = [h for h in hosts if h.changes]
    first = sorted((h for h in changing if h.name in canary), key=lambda h: list(canary).index(h.name))
    rest = [h for h in changing if h not in first]
    rolling = [h for h in rest if h.out_at_once]
    at_once = tuple(h for h in rest if not h.out_at_once)
    if not batches:
        raise ServingError("found no number in fleet_batches; needed one at least. Fix: correct fleet_batches")
    sizes = [size_of(batch, len(rolling), "fleet_batches") for batch in batches]
    cap = len(hosts) if max_unavailable is None else size_of(max_unavailable, len(hosts), "fleet_max_unavailable")
    service = _Service.of(hosts, min_available)
    found = Waves(groups=_divide(first, [len(first)], cap, service, CANARY))
    found.groups += [Group(AT_ONCE, at_once)] if at_once else []
    found.groups += _divide(rolling, sizes, cap, service, WAVE)
    in_service = [h for h in changing if h.out_at_once]
    found.outages = [_outage(h, m, service.served[m], others) for h in in_service for m in _last(h, service.served)]
    if min_available is not None:
        found.outages += [w for h in in_service for w in _shortages(h, service)]
    found.outages += ["%s: %s" % (h.name, words) for h in changing for words in h.outages]
    return found


def _divide(hosts: Sequence[Host], sizes: Sequence[int], cap: int, service: _Service, kind: str) -> list[Group]:
    """The hosts in groups, one failure domain after the other."""
    groups: list[Group] = []
    for domain in dict.fromkeys(h.domain for h in hosts):
        waiting = [h for h in hosts if h.domain == domain]
        while waiting:
            size = min(sizes[min(len(groups), len(sizes) - 1)], cap)
            wave = _next(waiting, size, service)
            waiting = [h for h in waiting if h not in wave]
            groups.append(Group(kind, tuple(wave)))
    return groups


def _next(waiting: Sequence[Host], size: int, service: _Service) -> list[Host]:
    """The first hosts that may go together: at least one, and never all that serves a model."""
    wave: list[Host] = []
    out: dict[str, int] = {}
    for host in waiting:
        together = {model: out.get(model, 0) + host.out_at_once for model in host.models}
        if wave and not service.allows(together):
            continue
        wave.append(host)
        out.update(together)
        if len(wave) == size:
            break
    return wave


def _last(host: Host, served: dict[str, int]) -> list[str]:
    return [model for model in host.models if host.lost >= served[model]]


def _outage(host: Host, model: str, served: int, others: int) -> str:
    unknown = "; %d more hosts of the inventory were not asked" % others if others else ""
    return (
        "%s: found %s of %s in service in the whole fleet%s, and the change takes out %s; needed another one that "
        "serves meanwhile. Fix: add a host or a replica, or accept the outage with -e fleet_accept_outage=true"
        % (
            host.name,
            "1 replica" if served == 1 else "%d replicas" % served,
            model,
            unknown,
            "it" if served == 1 else "all of them",
        )
    )


def _shortages(host: Host, service: _Service) -> list[str]:
    """Where this host alone takes out more than may be; that all of a model is out is said as an outage."""
    return [
        "%s: found %d of %s in service in the whole fleet, of which the change takes out %d; needed %d that stay "
        "(fleet_min_available). Fix: lower fleet_min_available, add a host or a replica, or accept it with "
        "-e fleet_accept_outage=true" % (host.name, service.served[m], m, host.lost, service.least[m])
        for m in host.models
        if 0 < service.served[m] - host.lost < service.least[m]
    ]


def describe(waves: Waves) -> dict[str, Any]:
    """The waves as data, as the play needs them."""
    return {
        "hosts": waves.hosts,
        "sizes": waves.sizes,
        "groups": [{"kind": group.kind, "hosts": group.names} for group in waves.groups],
        "at_once": waves.at_once,
        "waves": [[h.name for h in wave] for wave in waves.waves],
        "canary": waves.canary,
        "outages": waves.outages,
        "left": waves.left,
    }
