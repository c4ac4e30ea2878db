# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to ask, put together from the variables of all hosts, and checked by promtool."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import scrape, server
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring.yaml_text import yaml_text
from ansible_collections.ascend.fleet.plugins.plugin_utils import _monitoring, _releases
from ansible_collections.ascend.fleet.plugins.plugin_utils._play_variables import (
    HostVariables,
    SettingsError,
    role_defaults,
)

RELEASE = _releases.by_name("qwen3_5_27b_v0", {})
GROUPS = {"npu_hosts": ["a2-1", "a3-1"], "gateways": ["gw-1"], "monitoring": ["mon-1"]}
ADDRESSES = {"a2-1": "192.0.2.11", "a3-1": "192.0.2.21", "gw-1": "192.0.2.31", "mon-1": "192.0.2.41"}
PROMTOOL = shutil.which("promtool")


def ask(groups=None, **hosts):
    """The arguments of the module; keywords are the variables of hosts, `-` in their names written as `_`."""
    groups = GROUPS if groups is None else groups
    loader = DataLoader()
    defaults = role_defaults(loader, _monitoring.ROLES)

    def variables_of(name):
        known = {
            "inventory_hostname": name,
            "ansible_host": ADDRESSES[name],
            "npu_generation": name[:2],
            "vllm_serve_release": RELEASE,
            "groups": groups,
            **hosts.get("everyone", {}),
            **hosts.get(name.replace("-", "_"), {}),
        }
        variables = {**defaults, **known}
        return HostVariables(variables, Templar(loader=loader, variables=variables))

    return _monitoring.arguments_of("mon-1", variables_of, groups)


def jobs(found, name=server.CONFIG):
    """Labels of what is asked, by job and address."""
    data = yaml.safe_load(found["files"][name])
    return {
        config["job_name"]: {group["targets"][0]: group.get("labels", {}) for group in config["static_configs"]}
        for config in data["scrape_configs"]
    }


def test_every_host_replica_and_gateway_is_asked():
    found = ask(everyone={"vllm_gateway_metrics_address": "*:8405"})
    asked = jobs(found)
    assert asked["ascend_node"] == {
        "192.0.2.11:9100": {"host": "a2-1", "group": "npu_hosts", "generation": "a2"},
        "192.0.2.21:9100": {"host": "a3-1", "group": "npu_hosts", "generation": "a3"},
        "192.0.2.31:9100": {"host": "gw-1", "group": "gateways"},
    }
    assert len(asked["ascend_vllm"]) == 6
    assert asked["ascend_vllm"]["192.0.2.11:8011"] == {
        "host": "a2-1", "replica": "1", "pool": "qwen3.5", "generation": "a2",
    }  # fmt: skip
    assert asked["ascend_haproxy"] == {"192.0.2.31:8405": {"host": "gw-1", "group": "gateways"}}
    assert asked["ascend_prometheus"] == {"127.0.0.1:9090": {}}
    assert "ascend_npu_exporter" not in asked
    assert found["notes"] == []
    assert sorted(name for name in found["files"] if name.endswith(".json")) == [
        "dashboards/ascend-fleet.json", "dashboards/ascend-npu.json", "dashboards/ascend-serving.json",
    ]  # fmt: skip


def test_replicas_are_asked_where_they_are_deployed():
    replicas = {"replicas": [{"replica": 0, "port": 8444, "served_model_name": "qwen3.5"}]}
    asked = jobs(ask(a2_1={"__vllm_gateway_replicas": replicas}))["ascend_vllm"]
    assert [address for address in asked if address.startswith("192.0.2.11:")] == ["192.0.2.11:8444"]


def test_a_gateway_that_only_its_own_host_reaches_is_left_out_and_named():
    found = ask()
    assert "ascend_haproxy" not in jobs(found)
    assert found["notes"] == [
        "gw-1: found vllm_gateway_metrics_address 127.0.0.1:8405 on gw-1; needed an address that the hosts of the "
        "group monitoring reach. The gateway is left out. Fix: set it to 192.0.2.31:8405, and let nobody else reach "
        "that port"
    ]


def test_gateways_on_the_npu_hosts():
    groups = {**GROUPS, "gateways": []}
    asked = jobs(ask(groups, everyone={"vllm_gateway_metrics_address": "*:8405"}))
    assert sorted(asked["ascend_haproxy"]) == ["192.0.2.11:8405", "192.0.2.21:8405"]


def test_one_asks_the_chips():
    asked = jobs(ask(a2_1={"fleet_monitoring_source": "npu_exporter"}))
    assert asked["ascend_npu_exporter"] == {"192.0.2.11:8082": {"host": "a2-1", "generation": "a2"}}


def test_files_for_a_prometheus_that_is_there():
    found = ask(mon_1={"fleet_monitoring_prometheus": "files"})
    assert not found["runs"]
    assert server.CONFIG not in found["files"]
    assert "ascend_prometheus" not in jobs(found, server.JOBS)
    assert len(jobs(found, server.JOBS)["ascend_vllm"]) == 6


def test_settings_of_the_monitoring_host():
    found = ask(
        mon_1={
            "fleet_monitoring_alertmanagers": ["am.example.com:9093"],
            "fleet_monitoring_fleet": "north",
            "fleet_monitoring_interval_seconds": 15,
            "fleet_monitoring_hot_celsius": 70,
            "fleet_monitoring_without_alerts": ["AscendLinkDown"],
            "fleet_monitoring_runbooks": "https://wiki.example.com/alerts",
        }
    )
    data = yaml.safe_load(found["files"][server.CONFIG])
    assert data["global"]["external_labels"] == {"fleet": "north"}
    assert (data["global"]["scrape_interval"], data["global"]["scrape_timeout"]) == ("15s", "10s")
    assert data["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["am.example.com:9093"]
    assert data["rule_files"] == ["/etc/ascend-fleet/monitoring/rules.yml"]
    rules = found["files"][server.RULES]
    assert ">= 70" in rules
    assert "AscendLinkDown" not in rules
    assert "https://wiki.example.com/alerts#ascendchiphot" in rules


@pytest.mark.parametrize(
    ("error", "words", "groups", "variables"),
    [
        (_monitoring.MonitoringError, "found no host to watch", {"monitoring": ["mon-1"]}, {}),
        (_monitoring.MonitoringError, "found AscendNone in", None, {"fleet_monitoring_without_alerts": ["AscendNone"]}),
        (SettingsError, "fleet_monitoring_alertmanagers", None, {"fleet_monitoring_alertmanagers": ["http://a"]}),
        (SettingsError, "fleet_monitoring_address", None, {"fleet_monitoring_address": "9090"}),
    ],
)
def test_what_cannot_be_is_named(error, words, groups, variables):
    with pytest.raises(error, match=words):
        ask(groups, mon_1=variables)


def test_wrong_variables_of_a_host_are_named_with_it():
    with pytest.raises(
        _monitoring.MonitoringError, match="the variables of a3-1 cannot be used: fleet_monitoring_node"
    ):
        ask(a3_1={"fleet_monitoring_node_exporter_port": 80})


@pytest.mark.parametrize("prometheus", ["install", "files"])
def test_promtool_reads_the_configuration(tmp_path, prometheus):
    if PROMTOOL is None:
        assert not os.environ.get("REQUIRE_PROMTOOL"), "found no promtool; needed it. Fix: tests/tools/promtool.sh"
        pytest.skip("promtool is not installed")
    found = ask(
        everyone={"vllm_gateway_metrics_address": "*:8405"},
        mon_1={
            "fleet_monitoring_path": str(tmp_path),
            "fleet_monitoring_prometheus": prometheus,
            "fleet_monitoring_alertmanagers": ["[2001:db8::1]:9093"],
            "fleet_monitoring_fleet": "north",
        },
    )
    for name in (server.CONFIG, server.JOBS, server.RULES):
        if name in found["files"]:
            (tmp_path / name).write_text(found["files"][name], encoding="utf-8")
    name = server.CONFIG if prometheus == "install" else server.JOBS
    done = subprocess.run(
        [PROMTOOL, "check", "config", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_ipv6_address_has_brackets():
    assert scrape.node_target("a", "2001:db8::1", 9100).address == "[2001:db8::1]:9100"
    assert scrape.gateway_target("a", "192.0.2.1", "192.0.2.9:8405")[0].address == "192.0.2.9:8405"
    assert scrape.gateway_target("a", "192.0.2.1", "[::1]:8405")[1]


@pytest.mark.parametrize(
    "data",
    [
        {"a": 1, "b": [1, {"c": "d: e", "f": []}], "g": {"h": None, "i": True}, "on": "yes"},
        {"text": 'quotes " and \\ and\nlines', "empty": {}, "list": [[1, 2], [3]]},
        [{"a": "0x5"}, "1.5", 1.5, "-", "ä"],
    ],
)
def test_yaml_says_what_was_written(data):
    assert yaml.safe_load(yaml_text(data)) == data
