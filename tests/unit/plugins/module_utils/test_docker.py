# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading docker: the client's errors, and its answers in our words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._host import docker as _docker

# docker 20.10.24, Debian 12, shortened to the keys that are read and a few others
INFO_20_10 = {
    "ID": "EWC3:26AT:HULA:U324",
    "Containers": 9,
    "Driver": "overlay2",
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1",
    "DefaultRuntime": "runc",
    "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
    "DockerRootDir": "/var/lib/docker",
    "Architecture": "x86_64",
    "ServerVersion": "20.10.24+dfsg1",
    "LiveRestoreEnabled": False,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Warnings": None,
}
# docker 18.09 has neither CgroupVersion nor Warnings
INFO_18_09 = {"ServerVersion": "18.09.0", "Driver": "overlay2", "DefaultRuntime": "ascend", "Runtimes": {"ascend": {}}}
INFO_DOWN = {"ID": "", "ServerErrors": ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."]}
INFO_PODMAN = {
    "host": {"arch": "arm64", "cgroupVersion": "v2"},
    "store": {"graphRoot": "/var/lib/containers/storage"},
    "version": {"Version": "4.9.4"},
}

INSPECT = {
    "Id": "a" * 64,
    "Name": "/training",
    "Image": "sha256:" + "b" * 64,
    "State": {"Status": "running", "Pid": 4242, "OOMKilled": False, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
    "Config": {"Image": "pytorch:latest", "Labels": {"a": "b"}, "Env": ["PASSWORD=hunter2", "PATH=/bin"]},
    "HostConfig": {
        "Privileged": False,
        "Runtime": "runc",
        "NetworkMode": "bridge",
        "ShmSize": 67108864,
        "Devices": [
            {"PathOnHost": "/dev/davinci4", "PathInContainer": "/dev/davinci4"},
            {"PathOnHost": "/dev/davinci_manager", "PathInContainer": "/dev/davinci_manager"},
        ],
    },
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8010"}], "81/tcp": None}},
}


class Cli:
    """Stands in for the docker program: answers by the first words of the command."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, argv: Any, *, timeout: float, **_more: Any) -> Completed:
        command = tuple(argv)
        self.calls.append(command)
        for words, answer in self.answers.items():
            if " ".join(command[1:]).startswith(words):
                status, out, err = answer
                return Completed(command, status, out, err, status is None)
        return Completed(command, 127, "", "docker: No such file or directory", False)


def docker(**answers: Any) -> tuple[_docker.Docker, Cli]:
    cli = Cli({words.replace("_", " "): answer for words, answer in answers.items()})
    return _docker.Docker(run=cli), cli


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (INFO_20_10, {"engine": "docker", "server_version": "20.10.24+dfsg1", "root_dir": "/var/lib/docker",
                      "runtimes": ["io.containerd.runc.v2", "runc"],
                      "cgroup_version": "1", "warnings": []}),
        (INFO_18_09, {"default_runtime": "ascend", "cgroup_version": None, "root_dir": None, "security_options": []}),
        (INFO_PODMAN, {"engine": "podman", "server_version": "4.9.4", "cgroup_version": "2", "runtimes": []}),
    ],
    ids=["20.10", "18.09", "podman"],
)  # fmt: skip
def test_info(raw: dict[str, Any], expected: dict[str, Any]) -> None:
    client, _cli = docker(info=(0, json.dumps(raw), ""))
    found = client.info()
    assert {k: found[k] for k in expected} == expected
    assert set(found) == set(_docker.empty_info())


@pytest.mark.parametrize(
    ("answer", "words", "installed", "timed_out"),
    [
        ((127, "", "docker: No such file or directory"), "not installed", False, False),
        ((1, json.dumps(INFO_DOWN), ""), "Cannot connect to the Docker daemon", True, False),
        ((0, json.dumps(INFO_DOWN), ""), "Cannot connect to the Docker daemon", True, False),
        ((None, "", ""), "did not end within its deadline", True, True),
        ((126, "", "Is a directory"), "126", True, False),
        ((0, "not json", ""), "not JSON", True, False),
        ((0, "[]", ""), "not an object but list", True, False),
    ],
)
def test_info_fails_with_words(answer: Any, words: str, installed: bool, timed_out: bool) -> None:
    client, _cli = docker(info=answer)
    with pytest.raises(_docker.DockerError, match=words) as caught:
        client.info()
    assert (caught.value.installed, caught.value.timed_out) == (installed, timed_out)


def test_containers_are_inspected_at_once() -> None:
    client, cli = docker(ps=(0, "a\nb\n", ""), container_inspect=(0, json.dumps([INSPECT, INSPECT]), ""))
    assert len(client.containers()) == 2
    assert [c[1] for c in cli.calls] == ["ps", "container"]
    assert cli.calls[1][-2:] == ("a", "b")


def test_no_container_asks_nothing_more() -> None:
    client, cli = docker(ps=(0, "\n", ""))
    assert client.containers() == []
    assert len(cli.calls) == 1


def test_a_container_in_our_words() -> None:
    client, _cli = docker(container_inspect=(0, json.dumps([INSPECT]), ""))
    found = client.container("training")
    assert found is not None
    assert found["name"] == "training"
    assert found["devices"] == ["/dev/davinci4", "/dev/davinci_manager"]
    assert (found["pid"], found["image"], found["published_ports"]) == (4242, "pytorch:latest", [8010])


def test_a_containers_secrets_stay_on_the_host() -> None:
    client, _cli = docker(container_inspect=(0, json.dumps([INSPECT]), ""))
    assert "hunter2" not in json.dumps(client.container("training"))


def test_what_vanished_meanwhile_is_left_out() -> None:
    client, _cli = docker(
        ps=(0, "a\nb", ""), container_inspect=(1, json.dumps([INSPECT]), "Error: No such container: b")
    )
    assert [c["name"] for c in client.containers()] == ["training"]


@pytest.mark.parametrize("text", ["[]", "null", "", '[{"Id": "x"}]'])
def test_a_bare_container_does_not_break_the_reader(text: str) -> None:
    for found in map(_docker._container, _docker._objects(text)):
        assert (found["devices"], found["state"], found["pid"]) == ([], "unknown", None)


def test_the_cards_of_ascend_docker_runtime_count_as_devices() -> None:
    raw = json.loads(json.dumps(INSPECT))
    raw["HostConfig"].update(Runtime="ascend", Devices=None)
    raw["Config"]["Env"] = ["ASCEND_VISIBLE_DEVICES=0,2-3"]
    found = _docker._container(raw)
    assert found["devices"] == ["/dev/davinci0", "/dev/davinci2", "/dev/davinci3"]
    raw["HostConfig"]["Runtime"] = "runc"
    assert _docker._container(raw)["devices"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", [0]), ("0-2", [0, 1, 2]), ("4, 6-7", [4, 6, 7]), ("void", []), ("", []), ("Ascend910-3", [3]), ("x,1", [1])],
)
def test_visible_devices(text: str, expected: list[int]) -> None:
    assert _docker.visible_devices(text) == expected


def test_images_are_grouped_by_id() -> None:
    lines = "\n".join(
        json.dumps({"ID": "sha256:1", "Repository": r, "Tag": t})
        for r, t in (("vllm-ascend", "a"), ("mirror:5000/vllm-ascend", "a"), ("<none>", "<none>"))
    )
    client, _cli = docker(image_ls=(0, lines, ""))
    assert client.images() == [{"id": "sha256:1", "tags": ["mirror:5000/vllm-ascend:a", "vllm-ascend:a"]}]


def test_inspect_image() -> None:
    raw = {"Id": "sha256:1", "RepoTags": ["a:b"], "Architecture": "arm64", "Os": "linux", "Config": {"Env": ["A=b"]}}
    client, _cli = docker(image_inspect=(0, json.dumps([raw]), ""))
    found = client.inspect_image("a:b")
    assert found is not None
    assert (found["id"], found["architecture"], found["environment"]) == ("sha256:1", "arm64", ["A=b"])


@pytest.mark.parametrize("words", ["Error: No such image: a:b", "Error response from daemon: no such image: a:b: x"])
def test_inspect_image_that_is_not_there(words: str) -> None:
    client, _cli = docker(image_inspect=(1, "[]\n", words))
    assert client.inspect_image("a:b") is None


def test_inspect_image_of_a_daemon_that_is_down_is_an_error() -> None:
    client, _cli = docker(image_inspect=(1, "[]\n", "Cannot connect to the Docker daemon"))
    with pytest.raises(_docker.DockerError, match="Cannot connect"):
        client.inspect_image("a:b")


class TestUnknownIsAnError:
    """A query that fails or does not end in time raises, with the command; it never looks like an empty answer."""

    @pytest.mark.parametrize("answer", [(1, "", "Cannot connect to the Docker daemon"), (None, "", "")])
    def test_a_listing(self, answer):
        client, _cli = docker(ps=answer, image=answer)
        for query in (client.containers, client.images, client.inspect_images):
            with pytest.raises(
                _docker.DockerError, match=r"`docker (ps|image ls) .*` (ended with status 1|did not end)"
            ):
                query()

    @pytest.mark.parametrize("answer", [(0, "", ""), (0, "[]", ""), (0, "{}", ""), (None, "[]", "")])
    def test_an_inspection_that_says_less_than_was_asked(self, answer):
        client, _cli = docker(ps=(0, "a\n", ""), container=answer)
        with pytest.raises(_docker.DockerError):
            client.containers()

    def test_what_vanished_meanwhile_is_left_out(self):
        answer = (1, json.dumps([INSPECT]), "Error: No such container: b")
        client, _cli = docker(ps=(0, "a\nb\n", ""), container=answer)
        assert [c["name"] for c in client.containers()] == ["training"]


class TestChanges:
    def test_what_is_not_there_is_removed_and_stopped(self):
        gone = (1, "", "Error response from daemon: No such container: x")
        client, cli = docker(rm=gone, stop=gone, image_rm=(1, "", "Error: No such image: x"))
        client.remove_container("x")
        client.stop("x", seconds=5)
        client.remove_image("x")
        assert cli.calls == [
            ("docker", "rm", "--force", "x"),
            ("docker", "stop", "--time", "5", "x"),
            ("docker", "image", "rm", "x"),
        ]

    def test_every_other_failure_is_an_error(self):
        bad = (1, "", "Error response from daemon: conflict")
        client, _cli = docker(rm=bad, stop=bad, image=bad, load=bad)
        for change in (
            lambda: client.remove_container("x"),
            lambda: client.stop("x"),
            lambda: client.remove_image("x"),
            lambda: client.tag("a", "b:c"),
            lambda: client.load("/x.tar", timeout=5),
        ):
            with pytest.raises(_docker.DockerError, match="conflict"):
                change()

    def test_a_run_that_passes_its_deadline_takes_its_container_along(self):
        client, cli = docker(run=(None, "", ""), rm=(0, "", ""))
        with pytest.raises(_docker.DockerError) as caught:
            client.run("check", ["--network", "none"], "sha256:1", ["true"], timeout=3)
        assert caught.value.timed_out
        assert cli.calls == [
            ("docker", "run", "--rm", "--name", "check", "--pull", "never", "--network", "none", "sha256:1", "true"),
            ("docker", "rm", "--force", "check"),
        ]

    def test_a_program_that_the_container_lacks_is_not_a_missing_docker(self):
        said = "docker: Error response from daemon: ... executable file not found in $PATH: unknown."
        client, _cli = docker(run=(127, "", said))
        with pytest.raises(_docker.DockerError) as caught:
            client.run("check", [], "sha256:1", ["python3"], timeout=3)
        assert caught.value.installed
        assert caught.value.completed is not None
        assert caught.value.completed.exit_status == 127


@pytest.mark.parametrize(
    ("labels", "ours"),
    [({"ascend.fleet.managed": "true"}, True), ({"ascend.fleet.managed": "True"}, True), ({}, False), (None, False)],
)
def test_is_managed(labels, ours):
    assert _docker.is_managed(labels) is ours


@pytest.mark.parametrize(
    ("status", "store"),
    [
        ([["driver-type", "io.containerd.snapshotter.v1"]], "containerd"),
        ([["Backing Filesystem", "xfs"], ["Supports d_type", "true"]], "docker"),
        (None, "docker"),
    ],
)
def test_the_image_store_is_told_by_the_drivers_status(status: Any, store: str) -> None:
    text = json.dumps({"ServerVersion": "29.0", "Driver": "overlayfs", "DriverStatus": status})
    assert _docker.parse_info(text)["image_store"] == store


def test_the_processes_of_a_container() -> None:
    client, cli = docker(top=(0, "PID   COMMAND\n4711  vllm serve --port 1\n4712  python\n\n", ""))
    assert client.top("vllm-x-0") == [4711, 4712]
    assert cli.calls == [("docker", "top", "vllm-x-0", "-eo", "pid,args")]


@pytest.mark.parametrize("answer", [(1, "", "Error response from daemon: x is not running"), (None, "", "")])
def test_processes_that_docker_does_not_tell_are_an_error(answer: Any) -> None:
    client, _cli = docker(top=answer)
    with pytest.raises(_docker.DockerError, match="docker top vllm-x-0"):
        client.top("vllm-x-0")
