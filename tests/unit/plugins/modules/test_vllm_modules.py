# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_units, vllm_ready and vllm_probe as Ansible calls them."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._serving import ready
from ansible_collections.ascend.fleet.plugins.module_utils._serving import units as _units
from ansible_collections.ascend.fleet.plugins.modules import vllm_probe, vllm_ready, vllm_units


def call(module, check=False, **arguments):
    """Run a module's main() and return its result."""
    out = io.StringIO()
    given = patch_module_args({**arguments, "_ansible_check_mode": check})
    with given, contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        module.main()
    return json.loads(out.getvalue())


class Engine(BaseHTTPRequestHandler):
    """A served model of a few lines."""

    key = ""
    text = "我是通义千问，由阿里云研发的大型语言模型，可以回答问题、撰写文章、编写代码。"
    requests = 0
    pause = 0.0

    def do_GET(self):
        if self.path == "/v1/models" and self.key and self.headers.get("Authorization") != "Bearer " + self.key:
            return self.reply(401, {"error": "Unauthorized"})
        if self.path == "/metrics":
            text = "vllm:num_requests_running %d\nvllm:num_requests_waiting 0\n" % self.requests
            return self.reply(200, text)
        return self.reply(200, {"data": [{"id": "qwen3.5"}]} if self.path == "/v1/models" else "")

    def do_POST(self):
        if self.key and self.headers.get("Authorization") != "Bearer " + self.key:
            return self.reply(401, {"error": "Unauthorized"})
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.pause)
        choice = {"text": self.text, "finish_reason": "stop"}
        return self.reply(200, {"model": body["model"], "choices": [choice], "usage": {"total_tokens": 3}})

    def reply(self, status, data):
        content = (data if isinstance(data, str) else json.dumps(data)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client gave up
            self.wfile.write(content)

    def log_message(self, *_args):
        pass


@pytest.fixture
def engine():
    handler = type("One", (Engine,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    handler.url = "http://127.0.0.1:%d" % server.server_address[1]
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def running(monkeypatch):
    """systemd says that everything runs."""

    def run(argv, **_more):
        out = "Id=%s\nLoadState=loaded\nActiveState=active\nNRestarts=0\n" % argv[-1] if argv[0] == "systemctl" else ""
        return command.Completed(tuple(argv), 0, out, "", False)

    monkeypatch.setitem(ready.Watcher.__init__.__kwdefaults__, "run", run)


@pytest.fixture
def nothing_deployed(monkeypatch):
    for module in (vllm_ready, vllm_probe):
        monkeypatch.setattr(module, "deployed", lambda *_a: [])


QUESTION = {
    "name": "introduce_yourself",
    "endpoint": "/v1/completions",
    "request": {"prompt": "介绍一下你自己"},
    "expect": {"language": "zh"},
}


class TestProbe:
    def test_answers_are_data(self, engine):
        result = call(vllm_probe, questions=[QUESTION], replicas=[{"url": engine.url}], served_model_name="qwen3.5")
        assert result["changed"] is False
        assert result["answers"][0]["text"] == engine.text
        assert result["answers"][0]["usage"] == {"total_tokens": 3}

    def test_every_replica_is_asked_and_every_failure_told(self, engine):
        engine.text = "no"
        replicas = [{"url": engine.url, "unit": "a", "served_model_name": "m"}, {"url": engine.url, "unit": "b"}]
        result = call(
            vllm_probe, questions=[QUESTION, {**QUESTION, "name": "again"}], replicas=replicas, served_model_name="m"
        )
        assert result["failed"]
        assert [line.split(": ")[0] for line in result["msg"].splitlines()] == [
            "1. a, introduce_yourself",
            "2. a, again",
            "3. b, introduce_yourself",
            "4. b, again",
        ]

    def test_key(self, engine):
        engine.key = "hush-hush"
        arguments = {"questions": [QUESTION], "replicas": [{"url": engine.url}], "served_model_name": "qwen3.5"}
        assert "vllm_smoke_api_key" in call(vllm_probe, **arguments)["msg"]
        assert not call(vllm_probe, api_key="hush-hush", **arguments).get("failed")

    def test_what_is_wrong_may_be_left_to_the_caller(self, engine):
        engine.text = "no"
        given = {"questions": [QUESTION], "replicas": [{"url": engine.url, "unit": "a"}], "served_model_name": "m"}
        result = call(vllm_probe, fail_on_problems=False, **given)
        assert not result.get("failed")
        assert result["problems"][0].startswith("a, introduce_yourself: found ")

    def test_an_answer_that_does_not_come_within_seconds_is_not_settled(self, engine, monkeypatch, tmp_path):
        monkeypatch.setattr(vllm_probe, "PATIENCE_SECONDS", 0.3)
        engine.pause = 1.0
        progress = tmp_path / "progress"
        given = {"questions": [QUESTION], "replicas": [{"url": engine.url, "unit": "a"}], "served_model_name": "m"}
        result = call(vllm_probe, check_settled=True, **given)
        assert (result["settled"], result.get("failed")) == (False, None)
        monkeypatch.setattr(vllm_probe, "REPORT_SECONDS", 0.1)
        assert call(vllm_probe, progress=str(progress), **given)["settled"] is True
        assert json.loads(progress.read_text())[0]["question"] == "introduce_yourself"

    def test_a_deadline_of_nothing(self, engine):
        result = call(
            vllm_probe, questions=[QUESTION], replicas=[{"url": engine.url}], token_timeout=0, served_model_name="m"
        )
        assert result["msg"] == "found token_timeout: 0; needed more than 0"

    def test_a_host_without_replicas(self, nothing_deployed):
        assert "run site.yml" in call(vllm_probe, questions=[QUESTION])["msg"]
        assert call(vllm_probe, check=True, questions=[QUESTION])["answers"] == []


class TestReady:
    def test_ready_at_once(self, engine, running):
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url + "/", "served_model_name": "qwen3.5"}]
        result = call(vllm_ready, replicas=replicas)
        assert result["changed"] is False
        assert result["finished"] is True
        assert result["replicas"][0]["ready"] is True

    def test_idle(self, engine, running):
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url}]
        assert call(vllm_ready, state="idle", replicas=replicas)["replicas"][0]["text"] == "idle"
        engine.requests = 2
        result = call(vllm_ready, state="idle", replicas=replicas, timeout=0)
        assert "found 2 requests" in result["msg"]

    def test_one_look_says_whether_there_is_anything_to_wait_for(self, engine, running, tmp_path):
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url}]
        assert call(vllm_ready, replicas=replicas, check_settled=True)["settled"] is True
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": "http://127.0.0.1:1"}]
        progress = str(tmp_path / "job" / "progress")
        result = call(vllm_ready, replicas=replicas, check_settled=True, progress=progress)
        assert (result["settled"], result["finished"]) == (False, False)

    def test_one_look_without_an_answer_of_systemd_decides_nothing(self, engine, monkeypatch):
        def no_answer(argv, **_more):
            return command.Completed(tuple(argv), None, "", "", True)

        monkeypatch.setitem(ready.Watcher.__init__.__kwdefaults__, "run", no_answer)
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url}]
        for state in ("ready", "idle"):
            result = call(vllm_ready, replicas=replicas, check_settled=True, state=state)
            assert (result["settled"], result["replicas"][0]["ready"]) == (False, False)

    def test_how_far_it_is_stands_in_a_file(self, engine, running, tmp_path):
        progress = tmp_path / "progress"
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url}]
        result = call(vllm_ready, replicas=replicas, progress=str(progress))
        assert json.loads(progress.read_text()) == result["replicas"]

    def test_the_evidence_of_an_engine_that_hangs_is_saved_and_named(self, engine, running, monkeypatch):
        saved = []
        monkeypatch.setattr(
            vllm_ready.stuck, "save", lambda unit, reason: saved.append((unit, reason)) or "/evidence/x"
        )
        engine.pause = 1.5
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": engine.url, "served_model_name": "qwen3.5"}]
        result = call(vllm_ready, replicas=replicas, first_token_timeout=0.5)
        assert saved == [("vllm-qwen3.5@0.service", "no first token within 0.5 s though /health answers")]
        assert result["msg"].endswith("\nEvidence: /evidence/x")

    def test_check_mode_does_not_wait(self, running):
        replicas = [{"unit": "vllm-qwen3.5@0.service", "url": "http://127.0.0.1:1"}]
        assert call(vllm_ready, check=True, replicas=replicas)["replicas"][0]["ready"] is False

    def test_a_host_without_replicas(self, nothing_deployed):
        assert "run site.yml" in call(vllm_ready)["msg"]
        assert call(vllm_ready, state="idle")["finished"] is True


class TestUnits:
    def test_units_must_be_whole(self):
        result = call(vllm_units, units=[{"name": "vllm-x@0.service"}])
        assert result["msg"].startswith("units[0]: found no content, environment,")

    def test_present_needs_units(self):
        assert "units" in call(vllm_units)["msg"]

    def test_absent_on_a_host_that_never_had_any(self, monkeypatch, tmp_path):
        def no_program(argv, **_more):
            return command.Completed(tuple(argv), 127, "", "not found", False)

        given = {"unit_dir": str(tmp_path), "config_dir": str(tmp_path), "run": no_program}
        for key, value in given.items():
            monkeypatch.setitem(_units.Host.__init__.__kwdefaults__, key, value)
        assert call(vllm_units, state="absent") | {"invocation": None} == {
            "changed": False,
            "units": [],
            "removed": [],
            "support_files": [],
            "diff": [],
            "invocation": None,
        }
