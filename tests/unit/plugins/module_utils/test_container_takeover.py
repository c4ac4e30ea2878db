# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that was started by hand: its place in the plan of a host, and how it is stopped and renamed."""

from __future__ import annotations

import signal

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import DockerError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import change_plan, takeover
from ansible_collections.ascend.fleet.plugins.module_utils._serving.change_plan import (
    START,
    Change,
    resources,
    steps_of,
)
from ansible_collections.ascend.fleet.plugins.module_utils._serving.changes import Known
from ansible_collections.ascend.fleet.plugins.module_utils._serving.deployed import UnitsError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.takeover import Taker, Waits
from ansible_collections.ascend.fleet.plugins.module_utils._serving.waves import Host, waves_of

IDENTITY = "9f" * 32


def unit(number, chips=4):
    return {
        "name": "vllm-qwen3.5@%d.service" % number,
        "replica": number,
        "port": 8010 + number,
        "indices": list(range(chips * number, chips * (number + 1))),
        "container_name": "vllm-qwen3.5-%d" % number,
    }


UNITS = [unit(0), unit(1)]


def by_hand(**changes):
    found = {
        "name": "qwen3.5",
        "id": IDENTITY,
        "state": "running",
        "live": True,
        "comes_back": False,
        "privileged": True,
        "engines": [{"pid": 77, "port": 8010, "weights": "/data/w"}],
        "pids": [77],
        "ports": [8010],
        "indices": [0, 1, 2, 3],
    }
    return dict(found, **changes)


def starts(units):
    return [
        Change(u["name"], u["replica"], START, needs=resources(u["indices"], u["port"], u["container_name"]))
        for u in units
    ]


def plan(container, units=None, known=None, **options):
    units = UNITS if units is None else units
    options.setdefault("serving", lambda url: True)
    changes = [*starts(units), takeover.change_of(container, units, known or Known(), **options)]
    return change_plan.describe(changes, steps_of(changes, 1), 1)


def texts(described):
    return [s["text"] for s in described["steps"]]


# - the plan -


def test_ours_starts_on_free_cards_first_and_the_rest_takes_its_place():
    described = plan(by_hand())
    assert texts(described) == ["start vllm-qwen3.5@1", "takeover container qwen3.5; start vllm-qwen3.5@0"]
    first, second = described["steps"]
    assert (first["take"], second["take"]) == ([], ["container qwen3.5"])
    assert second["names"] == second["start"] == ["vllm-qwen3.5@0.service"]
    # Its port's server at the gateway is out of traffic before it stops.
    assert (second["out"], second["back"], second["prove"]) == ([0], [0], ["vllm-qwen3.5@0.service"])
    assert (described["in_service"], described["least_in_service"]) == (1, 1)


def test_without_a_free_card_the_service_is_interrupted():
    described = plan(by_hand(indices=list(range(8))))
    assert texts(described) == ["takeover container qwen3.5; start vllm-qwen3.5@0; start vllm-qwen3.5@1"]
    assert (described["in_service"], described["least_in_service"]) == (1, 0)


def test_where_the_driver_refuses_others_beside_it_it_stops_before_anything_starts():
    described = plan(by_hand(), beside=False)
    assert described["steps"][0]["take"] == ["container qwen3.5"]
    assert sorted(described["steps"][0]["start"]) == [u["name"] for u in UNITS]


def test_a_container_that_serves_nothing_costs_nothing():
    idle = by_hand(engines=[], pids=[], ports=[], indices=[])
    described = plan(idle)
    assert (described["in_service"], described["rolling"], len(described["steps"])) == (0, True, 1)


def test_one_that_does_not_answer_is_not_in_service():
    assert plan(by_hand(), serving=lambda url: False)["in_service"] == 0


def test_one_that_an_operator_has_drained_does_not_stop_the_takeover():
    described = plan(by_hand(), known=Known(held_out=frozenset({0})))
    assert described["in_service"] == 0


def test_the_name_of_ours_is_waited_for():
    units = [dict(unit(0), container_name="qwen3.5"), unit(1)]
    described = plan(by_hand(live=False, state="exited", engines=[], pids=[], ports=[], indices=[]), units)
    assert described["steps"][0]["take"] == ["container qwen3.5"]


def test_a_port_that_ours_needs_is_waited_for_whatever_chips_it_uses():
    described = plan(by_hand(ports=[8011]))
    assert texts(described) == ["takeover container qwen3.5; start vllm-qwen3.5@0; start vllm-qwen3.5@1"]


def fleet_waves(described, **options):
    host = Host(
        "a2-1",
        models=("qwen3.5",),
        in_service=described["in_service"],
        out_at_once=described["out_at_once"],
        least_in_service=described["least_in_service"],
        **options,
    )
    return waves_of([host])


def test_a_single_host_needs_no_outage_where_ours_serves_before():
    assert fleet_waves(plan(by_hand())).outages == []
    assert len(fleet_waves(plan(by_hand(indices=list(range(8))))).outages) == 1


def test_clients_without_a_gateway_are_an_outage_in_any_case():
    words = takeover.outage(by_hand(), UNITS, 2700)
    for expected in ("port 8010", "until vllm-qwen3.5@0.service serves there", "45 min", "fleet_accept_outage=true"):
        assert expected in words
    assert fleet_waves(plan(by_hand()), outages=(words,)).outages == ["a2-1: " + words]
    assert "none of ours listens there" in takeover.outage(by_hand(ports=[9000]), UNITS, 60)


@pytest.mark.parametrize(
    ("server", "behind"),
    [
        ({"replica": 0, "status": "UP"}, True),
        ({"replica": 0, "status": "DRAIN"}, True),
        ({"replica": 0, "status": "DOWN"}, False),
        ({"replica": 1, "status": "UP"}, False),
    ],
)
def test_behind_a_gateway_is_what_a_gateway_knows_by_its_port(server, behind):
    assert takeover.is_behind_gateway(by_hand(), UNITS, [server]) is behind


def test_it_stands_in_for_the_replica_of_its_port():
    assert takeover.standing_in([by_hand()], UNITS) == [UNITS[0]]
    assert takeover.standing_in([by_hand(live=False)], UNITS) == []


# - stop and rename -


class FakeDocker:
    """Containers by id, and what was done with them."""

    def __init__(self, **changes):
        self.found = {
            "id": IDENTITY, "name": "qwen3.5", "state": "running", "labels": {}, "restart_policy": "always", **changes,
        }  # fmt: skip
        self.done = []

    def container(self, name):
        return dict(self.found) if name == IDENTITY and self.found else None

    def containers(self):
        return [dict(self.found)] if self.found else []

    def keep_stopped(self, name):
        self.done.append("keep stopped")
        self.found["restart_policy"] = "no"

    def rename(self, name, new):
        self.done.append("rename")
        self.found["name"] = new

    def stop(self, name, *, seconds):
        self.done.append("stop")
        self.found["state"] = "exited"


class Machine:
    """A clock, processes and an engine's metrics, one answer after the other."""

    def __init__(self, docker, requests=(0,), waits=None):
        self.docker, self.requests, self.now = docker, list(requests), 0.0
        self.processes = {77}
        self.asked = 0
        self.taker = Taker(
            docker, waits or Waits(idle=30), fetch=self.fetch, kill=self.kill, read=self.read,
            sleep=self.sleep, clock=lambda: self.now,
        )  # fmt: skip

    def fetch(self, url, **options):
        assert url == "http://127.0.0.1:8010/metrics"
        count = self.requests[min(self.asked, len(self.requests) - 1)]
        self.asked += 1
        if count is None:
            return Answer(None, error="no answer within 10 s", timed_out=True)
        return Answer(200, "vllm:num_requests_running{} %d\nvllm:num_requests_waiting{} 0\n" % count)

    def sleep(self, seconds):
        self.now += seconds

    def kill(self, pid, number):
        assert (pid, number) == (77, signal.SIGTERM)
        self.docker.done.append("end the engine")
        self.processes.discard(pid)

    def read(self, path):
        pid = int(path.split("/")[2])
        return "0::/docker/%s\n" % IDENTITY if pid in self.processes else None

    def take(self, **options):
        return self.taker.take(by_hand(), "20261129", check=options.get("check", False))


ALL = ["keep stopped", "rename", "end the engine", "stop"]


def test_it_is_idle_twice_then_kept_from_coming_back_renamed_and_stopped():
    machine = Machine(FakeDocker(), requests=(3, 1, 0, 2, 0, 0))
    result = machine.take()
    assert machine.asked == 6
    assert machine.docker.done == ALL
    assert result == {
        "name": "qwen3.5", "renamed_to": "qwen3.5-before-takeover-20261129", "cut": 0, "changed": True,
    }  # fmt: skip


def test_a_second_run_changes_nothing():
    machine = Machine(FakeDocker())
    machine.take()
    machine.docker.done.clear()
    assert machine.take()["changed"] is False
    assert machine.docker.done == []


@pytest.mark.parametrize("killed_after", ALL)
def test_a_run_that_was_killed_anywhere_is_completed_by_the_next(killed_after):
    docker = FakeDocker()
    machine = Machine(docker)
    names = {"keep stopped": "keep_stopped", "rename": "rename", "stop": "stop"}
    if killed_after in names:
        method = getattr(docker, names[killed_after])

        def dies(*words, **options):
            method(*words, **options)
            raise DockerError("killed")

        setattr(docker, names[killed_after], dies)
    else:
        kill = machine.kill

        def dies_in_kill(*words):
            kill(*words)
            raise DockerError("killed")

        machine.taker._kill = dies_in_kill
    with pytest.raises(DockerError):
        machine.take()
    again = Machine(docker)
    again.processes = machine.processes
    if killed_after in names:
        delattr(docker, names[killed_after])
    again.take()
    assert docker.found["name"] == "qwen3.5-before-takeover-20261129"
    assert (docker.found["state"], docker.found["restart_policy"]) == ("exited", "no")
    assert docker.done.count("rename") == docker.done.count("keep stopped") == 1


@pytest.mark.parametrize(("answers", "words"), [((4,), "found 4 requests"), ((None,), "no answer about its requests")])
def test_requests_that_do_not_end_leave_it_serving(answers, words):
    machine = Machine(FakeDocker(), requests=answers)
    with pytest.raises(UnitsError, match=words):
        machine.take()
    assert machine.docker.done == []


def test_an_accepted_outage_cuts_off_what_is_left():
    machine = Machine(FakeDocker(), requests=(4,), waits=Waits(idle=30, cut=True))
    assert machine.take()["cut"] == 4
    assert machine.docker.done == ALL


def test_a_process_of_somebody_else_under_the_old_number_is_left_alone():
    machine = Machine(FakeDocker())
    machine.processes = set()
    machine.take()
    assert "end the engine" not in machine.docker.done


def test_check_mode_says_it_and_does_nothing():
    machine = Machine(FakeDocker(), requests=(4,))
    assert machine.take(check=True)["renamed_to"] == "qwen3.5-before-takeover-20261129"
    assert (machine.docker.done, machine.asked) == ([], 0)


def test_what_is_ours_is_never_taken():
    with pytest.raises(UnitsError, match="one of this collection's"):
        Machine(FakeDocker(labels={"ascend.fleet.managed": "true"})).take()


def test_what_somebody_has_removed_meanwhile_is_no_failure():
    docker = FakeDocker()
    docker.found = {}
    assert Machine(docker).take() == {"name": "qwen3.5", "renamed_to": None, "cut": 0, "changed": False}
