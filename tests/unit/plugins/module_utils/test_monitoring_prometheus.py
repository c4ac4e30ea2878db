# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus with the configuration of the role asks stand-ins of a fleet, and every panel has an answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import (
    alerts,
    dashboards,
    exposition,
    fleet_metrics,
    npu_metrics,
    scrape,
)
from ansible_collections.ascend.fleet.plugins.module_utils._npu import smi

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
PROMETHEUS = shutil.which("prometheus")
HISTOGRAMS = ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds")
HAPROXY = """\
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:0",state="UP"} 0
haproxy_server_status{proxy="vllm-qwen3.5",server="a2-1:0",state="DRAIN"} 1
haproxy_backend_active_servers{proxy="vllm-qwen3.5"} 1
haproxy_backend_current_queue{proxy="vllm-qwen3.5"} 0
haproxy_frontend_http_requests_total{proxy="vllm-qwen3.5"} @N@
haproxy_frontend_http_responses_total{proxy="vllm-qwen3.5",code="2xx"} @N@
haproxy_frontend_http_responses_total{proxy="vllm-qwen3.5",code="5xx"} 0
"""


def node_text():
    """What the collector writes of a captured table, with an error that was found."""
    out = exposition.Metrics({**fleet_metrics.CATALOGUE, **npu_metrics.CATALOGUE})
    table = smi.parse_info((FIXTURES / "npu_smi/info/910b3-x8-25.2.0-1proc.txt").read_text(encoding="utf-8"))
    chips = npu_metrics.chips_of(table, [])
    npu_metrics.add_table(out, table, chips)
    slow = {name: 0 for name in npu_metrics.CATALOGUE if "_ecc_" in name or name.endswith("link_status")}
    npu_metrics.add_slow(out, chips, {npu_metrics.slow_key(chip): slow for chip in chips})
    unit = {"Replica": "0", "ServedModelName": "qwen3.5", "Release": "v0", "Port": "8010"}
    fleet_metrics.add_units(out, {"vllm-qwen3.5@0.service": unit}, {}, {}, 0)
    fleet_metrics.add_findings(out, {"preflight": {"at": 5, "error": 1, "warning": 0}})
    out.add("ascend_fleet_driver_info", 1, {"version": "25.2.0"})
    out.add("ascend_fleet_disk_free_bytes", 10, {"path": "/var/lib/ascend-fleet"})
    for part in fleet_metrics.PARTS:
        out.add("ascend_fleet_collector_success", 1, {"part": part})
        out.add("ascend_fleet_collector_seconds", 0.5, {"part": part})
    return out.text()


def vllm_text(number):
    """What an engine writes that gives tokens."""
    labels = '{engine="0",model_name="qwen3.5"'
    lines = ["vllm:%s%s} %d" % (name, labels, value) for name, value in (
        ("num_requests_running", 2), ("num_requests_waiting", 0), ("kv_cache_usage_perc", 0),
        ("generation_tokens_total", 50 * number), ("prompt_tokens_total", 90 * number), ("num_preemptions_total", 0),
    )]  # fmt: skip
    lines.append('vllm:request_success_total%s,finished_reason="stop"} %d' % (labels, number))
    for name in HISTOGRAMS:
        for edge in ("0.1", "1", "+Inf"):
            lines.append('vllm:%s_bucket%s,le="%s"} %d' % (name, labels, edge, number))
    return "\n".join(lines) + "\n"


class StandIn:
    """Answers every question with the next text."""

    def __init__(self, text):
        numbers = iter(range(1, 1_000_000))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = text(next(numbers)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Where a Prometheus answers that has asked the fleet a few times."""
    if PROMETHEUS is None:
        assert not os.environ.get("REQUIRE_PROMTOOL"), "found no prometheus; needed it. Fix: tests/tools/promtool.sh"
        pytest.skip("Prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    stand_ins = [StandIn(lambda _n: node_text()), StandIn(vllm_text)]
    stand_ins.append(StandIn(lambda n: HAPROXY.replace("@N@", str(n))))
    node, vllm, haproxy = (stand_in.port for stand_in in stand_ins)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = "127.0.0.1:%d" % free.getsockname()[1]
    targets = [
        scrape.node_target("a2-1", "127.0.0.1", node, "a2"),
        scrape.replica_target("a2-1", "127.0.0.1", vllm, 0, "qwen3.5", "a2"),
        scrape.Target("ascend_haproxy", "127.0.0.1:%d" % haproxy, {"host": "gw-1", "group": "gateways"}),
    ]
    config, rules = folder / "prometheus.yml", folder / "rules.yml"
    settings = scrape.Settings(interval_seconds=1)
    config.write_text(scrape.prometheus_text(targets, settings, rules=str(rules), own_address=own), encoding="utf-8")
    rules.write_text(alerts.rules_text(alerts.Thresholds()), encoding="utf-8")
    argv = [PROMETHEUS, "--config.file=%s" % config, "--storage.tsdb.path=%s" % (folder / "data")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*argv, "--web.listen-address=" + own], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            try:
                # A rate needs two samples of the counters.
                if values(own, "min(count_over_time(up[5m]))") and ask(own, "min(count_over_time(up[5m]))")[0] >= 4:
                    break
            except OSError:
                pass
            time.sleep(0.3)
        else:
            raise AssertionError((folder / "log").read_text(encoding="utf-8")[-3000:])
        yield own
    finally:
        process.terminate()
        process.wait(timeout=30)
        for stand_in in stand_ins:
            stand_in.server.shutdown()


def values(address, query):
    """What Prometheus answers: a list of labels and values."""
    url = "http://%s/api/v1/query?%s" % (address, urllib.parse.urlencode({"query": query}))
    with urllib.request.urlopen(url, timeout=10) as answer:
        data = json.load(answer)
    assert data["status"] == "success", query
    return data["data"]["result"]


def ask(address, query):
    """The numbers alone."""
    return [float(entry["value"][1]) for entry in values(address, query)]


def test_every_target_is_asked(prometheus):
    found = {entry["metric"]["job"]: float(entry["value"][1]) for entry in values(prometheus, "up")}
    assert found == {"ascend_node": 1, "ascend_vllm": 1, "ascend_haproxy": 1, "ascend_prometheus": 1}


def test_series_say_which_host_they_are_of(prometheus):
    [entry] = values(prometheus, 'npu_chip_info_temperature{id="4"}')
    assert (entry["metric"]["host"], entry["metric"]["generation"]) == ("a2-1", "a2")
    [entry] = values(prometheus, "vllm:num_requests_running")
    assert (entry["metric"]["host"], entry["metric"]["replica"], entry["metric"]["pool"]) == ("a2-1", "0", "qwen3.5")


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda d: d.uid)
def test_every_panel_has_an_answer(prometheus, dashboard):
    for query in dashboards.queries_of(dashboard):
        assert values(prometheus, query), query


def test_rules_are_worked_out_without_an_error(prometheus):
    with urllib.request.urlopen("http://%s/api/v1/rules" % prometheus, timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(found) == {alert.name for alert in alerts.alerts(alerts.Thresholds())}
    assert {
        name: rule.get("lastError") for name, rule in found.items() if rule["health"] not in ("ok", "unknown")
    } == {}
    assert found["AscendFindings"]["state"] == "firing"
    assert found["AscendReplicaStalled"]["state"] == "inactive"
