# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards: what Grafana needs is there, and Prometheus can read every query."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import dashboards, fleet_metrics, npu_metrics
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring.yaml_text import yaml_text

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
ALL = dashboards.DASHBOARDS
OTHERS = {
    "up", "haproxy_server_status", "haproxy_frontend_http_responses_total", "haproxy_backend_active_servers",
    "haproxy_backend_current_queue",
}  # fmt: skip
_METRIC = re.compile(r"\b((?:vllm:|haproxy_|npu_|machine_|ascend_fleet_)[a-z0-9_]+|up)(?=[{[)\s])")


def written_by_vllm():
    """What vLLM 0.32 writes: the lines that say of which type each metric is."""
    text = (FIXTURES / "vllm" / "metrics-types-0.32.txt").read_text(encoding="utf-8")
    types = dict(line.split()[2:4] for line in text.splitlines())
    return {name + "_bucket" * (kind == "histogram") for name, kind in types.items()}


@pytest.mark.parametrize("dashboard", ALL, ids=lambda d: d.uid)
def test_queries_read_metrics_that_somebody_writes(dashboard):
    known = OTHERS | written_by_vllm() | set(npu_metrics.CATALOGUE) | set(fleet_metrics.CATALOGUE)
    for query in dashboards.queries_of(dashboard):
        read = set(_METRIC.findall(re.sub(r'"[^"]*"', '""', query)))
        assert read or "ALERTS" in query, query
        assert read <= known, query
        assert "$" not in query


def test_promtool_reads_every_query(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("REQUIRE_PROMTOOL"), "found no promtool; needed it. Fix: tests/tools/promtool.sh"
        pytest.skip("promtool is not installed")
    queries = [query for dashboard in ALL for query in dashboards.queries_of(dashboard)]
    rules = [{"record": "q:%d" % number, "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml_text({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "%d rules found" % len(queries) in done.stdout
    path.write_text(yaml_text({"groups": [{"name": "q", "rules": [{"record": "a", "expr": "sum(("}]}]}))
    assert subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, check=False).returncode


@pytest.mark.parametrize("dashboard", ALL, ids=lambda d: d.uid)
def test_the_file_is_what_grafana_reads(dashboard):
    data = json.loads(dashboards.dashboard_text(dashboard))
    assert (data["uid"], data["title"]) == (dashboard.uid, dashboard.title)
    names = [variable["name"] for variable in data["templating"]["list"]]
    assert names == ["source", *dashboard.variables]
    ids = [panel["id"] for panel in data["panels"]]
    assert len(set(ids)) == len(ids) == len(dashboard.panels)
    for panel in data["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        used = set(re.findall(r"\$(\w+)", " ".join(target["expr"] for target in panel["targets"])))
        assert used <= set(dashboard.variables), panel["title"]


@pytest.mark.parametrize("dashboard", ALL, ids=lambda d: d.uid)
def test_panels_do_not_overlap(dashboard):
    taken = set()
    for panel in dashboards.dashboard_data(dashboard)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= dashboards.WIDTH, panel["title"]
        taken |= cells


def test_each_dashboard_has_a_name_of_its_own():
    assert len({d.uid for d in ALL}) == len({d.title for d in ALL}) == len(ALL)
