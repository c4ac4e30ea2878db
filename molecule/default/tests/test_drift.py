# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads a fleet as site.yml has left it: nothing has drifted, one edit is found, and hosts are only read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fleet_helpers import fleet, playbook

HOST, UNIT = "a2-1", "/etc/systemd/system/vllm-qwen3.5@0.service"
# What the collection keeps on a host, and where it could write; caches and logs of engines change by themselves.
TREE = (
    "find /etc /usr/local /var/lib/ascend-fleet -xdev -path '*/replicas/*' -prune -o -path '*/.git/*' -prune -o"
    " -type f ! -name '*.lock' ! -name resolv.conf -exec sha256sum {} + | sort | sha256sum;"
    " systemctl list-unit-files --no-legend --no-pager | sort | sha256sum"
)


def drift(request: pytest.FixtureRequest, path: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    inventory = request.config.getoption("ansible_inventory")
    status, output = playbook(inventory, "playbooks/drift.yml", "-e", f"fleet_drift_json={path}", *options)
    return status, output, json.loads(path.read_text())


def test_what_site_has_brought_about_has_not_drifted(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    before = fleet("exec", HOST, "--", "sh", "-c", TREE)
    status, output, report = drift(request, tmp_path / "drift.json")
    assert status == 0, output
    assert [f for f in report["findings"] if f["severity"] == "error"] == [], output
    assert fleet("exec", HOST, "--", "sh", "-c", TREE) == before


def test_report_and_diagnosis_only_read(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    inventory = request.config.getoption("ansible_inventory")
    reports = ("-e", f"fleet_reports={tmp_path}")
    before = fleet("exec", HOST, "--", "sh", "-c", TREE)
    status, output = playbook(inventory, "playbooks/report.yml", *reports, "-e", "fleet_query=hosts[].state")
    assert status == 0, output
    report = json.loads((tmp_path / "fleet" / "report.json").read_text())
    assert json.dumps([host["state"] for host in report["hosts"]], indent=1) in output
    assert [f for f in report["findings"] if f["id"].startswith("DRF-") and f["severity"] == "error"] == [], output
    status, output = playbook(inventory, "playbooks/diagnose.yml", *reports)
    assert status == 0, output
    assert list(tmp_path.glob(f"diagnose-*/{HOST}*")), list(tmp_path.rglob("*"))
    assert fleet("exec", HOST, "--", "sh", "-c", TREE) == before


def test_an_edited_unit_is_found_where_it_was_edited(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fleet("exec", HOST, "--", "sed", "-i.before", "s/^RestartSec=.*/RestartSec=99/", UNIT)
    try:
        status, output, report = drift(request, tmp_path / "drift.json")
    finally:
        fleet("exec", HOST, "--", "mv", UNIT + ".before", UNIT)
    assert status == 2, output
    (found,) = [f for f in report["findings"] if f["severity"] == "error"]
    assert (found["id"], found["hosts"]) == ("DRF-011", [HOST])
    assert "RestartSec=99" in found["found"]
