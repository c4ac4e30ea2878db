# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the fleet is: waves take no more out than allowed, every run ends, and what is half done is named."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.ascend.fleet.plugins.module_utils._serving.waves import (
    Host,
    default_canary,
    kept_of,
    waves_of,
)
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import report
from hypothesis import given, settings
from hypothesis import strategies as st

OLD, NEW, NONE = "old", "new", None
QUICK = settings(max_examples=80, deadline=None, derandomize=True)


@dataclass
class Server:
    """A host of the simulated fleet: what each of its replicas serves; NONE: it is out of traffic, half changed."""

    name: str
    generation: str
    domain: str
    model: str
    at_once: int
    replicas: list = field(default_factory=list)
    outcome: str = ""

    @property
    def serving(self):
        return sum(r is not NONE for r in self.replicas)

    @property
    def converged(self):
        return set(self.replicas) == {NEW}

    def steps(self):
        """The steps of its plan, as numbers of replicas: what is out already comes first and costs nothing."""
        half = [n for n, r in enumerate(self.replicas) if r is NONE]
        old = [n for n, r in enumerate(self.replicas) if r == OLD]
        return ([half] if half else []) + [old[i : i + self.at_once] for i in range(0, len(old), self.at_once)]

    def host(self):
        out = max((sum(self.replicas[n] is not NONE for n in step) for step in self.steps()), default=0)
        return Host(
            self.name,
            models=(self.model,),
            domain=self.domain,
            generation=self.generation,
            in_service=self.serving,
            out_at_once=out,
            changes=not self.converged,
        )


class Killed(Exception):
    """The controller is gone."""


class Bad(Exception):
    """A replica fails a gate."""


class Fleet:
    """A fleet, and runs of an upgrade over it. ``left``: so many replicas are changed until the run is killed."""

    def __init__(self, servers, batches, max_unavailable, canary, min_available):
        self.servers = {s.name: s for s in servers}
        self.options = {"batches": batches, "max_unavailable": max_unavailable, "min_available": min_available}
        self.canary = canary
        self.visited = []

    def waves(self):
        hosts = [s.host() for s in self.servers.values()]
        canary = default_canary(hosts) if self.canary is None else [h.name for h in hosts][: self.canary]
        return waves_of(hosts, canary=canary, **self.options), canary

    def serving(self):
        found = {}
        for server in self.servers.values():
            found[server.model] = found.get(server.model, 0) + server.serving
        return found

    def run(self, left=None, bad=None):
        """One run of the playbook. bad: the replica, counted over the run, that fails its gate."""
        waves, canary = self.waves()
        done = 0
        self.visited = []
        before = self.serving()
        for group in waves.groups:
            served = self.serving()
            least = dict(served)
            # The hosts of a group go side by side: their worst moments may be one.
            for host in group.hosts:
                least[host.models[0]] -= host.out_at_once
            if not waves.outages:
                for model, count in least.items():
                    kept = self.options["min_available"]
                    needed = 1 if kept is None else max(1, kept_of(kept, before[model]))
                    if served[model] - count:
                        assert count >= min(needed, served[model]), (group, served, least)
            assert len({h.domain for h in group.hosts}) == 1 or group.kind == "at once"
            if group.kind == "wave":
                assert not set(canary) & {h.name for h in group.hosts}
            for host in group.hosts:
                server = self.servers[host.name]
                assert host.name not in self.visited
                self.visited.append(host.name)
                done = self._host(server, done, left, bad)
        return waves

    def _host(self, server, done, left, bad):
        for step in server.steps():
            for number in step:
                server.replicas[number] = NONE
            for number in step:
                if left is not None and done >= left:
                    server.outcome = report.STOPPED
                    raise Killed
                if bad is not None and done >= bad:
                    for undone, release in enumerate(server.replicas):
                        if release is NONE:
                            server.replicas[undone] = OLD
                    server.outcome = report.ROLLED_BACK
                    raise Bad
                server.replicas[number] = NEW
                done += 1
        server.outcome = report.GOOD
        return done

    def report(self):
        hosts = [
            report.Host(
                name=s.name,
                converged=s.converged and not s.outcome,
                outcome=s.outcome,
                replicas={"vllm-m@%d.service" % n: {"replica": n, "release": r} for n, r in enumerate(s.replicas)},
            )
            for s in self.servers.values()
        ]
        return report.build(hosts, report.Run(change="c", kind="upgrade", wanted=NEW))

    def state(self):
        return {name: list(s.replicas) for name, s in self.servers.items()}


_SERVERS = st.lists(
    st.builds(
        Server,
        name=st.integers(0, 999).map(lambda n: "h%d" % n),
        generation=st.sampled_from(["a2", "a3"]),
        domain=st.sampled_from(["", "a", "b"]),
        model=st.sampled_from(["m", "m", "n"]),
        at_once=st.integers(1, 2),
        replicas=st.integers(1, 4).map(lambda n: [OLD] * n),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda s: s.name,
)
_BATCHES = st.lists(st.sampled_from([1, 3, "10%", "50%", "100%"]), min_size=1, max_size=3)
_SOME = st.sampled_from([None, 1, 2, "25%", "75%"])
_FLEETS = st.builds(
    Fleet, _SERVERS, _BATCHES, st.sampled_from([None, 1, 2, "50%"]), st.sampled_from([None, 0, 1, 3]), _SOME
)


@QUICK
@given(fleet=_FLEETS)
def test_a_whole_run_visits_every_host_once_and_ends_on_the_new_release(fleet):
    names = sorted(fleet.servers)
    fleet.run()
    assert sorted(fleet.visited) == names
    assert all(s.converged for s in fleet.servers.values())
    found = fleet.report()
    assert (found["outcome"], found["mixed"], found["not_on_it"]) == ("good", [], [])
    fleet.run()
    assert fleet.visited == []


@QUICK
@given(fleet=_FLEETS, kills=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_from_wherever_it_was_killed_it_ends_in_the_same_state(fleet, kills):
    wanted = {name: [NEW] * len(s.replicas) for name, s in fleet.servers.items()}
    for left in kills:
        done = {name for name, s in fleet.servers.items() if s.converged}
        try:
            fleet.run(left)
        except Killed:
            check_named(fleet)
        assert not done & set(fleet.visited)
    fleet.run()
    assert fleet.state() == wanted


@QUICK
@given(fleet=_FLEETS, bad=st.integers(0, 12))
def test_a_bad_replica_stops_the_run_and_nothing_is_half_changed_without_a_name(fleet, bad):
    total = sum(len(s.replicas) for s in fleet.servers.values())
    if bad >= total:
        fleet.run(bad=bad)
        return
    with pytest.raises(Bad):
        fleet.run(bad=bad)
    assert NONE not in [r for s in fleet.servers.values() for r in s.replicas]
    assert sum(s.outcome == report.ROLLED_BACK for s in fleet.servers.values()) == 1
    assert check_named(fleet)["outcome"] == "rolled_back"


def check_named(fleet):
    """Whatever is not wholly on the new release is in the report by its name, and what is half changed twice."""
    found = fleet.report()
    open_hosts = {entry["host"] for entry in found["not_on_it"]}
    text = "\n".join(line for line, _tone in report.lines(found))
    markdown = report.markdown(found)
    for server in fleet.servers.values():
        assert (server.name in open_hosts) == (not server.converged)
        if len(set(server.replicas)) > 1 or NONE in server.replicas:
            [words] = [w for w in found["mixed"] if w.startswith("%s: " % server.name)]
            assert words in text
            assert words in markdown
    served = sum(len(names) for names in found["releases"].values())
    assert served == sum(len(s.replicas) for s in fleet.servers.values())
    return found


@QUICK
@given(value=st.sampled_from([1, 5, "1%", "50%", "99%", "100%"]), count=st.integers(0, 200))
def test_what_is_kept_is_never_less_than_its_share(value, count):
    kept = kept_of(value, count)
    if isinstance(value, int):
        assert kept == value
    else:
        share = int(value[:-1]) / 100
        assert kept >= share * count - 1e-9
        assert kept - 1 < share * count or count == 0
