# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark reads of the engines of a host."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._bench import client, engine
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker

IMAGE = "sha256:" + "a" * 64
UNIT = {
    "name": "vllm-qwen3.5@0.service",
    "replica": 0,
    "port": 8010,
    "url": "http://127.0.0.1:8010",
    "served_model_name": "qwen3.5",
    "release": "r",
    "weights": "/var/lib/ascend-fleet/models/qwen",
    "container_name": "vllm-qwen3.5-0",
    "indices": [0, 1],
    "directory": "/var/lib/ascend-fleet/replicas/vllm-qwen3.5-0",
}
RAW = {
    "Name": "/vllm-qwen3.5-0",
    "Image": IMAGE,
    "State": {"Status": "running"},
    "Config": {
        "Cmd": ["vllm", "serve", "/m", "--port", "8010", "--tensor-parallel-size", "2", "--max-num-seqs", "128"],
        "Env": ["PATH=/bin", "HCCL_BUFFSIZE=1024", "VLLM_API_KEY=geheim", "MASTER_PORT=1"],
    },
    "Mounts": [
        {"Type": "bind", "Source": "/models", "Destination": "/models", "RW": True},
        {"Type": "bind", "Source": UNIT["directory"], "Destination": UNIT["directory"]},
        {"Type": "volume", "Source": "/v", "Destination": "/v"},
    ],
}
DEVICES = [{"index": 0, "name": "910B3"}, {"index": 1, "name": "910B3"}, {"index": 2, "name": "910B4"}]
HELP = "%s0.16\noptions:\n  --num-prompts N\n  --save-result X\n  --result-filename F\n" % client.MARK

#: Not given, where None is a value of its own.
MISSING = object()


class Daemon:
    """docker as far as it is asked."""

    def __init__(self, raw=MISSING, status=0, said=HELP, stderr=""):
        self.raw, self.status, self.said, self.stderr = RAW if raw is MISSING else raw, status, said, stderr
        self.runs: list[list[str]] = []

    def __call__(self, argv, **_options):
        words = list(argv)[1:]
        if words[0] == "ps":
            return Completed(tuple(argv), 0, "id\n" if self.raw else "", "", False)
        if words[:2] == ["container", "inspect"]:
            return Completed(tuple(argv), 0, json.dumps([self.raw]), "", False)
        if words[:2] == ["image", "inspect"]:
            found = [{"Id": IMAGE, "Config": {"Env": ["PATH=/bin"]}}]
            return Completed(tuple(argv), 0, json.dumps(found), "", False)
        self.runs.append(words)
        return Completed(tuple(argv), self.status, self.said, self.stderr, False)


def test_what_runs_is_read_from_its_container():
    [found], problems = engine.read([UNIT], DEVICES, Docker(run=Daemon()))
    assert problems == []
    assert (found["image_id"], found["chip"], found["tensor_parallel_size"]) == (IMAGE, "910B3", 2)
    assert found["serve_options"] == {"tensor-parallel-size": "2", "max-num-seqs": "128"}
    assert found["environment"] == {"HCCL_BUFFSIZE": "1024"}
    assert found["binds"] == ["/models:/models:ro"]
    assert "geheim" not in json.dumps(found)


@pytest.mark.parametrize("raw", [None, {**RAW, "State": {"Status": "exited"}}, {**RAW, "Name": "/other"}])
def test_a_unit_without_its_container(raw):
    found, problems = engine.read([UNIT], DEVICES, Docker(run=Daemon(raw)))
    assert found == []
    assert problems[0].startswith("vllm-qwen3.5@0.service: found no running container; needed the engine. Fix: ")


def test_chips_of_two_kinds_are_both_named():
    assert engine.describe({**UNIT, "indices": [1, 2]}, RAW, {}, {1: "910B3", 2: "910B4"})["chip"] == "910B3, 910B4"


class TestTokenizer:
    def test_it_is_there(self, tmp_path):
        (tmp_path / "tokenizer.json").write_text("{}")
        assert engine.tokenizer_problem(str(tmp_path)) is None

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, "found no tokenizer in"),
            ({"tokenizer.json": "version https://git-lfs.github.com/spec/v1\n"}, "found a git-lfs pointer in"),
        ],
    )
    def test_it_cannot_be_read(self, files, words, tmp_path):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        assert words in str(engine.tokenizer_problem(str(tmp_path)))

    @pytest.mark.parametrize("weights", [None, ""])
    def test_a_unit_that_does_not_tell_its_weights(self, weights):
        assert "found no folder of the weights" in str(engine.tokenizer_problem(weights))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200), None),
        (Answer(503, "down"), "found HTTP 503"),
        (Answer(None, error="connection refused"), "found connection refused at http://127.0.0.1:8010/health"),
    ],
)
def test_an_engine_that_does_not_serve(answer, words):
    problem = engine.health_problem({"unit": UNIT["name"], "url": UNIT["url"]}, lambda url, **_o: answer)
    assert problem is None if words is None else words in problem


def test_marks_tell_whose_they_are(tmp_path):
    (tmp_path / "vllm-a@0.service").write_text('{"reason": "benchmark"}')
    (tmp_path / "vllm-a@1.service").write_text('{"reason": "replace vllm-a@1"}')
    (tmp_path / "vllm-a@2.service").write_text("")
    assert engine.marks(str(tmp_path)) == {
        "vllm-a@0.service": engine.MARK_REASON,
        "vllm-a@1.service": "replace vllm-a@1",
        "vllm-a@2.service": "not known",
    }
    assert engine.marks(str(tmp_path / "none")) == {}


class TestClient:
    def test_it_is_asked_once_and_remembered(self, tmp_path):
        daemon = Daemon()
        found = engine.ask_client(IMAGE, ["/models:/models:ro"], Docker(run=daemon), [], str(tmp_path))
        assert engine.known_client(IMAGE, str(tmp_path)) == found
        assert found.version == "0.16"
        [words] = daemon.runs
        assert words[0] == "run"
        assert words[-3:-1] == ["sh", "-c"]
        assert words[words.index("-w") + 1] == "/"
        assert "--entrypoint" not in words
        assert engine.known_client("sha256:other", str(tmp_path)) is None

    def test_an_image_without_one_is_not_remembered(self, tmp_path):
        daemon = Daemon(status=1, stderr="No module named 'vllm.benchmarks'")
        with pytest.raises(client.ClientError, match="found no benchmark client"):
            engine.ask_client(IMAGE, [], Docker(run=daemon), [], str(tmp_path))
        assert engine.known_client(IMAGE, str(tmp_path)) is None

    @pytest.mark.parametrize("text", ["", "{", "{}", '{"image_id": "sha256:other", "version": "1", "options": []}'])
    def test_a_damaged_note_is_as_none(self, text, tmp_path):
        engine.ask_client(IMAGE, [], Docker(run=Daemon()), [], str(tmp_path))
        [note] = (tmp_path / "clients").iterdir()
        note.write_text(text)
        assert engine.known_client(IMAGE, str(tmp_path)) is None
