# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark client: its command, and outputs recorded from vLLM 0.16, 0.32 and 0.33."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._bench import client, metrics
from ansible_collections.ascend.fleet.plugins.module_utils._bench.client import ClientError
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
RECORDED = FIXTURES / "vllm"
#: What of the guide's commands is said differently: it is in the README's table.
DIFFERENT = {"host", "result-dir", "tokenizer"}
ADDED = {"save-result", "result-filename"}


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def shipped():
    return _releases.by_name("qwen3_5_27b_v0", {})


def options_of(words: list[str]) -> dict[str, str]:
    """The options of a command line by long name; a flag is ``true``."""
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found[name] = value if equals else "true"
        else:
            found[name] = word
    return found


def guide_command(name: str) -> dict[str, str]:
    text = (FIXTURES / "guide" / (name + ".sh")).read_text("utf-8")
    line = text[text.index("vllm bench serve") :]
    for variable, value in re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE):
        line = line.replace("$" + variable, value or "(path)")
    words = shlex.split(line)
    assert words[:3] == ["vllm", "bench", "serve"]
    return options_of(words[3:])


class TestCommand:
    @pytest.mark.parametrize(("number", "name"), [(0, "bench_random_mm"), (1, "bench_random")])
    def test_it_is_the_guide_s_option_by_option(self, number, name):
        workload = shipped()["benchmark"]["workloads"][number]
        argv = client.bench_argv(
            workload["options"],
            model="qwen3.5",
            port=8010,
            tokenizer="/models/qwen",
            result_dir="/results",
            result_file="x.json",
        )
        assert argv[:3] == ["vllm", "bench", "serve"]
        ours, guide = options_of(argv[3:]), guide_command(name)
        assert {n: v for n, v in ours.items() if n not in DIFFERENT | ADDED} == {
            n: v for n, v in guide.items() if n not in DIFFERENT
        }
        assert set(ours) - set(guide) == ADDED
        assert ours["host"] == "127.0.0.1"
        assert ours["tokenizer"] == "/models/qwen"

    def test_what_differs_stands_in_the_readmes(self):
        root = Path(__file__).resolve().parents[4]
        for name in ("README.md", "README.zh-CN.md"):
            text = (root / name).read_text(encoding="utf-8")
            for option in (*ADDED, "result-dir", "metric-percentiles"):
                assert "`--%s" % option in text, (name, option)


class TestProbe:
    @pytest.mark.parametrize(("name", "count"), [("0.16", 83), ("0.32", 100)])
    def test_recorded_help(self, name, count):
        said = "%s0.16.0rc2\n%s" % (client.MARK, recorded("bench-serve-help-%s.txt" % name))
        found = client.parse_probe("sha256:1", 0, said, "")
        assert found.version == "0.16.0rc2"
        assert {"num-warmups", "metric-percentiles", "save-result", "random-mm-bucket-config"} <= found.options
        assert len(found.options) >= count
        for workload in shipped()["benchmark"]["workloads"]:
            assert found.missing(workload["options"]) == []
        assert client.Client.from_data(json.loads(json.dumps(found.as_data()))) == found

    @pytest.mark.parametrize(
        ("status", "stderr", "words"),
        [
            (
                1,
                "ModuleNotFoundError: No module named 'vllm.benchmarks.serve'",
                "No module named 'vllm.benchmarks.serve'",
            ),
            (127, "sh: 1: vllm: not found", "vllm_bench_client_image"),
            (2, "vllm: error: argument subparser: invalid choice: 'bench'", "vllm_bench_client_image"),
            (None, "", "docker run"),
            (0, "", "needed `vllm bench serve`"),
        ],
    )
    def test_an_image_without_a_client(self, status, stderr, words):
        with pytest.raises(ClientError, match="found no benchmark client in the image sha256:1") as caught:
            client.parse_probe("sha256:1", status, client.MARK + "0.16\n", stderr)
        assert words in str(caught.value)

    @pytest.mark.parametrize("data", [None, [], {}, {"options": ["a"]}, {"options": [], "image_id": 1, "version": ""}])
    def test_a_damaged_note_of_a_client_is_none(self, data):
        assert client.Client.from_data(data) is None


class TestResult:
    @pytest.mark.parametrize("name", ["random-0.16.0", "random-mm-0.16.0", "random-0.33.0", "random-mm-0.33.0"])
    def test_recorded_results_hold_what_the_table_shows(self, name):
        prompts = json.loads(recorded("bench-%s.json" % name))["num_prompts"]
        numbers = client.judge(
            0, recorded("bench-%s.json" % name), recorded("bench-%s.out.txt" % name), "", prompts, where="x"
        )
        printed = {}
        for line in recorded("bench-%s.out.txt" % name).splitlines():
            title, colon, value = line.partition(":")
            if colon and title + ":" in {m.title for m in metrics.METRICS.values()}:
                printed[title + ":"] = float(value)
        assert len(printed) == 20
        shown = {m.title: round(float(numbers[n]), 2) for n, m in metrics.METRICS.items()}
        assert shown == printed
        assert "latencies" not in numbers

    def test_all_failed_with_exit_status_0(self):
        with pytest.raises(ClientError) as caught:
            client.judge(
                0,
                recorded("bench-allfailed-0.32.json"),
                recorded("bench-allfailed-0.32.out.txt"),
                "",
                6,
                where="vllm-qwen3.5@0.service",
            )
        said = str(caught.value)
        assert "found 0 of 6 requests completed and 6 failed, with exit status 0" in said
        assert "Cannot connect to host 127.0.0.1:8010" in said

    @pytest.mark.parametrize(
        ("changed", "words"),
        [({"completed": 5, "failed": 1}, "5 of 6 requests completed and 1 failed"), ({"completed": 4}, "4 of 6")],
    )
    def test_some_failed(self, changed, words):
        result = json.dumps({"completed": 6, "failed": 0, "duration": 1.0, **changed})
        with pytest.raises(ClientError, match=words):
            client.judge(0, result, "", "", 6, where="x")

    @pytest.mark.parametrize(
        ("status", "result", "stderr", "words"),
        [
            (None, None, "", "did not end within its deadline"),
            (1, None, "a\rb\nOSError: no tokenizer", "status 1 (OSError: no tokenizer)"),
            (0, None, "", "found no result file though the client ended with status 0"),
            (0, "{", "", "not JSON"),
            (0, "[]", "", "without `completed`"),
        ],
    )
    def test_no_result(self, status, result, stderr, words):
        with pytest.raises(ClientError) as caught:
            client.judge(status, result, "", stderr, 6, where="x")
        assert words in str(caught.value)
        assert "Fix: " in str(caught.value)


class TestProgress:
    @pytest.mark.parametrize("name", ["random-0.16.0", "random-0.33.0"])
    def test_recorded_bars(self, name):
        text = recorded("bench-%s.err.txt" % name)
        assert client.parse_progress(text) == (8, 8)
        assert client.parse_progress(text[: text.index("5/8 [") + 5]) == (5, 8)

    def test_before_the_bar(self):
        assert client.parse_progress("") is None
        assert client.parse_progress("INFO loading 3/4 parts") is None


def test_options_of_a_running_engine():
    argv = ["vllm", "serve", "/m", "--port", "8010", "--trust-remote-code", "--x={}", "--list", "a", "b"]
    assert client.parse_serve_argv(argv) == {
        "port": "8010",
        "trust-remote-code": "true",
        "x": "{}",
        "list": "a b",
    }
    assert client.parse_serve_argv(["sleep", "1"]) == {}
