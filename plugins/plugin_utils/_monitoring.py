# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to ask, from the variables of all hosts of the inventory. For the controller alone."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from ansible.errors import AnsibleError

from ..module_utils._monitoring import alerts, dashboards, scrape, server
from ..module_utils._serving.settings import ServingError
from . import _gateway
from ._play_variables import SettingsError, role_settings

ROLES = ("vllm_serve", "vllm_gateway", "fleet_monitoring")
_LIMITS = ("hot_celsius", "queue_requests", "error_share", "out_minutes", "start_minutes", "certificate_days")
_OWN = ("host_address", "node_exporter_port", "source", "npu_exporter_port", "state")


class MonitoringError(ValueError):
    """The inventory cannot be watched as it is; the message says what was found, what is needed and what to do."""


def targets_of(
    groups: Mapping[str, Sequence[str]], variables_of: Callable[[str], Mapping[str, Any]]
) -> tuple[list[scrape.Target], list[str]]:
    """What there is to ask, and what is left out, a sentence for each."""
    found: list[scrape.Target] = []
    notes: list[str] = []
    npu_hosts = list(groups.get("npu_hosts", ()))
    for host in npu_hosts:
        try:
            _npu_host(host, variables_of(host), found, notes)
        except (SettingsError, ServingError, AnsibleError, KeyError) as exc:
            raise MonitoringError("the variables of %s cannot be used: %s" % (host, exc)) from exc
    for host in groups.get("gateways", ()):
        try:
            variables = variables_of(host)
            own = role_settings(variables, "fleet_monitoring", _OWN)
            if host not in npu_hosts and own["state"] == "present":
                port = own["node_exporter_port"]
                found.append(scrape.node_target(host, own["host_address"], port, group="gateways"))
            _gateway_of(host, own["host_address"], variables, "gateways", found, notes)
        except (SettingsError, AnsibleError) as exc:
            raise MonitoringError("the variables of %s cannot be used: %s" % (host, exc)) from exc
    return found, notes


def _npu_host(host: str, variables: Mapping[str, Any], found: list[scrape.Target], notes: list[str]) -> None:
    own = role_settings(variables, "fleet_monitoring", _OWN)
    address, generation = own["host_address"], str(variables.get("npu_generation") or "")
    if own["state"] == "present":
        found.append(scrape.node_target(host, address, own["node_exporter_port"], generation))
        if own["source"] == "npu_exporter":
            found.append(scrape.exporter_target(host, address, own["npu_exporter_port"], generation))
    part = _gateway.part_of(host, variables)
    for one in part.servers:
        found.append(scrape.replica_target(host, address, one.port, one.replica, part.model, generation))
    _gateway_of(host, address, variables, "hosts", found, notes)


def _gateway_of(
    host: str,
    address: str,
    variables: Mapping[str, Any],
    placement: str,
    found: list[scrape.Target],
    notes: list[str],
) -> None:
    """The gateway of a host, where gateways stand on hosts of this kind."""
    gateway = role_settings(variables, "vllm_gateway", ("placement", "metrics_address", "state"))
    if gateway["placement"] != placement or gateway["state"] != "present" or not gateway["metrics_address"]:
        return
    target, why = scrape.gateway_target(host, address, gateway["metrics_address"])
    if why:
        notes.append("%s: %s" % (host, why))
    else:
        found.append(target)


def arguments_of(
    host: str,
    variables_of: Callable[[str], Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The arguments of the module fleet_prometheus for this host of the group monitoring."""
    settings = role_settings(variables_of(host), "fleet_monitoring")
    targets, notes = targets_of(groups, variables_of)
    if not targets:
        raise MonitoringError(
            "found no host to watch; needed hosts in npu_hosts or gateways. Fix: put the NPU servers into atlas_a2 or "
            "atlas_a3"
        )
    folder = str(settings["path"]).rstrip("/")
    runs = settings["prometheus"] == "install"
    limits = alerts.Thresholds(**{name: settings[name] for name in _LIMITS})
    known = {alert.name for alert in alerts.alerts(limits)}
    unknown = [name for name in settings["without_alerts"] or () if name not in known]
    if unknown:
        raise MonitoringError(
            "found %s in fleet_monitoring_without_alerts; needed names of alerts. Fix: see docs/alerts.md" % unknown[0]
        )
    files = {server.RULES: alerts.rules_text(limits, settings["runbooks"], settings["without_alerts"] or ())}
    for dashboard in dashboards.DASHBOARDS:
        files["%s/%s.json" % (server.DASHBOARDS, dashboard.uid)] = dashboards.dashboard_text(dashboard)
    if runs:
        about = scrape.Settings(
            interval_seconds=settings["interval_seconds"],
            alertmanagers=tuple(settings["alertmanagers"] or ()),
            external_labels={"fleet": settings["fleet"]} if settings["fleet"] else {},
        )
        rules = "%s/%s" % (folder, server.RULES)
        files[server.CONFIG] = scrape.prometheus_text(targets, about, rules=rules, own_address=settings["address"])
    else:
        files[server.JOBS] = scrape.scrape_text(targets)
    return {
        "folder": folder,
        "files": files,
        "runs": runs,
        "address": settings["address"],
        "retention_days": settings["retention_days"],
        "notes": notes,
    }
