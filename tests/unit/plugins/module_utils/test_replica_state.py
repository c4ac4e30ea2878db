# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the replicas of a host are doing: what cannot be read is None, and a problem says why."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import DockerError
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import SystemdError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import replica_state

NOW = 1_796_000_000.0
UNIT = {
    "name": "vllm-qwen3.5@0.service",
    "replica": 0,
    "served_model_name": "qwen3.5",
    "release": "r",
    "port": 8010,
    "url": "http://127.0.0.1:8010",
    "container_name": "vllm-qwen3.5-0",
    "config_hash": "abc",
    "indices": [0, 1],
}
CONTAINER = {
    "name": "vllm-qwen3.5-0",
    "state": "running",
    "image_id": "sha256:1",
    "started_at": replica_state.datetime.fromtimestamp(NOW - 90, replica_state.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%S.123456789Z"
    ),
    "labels": {"ascend.fleet.config": "abc"},
}
CHIPS = [{"index": n, "hbm_used_mb": 3000, "hbm_total_mb": 65536} for n in (0, 1)]
METRICS = 'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'


class Systemd:
    def __init__(self, active="active", error=None):
        self.state = {"ActiveState": active, "NRestarts": "1"}
        self.error = error

    def show(self, names):
        if self.error:
            raise self.error
        return dict.fromkeys(names, self.state)


class Docker:
    def __init__(self, containers=(CONTAINER,), error=None):
        self.found, self.error = list(containers), error

    def containers(self):
        if self.error:
            raise self.error
        return self.found


def read(systemd=None, docker=None, answers=None, chips=CHIPS):
    given = {"/health": Answer(200), "/metrics": Answer(200, METRICS), **(answers or {})}
    asked = []

    def fetch(url, timeout):
        asked.append(url)
        return given[url[len(UNIT["url"]) :]]

    reader = replica_state.Reader(systemd or Systemd(), docker or Docker(), fetch, lambda: NOW)
    (found,) = reader.read([UNIT], chips)
    return found, reader.problems, asked


def test_a_replica_that_serves():
    found, problems, _asked = read()
    assert not problems
    assert (found["health"], found["running"], found["waiting"], found["restarts"]) == ("healthy", 2, 1, 1)
    assert (found["image_id"], found["age_seconds"], found["outdated"]) == ("sha256:1", 90, False)
    assert (found["hbm_used_mb"], found["hbm_total_mb"]) == (6000, 131072)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (Answer(503, "no"), 'HTTP 503: "no"'),
        (Answer(None, error="no answer within 5 s", timed_out=True), "no answer within 5 s"),
        (Answer(None, error="connection refused", refused=True), "starting"),
    ],
)
def test_health_is_what_the_engine_says(health, words):
    found, _problems, asked = read(answers={"/health": health})
    assert found["health"] == words
    assert found["running"] == (2 if health.status else None)
    assert len(asked) == (2 if health.status else 1)


def test_a_unit_that_does_not_run_is_not_asked_and_has_no_request():
    found, _problems, asked = read(Systemd("failed"), Docker([]))
    assert (found["health"], found["running"], found["waiting"], asked) == ("failed", 0, 0, [])
    assert (found["image_id"], found["age_seconds"], found["outdated"]) == (None, None, None)


def test_unknown_is_told_and_hides_nothing_else():
    found, problems, _asked = read(Systemd(error=SystemdError("systemd hangs")), Docker(error=DockerError("no daemon")))
    assert problems == ["systemd hangs", "no daemon"]
    assert (found["active_state"], found["health"], found["running"]) == ("unknown", "healthy", 2)
    assert (found["image_id"], found["restarts"]) == (None, None)
    refused = Answer(None, error="connection refused", refused=True)
    found, _problems, _asked = read(Systemd(error=SystemdError("hangs")), answers={"/health": refused})
    assert found["health"] == "unknown"


def test_metrics_that_do_not_tell_are_unknown():
    found, _problems, _asked = read(answers={"/metrics": Answer(200, "python_info 1\n")})
    assert (found["running"], found["waiting"]) == (None, None)


def test_memory_is_known_of_all_chips_or_not_at_all():
    assert read(chips=CHIPS[:1])[0]["hbm_used_mb"] is None
    assert read(chips=[CHIPS[0], {**CHIPS[1], "hbm_used_mb": None}])[0]["hbm_used_mb"] is None


def test_a_container_of_another_configuration():
    other = {**CONTAINER, "labels": {"ascend.fleet.config": "old"}}
    assert read(docker=Docker([other]))[0]["outdated"] is True
    assert read(docker=Docker([{**CONTAINER, "state": "exited"}]))[0]["outdated"] is None


@pytest.mark.parametrize("text", [None, "", "0001", "2026-11-24 21:58:23"])
def test_an_age_of_another_form_is_unknown(text):
    assert replica_state.age(text, NOW) is None
