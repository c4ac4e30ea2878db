# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration in a real HAProxy: what the watchdog's agent moves, what it leaves, and what the metrics show."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import Haproxy, HaproxyError
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_state, traffic, watchdog_agent
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_config import Front, Places, config_text
from ansible_collections.ascend.fleet.plugins.module_utils._serving.gateway_plan import Pool, Server

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="no haproxy on this machine")
DEADLINE = 30.0


class Engine(http.server.BaseHTTPRequestHandler):
    """As much of an engine as the gateway's checks ask for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = {"/v1/models": '{"data":[{"id":"m"}]}', "/metrics": "port %d\n" % self.server.server_address[1]}
        text = body.get(self.path, "{}").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *_words):
        """Say nothing."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Gateway:
    """Two engines, the agent of their host, and HAProxy in front of them."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.engines = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine) for _one in range(2)]
        self.out = self.folder / "out.json"
        handler = type("Handler", (watchdog_agent.Handler,), {"path": str(self.out)})
        self.agent = watchdog_agent.Server("127.0.0.1", 0, handler)
        for server in (*self.engines, self.agent):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.ports = [engine.server_address[1] for engine in self.engines]
        self.port, self.metrics = free_port(), free_port()
        self.places = Places(folder, folder + "/s", folder + "/state")
        self.client = Haproxy(self.places.socket)
        servers = [
            Server("h", n, "127.0.0.1", port, 8, self.agent.server_address[1]) for n, port in enumerate(self.ports)
        ]
        servers.append(Server("gone", 0, "gone.invalid", 8010))
        front = Front(
            paths=("/v1/completions",), address="127.0.0.1", max_body_mb=1, slowstart_seconds=0,
            metrics_address="127.0.0.1:%d" % self.metrics,
        )  # fmt: skip
        text = config_text([Pool("m", self.port, tuple(servers))], front, self.places)
        without = ("    user ", "    group ", "    fd-hard-limit ")
        text = "".join(line for line in text.splitlines(True) if not line.startswith(without))
        Path(self.places.config).write_text(text.replace("agent-inter 5s", "agent-inter 200ms"))
        # As its unit does it before each start: servers that nobody has looked at begin as down.
        Path(self.places.state).write_text(gateway_state.fixed(None, text))
        self.process = None
        self.start()

    def start(self, states=("UP", "UP")):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([HAPROXY, "-f", self.places.config], stdout=log, stderr=log)
        self.until(lambda: [s.status for s in self.servers()][:2] == list(states))

    def servers(self):
        try:
            return self.client.servers()
        except HaproxyError:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            return []

    def until(self, probe):
        deadline = time.monotonic() + DEADLINE
        while not probe():
            assert time.monotonic() < deadline, (self.servers(), (self.folder / "log").read_text()[-3000:])
            time.sleep(0.05)

    def say(self, *out):
        """The watchdog has these replicas out of traffic."""
        data = {"at": time.monotonic(), "out": {str(self.ports[n]): "no token for 180 s" for n in out}}
        (self.folder / "new").write_text(json.dumps(data))
        os.replace(self.folder / "new", self.out)

    def told(self):
        return [traffic.entry(traffic.Decision(s, None, None, False)) for s in self.servers()]

    def ask(self, port, path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=bool(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stop(self):
        self.process.kill()
        self.process.wait(10)
        for server in (*self.engines, self.agent):
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def gateway():
    folder = tempfile.mkdtemp(prefix="gw")  # the path of a unix socket must be short
    found = Gateway(folder)
    yield found
    found.stop()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def in_traffic(gateway):
    gateway.say()
    for number in range(2):
        gateway.client.set_state("vllm-m", "h:%d" % number, "ready")
    gateway.until(lambda: [s.status for s in gateway.servers()][:2] == ["UP", "UP"])


def test_out_and_in_again(gateway):
    gateway.say(0)
    gateway.until(lambda: gateway.servers()[0].out_by_agent)
    first, second, _gone = gateway.servers()
    assert (first.admin_state, first.agent_reason) == ("ready", "no token for 180 s")
    assert (traffic.in_service(first), traffic.in_service(second)) == (False, True)
    told = gateway.told()[0]
    assert (told["owner"], told["drained_by"], told["reason"]) == ("watchdog", "watchdog", "no token for 180 s")
    gateway.say()
    gateway.until(lambda: traffic.in_service(gateway.servers()[0]))


def test_a_restart_of_the_gateway_forgets_nothing_of_it(gateway):
    gateway.client.set_state("vllm-m", "h:1", "drain")
    gateway.say(0)
    gateway.until(lambda: gateway.servers()[0].out_by_agent)
    gateway.client.save_state(gateway.places.state)
    gateway.process.kill()
    gateway.process.wait(10)
    gateway.start(["DOWN (agent)", "DRAIN (agent)"])
    assert [s.admin_state for s in gateway.servers()][:2] == ["ready", "drain"]


def test_an_operators_drain_stays_whatever_the_agent_says(gateway):
    gateway.client.set_state("vllm-m", "h:1", "drain")
    gateway.say(1)
    gateway.until(lambda: gateway.servers()[1].status.startswith("DOWN"))
    assert gateway.servers()[1].admin_state == "drain"
    gateway.say()
    gateway.until(lambda: gateway.servers()[1].status.startswith("DRAIN"))
    assert gateway.servers()[1].admin_state == "drain"
    assert gateway.told()[1]["owner"] == "operator"


def test_a_drain_of_what_the_watchdog_has_out_is_undone_without_letting_it_in(gateway):
    gateway.say(0)
    gateway.until(lambda: gateway.servers()[0].out_by_agent)
    gateway.client.set_state("vllm-m", "h:0", "drain")
    gateway.client.set_state("vllm-m", "h:0", "ready")
    assert not traffic.in_service(gateway.servers()[0])


def test_the_metrics_of_each_engine_and_nothing_else(gateway):
    for number, port in enumerate(gateway.ports):
        assert gateway.ask(gateway.metrics, "/replicas/h:%d/metrics" % number) == (200, "port %d\n" % port)
        assert gateway.ask(gateway.metrics, "/replicas/h:%d/metrics?x=1" % number) == (200, "port %d\n" % port)
    # One whose name nobody knows has no address: no other one answers for it.
    assert gateway.ask(gateway.metrics, "/replicas/gone:0/metrics")[0] == 503
    for path in ("/replicas/h:2/metrics", "/replicas/h:0/pause", "/replicas/h:0/metrics/../pause", "/v1/models"):
        assert gateway.ask(gateway.metrics, path)[0] == 404, path
    assert gateway.ask(gateway.metrics, "/replicas/h:0/metrics", "POST")[0] == 404
    assert gateway.ask(gateway.port, "/replicas/h:0/metrics")[0] == 404
    assert 'haproxy_server_status{proxy="vllm-m",server="h:0"' in gateway.ask(gateway.metrics, "/metrics")[1]


def test_the_metrics_of_a_replica_that_is_out_of_traffic(gateway):
    gateway.client.set_state("vllm-m", "h:0", "drain")
    gateway.say(1)
    gateway.until(lambda: gateway.servers()[1].out_by_agent)
    for number, port in enumerate(gateway.ports):
        assert gateway.ask(gateway.metrics, "/replicas/h:%d/metrics" % number) == (200, "port %d\n" % port)


def test_a_body_whose_length_is_not_known(gateway):
    chunked = {"Transfer-Encoding": "chunked"}
    status, text = gateway.ask(gateway.port, "/v1/completions", "POST", iter([b"{}"]), chunked)
    assert (status, json.loads(text)["error"]["code"]) == (411, "length_required")
    assert gateway.ask(gateway.port, "/v1/completions", "POST", b"{}") == (200, "{}")


def test_an_agent_that_is_silent_changes_nothing(gateway):
    """The last test: the agent does not come back."""
    gateway.say(0)
    gateway.until(lambda: gateway.servers()[0].out_by_agent)
    gateway.agent.shutdown()
    gateway.agent.server_close()
    errors = gateway.client.ask("show stat").count("Connection refused")
    gateway.until(lambda: gateway.client.ask("show stat").count("Connection refused") >= errors + 2)
    assert [s.status for s in gateway.servers()][:2] == ["DOWN (agent)", "UP"]
