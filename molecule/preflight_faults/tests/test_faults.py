# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break the simulated hosts, run the preflight as an operator would, and read its report."""

from __future__ import annotations

import json

import pytest

from tests.fleet_helpers import fleet, playbook

# One round breaks both hosts; faults that hide each other stand in different rounds.
# (host, fault, arguments, the finding it must give, words of its message)
ROUNDS = {
    "many_at_once": [
        ("a2-1", "driver-version", ["24.1.0"], "DRV-003", ["24.1.0"]),
        ("a2-1", "device-node", ["3"], "DEV-005", ["/dev/davinci3"]),
        ("a2-1", "alarm", ["5"], "NPU-007", ["Alarm"]),
        ("a2-1", "card-held", ["2"], "NPU-011", ["someone-elses-training"]),
        ("a2-1", "port-taken", ["8010"], "NET-001", ["8010"]),
        ("a3-1", "truncated", [], "NPU-004", ["truncated"]),
        ("a3-1", "disk-full", ["5"], "DSK-001", []),
        ("a3-1", "manager-node", [], "DEV-007", ["davinci_manager"]),
    ],
    "docker_and_tool": [
        ("a2-1", "docker-down", [], "DKR-002", []),
        ("a2-1", "card-lost", ["6"], "DEV-004", []),
        ("a2-1", "process-held", ["1"], "NPU-012", []),
        ("a3-1", "npu-smi-directory", [], "NPU-002", []),
    ],
    "refusals": [
        ("a2-1", "hung", [], "NPU-003", []),
        ("a3-1", "dcmi-8020", [], "NPU-005", ["-8020"]),
    ],
    "libraries": [
        ("a2-1", "missing-library", [], "NPU-006", ["libdrvdsmi_host.so"]),
        ("a3-1", "reboot-pending", [], "NPU-005", ["-8005"]),
        ("a3-1", "no-hccn-conf", [], "NET-002", []),
    ],
}
MARKER = "/run/ascend-fleet-test-marker"
# Everything newer than the marker on the host, apart from what a login, a journal and the simulator itself write.
CHANGED = (
    f"find / -xdev -newer {MARKER} ! -type d"
    r" ! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '/dev/*' ! -path '/var/log/*'"
    r" ! -path '/var/lib/docker/*' ! -path '/var/lib/systemd/*' ! -path '/var/lib/ascend-sim/*'"
    r" ! -path '/root/.ansible/*' ! -path '/var/tmp/*'"
)


@pytest.fixture(autouse=True)
def whole_hosts():
    yield
    for host in ("a2-1", "a3-1"):
        fleet("mend", host)


def preflight(inventory, report):
    """Run the playbook; its exit status, what it printed, and its report as data."""
    status, output = playbook(inventory, "playbooks/preflight.yml", "-e", f"npu_preflight_json_path={report}")
    return status, output, json.loads(report.read_text()) if report.exists() else None


@pytest.mark.parametrize("name", ROUNDS)
def test_each_fault_is_named_with_its_fix(name, request, tmp_path):
    for host, fault, arguments, _identity, _words in ROUNDS[name]:
        fleet("break", host, fault, *arguments)
    for host in ("a2-1", "a3-1"):
        fleet("exec", host, "--", "touch", MARKER)
    status, output, report = preflight(request.config.getoption("ansible_inventory"), tmp_path / "report.json")
    assert status == 2, output
    assert "Traceback" not in output
    for host, fault, _arguments, identity, words in ROUNDS[name]:
        found = [f for f in report["findings"] if f["id"] == identity and host in f["hosts"]]
        assert found, f"{fault} on {host} did not give {identity}:\n{output}"
        assert all(f["fix"] for f in found)
        for word in words:
            assert any(word in f["message"] for f in found), (word, found)
        assert identity in output
    for host in ("a2-1", "a3-1"):
        changed = fleet("exec", host, "--", "sh", "-c", CHANGED).split()
        assert changed == [], changed


def test_a_whole_fleet_passes(request, tmp_path):
    status, output, report = preflight(request.config.getoption("ansible_inventory"), tmp_path / "report.json")
    assert status == 0, output
    assert report["findings"] == [], output


SITE = [
    {
        "id": "SITE-001",
        "title": "A container that the site forbids",
        "query": "node.docker.containers[?name == 'someone-elses-training'].name",
        "expect": "empty",
        "fix": "remove it",
    }
]


def test_a_check_of_the_site_joins_the_findings_and_is_ignored_like_them(request, tmp_path):
    inventory = request.config.getoption("ansible_inventory")
    fleet("break", "a2-1", "card-held", "2")
    options = ("-e", json.dumps({"npu_preflight_site_checks": SITE}), "--limit", "a2-1")
    junit = tmp_path / "report.xml"
    status, output = playbook(inventory, "playbooks/preflight.yml", *options, "-e", f"npu_preflight_junit_path={junit}")
    assert status == 2, output
    assert "SITE-001 A container that the site forbids" in output
    assert 'name="SITE-001 A container that the site forbids"><failure' in junit.read_text()
    report = tmp_path / "drift.json"
    ignore = json.dumps({"npu_preflight_ignore": ["SITE-001"]})
    status, output = playbook(
        inventory, "playbooks/drift.yml", *options, "-e", ignore, "-e", f"fleet_drift_json={report}"
    )
    assert status == 2, output  # nothing is deployed here
    found = {f["id"]: f["ignored"] for f in json.loads(report.read_text())["findings"]}
    assert (found["SITE-001"], found["DRF-002"]) == (True, False)


GONE = """\
all:
  vars: {fleet_release: qwen3_5_27b_v0}
  children:
    npu_hosts:
      children:
        atlas_a2:
          vars: {npu_generation: a2}
          hosts:
            gone-1: {ansible_host: 127.0.0.1, ansible_port: 1}
            gone-2: {ansible_host: 127.0.0.1, ansible_port: 2}
"""


def test_a_fleet_of_which_nobody_answers_has_a_report(tmp_path):
    (tmp_path / "hosts.yml").write_text(GONE)
    status, output, report = preflight(str(tmp_path / "hosts.yml"), tmp_path / "report.json")
    assert status == 2, output
    assert "PREFLIGHT for qwen3_5_27b_v0: 2 hosts, 0 ready, 2 not checked" in output
    assert report["worst"] == "not checked"
    assert report["hosts"]["gone-1"]["reason"].startswith("unreachable: ")
    assert output.index("fatal: [gone-2]: FAILED!") < output.index("PREFLIGHT for"), "the report must come last"


def test_warnings_fail_a_run_only_where_that_is_asked_for(request, tmp_path):
    inventory = request.config.getoption("ansible_inventory")
    fleet("break", "a3-1", "no-hccn-conf")
    status, output, report = preflight(inventory, tmp_path / "report.json")
    assert (status, report["worst"], report["hosts"]["a3-1"]["worst"]) == (0, "warning", "warning"), output
    status, output = playbook(inventory, "playbooks/preflight.yml", "-e", "npu_preflight_fail_on=warning")
    assert status == 2, output
    assert "a3-1 has 1 warning: NET-002" in output
