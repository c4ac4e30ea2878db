# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host, held against the guide's own commands."""

from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu import slots
from ansible_collections.ascend.fleet.plugins.module_utils._serving import container, plan, unit_file
from ansible_collections.ascend.fleet.plugins.module_utils._serving.argv import (
    chips_per_replica,
    option_argv,
    serve_argv,
)
from ansible_collections.ascend.fleet.plugins.module_utils._serving.deployed import exec_start, parse_unit
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import ServingError, Settings
from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
WEIGHTS = "/data/ascend-fleet/models/Qwen3.5-27B"
IMAGE = "sha256:" + "5" * 64


def guide_words(name: str, program: str, variables: dict[str, str]) -> list[str]:
    """The words of the guide's command that begins with ``program``."""
    text = (FIXTURES / "guide" / name).read_text(encoding="utf-8")
    text = text[text.index("\n%s " % program) :].replace("\\\n", " ")
    for variable, value in variables.items():
        text = text.replace("$" + variable, value)
    return shlex.split(text)


@pytest.fixture(scope="module")
def release():
    return _releases.by_name("qwen3_5_27b_v0", {})


def a_node(count=8, dies=1, **more):
    devices = []
    for index in range(count):
        devices.append(
            {
                "npu_id": index // dies,
                "chip_id": index % dies,
                "index": index,
                "node": "/dev/davinci%d" % index,
                "node_present": True,
                "health": "OK",
                "numa_node": None,
                "cpu_affinity": None,
            }
        )
    node = {
        "devices": devices,
        "npu_smi": {"path": "/usr/local/sbin/npu-smi"},
        "mounts": {
            "/usr/local/Ascend/driver/lib64": "directory",
            "/usr/local/Ascend/driver/version.info": "file",
            "/usr/local/dcmi": "directory",
            "/etc/ascend_install.info": "file",
            "/etc/hccn.conf": "file",
        },
        "docker": {"default_runtime": "runc"},
        "programs": {"docker": "/usr/bin/docker"},
    }
    node.update(more)
    return node


def settings(**more):
    return Settings(**{"image": IMAGE, "weights": "/var/lib/ascend-fleet/models/Qwen3.5-27B", **more})


def guide_settings(**more):
    return settings(**{"weights": WEIGHTS, "profile": "guide", **more})


class TestServeArgv:
    def test_equals_the_guide_word_for_word(self, release):
        wanted = guide_words("vllm_serve.sh", "vllm serve", {"weight_path": WEIGHTS})
        assert serve_argv(release["serve"], WEIGHTS) == wanted

    @pytest.mark.parametrize("path", ["", "  ", None])
    def test_refuses_an_empty_path(self, release, path):
        with pytest.raises(ServingError, match=r"Qwen3-0\.6B"):
            serve_argv(release["serve"], path)

    def test_overrides_stand_where_the_release_had_them(self, release):
        argv = serve_argv(
            release["serve"],
            WEIGHTS,
            port=8011,
            options={"max-num-seqs": 64, "mm-processor-cache-gb": None, "async-scheduling": False, "seed": 7},
        )
        base = serve_argv(release["serve"], WEIGHTS)
        assert argv.index("--max-num-seqs") == base.index("--max-num-seqs")
        assert argv[argv.index("--max-num-seqs") + 1] == "64"
        assert argv[argv.index("--port") + 1] == "8011"
        assert "--mm-processor-cache-gb" not in argv
        assert "--no-async-scheduling" in argv
        assert argv[-2:] == ["--seed", "7"]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (True, ["--x"]),
            (False, ["--no-x"]),
            (None, []),
            (0, ["--x", "0"]),
            (0.94, ["--x", "0.94"]),
            ("a b", ["--x", "a b"]),
            ([1, 2, 4], ["--x", "1", "2", "4"]),
            ({"cudagraph_mode": "FULL_DECODE_ONLY"}, ["--x", '{"cudagraph_mode": "FULL_DECODE_ONLY"}']),
            ({"说": True}, ["--x", '{"说": true}']),
        ],
    )
    def test_values(self, value, words):
        assert option_argv("x", value) == words

    @pytest.mark.parametrize(
        ("options", "chips"),
        [
            ({}, 1),
            ({"tensor-parallel-size": 4, "data-parallel-size": 1}, 4),
            ({"tensor-parallel-size": 2, "pipeline-parallel-size": 2, "data-parallel-size": 2}, 8),
            ({"tensor-parallel-size": 4, "data-parallel-size": 4, "data-parallel-size-local": 2}, 8),
        ],
    )
    def test_chips_per_replica(self, options, chips):
        assert chips_per_replica(options) == chips


class TestGuideProfile:
    """`docker run` of the guide's profile is the guide's, but for what systemd forces, each difference named here."""

    def test_docker_argv_equals_the_guide_argument_by_argument(self, release):
        unit = plan.plan_replicas(a_node(), release, guide_settings())[0]
        ours = list(unit["docker_argv"])
        wanted = guide_words("docker_run.sh", "docker run", {"image_id": IMAGE})
        # 1. systemd starts a program by its path.
        assert wanted[0] == "docker"
        wanted[0] = "/usr/bin/docker"
        # 2. systemd watches a process in the foreground; --rm leaves no container behind that blocks the name.
        wanted[wanted.index("-itd")] = "--rm"
        # 3. `bash`, in which the guide then types, becomes the command itself ...
        assert wanted.pop() == "bash"
        wanted += guide_words("vllm_serve.sh", "vllm serve", {"weight_path": WEIGHTS})
        # 4. ... whose `export` lines become a file, and which runs in / (in /vllm-workspace it fails) ...
        # 5. ... and labels say whose the container is. All stand in front of the image, where docker wants them.
        at = ours.index(IMAGE)
        begin = ours.index("--env-file")
        added = ours[begin:at]
        assert ours[:begin] + ours[at:] == wanted
        assert added[:4] == ["--env-file", "/etc/ascend-fleet/vllm-qwen3.5@0.env", "-w", "/"]
        assert set(added[4::2]) == {"--label"}
        assert all(label.startswith("ascend.fleet.") for label in added[5::2])

    def test_exports_are_the_guide_s(self, release):
        text = (FIXTURES / "guide" / "vllm_serve.sh").read_text(encoding="utf-8")
        exports = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines() if line.startswith("export "))
        assert len(exports) == 5
        unit = plan.plan_replicas(a_node(), release, guide_settings())[0]
        assert {k: unit["environment"][k] for k in exports} == exports
        assert release["serve"]["environment"] == exports

    def test_second_replica_sees_every_card_and_takes_its_own(self, release):
        first, second = plan.plan_replicas(a_node(), release, guide_settings())
        assert "ASCEND_RT_VISIBLE_DEVICES" not in first["environment"]
        assert second["environment"]["ASCEND_RT_VISIBLE_DEVICES"] == "4,5,6,7"
        assert second["container_name"] == "qwen3.5-1"
        assert second["docker_argv"].count("--device=/dev/davinci0") == 1
        assert second["command"][second["command"].index("--port") + 1] == "8011"

    def test_everything_lies_under_the_one_mount(self, release):
        for unit in plan.plan_replicas(a_node(), release, guide_settings()):
            assert all(d.startswith("/data/ascend-fleet/") for d in unit["directories"])
            assert unit["environment"]["VLLM_CACHE_ROOT"].startswith("/data/ascend-fleet/")

    @pytest.mark.parametrize(
        ("more", "node", "words"),
        [
            ({"weights": "/var/lib/models/x"}, {}, "under /data"),
            ({"data_root": "/srv/fleet"}, {}, "under /data"),
            ({}, {"npu_smi": {"path": "/usr/local/bin/npu-smi"}}, "/usr/local/sbin/npu-smi"),
            ({}, {"mounts": {"/etc/hccn.conf": "missing"}}, "/etc/hccn.conf"),
        ],
    )
    def test_refuses_what_the_guide_s_mounts_cannot_carry(self, release, more, node, words):
        with pytest.raises(ServingError, match=re.escape(words)):
            plan.plan_replicas(a_node(**node), release, guide_settings(**more))


class TestLeastPrivilege:
    def test_nothing_more_than_needed(self, release):
        second = plan.plan_replicas(a_node(), release, settings())[1]
        argv = second["docker_argv"]
        assert "--privileged" not in argv
        devices = [a.split("=", 1)[1] for a in argv if a.startswith("--device=")]
        assert devices == [*("/dev/davinci%d" % n for n in (4, 5, 6, 7)), "/dev/davinci_manager", "/dev/hisi_hdc"]
        assert argv[argv.index("--device") + 1] == "/dev/devmm_svm"
        volumes = [argv[i + 1] for i, a in enumerate(argv) if a == "-v"]
        writable = [v for v in volumes if not v.endswith(":ro")]
        own = "/var/lib/ascend-fleet/replicas/vllm-qwen3.5-1"
        assert writable == ["%s:%s" % (own, own)]
        assert set(volumes) - set(writable) == {
            "%s:%s:ro" % (p, p)
            for p in (
                "/usr/local/Ascend/driver/lib64",
                "/usr/local/Ascend/driver/version.info",
                "/usr/local/dcmi",
                "/etc/ascend_install.info",
                "/etc/hccn.conf",
                "/usr/local/sbin/npu-smi",
                "/var/lib/ascend-fleet/models/Qwen3.5-27B",
                "/var/lib/ascend-fleet/media",
            )
        }
        assert argv[argv.index("--security-opt") + 1] == "no-new-privileges"
        assert argv[argv.index("--shm-size") + 1] == "100g"
        assert argv[argv.index("-w") + 1] == "/"
        assert argv[argv.index("--env-file") + 1] == "/etc/ascend-fleet/vllm-qwen3.5@1.env"
        assert "ASCEND_RT_VISIBLE_DEVICES" not in second["environment"]
        assert "ASCEND_VISIBLE_DEVICES" not in second["environment"]

    def test_one_media_folder_instead_of_the_whole_file_system(self, release):
        command = plan.plan_replicas(a_node(), release, settings())[0]["command"]
        assert command[command.index("--allowed-local-media-path") + 1] == "/var/lib/ascend-fleet/media"
        command = plan.plan_replicas(a_node(), release, settings(media_path="/srv/pictures"))[0]["command"]
        assert command[command.index("--allowed-local-media-path") + 1] == "/srv/pictures"

    def test_otherwise_the_guide_s_command(self, release):
        wanted = guide_words("vllm_serve.sh", "vllm serve", {"weight_path": "/var/lib/ascend-fleet/models/Qwen3.5-27B"})
        wanted[wanted.index("--allowed-local-media-path") + 1] = "/var/lib/ascend-fleet/media"
        assert plan.plan_replicas(a_node(), release, settings())[0]["command"] == wanted

    def test_what_the_host_lacks_is_not_mounted(self, release):
        node = a_node(mounts={"/usr/local/dcmi": "missing", "/etc/hccn.conf": "directory"}, npu_smi={"path": None})
        volumes = [a for a in plan.plan_replicas(node, release, settings())[0]["docker_argv"] if a.endswith(":ro")]
        assert all("/var/lib/ascend-fleet/" in v for v in volumes)

    def test_replicas_share_nothing_that_clashes(self, release):
        units = plan.plan_replicas(a_node(16, 2), release, settings())
        assert len(units) == 4
        for key in ("HCCL_IF_BASE_PORT", "MASTER_PORT", "VLLM_CACHE_ROOT", "ASCEND_PROCESS_LOG_PATH", "HF_HOME"):
            assert len({u["environment"][key] for u in units}) == 4, key
        for key in ("name", "container_name", "port", "url", "env_path", "config_hash"):
            assert len({u[key] for u in units}) == 4, key
        used = [n for u in units for n in u["device_nodes"]]
        assert sorted(used) == sorted(set(used))

    def test_ascend_runtime_is_told_the_cards(self, release):
        units = plan.plan_replicas(a_node(docker={"default_runtime": "ascend"}), release, settings())
        assert [u["environment"]["ASCEND_VISIBLE_DEVICES"] for u in units] == ["0,1,2,3", "4,5,6,7"]


class TestSecrets:
    def test_api_key_is_in_no_argument_and_no_unit(self, release):
        unit = plan.plan_replicas(a_node(), release, settings(api_key="s3cr3t-k3y", environment={"HF_TOKEN": "t0k3n"}))[
            0
        ]
        assert unit["secrets"] == {"VLLM_API_KEY": "s3cr3t-k3y", "HF_TOKEN": "t0k3n"}
        shown = json.dumps({k: v for k, v in unit.items() if k != "secrets"})
        assert "s3cr3t-k3y" not in shown
        assert "t0k3n" not in shown
        assert "VLLM_API_KEY=s3cr3t-k3y\n" in container.env_file_text(unit["environment"], unit["secrets"])

    def test_changing_the_key_changes_the_configuration(self, release):
        one, other = (plan.plan_replicas(a_node(), release, settings(api_key=k))[0]["config_hash"] for k in ("a", "b"))
        assert one != other

    def test_a_line_break_cannot_smuggle_a_variable(self):
        with pytest.raises(ServingError, match="line break"):
            container.env_file_text({"A": "x\nLD_PRELOAD=/tmp/evil.so"}, {})


class TestConfigHash:
    def test_is_stable(self, release):
        assert plan.plan_replicas(a_node(), release, settings()) == plan.plan_replicas(a_node(), release, settings())

    @pytest.mark.parametrize(
        "more",
        [
            {"image": "sha256:" + "6" * 64},
            {"weights": "/var/lib/ascend-fleet/models/other"},
            {"weights_content": "ab" * 32},
            {"options": {"max-num-seqs": 64}},
            {"environment": {"HCCL_BUFFSIZE": "2048"}},
            {"first_port": 9000},
            {"docker_options": ["--ulimit=memlock=-1"]},
        ],
    )
    def test_changes_with_everything_the_engine_sees(self, release, more):
        before = plan.plan_replicas(a_node(), release, settings())[0]
        after = plan.plan_replicas(a_node(), release, settings(**more))[0]
        assert before["config_hash"] != after["config_hash"]
        assert "ascend.fleet.config=" + after["config_hash"] in after["docker_argv"]

    def test_the_unit_s_own_times_need_no_restart(self, release):
        before = plan.plan_replicas(a_node(), release, settings())[0]
        after = plan.plan_replicas(a_node(), release, settings(stop_seconds=300))[0]
        assert before["content"] != after["content"]
        assert before["config_hash"] == after["config_hash"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"image": ""}, "vllm_image"),
            ({"weights": ""}, "Qwen3-0.6B"),
            ({"weights": "models/x"}, "absolute path"),
            ({"profile": "root"}, "least_privilege, guide"),
            ({"options": {"max-num-seq": 4}}, "did you mean `max-num-seqs`"),
            ({"options": {"api-key": "x"}}, "vllm_serve_api_key"),
            ({"options": {"additional-config": {"enable_cpu_bindng": True}}}, "did you mean `enable_cpu_binding`"),
            ({"options": {"max-num-batched-tokens": 64}}, "max-num-seqs (128) or more"),
            ({"environment": {"OMP_PROC_BIND": False}}, 'such as "false"'),
        ],
    )
    def test_named_with_what_is_needed(self, release, more, words):
        with pytest.raises(ServingError) as caught:
            plan.plan_replicas(a_node(), release, settings(**more))
        assert words in str(caught.value)

    def test_all_at_once(self, release):
        with pytest.raises(ServingError) as caught:
            plan.plan_replicas(a_node(), release, settings(options={"nope": 1, "seed": "x"}, environment={"A-B": "1"}))
        for words in ("vllm_serve_options.nope", "vllm_serve_options.seed", "vllm_serve_environment.A-B"):
            assert words in str(caught.value)

    def test_too_few_chips(self, release):
        with pytest.raises(slots.SlotError, match="found 3 usable chips"):
            plan.plan_replicas(a_node(3), release, settings())


def systemd_split(line: str) -> list[str]:
    """What systemd makes of the value of ``ExecStart=``: its own rules, written down independently."""
    words, word, quoted, i = [], None, None, 0
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "s": " "}
    while i < len(line):
        char = line[i]
        if char == "\\":
            i += 1
            word = (word or "") + escapes[line[i]]
        elif quoted:
            if char == quoted:
                quoted = None
            else:
                word += char
        elif char in "\"'" and word is None:
            quoted, word = char, ""
        elif char.isspace():
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + char
        i += 1
    if word is not None:
        words.append(word)
    return [w.replace("%%", "%").replace("$$", "$") for w in words]


class TestUnit:
    @pytest.mark.parametrize(
        "argument",
        [
            "plain",
            "",
            "a b",
            '{"cudagraph_mode": "FULL_DECODE_ONLY"}',
            "50%",
            "$HOME",
            "${X}",
            "back\\slash",
            "it's",
            ";",
            "line\nbreak",
            "介绍",
            "%%n",
            "#x",
        ],
    )
    def test_systemd_hands_over_exactly_these_characters(self, argument):
        assert systemd_split("/bin/x %s" % unit_file.systemd_quote(argument)) == ["/bin/x", argument]

    def test_exec_start_is_the_docker_argv(self, release):
        unit = plan.plan_replicas(a_node(), release, settings())[0]
        joined = unit["content"].replace("\\\n", " ")
        line = next(text for text in joined.splitlines() if text.startswith("ExecStart="))
        assert systemd_split(line[len("ExecStart=") :]) == unit["docker_argv"]

    def test_is_what_a_service_needs(self, release):
        unit = plan.plan_replicas(a_node(), release, settings(stop_seconds=45))[0]
        text = unit["content"]
        assert unit["name"] == "vllm-qwen3.5@0.service"
        for line in (
            "ExecStartPre=-/usr/bin/docker rm --force vllm-qwen3.5-0",
            "ExecStop=-/usr/bin/docker stop --time 45 vllm-qwen3.5-0",
            "TimeoutStopSec=75",
            "Restart=always",
            "StartLimitIntervalSec=3600",
            "StartLimitBurst=8",
            "OnFailure=ascend-fleet-failed@%n.service",
            "ExecStartPre=-/bin/sh /etc/ascend-fleet/delay-start.sh vllm-qwen3.5@0.service",
            "ExecStartPre=/bin/sh /etc/ascend-fleet/wait-for-chips.sh 600 /usr/local/sbin/npu-smi /dev/davinci_manager "
            "/dev/devmm_svm /dev/hisi_hdc /dev/davinci0 /dev/davinci1 /dev/davinci2 /dev/davinci3 0:0 1:0 2:0 3:0",
            "TimeoutStartSec=1200",
            "After=docker.service network-online.target",
            "Requires=docker.service",
            "Description=vLLM qwen3.5, replica 0 (davinci 0,1,2,3, port 8010)",
            "Port=8010",
            "Config=" + unit["config_hash"],
        ):
            assert line in text.splitlines()
        assert text.startswith(unit_file.MARK)

    def test_waiting_for_chips_can_be_left_out(self, release):
        text = plan.plan_replicas(a_node(), release, settings(chip_wait_seconds=0))[0]["content"]
        assert "wait-for-chips" not in text

    def test_dies_of_one_npu_are_waited_for_one_by_one(self, release):
        second = plan.plan_replicas(a_node(16, 2), release, settings())[1]["content"]
        line = next(line for line in second.splitlines() if "wait-for-chips" in line)
        assert line.endswith("/dev/davinci6 /dev/davinci7 2:0 2:1 3:0 3:1")

    def test_an_option_is_one_line_of_a_diff(self, release):
        before = plan.plan_replicas(a_node(), release, settings())[0]["content"].splitlines()
        after = plan.plan_replicas(a_node(), release, settings(options={"max-num-seqs": 64}))[0]["content"].splitlines()
        changed = [(a.strip(), b.strip()) for a, b in zip(before, after) if a != b]
        assert ("--max-num-seqs 128 \\", "--max-num-seqs 64 \\") in changed
        assert len(changed) == 3  # the option, the label with the configuration, and the configuration itself


def test_plan_leaves_its_arguments_alone(release):
    node, kept = a_node(), copy.deepcopy(release)
    plan.plan_replicas(node, release, settings(options={"seed": 1}))
    assert release == kept
    assert node == a_node()


class TestFormerVersion:
    """A fleet that an earlier version deployed is taken over without a restart.

    The recording holds what the version before the wings planned. Everything that the configuration's hash is made of
    must stay the same to the byte; only the text of the unit around the command may differ.
    """

    RECORD = json.loads((FIXTURES / "former_units" / "plan.json").read_text(encoding="utf-8"))

    @pytest.mark.parametrize("case", RECORD["cases"], ids=lambda c: c["title"])
    def test_what_the_engine_sees_is_the_same(self, case):
        units = plan.plan_replicas(case["node"], self.RECORD["release"], Settings(**case["settings"]))
        assert len(units) == len(case["units"])
        for ours, former in zip(units, case["units"]):
            assert {k: ours[k] for k in former if k != "content"} == {k: v for k, v in former.items() if k != "content"}
            assert exec_start(ours["content"]) == exec_start(former["content"])
            assert parse_unit(ours["content"]) == parse_unit(former["content"])


class TestLayout:
    def test_needs_neither_image_nor_weights(self, release):
        layout = plan.plan_layout(a_node(), release, Settings())
        assert [(e["unit"], e["container_name"], e["port"], e["indices"]) for e in layout] == [
            ("vllm-qwen3.5@0.service", "vllm-qwen3.5-0", 8010, [0, 1, 2, 3]),
            ("vllm-qwen3.5@1.service", "vllm-qwen3.5-1", 8011, [4, 5, 6, 7]),
        ]
        assert [e["device_nodes"][0] for e in layout] == ["/dev/davinci0", "/dev/davinci4"]

    def test_is_what_the_replicas_are_planned_by(self, release):
        chosen = settings(first_port=9000, options={"tensor-parallel-size": 2}, replicas=3)
        layout = plan.plan_layout(a_node(), release, chosen)
        units = plan.plan_replicas(a_node(), release, chosen)
        for key in ("replica", "container_name", "port", "url", "indices", "device_nodes", "npus"):
            assert [e[key] for e in layout] == [u[key] for u in units]
        assert [e["port"] for e in layout] == [9000, 9001, 9002]

    @pytest.mark.parametrize(("generation", "count"), [("a2", 2), ("a3", 4)])
    def test_for_a_generation_whose_hosts_were_not_asked(self, release, generation, count):
        assert len(plan.plan_layout(slots.nominal_node(generation), release, Settings())) == count

    def test_the_guide_s_names(self, release):
        layout = plan.plan_layout(a_node(), release, Settings(profile="guide"))
        assert [e["container_name"] for e in layout] == ["qwen3.5", "qwen3.5-1"]

    def test_wrong_settings_are_named(self, release):
        with pytest.raises(ServingError, match="did you mean `max-num-seqs`"):
            plan.plan_layout(a_node(), release, Settings(options={"max-num-seq": 4}))
