# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus asks the simulated fleet: every target, every panel's query, and the alerts of what is broken."""

from __future__ import annotations

import json
import time
import urllib.parse

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import alerts, dashboards

from tests.fleet_helpers import fleet, playbook

PROMETHEUS = "http://127.0.0.1:9090/api/v1/"
CHIPS = {"a2-1": 8, "a3-1": 16}
#: Nothing of the kind happens in a fleet that is well: of these an empty answer is right.
MAY_BE_EMPTY = ("ALERTS",)


def ask(path, **words):
    """What Prometheus on the gateway answers."""
    url = PROMETHEUS + path + ("?" + urllib.parse.urlencode(words) if words else "")
    answer = json.loads(fleet("exec", "gw-1", "--", "curl", "-sS", "--max-time", "20", url))
    assert answer["status"] == "success", answer
    return answer["data"]


def values(query):
    """Pairs of labels and value."""
    return [(entry["metric"], float(entry["value"][1])) for entry in ask("query", query=query)["result"]]


def until(seconds, condition):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(2)


def states(name):
    """The states of an alert: pending or firing, by host."""
    return {
        entry["labels"].get("host"): entry["state"]
        for entry in ask("alerts")["alerts"]
        if entry["labels"]["alertname"] == name
    }


@pytest.fixture(scope="module", autouse=True)
def _watched():
    """A rate needs two looks."""
    until(120, lambda: len(values("up == 1")) >= 11 and min(v for _l, v in values("count_over_time(up[5m])")) >= 3)


def test_everything_is_asked_and_answers():
    jobs: dict[str, int] = {}
    for labels, value in values("up"):
        assert value == 1, labels
        jobs[labels["job"]] = jobs.get(labels["job"], 0) + 1
    assert jobs == {"ascend_node": 3, "ascend_vllm": 6, "ascend_haproxy": 1, "ascend_prometheus": 1}


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda d: d.uid)
def test_every_panel_has_an_answer(dashboard):
    question = json.dumps({"model": "qwen3.5", "prompt": "Hello", "max_tokens": 8})
    kind = "Content-Type: application/json"
    fleet("exec", "gw-1", "--", "curl", "-s", "http://127.0.0.1:8000/v1/completions", "-H", kind, "-d", question)
    time.sleep(10)
    for query in dashboards.queries_of(dashboard):
        found = values(query)
        assert found or query.startswith("sum by (alertname") or any(word in query for word in MAY_BE_EMPTY), query


def test_rules_are_worked_out():
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {alert.name for alert in alerts.alerts(alerts.Thresholds())}
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []


def test_chips_are_counted():
    assert {labels["host"]: value for labels, value in values("machine_npu_nums")} == CHIPS
    assert {labels["host"]: value for labels, value in values("ascend_fleet_expected_chips")} == CHIPS


@pytest.mark.parametrize(
    ("fault", "alert"),
    [
        (("alarm", "3"), "AscendChipUnhealthy"),
        (("card-lost", "3"), "AscendChipMissing"),
        (("link-down", "3"), "AscendLinkDown"),
    ],
)
def test_a_fault_of_a_chip_becomes_an_alert_and_goes(fault, alert):
    fleet("break", "a2-1", *fault)
    try:
        until(90, lambda: "a2-1" in states(alert))
    finally:
        fleet("mend", "a2-1")
    until(90, lambda: "a2-1" not in states(alert))


UNIT, EXPORTER = "vllm-qwen3.5@0.service", "prometheus-node-exporter.service"


@pytest.mark.parametrize(
    ("host", "unit", "alert"), [("a2-1", UNIT, "AscendReplicaDown"), ("a3-1", EXPORTER, "AscendHostDown")]
)
def test_what_does_not_answer_becomes_an_alert_and_goes(host, unit, alert):
    fleet("exec", host, "--", "systemctl", "stop", unit)
    try:
        until(90, lambda: host in states(alert))
    finally:
        fleet("exec", host, "--", "systemctl", "start", unit)
    until(120, lambda: host not in states(alert))


def test_while_npu_smi_hangs_none_is_added():
    fleet("break", "a2-1", "hung")
    try:
        until(150, lambda: "a2-1" in states("AscendNpuSmiHangs"))
        time.sleep(20)
        running = fleet("exec", "a2-1", "--", "sh", "-c", "pgrep -fc '[n]pu-smi info' || true").strip()
        assert int(running) <= 1
        # What is not known of chips is no number.
        until(30, lambda: not values('npu_chip_info_temperature{host="a2-1"}'))
        assert values('ascend_fleet_unit_state{host="a2-1",state="active"}')
    finally:
        fleet("mend", "a2-1")
    until(120, lambda: len(values('npu_chip_info_temperature{host="a2-1"}')) == 8)


def test_a_second_run_changes_nothing_and_one_that_removes_leaves_nothing(request):
    inventory = request.config.getoption("ansible_inventory")
    status, output = playbook(inventory, "playbooks/monitoring.yml")
    assert status == 0, output
    assert "changed=0" in output
    assert "changed=1" not in output
    status, output = playbook(inventory, "playbooks/monitoring.yml", "-e", "fleet_monitoring_state=absent")
    assert status == 0, output
    units = "systemctl list-units --all --plain --no-legend 'ascend-fleet-collector*' 'ascend-fleet-prometheus*'"
    for host in ("a2-1", "gw-1"):
        left = fleet("exec", host, "--", "sh", "-c", units + "; ls /usr/local/lib | grep collector || true")
        assert left.strip() == ""
