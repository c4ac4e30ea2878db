# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: the shipped one against the guide, and every mistake that a file can hold."""

from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._release import schema, upgrade, variables
from ansible_collections.ascend.fleet.plugins.module_utils._release.problems import ReleaseError
from ansible_collections.ascend.fleet.plugins.module_utils._serving.argv import option_argv
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

GUIDE = Path(__file__).resolve().parents[2] / "fixtures" / "guide"
SHIPPED = _releases.SHIPPED / "qwen3_5_27b_v0.yml"


@pytest.fixture(scope="module")
def shipped():
    return _releases.load(SHIPPED)


def raw():
    # Through JSON, because an alias of YAML is one object in two places.
    return json.loads(json.dumps(yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))))


def put(data, path, value):
    """Set ``a.b[0].c`` in plain data; DELETE removes it."""
    keys = [int(k) if k.isdigit() else k for k in re.findall(r"[^.\[\]]+", path)]
    for key in keys[:-1]:
        data = data[key]
    if value is DELETE:
        del data[keys[-1]]
    else:
        data[keys[-1]] = value


DELETE = object()


def problems(*changes):
    data = raw()
    for path, value in changes:
        put(data, path, value)
    with pytest.raises(ReleaseError) as caught:
        schema.validate(data, name="qwen3_5_27b_v0")
    return caught.value.problems


class TestGuide:
    """Every value of the guide is in the release."""

    def test_components(self, shipped):
        rows = [line.strip("| \n").split(" | ") for line in (GUIDE / "components.md").read_text("utf-8").splitlines()]
        table = {row[0]: row[1] for row in rows if len(row) == 2}
        for image in shipped["images"]:
            components = image["components"]
            for name in ("torch", "torch_npu", "vllm", "vllm_ascend"):
                assert components[name] == table[name]
            # The guide's cell holds two versions without a blank between them.
            assert table["torchvision"].startswith(components["torchvision"])
            # Its transformers is torch's version: shown, never compared.
            assert "transformers" not in components
            assert image["reported_components"] == ["transformers"]
        assert shipped["driver"]["version"] == shipped["firmware"]["package_version"] == table["驱动固件"]
        assert shipped["cann"]["version"] == table["CANN"]

    def test_artifacts(self, shipped):
        text = (GUIDE / "artifacts.sh").read_text("utf-8")
        a2, a3 = shipped["images"]
        assert "git clone %s\n" % a2["repository"] in text
        assert "git lfs pull %s\n" % a2["path"] in text
        assert a3["repository"] == a2["repository"]
        assert a3["path"] == a2["path"].replace("-A2-", "-A3-")
        assert (a2["tag"], a3["tag"]) == ("vllm-ascend:qwen3_5-v0-a2", "vllm-ascend:qwen3_5-v0-a3")
        assert shipped["model"]["repository"] == "https://modelers.cn/Qwen-AI/Qwen3.5-27B.git"

    def test_shm_size(self, shipped):
        words = shlex.split((GUIDE / "docker_run.sh").read_text("utf-8").replace("\\\n", " "), comments=True)
        assert shipped["serve"]["container"]["shm_size"] == words[words.index("--shm-size") + 1]

    @pytest.mark.parametrize(("number", "name"), [(0, "smoke_completion.sh"), (1, "smoke_picture.sh")])
    def test_questions(self, shipped, number, name):
        text = (GUIDE / name).read_text("utf-8")
        words = shlex.split(text.replace("\\\n", " "), comments=True)
        question = shipped["smoke"]["questions"][number]
        assert words[1] == "http://localhost:%d%s" % (shipped["serve"]["port"], question["endpoint"])
        body = json.loads(words[words.index("-d") + 1])
        assert {"model": shipped["serve"]["served_model_name"], **question["request"]} == body

    @pytest.mark.parametrize(("number", "name"), [(0, "bench_random_mm"), (1, "bench_random")])
    def test_workloads(self, shipped, number, name):
        text = (GUIDE / (name + ".sh")).read_text("utf-8")
        values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
        line = text[text.index("vllm bench serve") :]
        for variable, value in values.items():
            line = line.replace("$" + variable, value or "(path)")
        words = [w for word in shlex.split(line)[3:] for w in (word.split("=", 1) if word.startswith("--") else [word])]
        at_run_time = ("--model", "--host", "--port", "--tokenizer", "--result-dir")
        wanted: list[str] = []
        skip = False
        for word in words:
            if word.startswith("--"):
                skip = word in at_run_time
            if not skip:
                wanted.append(word)
        options = shipped["benchmark"]["workloads"][number]["options"]
        assert [w for o, v in options.items() for w in option_argv(o, v)] == wanted

    @pytest.mark.parametrize(("number", "name"), [(0, "bench_random_mm"), (1, "bench_random")])
    def test_baselines(self, shipped, number, name):
        titles = {
            "Successful requests": "completed",
            "Failed requests": "failed",
            "Maximum request concurrency": "max_concurrency",
            "Benchmark duration (s)": "duration",
            "Total input tokens": "total_input_tokens",
            "Total generated tokens": "total_output_tokens",
            "Request throughput (req/s)": "request_throughput",
            "Output token throughput (tok/s)": "output_throughput",
            "Peak output token throughput (tok/s)": "max_output_tokens_per_s",
            "Peak concurrent requests": "max_concurrent_requests",
            "Total token throughput (tok/s)": "total_token_throughput",
        }
        table = {}
        for line in (GUIDE / (name + ".txt")).read_text("utf-8").splitlines():
            row = re.match(r"([^:#=]+): +([\d.]+)$", line)
            if row:
                title, value = row.groups()
                latency = re.match(r"(Mean|Median|P99) (TTFT|TPOT|ITL) \(ms\)$", title)
                key = "%s_%s_ms" % latency.groups() if latency else titles[title]
                table[key.lower()] = float(value)
        assert len(table) == 20
        assert shipped["benchmark"]["workloads"][number]["baseline"] == table

    def test_timeouts(self, shipped):
        assert shipped["serve"]["ready_timeout_seconds"] == 2700
        assert shipped["serve"]["silence_timeout_seconds"] == 600

    def test_picture_travels_with_the_question(self, shipped):
        picture = shipped["smoke"]["questions"][1]["picture_data"]
        assert picture.startswith("data:image/png;base64,iVBOR")


class TestMistakes:
    @pytest.mark.parametrize(
        ("path", "value", "found", "needed"),
        [
            ("release", "Qwen-3.5", '"Qwen-3.5"', "lower-case"),
            ("release", "other", '"other"', "as the file is called"),
            ("driver", DELETE, "nothing", "a mapping"),
            ("driver.version", 25.2, "the number 25.2", "in quotes"),
            ("driver.version", "twenty", '"twenty"', "such as 25.2.0"),
            ("firmware.package_version", DELETE, "nothing", "a version"),
            ("drvier", {}, "did you mean `driver`", "one of:"),
            ("images", [], "a list of 0", "at least one"),
            ("images[0].generation", "A2", '"A2"', "did you mean `a2`"),
            ("images[0].architecture", "arm64", '"arm64"', "aarch64"),
            ("images[0].path", "../x.tar", '"../x.tar"', "without `..`"),
            ("images[0].path", "/x.tar", '"/x.tar"', "relative"),
            ("images[0].sha256", "abc", '"abc"', "64 hexadecimal"),
            ("images[0].image_id", "fb1ff01be008", '"fb1ff01be008"', "sha256: and 64"),
            ("images[0].tag", "vllm-ascend", '"vllm-ascend"', "with its tag"),
            ("images[0].repository", "modelers.cn/x.git", '"modelers.cn/x.git"', "URL of a git repository"),
            ("images[0].repository", "https://me:hush@x/y.git", "https://***@x", "without user name"),
            ("images[1].generation", "a2", "a2, architecture any", "images[0]"),
            ("images[0].size_bytes", -1, "the number -1", "1 or more"),
            ("images[0].components.torch", 2.9, "the number 2.9", "in quotes"),
            ("model.name", "a/b", '"a/b"', "becomes a folder"),
            ("model.include", "*", '"*"', "a list of texts"),
            ("serve.served_model_name", "qwen/3.5", '"qwen/3.5"', "letters"),
            ("serve.port", 80100, "the number 80100", "from 1024 to 65535"),
            ("serve.port", "8010", '"8010"', "an integer"),
            ("serve.options", ["--x"], "a list of 1", "a mapping"),
            ("serve.options.max-num-seq", 1, "did you mean `max-num-seqs`", "vllm serve` 0.16"),
            ("serve.options.--seed", 1, '"--seed"', "without `--`"),
            ("serve.options.max_num_seqs", 1, '"max_num_seqs"', "such as `max-num-seqs`"),
            ("serve.options.port", 1, "the number 1", "serve.port"),
            ("serve.options.api-key", "hush", "this option", "vllm_serve_api_key"),
            ("serve.options.model", "Qwen/X", '"Qwen/X"', "weights"),
            ("serve.options.trust-remote-code", "yes", '"yes"', "true, or false for --no-trust-remote-code"),
            ("serve.options.no-async-scheduling", True, "async-scheduling: false", "option of"),
            ("serve.options.headless", False, "the boolean false", "true, or null"),
            ("serve.options.tensor-parallel-size", "four", '"four"', "an integer"),
            ("serve.options.tensor-parallel-size", 0, "the number 0", "1 or more"),
            ("serve.options.gpu-memory-utilization", 1.94, "the number 1.94", "at most 1"),
            ("serve.options.max-model-len", "long", '"long"', "tokens"),
            ("serve.options.compilation-config", "{bad", '"{bad"', "JSON says"),
            ("serve.options.compilation-config", "[1]", '"[1]"', "JSON object"),
            ("serve.options.additional-config", {"enable_cpu_bindng": 1}, "did you mean `enable_cpu_binding`", "0.14"),
            ("serve.options.max-num-batched-tokens", 64, "the number 64", "max-num-seqs (128) or more"),
            ("serve.environment.OMP_PROC_BIND", False, "the boolean false", 'such as "false"'),
            ("serve.environment.A-B", "1", '"A-B"', "letters, digits and _"),
            ("serve.environment.A", "1\nB=2", '"1\\nB=2"', "one line"),
            ("serve.container.shm_size", "lots", '"lots"', "such as 100g"),
            ("serve.ready_timeout_seconds", 0, "the number 0", "1 or more"),
            ("smoke.questions[0].endpoint", "/v1/chat", '"/v1/chat"', "/v1/chat/completions"),
            ("smoke.questions[0].request", {}, "a mapping", "body"),
            ("smoke.questions[0].request", {"messages": []}, "nothing", "/v1/completions is to be asked"),
            ("smoke.questions[0].request.model", "gpt", '"gpt"', "qwen3.5"),
            ("smoke.questions[0].expect.pattern", "(", '"("', "regular expression"),
            ("smoke.questions[0].expect.language", "fr", '"fr"', "zh, en"),
            ("smoke.questions[0].expect.patern", "x", "did you mean `pattern`", "one of:"),
            ("smoke.questions[1].name", "introduce_yourself", "introduce_yourself", "no other question"),
            ("smoke.questions[1].request.messages", [{"role": "user", "content": "x"}], "tongyi", "image_url"),
            ("benchmark.workloads[0].options.tokenizer", "x", "this option", "at run time"),
            ("benchmark.workloads[0].options.num-prompts", DELETE, "nothing", "not defined without"),
            ("benchmark.workloads[0].baseline.mean_tftt_ms", 1, "did you mean `mean_ttft_ms`", "one of:"),
            ("benchmark.workloads[0].baseline.duration", "fast", '"fast"', "a number"),
            ("upgrade.bake.error_share", 2, "the number 2", "from 0.0001 to 1"),
            ("upgrade.bake.min_requests", 0, "the number 0", "1 or more"),
            ("upgrade.bake.ttft_p95", 0.9, "the number 0.9", "from 1 to 100"),
            ("upgrade.bake.eror_share", 0.1, "did you mean `error_share`", "one of:"),
            ("upgrade.capacity.kv_cache_usage", "80%", '"80%"', "from 0.01 to 1"),
            ("upgrade.bench.output_throughput_again", 0.85, "0.85", "output_throughput (0.9) or more"),
            ("upgrade.bench.median_tpot_ms", True, "the boolean true", "from 1 to 100"),
            ("upgrade.canary", {}, "an unknown key", "one of: bake, bench, capacity"),
            ("upgrade.bench", 3, "the number 3", "a mapping"),
        ],
    )
    def test_one(self, path, value, found, needed):
        listed = problems((path, value))
        texts = [p.text() for p in listed]
        assert len(listed) == 1, texts
        stem = re.sub(r"\[\d+\]", "", path).split(".")[0]
        assert listed[0].path.startswith(stem) or stem == "drvier"
        assert found in listed[0].found
        assert needed in listed[0].needed
        assert "hush" not in texts[0]

    def test_all_at_once(self):
        listed = problems(
            ("driver.version", 25.2),
            ("images[0].generation", "a5"),
            ("serve.options.nope", 1),
            ("serve.port", 0),
            ("smoke.questions[0].endpoint", "x"),
            ("benchmark.workloads[1].baseline.duration", None),
            ("extra", 1),
        )
        assert [p.path for p in listed] == [
            "driver.version",
            "images[0].generation",
            "serve.port",
            "serve.options.nope",
            "smoke.questions[0].endpoint",
            "benchmark.workloads[1].baseline.duration",
            "extra",
        ]

    @pytest.mark.parametrize("data", [None, [], "x", 3])
    def test_no_mapping_at_all(self, data):
        with pytest.raises(ReleaseError, match="release: NAME"):
            schema.validate(data)

    @pytest.mark.parametrize("version", ["25.2.0", "24.1.RC2", "25.6.rc1.b169", "8.2.RC1", "2.9.0+cpu", "9.0.0-beta.1"])
    def test_versions_of_the_field_pass(self, version):
        data = raw()
        data["driver"]["version"] = version
        assert schema.validate(data)["driver"]["version"] == version

    def test_unknown_versions_of_vllm_are_not_judged(self):
        data = raw()
        for image in data["images"]:
            image["components"] = {"vllm": "0.99.0", "vllm_ascend": "0.99.0"}
        data["serve"]["options"]["some-new-option"] = 1
        data["serve"]["options"]["additional-config"] = {"some_new_key": True}
        schema.validate(data)

    def test_nothing_of_the_input_is_changed(self):
        data = raw()
        kept = copy.deepcopy(data)
        schema.validate(data)
        assert data == kept

    def test_defaults_are_filled_in(self):
        data = {
            "release": "small",
            "driver": {"version": "25.2.0"},
            "firmware": {"package_version": "25.2.0"},
            "cann": {"version": "8.5.0"},
            "images": [{"generation": "a2", "repository": "https://x/y.git", "path": "a.tar", "tag": "a:b"}],
            "model": {"name": "m", "repository": "https://x/m.git"},
            "serve": {"served_model_name": "m", "options": {"tensor-parallel-size": 2, "seed": None}},
        }
        release = schema.validate(data)
        assert release["images"][0]["architecture"] == "any"
        assert release["images"][0]["components"] == {}
        assert release["model"]["include"] == ["*"]
        assert release["serve"]["port"] == 8010
        assert release["serve"]["options"] == {"tensor-parallel-size": 2}
        assert release["serve"]["container"] == {"shm_size": "100g"}
        assert release["smoke"] == {"questions": []}
        assert release["benchmark"] == {"workloads": []}
        assert release["upgrade"] == upgrade.DEFAULTS
        assert release["upgrade"]["bake"] is not upgrade.DEFAULTS["bake"]

    def test_a_part_of_the_upgrade_section_leaves_the_defaults_of_the_rest(self):
        data = raw()
        assert schema.validate(data)["upgrade"] == upgrade.DEFAULTS
        data["upgrade"] = {"bake": {"ttft_p95": 1.25, "min_requests": None}}
        found = schema.validate(data)
        assert found["upgrade"] == {**upgrade.DEFAULTS, "bake": {**upgrade.DEFAULTS["bake"], "ttft_p95": 1.25}}
        assert upgrade.limits(found, "bake")["ttft_p95"] == 1.25
        assert upgrade.limits({"upgrade": {"bench": {"p95_ttft_ms": 2}}}, "bench")["p95_ttft_ms"] == 2
        assert upgrade.limits({}, "capacity") == upgrade.DEFAULTS["capacity"]

    @pytest.mark.parametrize("value", [[10, 2], [0], ["0.5", 2], [0, 0.1]])
    def test_minutes_of_a_bake(self, value):
        assert variables.check_values({"fleet_bake_minutes": value, "fleet_promote": "true"}) == []

    @pytest.mark.parametrize("value", [10, "10", [], [1, 2, 3], [-1], ["x"], [2000], [True]])
    def test_what_are_no_minutes_of_a_bake(self, value):
        [problem] = variables.check_values({"fleet_bake_minutes": value})
        assert "such as [10, 2]" in problem.needed


class TestFiles:
    def write(self, folder, name, text):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / (name + ".yml")).write_text(text, encoding="utf-8")

    def test_the_users_own_hides_a_shipped_one(self, tmp_path):
        text = SHIPPED.read_text(encoding="utf-8").replace("picture: files/tongyi_qwen.png", "picture: null")
        self.write(tmp_path / "releases", "qwen3_5_27b_v0", text.replace("port: 8010", "port: 9000"))
        assert _releases.by_name("qwen3_5_27b_v0", {"inventory_dir": str(tmp_path)})["serve"]["port"] == 9000
        assert _releases.by_name("qwen3_5_27b_v0", {"playbook_dir": str(tmp_path)})["serve"]["port"] == 9000
        (tmp_path / "hosts.yml").write_text("all:\n")
        variables = {"ansible_inventory_sources": [str(tmp_path / "hosts.yml"), "a,b"]}
        assert _releases.by_name("qwen3_5_27b_v0", variables)["serve"]["port"] == 9000
        assert _releases.by_name("qwen3_5_27b_v0", {})["serve"]["port"] == 8010

    @pytest.mark.parametrize("name", ["qwen3_5_27b_v1", "../qwen3_5_27b_v0", "", None])
    def test_unknown_names_list_the_known_ones(self, name, tmp_path):
        with pytest.raises(ReleaseError) as caught:
            _releases.by_name(name, {"inventory_dir": str(tmp_path)})
        if name:
            assert "one of: qwen3_5_27b_v0" in str(caught.value)
            assert str(tmp_path / "releases") in str(caught.value)
        if name == "qwen3_5_27b_v1":
            assert "did you mean `qwen3_5_27b_v0`" in str(caught.value)

    def test_a_key_twice_is_a_mistake(self, tmp_path):
        self.write(tmp_path, "twice", "release: twice\nserve:\n  port: 1\n  host: x\n  port: 2\n")
        with pytest.raises(ReleaseError) as caught:
            _releases.load(tmp_path / "twice.yml")
        assert "line 5, column 3: found the key `port` of line 3 once more" in str(caught.value)

    def test_broken_yaml_names_the_line(self, tmp_path):
        self.write(tmp_path, "broken", "release: broken\nserve: [1,\n")
        with pytest.raises(ReleaseError, match=r"line \d+, column \d+"):
            _releases.load(tmp_path / "broken.yml")

    @pytest.mark.parametrize(
        ("picture", "words"),
        [("files/none.png", "no file"), ("files/x.exe", "a name in"), ("../x.png", "without `..`")],
    )
    def test_a_picture_must_be_there(self, tmp_path, picture, words):
        text = SHIPPED.read_text(encoding="utf-8").replace("files/tongyi_qwen.png", picture)
        self.write(tmp_path, "qwen3_5_27b_v0", text)
        with pytest.raises(ReleaseError) as caught:
            _releases.load(tmp_path / "qwen3_5_27b_v0.yml")
        assert words in str(caught.value)

    def test_aliases_and_merges_are_fine(self, tmp_path):
        text = SHIPPED.read_text(encoding="utf-8").replace("components: *components", "components: {<<: *components}")
        text = text.replace("picture: files/tongyi_qwen.png", "picture: null")
        self.write(tmp_path, "qwen3_5_27b_v0", text)
        a2, a3 = _releases.load(tmp_path / "qwen3_5_27b_v0.yml")["images"]
        assert a2["components"] == a3["components"]

    def test_a_file_is_read_once_and_again_when_it_or_a_picture_changes(self, tmp_path, monkeypatch):
        read = []
        monkeypatch.setattr(_releases, "_load", lambda path, load=_releases._load: read.append(path) or load(path))
        self.write(tmp_path, "qwen3_5_27b_v0", SHIPPED.read_text(encoding="utf-8"))
        picture = tmp_path / "files" / "tongyi_qwen.png"
        picture.parent.mkdir()
        picture.write_bytes(b"one")
        path = tmp_path / "qwen3_5_27b_v0.yml"
        first = _releases.load(path)
        first["serve"]["port"] = 1  # what a caller does with its own
        assert _releases.load(path)["serve"]["port"] == 8010
        assert len(read) == 1
        picture.write_bytes(b"other")
        assert _releases.load(path)["smoke"] != first["smoke"]
        self.write(tmp_path, "qwen3_5_27b_v0", SHIPPED.read_text("utf-8").replace("port: 8010", "port: 19010"))
        assert _releases.load(path)["serve"]["port"] == 19010
        assert len(read) == 3
        picture.unlink()
        with pytest.raises(ReleaseError, match="no file"):
            _releases.load(path)
