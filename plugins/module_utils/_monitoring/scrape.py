# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus asks of a fleet: its configuration, from the hosts of the inventory.

Every series of a host has the label ``host``, its name in the inventory; one of an NPU host also ``generation``, and
one of a replica ``replica``. ``instance`` is the address that was asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from .yaml_text import yaml_text

MARK = "# Managed by ascend.fleet: changes here are overwritten."
JOBS = {
    "ascend_node": "node_exporter of every host, with what its collector says",
    "ascend_npu_exporter": "the vendor's npu-exporter, where it asks the chips",
    "ascend_vllm": "every replica",
    "ascend_haproxy": "the gateways",
    "ascend_prometheus": "Prometheus itself",
}
_NOWHERE = ("127.", "[::1]", "localhost")


@dataclass(frozen=True)
class Target:
    """An address that is asked, and the labels of what it says."""

    job: str
    address: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """How Prometheus asks."""

    interval_seconds: int = 30
    alertmanagers: tuple[str, ...] = ()
    #: Labels of everything that is sent to an Alertmanager.
    external_labels: Mapping[str, str] = field(default_factory=dict)


def node_target(host: str, address: str, port: int, generation: str = "", group: str = "npu_hosts") -> Target:
    """The node_exporter of a host."""
    labels = {"host": host, "group": group, **({"generation": generation} if generation else {})}
    return Target("ascend_node", joined(address, port), labels)


def exporter_target(host: str, address: str, port: int, generation: str) -> Target:
    """The vendor's npu-exporter of a host."""
    return Target("ascend_npu_exporter", joined(address, port), {"host": host, "generation": generation})


def replica_target(host: str, address: str, port: int, replica: int, model: str, generation: str) -> Target:
    """A replica."""
    labels = {"host": host, "replica": str(replica), "pool": model, "generation": generation}
    return Target("ascend_vllm", joined(address, port), labels)


def gateway_target(host: str, address: str, metrics_address: str) -> tuple[Target, str]:
    """The gateway on a host, and what keeps another host from asking it; empty where nothing does."""
    own, _colon, port = metrics_address.rpartition(":")
    labels = {"host": host, "group": "gateways"}
    if own.startswith(_NOWHERE):
        why = (
            "found vllm_gateway_metrics_address %s on %s; needed an address that the hosts of the group monitoring "
            "reach. The gateway is left out. Fix: set it to %s, and let nobody else reach that port"
            % (metrics_address, host, joined(address, int(port)))
        )
        return Target("ascend_haproxy", metrics_address, labels), why
    everywhere = own in ("*", "0.0.0.0", "[::]", "::")  # noqa: S104 - compared, not bound
    return Target("ascend_haproxy", joined(address if everywhere else own, int(port)), labels), ""


def joined(address: str, port: int) -> str:
    """``192.0.2.11:9100``, or with brackets around an IPv6 address."""
    bare = address.strip("[]")
    return "[%s]:%d" % (bare, port) if ":" in bare else "%s:%d" % (bare, port)


def scrape_configs(targets: Sequence[Target], own_address: str = "") -> list[dict[str, Any]]:
    """The jobs that have targets. own_address: where Prometheus itself answers."""
    every = [*targets, *([Target("ascend_prometheus", own_address, {})] if own_address else [])]
    found = []
    for job in JOBS:
        groups = [
            {"targets": [target.address], **({"labels": dict(target.labels)} if target.labels else {})}
            for target in sorted(
                every, key=lambda t: (t.labels.get("host", ""), t.labels.get("replica", ""), t.address)
            )
            if target.job == job
        ]
        if groups:
            config: dict[str, Any] = {"job_name": job}
            # Labels of the engine and of the collector stand beside ours; ours say which host it is.
            config["static_configs"] = groups
            found.append(config)
    return found


def _order(target: Target) -> tuple[str, str, str]:
    return target.labels.get("host", ""), target.labels.get("replica", ""), target.address


def prometheus_text(targets: Sequence[Target], settings: Settings, *, rules: str, own_address: str) -> str:
    """The whole configuration. rules: the file of the alert rules."""
    about: dict[str, Any] = {
        "scrape_interval": "%ds" % settings.interval_seconds,
        "scrape_timeout": "%ds" % min(settings.interval_seconds, 10),
        "evaluation_interval": "%ds" % settings.interval_seconds,
    }
    if settings.external_labels:
        about["external_labels"] = dict(settings.external_labels)
    data: dict[str, Any] = {"global": about, "rule_files": [rules]}
    if settings.alertmanagers:
        data["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(settings.alertmanagers)}]}]}
    data["scrape_configs"] = scrape_configs(targets, own_address)
    return "%s\n%s" % (MARK, yaml_text(data))


def scrape_text(targets: Sequence[Target]) -> str:
    """The jobs alone, for a Prometheus that is there already."""
    return "%s\n%s" % (MARK, yaml_text({"scrape_configs": scrape_configs(targets)}))
