# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers were started by hand as in the guide, and what else looks like it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host import by_hand, docker
from ansible_collections.ascend.fleet.plugins.module_utils._host.engines import engine_of, first_of_each

GUIDE = Path(__file__).resolve().parents[2] / "fixtures" / "guide"
IMAGE = "sha256:" + "4b" * 32
TAG = "vllm-ascend:qwen3_5-v0-a2"
RELEASE = {
    "serve": {"served_model_name": "qwen3.5"},
    "images": [
        {
            "generation": "a2",
            "tag": TAG,
            "image_id": None,
            "repository": "https://modelers.cn/Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp.git",
        },
        {"generation": "a3", "tag": "vllm-ascend:qwen3_5-v0-a3", "image_id": None, "repository": "https://x/y/z.git"},
    ],
    "model": {"repository": "https://modelers.cn/Qwen-AI/Qwen3.5-27B.git"},
}


def guide_argv(weights: str = "/data/Qwen3.5-27B") -> list[str]:
    """The guide's own `vllm serve`, as the kernel shows its command line."""
    text = (GUIDE / "vllm_serve.sh").read_text(encoding="utf-8").replace("$weight_path", weights)
    command = text[text.index("\nvllm serve") :].replace("\\\n", " ")
    return ["/usr/local/bin/python3", "/usr/local/bin/vllm", *shlex.split(command)[1:]]


def guide_run() -> list[str]:
    """The guide's own `docker run`."""
    text = (GUIDE / "docker_run.sh").read_text(encoding="utf-8")
    return shlex.split(text[text.index("docker run") :].replace("\\\n", " "))


def inspected(**changes: Any) -> dict[str, Any]:
    """What `docker inspect` says of the container that the guide's `docker run` makes."""
    words = guide_run()
    devices = [w.partition("=")[2] for w in words if w.startswith("--device=")] + [words[words.index("--device") + 1]]
    mounts = [words[n + 1].split(":") for n, w in enumerate(words) if w == "-v"]
    raw = {
        "Id": "9f" * 32,
        "Name": "/" + next(w.partition("=")[2] for w in words if w.startswith("--name=")),
        "Image": IMAGE,
        "Config": {"Image": "4b4b4b4b4b4b", "Cmd": [words[-1]], "Env": [], "Labels": {}},
        "HostConfig": {
            "Privileged": "--privileged" in words,
            "NetworkMode": "host" if "--net=host" in words else "default",
            "Devices": [{"PathOnHost": d} for d in devices],
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
        },
        "Mounts": [{"Type": "bind", "Source": source, "Destination": place} for source, place in mounts],
        "State": {"Status": "running", "Pid": 4000},
    }
    for path, value in changes.items():
        here: Any = raw
        *way, last = path.split("__")
        for key in way:
            here = here[key]
        here[last] = value
    return raw


def node_with(raw: dict[str, Any], engines: Any = "guide", chips: Any = (0, 1, 2, 3)) -> dict[str, Any]:
    container = docker._container(raw)
    if engines == "guide":
        engines = [{"pid": 4242, **(engine_of(guide_argv()) or {})}]
    container["engines"] = list(engines)
    uses = {"kind": "container", "name": container["name"], "how": "npu-smi"}
    could = {"kind": "container", "name": container["name"], "how": "device"}
    return {
        "docker": {"image_store": "docker", "containers": [container], "images": [{"id": IMAGE, "tags": [TAG]}]},
        "devices": [{"index": n, "holders": [uses if n in chips else could]} for n in range(8)],
    }


def found(node: dict[str, Any], release: Any = None) -> dict[str, list[dict[str, Any]]]:
    return by_hand.started_by_hand(node, release or RELEASE, "a2")


# - command lines -


def test_the_guides_own_command_line_tells_model_name_port_and_chips() -> None:
    assert engine_of(guide_argv()) == {
        "port": 8010,
        "model": "/data/Qwen3.5-27B",
        "served_model_names": ["qwen3.5"],
        "tensor_parallel_size": 4,
    }


@pytest.mark.parametrize(
    ("argv", "port", "model", "names", "size"),
    [
        (["vllm", "serve", "/m"], 8000, "/m", ["/m"], 1),
        (["vllm", "serve", "--port=9000", "--model=/m", "--served_model_name", "a", "b"], 9000, "/m", ["a", "b"], 1),
        (["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "/m", "-tp", "2"], 8000, "/m", ["/m"], 2),
        (["vllm", "serve", "/m", "--served-model-name", "a", "--trust-remote-code"], 8000, "/m", ["a"], 1),
    ],
)
def test_options_are_read_in_all_their_spellings(
    argv: list[str], port: int, model: str, names: list[str], size: int
) -> None:
    engine = engine_of(argv)
    assert engine is not None
    assert engine == {
        "port": port,
        "model": model,
        "served_model_names": names,
        "tensor_parallel_size": size,
    }


@pytest.mark.parametrize(
    "argv",
    [["bash"], ["vllm", "bench", "serve"], ["bash", "-c", "vllm serve /m"], ["vllm"], ["", ""], ["VLLM::Worker"]],
)
def test_other_processes_are_no_engines(argv: list[str]) -> None:
    assert engine_of(argv) is None


def test_a_key_of_a_command_line_is_not_kept() -> None:
    engine = engine_of([*guide_argv(), "--api-key", "the-secret-key"])
    assert "the-secret-key" not in json.dumps(engine)


def test_processes_of_one_engine_count_once_and_the_oldest_is_its_server() -> None:
    one, other = engine_of(guide_argv()), engine_of(["vllm", "serve", "/m", "--port", "8011"])
    assert [(e["pid"], e["port"]) for e in first_of_each({50: one, 40: one, 60: other, 70: None})] == [
        (40, 8010),
        (60, 8011),
    ]


# - containers -


def test_the_guides_container_is_recognised_with_everything_a_takeover_needs() -> None:
    (container,) = found(node_with(inspected()))["containers"]
    assert {k: container[k] for k in ("name", "live", "comes_back", "privileged", "ports", "pids", "indices")} == {
        "name": "qwen3.5",
        "live": True,
        "comes_back": False,
        "privileged": True,
        "ports": [8010],
        "pids": [4242],
        "indices": [0, 1, 2, 3],
    }
    assert container["weights"] == "/data/Qwen3.5-27B"
    assert container["folders"] == [
        "/data/Qwen3.5-27B",
        "/data/Qwen3.5-397B-A17B-w8a8-mtp",
        "/data/z",
    ]
    assert by_hand.words(container) == "`vllm serve` on port 8010, on davinci0, davinci1, davinci2, davinci3"


def test_a_container_with_nothing_but_its_shell_is_recognised_too() -> None:
    (container,) = found(node_with(inspected(), engines=(), chips=()))["containers"]
    assert (container["ports"], container["indices"], container["weights"]) == ([], [], None)
    assert by_hand.words(container) == "nothing but a shell runs in it"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Image": "sha256:" + "00" * 32}, "its image is"),
        ({"Config__Cmd": ["python3", "train.py"]}, "not a shell"),
        ({"HostConfig__AutoRemove": True}, "--rm"),
        ({"HostConfig__NetworkMode": "bridge"}, "--net=host"),
        ({"State__Status": "paused"}, "paused"),
    ],
)
def test_a_near_miss_stays_a_foreigner_with_the_reason(changes: dict[str, Any], words: str) -> None:
    result = found(node_with(inspected(**changes)))
    assert result["containers"] == []
    (other,) = result["others"]
    assert [r for r in other["reasons"] if words in r], other


def test_another_model_is_a_near_miss() -> None:
    engine = {"pid": 1, **(engine_of(["vllm", "serve", "/m", "--served-model-name", "llama"]) or {})}
    (other,) = found(node_with(inspected(), engines=[engine]))["others"]
    assert other["reasons"] == ["its `vllm serve` on port 8000 serves llama, the release qwen3.5"]


def test_other_work_on_the_cards_is_a_near_miss() -> None:
    (other,) = found(node_with(inspected(), engines=()))["others"]
    assert "something else than `vllm serve`" in other["reasons"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"Config__Labels": {"ascend.fleet.managed": "true"}},
        {"Name": "/training", "Image": "sha256:" + "00" * 32},
        {"HostConfig__Privileged": False, "HostConfig__Devices": []},
    ],
)
def test_what_has_nothing_of_the_guide_is_not_mentioned(changes: dict[str, Any]) -> None:
    assert found(node_with(inspected(**changes), engines=())) == {"containers": [], "others": []}


def test_a_pinned_image_is_told_by_its_id_even_where_the_tag_has_moved() -> None:
    pinned = dict(RELEASE, images=[dict(RELEASE["images"][0], image_id=IMAGE)])  # type: ignore[index, call-overload]
    node = node_with(inspected())
    node["docker"]["images"] = [{"id": "sha256:" + "11" * 32, "tags": [TAG]}]
    assert found(node, pinned)["containers"]
    assert found(node)["containers"] == []


@pytest.mark.parametrize(
    ("changes", "names", "concerned"),
    [
        ({}, (), True),
        ({"State__Status": "exited"}, (), False),
        ({"State__Status": "exited"}, ("qwen3.5",), True),
        ({"State__Status": "exited", "HostConfig__RestartPolicy": {"Name": "always"}}, (), True),
    ],
)
def test_a_container_that_stopped_for_good_is_in_nobodys_way(
    changes: dict[str, Any], names: tuple[str, ...], concerned: bool
) -> None:
    (container,) = found(node_with(inspected(**changes), engines=(), chips=()))["containers"]
    assert by_hand.concerns(container, names) is concerned


def test_one_that_was_taken_over_is_done_with_until_somebody_starts_it_again() -> None:
    name = {"Name": "/qwen3.5-before-takeover-20261129"}
    stopped = node_with(inspected(State__Status="exited", **name), engines=(), chips=())
    assert found(stopped) == {"containers": [], "others": []}
    assert len(found(node_with(inspected(**name)))["containers"]) == 1


def test_paths_of_the_container_are_told_as_paths_of_the_host() -> None:
    mounts = [
        {"source": "/mnt/disk1", "destination": "/data"},
        {"source": "/mnt/disk2/w", "destination": "/data/weights"},
    ]
    assert by_hand.host_path(mounts, "/data/a/b") == "/mnt/disk1/a/b"
    assert by_hand.host_path(mounts, "/data/weights/q") == "/mnt/disk2/w/q"
    assert by_hand.host_path(mounts, "/data/weights/") == "/mnt/disk2/w"
    assert by_hand.host_path(mounts, "/database") is None


def test_names_of_containers_that_were_taken_over() -> None:
    assert by_hand.new_name("qwen3.5", "20261129", ()) == "qwen3.5-before-takeover-20261129"
    taken = {"qwen3.5-before-takeover-20261129"}
    second = by_hand.new_name("qwen3.5", "20261129", taken)
    assert second == "qwen3.5-before-takeover-20261129-2"
    assert by_hand.new_name(second, "20261130", taken) == second


def test_containers_of_others_that_serve_or_have_chips() -> None:
    serves = {"Name": "/serves", "Path": "bash", "Args": ["-c", "vllm serve /w"]}
    holds = {"Name": "/holds", "HostConfig": {"Devices": [{"PathOnHost": "/dev/davinci3"}]}}
    ours = {**serves, "Name": "/ours", "Config": {"Labels": {docker.LABEL_MANAGED: "True"}}}
    other = {"Name": "/database", "Path": "mysqld", "Config": None}
    assert by_hand.serving_others([serves, holds, ours, other]) == ["holds", "serves"]
