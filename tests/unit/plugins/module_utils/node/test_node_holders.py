# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a card or a port of a node: processes, containers of every runtime, units."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._node import (
    collect,
    network,
    processes,
)
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import findings

sys.path.insert(0, str(Path(__file__).resolve().parent))

from node_machine import CONTAINER, OUTER, Machine, foreign


def test_the_holder_of_a_card_is_named(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert [len(d["holders"]) for d in node["devices"]] == [0, 0, 0, 0, 1, 1, 0, 0]
    held = node["devices"][4]["holders"][0]
    assert held == {
        "kind": "container",
        "name": "training",
        "pid": 1601114,
        "process": "python",
        "image": "pytorch:latest",
        "runtime": "docker",
        "managed": False,
        "memory_mb": 18429,
        "how": "npu-smi",
    }
    assert (node["devices"][5]["holders"][0]["how"], node["devices"][5]["holders"][0]["name"]) == ("device", "training")
    assert node["processes"][0]["container"] == {
        "id": CONTAINER,
        "name": "training",
        "image": "pytorch:latest",
        "runtime": "docker",
    }
    assert node["processes"][0]["index"] == 4
    assert node["docker"]["containers"][0]["pids"] == [1601114]


def test_our_own_container_is_managed(a2: Machine) -> None:
    ours = foreign(
        Config={"Image": "i", "Labels": {"ascend.fleet.managed": "true", "ascend.fleet.unit": "vllm-q@0.service"}}
    )
    a2.answers["docker container inspect"] = (0, json.dumps([ours]), "")
    node = collect.collect(a2.host())
    assert all(h["managed"] for d in node["devices"] for h in d["holders"])
    assert node["processes"][0]["unit"] == "vllm-q@0.service"


def test_a_process_that_has_the_node_open_holds_the_card(a2: Machine) -> None:
    a2.link("/proc/77/fd/9", "/dev/davinci2")
    node = collect.collect(a2.host())
    assert [(h["kind"], h["name"], h["how"]) for h in node["devices"][2]["holders"]] == [
        ("unit", "nginx.service", "open")
    ]


def test_ports_and_their_listeners(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert [(p["port"], p["address"], p["process"], p["container"], p["unit"]) for p in node["ports"]] == [
        (8010, "0.0.0.0", "nginx", None, "nginx.service"),
        (8011, "127.0.0.1", "python", "training", None),
    ]
    assert [p["port"] for p in collect.collect(a2.host(), ports=[8011])["ports"]] == [8011]


def test_the_listener_is_the_parent_not_a_worker_that_inherited_the_socket(a2: Machine) -> None:
    a2.file("/proc/1234/cgroup", "0::/system.slice/nginx.service\n")
    a2.file("/proc/1234/comm", "worker\n")
    a2.link("/proc/1234/fd/3", "socket:[555]")
    assert [p["pid"] for p in collect.collect(a2.host())["ports"]] == [77, 1601114]


OTHER = "e" * 64
KUBERNETES = {
    "annotations": {
        "io.kubernetes.cri.container-name": "worker",
        "io.kubernetes.cri.sandbox-name": "train-0",
        "io.kubernetes.cri.sandbox-namespace": "ml",
        "io.kubernetes.cri.image-name": "pytorch:2",
    }
}

TASKS = "/run/containerd/io.containerd.runtime.v2.task"
STORAGE = "/var/lib/containers/storage/overlay-containers/containers.json"
STORED = [{"id": "f" * 64}, {"id": OTHER, "names": ["train"], "metadata": json.dumps({"image-name": "reg.test/t:1"})}]
ISULAD = {"CommonConfig": {"Name": "train", "Image": "openeuler:22"}}


@pytest.mark.parametrize(
    ("cgroup", "path", "content", "words", "fix"),
    [
        (
            "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-%s.scope",
            TASKS + "/k8s.io/%s/config.json" % OTHER,
            KUBERNETES,
            "containerd container `ml/train-0/worker` (image pytorch:2)",
            "kubectl -n ml delete pod train-0",
        ),
        (
            "11:devices:/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:%s",
            None,
            None,
            "containerd container `eeeeeeeeeeee`",
            "crictl stop eeeeeeeeeeee",
        ),
        ("12:pids:/kubepods/burstable/pod1/%s", None, None, "containerd container `eeeeeeeeeeee`", "crictl stop e"),
        (
            "0::/system.slice/nerdctl-%s.scope",
            TASKS + "/default/%s/config.json" % OTHER,
            {"annotations": {"nerdctl/name": "train"}},
            "nerdctl container `train`",
            "nerdctl stop train",
        ),
        (
            "0::/machine.slice/libpod-%s.scope/container",
            STORAGE,
            STORED,
            "podman container `train` (image reg.test/t:1)",
            "podman stop train",
        ),
        ("0::/machine.slice/libpod-%s.scope", STORAGE, "garbage", "podman container `eeeeeeeeeeee`", "podman stop e"),
        ("0::/kubepods.slice/crio-%s.scope", STORAGE, STORED, "cri-o container `train`", "crictl stop train"),
        (
            "4:memory:/isulad/%s",
            "/var/lib/isulad/engines/lcr/%s/config.v2.json" % OTHER,
            ISULAD,
            "isulad container `train` (image openeuler:22)",
            "isula stop train",
        ),
        ("0::/something/%s", None, None, "container `eeeeeeeeeeee`", "stop eeeeeeeeeeee"),
    ],
)
def test_the_container_of_another_runtime_is_named(
    a2: Machine, cgroup: str, path: Any, content: Any, words: str, fix: str
) -> None:
    a2.file("/proc/4321/cgroup", cgroup % OTHER + "\n")
    a2.file("/proc/4321/comm", "python\n")
    a2.link("/proc/4321/fd/9", "/dev/davinci2")
    if path:
        a2.file(path, content if isinstance(content, str) else json.dumps(content))
    node = collect.collect(a2.host())
    (found,) = [f for f in findings.findings(node, {}, generation="a2") if "davinci2, held" in f["found"]]
    assert found["id"] == "NPU-011"
    assert "held by " + words in found["found"]
    assert fix in found["fix"]
    json.dumps(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/docker-%s.scope\n" % CONTAINER, (CONTAINER, None)),
        ("12:pids:/docker/%s\n1:name=systemd:/docker/%s\n" % (CONTAINER, CONTAINER), (CONTAINER, None)),
        ("0::/system.slice/train.service\n", (None, "train.service")),
        ("1:name=systemd:/docker/%s/system.slice/ssh.service\n" % OUTER, (None, "ssh.service")),
        ("1:name=systemd:/docker/%s/docker/%s\n" % (OUTER, CONTAINER), (CONTAINER, None)),
        ("0::/kubepods/burstable/pod1/%s\n" % ("e" * 64), ("e" * 64, None)),
        ("0::/user.slice/user-0.slice/session-1.scope\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_owner_of_cgroup(text: str, expected: tuple[Any, Any]) -> None:
    assert processes.owner_of_cgroup(text, {CONTAINER}, {OUTER}) == expected


def test_a_process_of_an_unknown_container_is_named_by_its_id() -> None:
    facts = {"name": "python", "container_id": "e" * 64, "unit": None, "device_nodes": [], "sockets": []}
    found = processes.describe_process(5, "", facts, {})
    assert found["container"] == {"id": "e" * 64, "name": "e" * 12, "image": None, "runtime": None}
    assert (found["name"], found["managed"]) == ("python", False)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("vllm-qwen3.5@0.service", True), ("nginx.service", False), (None, False), ("vllm-x.timer", False)],
)
def test_unit_is_managed(unit: Any, expected: bool) -> None:
    assert processes.unit_is_managed(unit) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000", "0.0.0.0"),
        ("0100007F", "127.0.0.1"),
        ("00000000000000000000000000000000", "::"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("B80D01200000000067452301EFCDAB89", "2001:db8:0:0:123:4567:89ab:cdef"),
    ],
)
def test_hex_address(text: str, expected: str) -> None:
    assert network.hex_address(text) == expected


def test_a_socket_table_that_is_missing_is_a_problem(a2: Machine) -> None:
    (a2.root / "proc/net/tcp").unlink()
    node = collect.collect(a2.host())
    assert {"subject": "/proc/net/tcp", "message": "there is no such file"} in node["problems"]
