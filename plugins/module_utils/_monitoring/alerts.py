# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts, as data, and the file of rules that Prometheus reads. docs/alerts.md says for each what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from .yaml_text import yaml_text

RUNBOOKS = "https://github.com/ascend-fleet/ascend.fleet/blob/main/docs/alerts.md"
CRITICAL, WARNING = "critical", "warning"
_MARK = "# Managed by ascend.fleet: changes here are overwritten."
_POOLS = 'proxy=~"vllm-.+"'
_VLLM = 'job="ascend_vllm"'


@dataclass(frozen=True)
class Thresholds:
    """From where on something is wrong."""

    hot_celsius: int = 85
    queue_requests: int = 10
    error_share: float = 0.01
    out_minutes: int = 60
    start_minutes: int = 20
    certificate_days: int = 21


@dataclass(frozen=True)
class Alert:
    """One rule. ``lasts``: how long it must hold before it is reported."""

    name: str
    group: str
    severity: str
    lasts: str
    expr: str
    summary: str
    description: str

    @property
    def anchor(self) -> str:
        """Where docs/alerts.md speaks of it."""
        return self.name.lower()


def _stalled() -> str:
    """Requests run and neither a token is made nor a prompt read; before the first token kernels may be compiled."""
    running = "sum by (host, replica, pool) (vllm:num_requests_running{%s})" % _VLLM
    made = "sum by (host, replica, pool) (%s(vllm:generation_tokens_total{" + _VLLM + "}%s))"
    read = "sum by (host, replica, pool) (increase(vllm:prompt_tokens_total{" + _VLLM + "}[%s])) == 0"
    before = "sum by (host, replica, pool) (vllm:num_requests_running{%s} offset %s) > 0"

    def for_so_long(window: str, first: str) -> str:
        return "(min_over_time((%s)[%s:30s]) > 0 and %s and %s and %s and %s)" % (
            running,
            window,
            before % (_VLLM, window),
            made % ("increase", "[%s]" % window) + " == 0",
            read % window,
            made % ("", "") + first,
        )

    return "%s or %s" % (for_so_long("3m", " > 0"), for_so_long("10m", " == 0"))


def _growing() -> str:
    waiting = "sum by (pool) (avg_over_time(vllm:num_requests_waiting{%s}[5m]%s))"
    return "%s > %s" % (waiting % (_VLLM, ""), waiting % (_VLLM, " offset 10m"))


def alerts(limits: Thresholds) -> tuple[Alert, ...]:
    """All alerts, the worst of a group first."""
    return (
        Alert(
            "AscendChipUnhealthy",
            "ascend_npu",
            CRITICAL,
            "2m",
            "npu_chip_info_health_status == 0",
            "Chip {{ $labels.id }} of {{ $labels.host }} is not healthy",
            "npu-smi says Warning, Alarm, Critical or UNKNOWN for this chip.",
        ),
        Alert(
            "AscendChipMissing",
            "ascend_npu",
            CRITICAL,
            "5m",
            "max by (host) (machine_npu_nums) < max by (host) (ascend_fleet_expected_chips)",
            "{{ $labels.host }} shows {{ $value }} chips",
            "A server of this generation has more. A card has dropped off the bus, or the driver does not see it.",
        ),
        Alert(
            "AscendNpuSmiHangs",
            "ascend_npu",
            CRITICAL,
            "5m",
            "ascend_fleet_npu_smi_hung == 1",
            "npu-smi hangs on {{ $labels.host }}",
            "A question to the driver has not ended. Nothing more is asked until it does: the chips are not watched.",
        ),
        Alert(
            "AscendChipHot",
            "ascend_npu",
            WARNING,
            "10m",
            "npu_chip_info_temperature >= %d" % limits.hot_celsius,
            "Chip {{ $labels.id }} of {{ $labels.host }} has {{ $value }} degrees Celsius",
            "It gets slower when it gets hotter, and turns itself off in the end.",
        ),
        Alert(
            "AscendHbmDoubleBitErrors",
            "ascend_npu",
            CRITICAL,
            "0m",
            "increase(npu_chip_info_hbm_ecc_double_bit_error_cnt[1h]) > 0",
            "Chip {{ $labels.id }} of {{ $labels.host }} has new double bit errors in its HBM",
            "ECC could not correct them: what was computed with them is lost, and the engine usually ends.",
        ),
        Alert(
            "AscendLinkDown",
            "ascend_npu",
            WARNING,
            "10m",
            "npu_chip_info_link_status == 0",
            "The network link of chip {{ $labels.id }} of {{ $labels.host }} is down",
            "An engine on several hosts needs it; one on a single host does not.",
        ),
        Alert(
            "AscendHostDown",
            "ascend_host",
            CRITICAL,
            "5m",
            'up{job="ascend_node"} == 0',
            "{{ $labels.host }} does not answer",
            "Its node_exporter cannot be asked: the host, its network or that service is down.",
        ),
        Alert(
            "AscendCollectorStale",
            "ascend_host",
            WARNING,
            "5m",
            "time() - ascend_fleet_collector_time_seconds > 600",
            "{{ $labels.host }} has not written its metrics for {{ $value | humanizeDuration }}",
            "Its collector does not run or does not end. What is shown of its chips and replicas is old.",
        ),
        Alert(
            "AscendCollectorFails",
            "ascend_host",
            WARNING,
            "15m",
            "ascend_fleet_collector_success == 0",
            "{{ $labels.host }}: the part {{ $labels.part }} cannot be read",
            "Alerts about this part are silent until it can be read again.",
        ),
        Alert(
            "AscendDiskTooSmall",
            "ascend_host",
            WARNING,
            "30m",
            "ascend_fleet_disk_free_bytes < ascend_fleet_disk_needed_bytes",
            "{{ $labels.host }} has {{ $value | humanize1024 }}B free at {{ $labels.path }}",
            "The next release does not fit beside the present one. An upgrade would stop before it changes anything.",
        ),
        Alert(
            "AscendCertificateEnds",
            "ascend_host",
            WARNING,
            "1h",
            "ascend_fleet_certificate_end_time_seconds - time() < %d" % (limits.certificate_days * 86400),
            "{{ $labels.path }} on {{ $labels.host }} ends in {{ $value | humanizeDuration }}",
            "Clients refuse to speak to a server whose certificate has ended.",
        ),
        Alert(
            "AscendReplicaFailed",
            "ascend_serving",
            CRITICAL,
            "2m",
            'ascend_fleet_unit_state{state="failed"} == 1',
            "{{ $labels.unit }} of {{ $labels.host }} has failed",
            "systemd does not start it any more by itself.",
        ),
        Alert(
            "AscendReplicaDown",
            "ascend_serving",
            CRITICAL,
            "%dm" % limits.start_minutes,
            "up{%s} == 0" % _VLLM,
            "Replica {{ $labels.replica }} of {{ $labels.host }} does not answer",
            "It has had more time than a start takes.",
        ),
        Alert(
            "AscendReplicaStalled",
            "ascend_serving",
            CRITICAL,
            "0m",
            _stalled(),
            "Replica {{ $labels.replica }} of {{ $labels.host }} has requests and gives no tokens",
            "The API answers and the engine behind it does not: it hangs, often in a collective operation.",
        ),
        Alert(
            "AscendQueueGrows",
            "ascend_serving",
            WARNING,
            "10m",
            "sum by (pool) (vllm:num_requests_waiting{%s}) > %d and %s" % (_VLLM, limits.queue_requests, _growing()),
            "{{ $value }} requests for {{ $labels.pool }} wait in the engines, and more come",
            "The replicas do not keep up with what is asked of them.",
        ),
        Alert(
            "AscendReplicaErrors",
            "ascend_serving",
            WARNING,
            "5m",
            'sum by (host, replica) (rate(http_requests_total{%s, status=~"5.+"}[5m])) / '
            "sum by (host, replica) (rate(http_requests_total{%s}[5m])) > %s" % (_VLLM, _VLLM, limits.error_share),
            "{{ $value | humanizePercentage }} of the answers of replica {{ $labels.replica }} of {{ $labels.host }} "
            "are errors",
            "Its journal says why.",
        ),
        Alert(
            "AscendNothingInTraffic",
            "ascend_gateway",
            CRITICAL,
            "1m",
            "haproxy_backend_active_servers{%s} == 0" % _POOLS,
            "The gateway {{ $labels.host }} has no replica for {{ $labels.proxy }}",
            "Every client gets an error.",
        ),
        Alert(
            "AscendErrorShare",
            "ascend_gateway",
            WARNING,
            "5m",
            'sum by (host, proxy) (rate(haproxy_frontend_http_responses_total{%s, code="5xx"}[5m])) / '
            "sum by (host, proxy) (rate(haproxy_frontend_http_requests_total{%s}[5m])) > %s"
            % (_POOLS, _POOLS, limits.error_share),
            "{{ $value | humanizePercentage }} of the answers of the gateway {{ $labels.host }} are errors",
            "Clients of {{ $labels.proxy }} see them.",
        ),
        Alert(
            "AscendGatewayQueue",
            "ascend_gateway",
            WARNING,
            "10m",
            "haproxy_backend_current_queue{%s} > %d" % (_POOLS, limits.queue_requests),
            "{{ $value }} requests for {{ $labels.proxy }} wait at the gateway {{ $labels.host }}",
            "Every replica has as many requests as it takes.",
        ),
        Alert(
            "AscendOutOfTraffic",
            "ascend_gateway",
            WARNING,
            "%dm" % limits.out_minutes,
            'max by (server) (haproxy_server_status{%s, state=~"DRAIN|MAINT"} == 1) or '
            "max by (server) (ascend_fleet_traffic_out_time_seconds > 0)" % _POOLS,
            "{{ $labels.server }} is kept out of traffic",
            "Somebody has taken it out, or a change that did not end has. status.yml says who and why.",
        ),
        Alert(
            "AscendReplicaOutdated",
            "ascend_drift",
            WARNING,
            "15m",
            "ascend_fleet_replica_outdated == 1",
            "{{ $labels.unit }} of {{ $labels.host }} runs with an older configuration than its unit",
            "The unit was written and the replica was not restarted.",
        ),
        Alert(
            "AscendReleasesDiffer",
            "ascend_drift",
            WARNING,
            "6h",
            "count by (model_name) (count by (model_name, release) (ascend_fleet_replica_info)) > 1",
            "Replicas of {{ $labels.model_name }} serve {{ $value }} releases",
            "An upgrade takes less time: one has been left half-way.",
        ),
        Alert(
            "AscendDriversDiffer",
            "ascend_drift",
            WARNING,
            "6h",
            "count by (generation) (count by (generation, version) (ascend_fleet_driver_info)) > 1",
            "Hosts of {{ $labels.generation }} have {{ $value }} versions of the driver",
            "The same release may behave differently on them.",
        ),
        Alert(
            "AscendFindings",
            "ascend_drift",
            WARNING,
            "0m",
            'ascend_fleet_findings{severity="error"} > 0',
            "{{ $labels.host }} had {{ $value }} errors when it was last checked ({{ $labels.source }})",
            "preflight.yml, or drift.yml, names each with its fix.",
        ),
    )


def rules_data(chosen: Sequence[Alert], runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The rules as Prometheus wants them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for alert in chosen:
        groups.setdefault(alert.group, []).append(
            {
                "alert": alert.name,
                "expr": alert.expr,
                "for": alert.lasts,
                "labels": {"severity": alert.severity},
                "annotations": {
                    "summary": alert.summary,
                    "description": alert.description,
                    "runbook_url": "%s#%s" % (runbooks, alert.anchor),
                },
            }
        )
    return {"groups": [{"name": name, "rules": rules} for name, rules in groups.items()]}


def rules_text(limits: Thresholds, runbooks: str = RUNBOOKS, without: Sequence[str] = ()) -> str:
    """The file of rules. without: names of alerts that the site does not want."""
    chosen = [alert for alert in alerts(limits) if alert.name not in without]
    if not chosen:
        return "%s\ngroups: []\n" % _MARK
    return "%s\n%s" % (_MARK, yaml_text(rules_data(chosen, runbooks)))
