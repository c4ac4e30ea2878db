# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards for Grafana, from data: three tables of panels, each with its queries. For Grafana 10.4 and later.

Grafana itself is not installed: these are files that one with file provisioning reads, or that are imported by hand.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Optional, Sequence

WIDTH = 24
_HEIGHT = 8
#: What a dashboard lets the reader choose, by the name in queries.
_VARIABLES = {
    "host": 'label_values(up{job="ascend_node"}, host)',
    "pool": 'label_values(up{job="ascend_vllm"}, pool)',
}
_VARIABLE = re.compile(r"\$(\w+)")
_HOST = 'host=~"$host"'
_POOL = 'job="ascend_vllm", pool=~"$pool", host=~"$host"'


@dataclass(frozen=True)
class Panel:
    """One panel. queries: pairs of an expression and what its lines are called."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    #: From where on a value is shown as bad; None: nowhere.
    bad_from: Optional[float] = None


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    uid: str
    title: str
    variables: Sequence[str]
    panels: Sequence[Panel]


def _quantile(share: float, histogram: str) -> str:
    return "histogram_quantile(%s, sum by (le) (rate(%s_bucket{%s}[5m])))" % (share, histogram, _POOL)


DASHBOARDS: tuple[Dashboard, ...] = (
    Dashboard(
        "ascend-fleet",
        "Ascend fleet",
        ("host",),
        (
            Panel("Hosts that answer", ((('sum(up{job="ascend_node", %s})' % _HOST), ""),), kind="stat", width=4),
            Panel("Chips", (("sum(machine_npu_nums{%s})" % _HOST, ""),), kind="stat", width=4),
            Panel(
                "Chips that are not healthy",
                (("sum(machine_unhealthy_npu_nums{%s})" % _HOST, ""),),
                kind="stat",
                width=4,
                bad_from=1,
            ),
            Panel("Replicas that answer", (('sum(up{job="ascend_vllm", %s})' % _HOST, ""),), kind="stat", width=4),
            Panel(
                "Replicas out of traffic",
                (('count(haproxy_server_status{state=~"DRAIN|MAINT"} == 1) or vector(0)', ""),),
                kind="stat",
                width=4,
                bad_from=1,
            ),
            Panel(
                "Errors of the last check",
                (('sum(ascend_fleet_findings{severity="error", %s})' % _HOST, ""),),
                kind="stat",
                width=4,
                bad_from=1,
            ),
            Panel(
                "Alerts",
                (('sum by (alertname, severity) (ALERTS{alertstate="firing"})', "{{alertname}} ({{severity}})"),),
                kind="table",
                width=12,
            ),
            Panel(
                "Releases",
                (
                    (
                        "count by (model_name, release) (ascend_fleet_replica_info{%s})" % _HOST,
                        "{{model_name}} {{release}}",
                    ),
                ),
                width=12,
            ),
            Panel(
                "State of the units",
                (("count by (state) (ascend_fleet_unit_state{%s})" % _HOST, "{{state}}"),),
                width=8,
            ),
            Panel(
                "Versions of the driver",
                (
                    (
                        "count by (generation, version) (ascend_fleet_driver_info{%s})" % _HOST,
                        "{{generation}} {{version}}",
                    ),
                ),
                width=8,
            ),
            Panel(
                "Room for the next release",
                (("ascend_fleet_disk_free_bytes{%s}" % _HOST, "{{host}} {{path}}"),),
                unit="bytes",
                width=8,
            ),
            Panel(
                "How long a look takes",
                (("sum by (host) (ascend_fleet_collector_seconds{%s})" % _HOST, "{{host}}"),),
                unit="s",
                width=12,
            ),
            Panel(
                "Parts that cannot be read",
                (("count by (part) (ascend_fleet_collector_success{%s} == 0) or vector(0)" % _HOST, "{{part}}"),),
                width=12,
            ),
        ),
    ),
    Dashboard(
        "ascend-npu",
        "Ascend chips",
        ("host",),
        (
            Panel(
                "Health (1: OK)",
                (("npu_chip_info_health_status{%s}" % _HOST, "{{host}} {{id}}"),),
                kind="state-timeline",
                width=24,
            ),
            Panel(
                "Temperature",
                (("npu_chip_info_temperature{%s}" % _HOST, "{{host}} {{id}}"),),
                unit="celsius",
                bad_from=85,
            ),
            Panel("Power", (("npu_chip_info_power{%s}" % _HOST, "{{host}} {{id}}"),), unit="watt"),
            Panel("AI cores", (("npu_chip_info_utilization{%s}" % _HOST, "{{host}} {{id}}"),), unit="percent"),
            Panel("HBM in use", (("npu_chip_info_hbm_used_memory{%s}" % _HOST, "{{host}} {{id}}"),), unit="mbytes"),
            Panel("HBM in use", (("npu_chip_info_hbm_utilization{%s}" % _HOST, "{{host}} {{id}}"),), unit="percent"),
            Panel("Processes", (("npu_chip_info_process_info_num{%s}" % _HOST, "{{host}} {{id}}"),)),
            Panel(
                "New double bit errors of HBM within an hour",
                (("increase(npu_chip_info_hbm_ecc_double_bit_error_cnt{%s}[1h])" % _HOST, "{{host}} {{id}}"),),
                bad_from=1,
            ),
            Panel(
                "Single bit errors of HBM",
                (("npu_chip_info_hbm_ecc_single_bit_error_cnt{%s}" % _HOST, "{{host}} {{id}}"),),
            ),
            Panel(
                "Links (1: up)",
                (("npu_chip_info_link_status{%s}" % _HOST, "{{host}} {{id}}"),),
                kind="state-timeline",
            ),
        ),
    ),
    Dashboard(
        "ascend-serving",
        "Ascend serving",
        ("pool", "host"),
        (
            Panel(
                "Tokens made",
                (
                    (
                        "sum by (host, replica) (rate(vllm:generation_tokens_total{%s}[5m]))" % _POOL,
                        "{{host}}:{{replica}}",
                    ),
                ),
                unit="cps",
            ),
            Panel(
                "Tokens read",
                (("sum by (host, replica) (rate(vllm:prompt_tokens_total{%s}[5m]))" % _POOL, "{{host}}:{{replica}}"),),
                unit="cps",
            ),
            Panel(
                "Requests",
                (
                    ("sum by (pool) (vllm:num_requests_running{%s})" % _POOL, "{{pool}} running"),
                    ("sum by (pool) (vllm:num_requests_waiting{%s})" % _POOL, "{{pool}} waiting"),
                ),
            ),
            Panel(
                "Time to the first token",
                tuple(
                    (_quantile(share, "vllm:time_to_first_token_seconds"), "p%d" % (share * 100))
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            Panel(
                "Time between tokens",
                tuple(
                    (_quantile(share, "vllm:inter_token_latency_seconds"), "p%d" % (share * 100))
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            Panel(
                "Time of a request",
                tuple(
                    (_quantile(share, "vllm:e2e_request_latency_seconds"), "p%d" % (share * 100))
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            Panel(
                "KV cache in use",
                (("vllm:kv_cache_usage_perc{%s}" % _POOL, "{{host}}:{{replica}}"),),
                unit="percentunit",
                bad_from=0.95,
            ),
            Panel(
                "Preemptions",
                (
                    (
                        "sum by (host, replica) (rate(vllm:num_preemptions_total{%s}[5m]))" % _POOL,
                        "{{host}}:{{replica}}",
                    ),
                ),
            ),
            Panel(
                "Ends of requests",
                (
                    (
                        "sum by (finished_reason) (rate(vllm:request_success_total{%s}[5m]))" % _POOL,
                        "{{finished_reason}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Answers of the gateways",
                (
                    (
                        'sum by (code) (rate(haproxy_frontend_http_responses_total{proxy=~"vllm-.+"}[5m]))',
                        "{{code}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Replicas in traffic",
                (('haproxy_backend_active_servers{proxy=~"vllm-.+"}', "{{host}} {{proxy}}"),),
            ),
            Panel(
                "Queues of the gateways",
                (('haproxy_backend_current_queue{proxy=~"vllm-.+"}', "{{host}} {{proxy}}"),),
            ),
        ),
    ),
)


def queries_of(dashboard: Dashboard) -> list[str]:
    """Every expression, with what the reader chooses replaced by everything."""
    panels = [query for panel in dashboard.panels for query, _name in panel.queries]
    return [_VARIABLE.sub(".+", query) for query in panels]


def dashboard_data(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana's own JSON."""
    panels = []
    x = y = 0
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + _HEIGHT
        panels.append(_panel(panel, number, x, y))
        x += panel.width
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["ascend.fleet"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), *(_variable(name) for name in dashboard.variables)]},
        "panels": panels,
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _datasource(),
        "query": {"query": _VARIABLES[name], "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def _datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${source}"}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    instant = panel.kind in ("stat", "table")
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _datasource(),
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
        "targets": [
            {
                "refId": "ABCDEFGH"[position],
                "datasource": _datasource(),
                "expr": query,
                "legendFormat": name or "__auto",
                "instant": instant,
                "range": not instant,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for position, (query, name) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                **({"color": {"mode": "thresholds"}} if panel.kind in ("stat", "state-timeline") else {}),
            },
            "overrides": [],
        },
    }


def dashboard_text(dashboard: Dashboard) -> str:
    """A dashboard's file."""
    return json.dumps(dashboard_data(dashboard), indent=1, ensure_ascii=False) + "\n"
