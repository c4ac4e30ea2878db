# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""image_verify: the program that runs in the image, what is read from it, and the comparison with a release."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import Docker
from ansible_collections.ascend.fleet.plugins.module_utils._images import contents as _image_contents
from ansible_collections.ascend.fleet.plugins.modules import image_verify

ID = "sha256:" + "ab" * 32
CONTENTS: dict[str, Any] = {
    "python": "3.11.13",
    "machine": "aarch64",
    "components": {"torch": "2.9.0+cpu", "torch_npu": "2.9.0", "transformers": "4.57.6"},
    "cann": [{"version": "8.5.0", "architecture": "aarch64", "path": "/usr/local/Ascend/x"}],
    "device_type": "a2",
    "thread_error": None,
}
WANTED: dict[str, Any] = {
    "components": {"torch": "2.9.0+cpu", "torch_npu": "2.9.0"},
    "cann": "8.5.0",
    "generation": "a2",
    "machine": "aarch64",
}


def answer(given: dict[str, Any] | None = None, build: str = "__device_type__ = 'A2'\n") -> str:
    contents = CONTENTS if given is None else given
    return (
        "a line of the image's own\n"
        + _image_contents.MARK
        + json.dumps(
            dict(
                {k: contents[k] for k in ("python", "machine", "components")},
                cann=[
                    {"path": c["path"], "text": "Version=%s\narch=aarch64\n" % c["version"]} for c in contents["cann"]
                ],
                build_info=build,
                thread_error=contents["thread_error"],
            )
        )
    )


def test_the_program_finds_packages_cann_and_build(tmp_path: Path) -> None:
    info = tmp_path / "toolkit" / "aarch64-linux" / "ascend_toolkit_install.info"
    info.parent.mkdir(parents=True)
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.5.0\ninnerversion=V100R001C23SPC001\narch=aarch64\n")
    package = tmp_path / "site" / "vllm_ascend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('no card')")
    (package / "_build_info.py").write_text("# Auto-generated file\n__device_type__ = 'A3'\n")
    meta = tmp_path / "site" / "vllm_ascend-0.14.0rc2.dev119+g52aa9c006.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-ascend\nVersion: 0.14.0rc2.dev119+g52aa9c006\n")
    done = subprocess.run(
        [sys.executable, "-c", _image_contents.PROGRAM, json.dumps(["vllm_ascend", "no-such-package"])],
        env={"PYTHONPATH": str(tmp_path / "site"), "ASCEND_TOOLKIT_HOME": str(tmp_path / "toolkit")},
        cwd="/",
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    contents = _image_contents.parse_contents(done.stdout)
    assert contents["components"] == {"vllm_ascend": "0.14.0rc2.dev119+g52aa9c006", "no-such-package": None}
    assert {"version": "8.5.0", "architecture": "aarch64", "path": str(info)} in contents["cann"]
    assert contents["device_type"] == "a3"
    assert contents["machine"] == platform.machine()
    assert contents["thread_error"] is None


def test_the_program_tells_that_no_thread_can_start() -> None:
    refuse = 'import threading\ndef refuse(self): raise RuntimeError("can\'t start new thread")\n'
    program = refuse + "threading.Thread.start = refuse\n" + _image_contents.PROGRAM
    done = subprocess.run([sys.executable, "-c", program, "[]"], cwd="/", check=True, text=True, stdout=subprocess.PIPE)
    assert "can't start new thread" in _image_contents.parse_contents(done.stdout)["thread_error"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Auto-generated file\n__device_type__ = 'A2'\n", "a2"),
        ('__device_type__ = "A3"', "a3"),
        ("__device_type__ = '_310P'", "310p"),
        ("__soc_version__ = 'ASCEND910B1'\n__sleep_mode_enabled__ = True", "a2"),
        ("__soc_version__ = 'ASCEND910_9392'", "a3"),
        ("__soc_version__ = 'ascend910_9391'", "a3"),
        ("__soc_version__ = 'ASCEND310P3'", "310p"),
        ("", None),
        ("# error: no module", None),
    ],
)
def test_device_type(text: str, expected: str | None) -> None:
    assert _image_contents.device_type(text) == expected


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("2.9.0+cpu", "2.9.0+cpu", True),
        ("2.9.0", "2.9.0+cpu", True),
        ("2.9.0+cpu", "2.9.0", False),
        ("2.9.0", "2.9.0.post1", False),
        ("0.24.0", "0.24.1", False),
        ("0.16.0rc2.dev55+g65bb4942b.empty", "0.16.0rc2.dev55+g65bb4942b.empty", True),
    ],
)
def test_same_version(wanted: str, found: str, expected: bool) -> None:
    assert _image_contents.same_version(wanted, found) is expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"machine": "x86_64"}, ["machine: found x86_64, needed aarch64"]),
        ({"components": {"torch": "2.8.0"}}, ["torch: found 2.8.0, needed 2.9.0+cpu", "torch_npu: not installed"]),
        ({"cann": []}, ["CANN: no ascend_toolkit_install.info found, needed 8.5.0"]),
        ({"cann": [{"version": "8.2.RC1", "path": "/x"}]}, ["CANN: found 8.2.RC1, needed 8.5.0"]),
        ({"device_type": "a3"}, ["built for A3, needed A2"]),
        ({"device_type": None}, ["is not told"]),
    ],
)
def test_problems_are_all_listed(change: dict[str, Any], words: list[str]) -> None:
    problems = "; ".join(_image_contents.problems_of(dict(CONTENTS, **change), **WANTED))
    assert bool(problems) == bool(words)
    for word in words:
        assert word in problems


@pytest.mark.parametrize("output", ["", "hello", _image_contents.MARK + "{", _image_contents.MARK + "{}"])
def test_an_answer_that_is_none(output: str) -> None:
    with pytest.raises(_image_contents.ContentsError):
        _image_contents.parse_contents(output)


class FakeDocker:
    def __init__(self) -> None:
        self.present = True
        self.output = answer()
        self.status: int | None = 0
        self.errors = ""
        self.runs: list[list[str]] = []
        self.removed: list[str] = []

    def __call__(self, argv: list[str], *, timeout: float, **options: Any) -> command.Completed:
        if argv[:3] == ["docker", "image", "inspect"]:
            text = json.dumps([{"Id": ID, "RepoTags": ["vllm-ascend:x"]}] if self.present else [])
            error = "" if self.present else "Error: No such image"
            return command.Completed(tuple(argv), 0 if self.present else 1, text, error, False)
        if argv[:2] == ["docker", "rm"]:
            self.removed.append(argv[-1])
            return command.Completed(tuple(argv), 0, "", "", False)
        if argv[:2] == ["docker", "info"]:
            return command.Completed(tuple(argv), 0, json.dumps({"ServerVersion": "20.10.9"}), "", False)
        assert argv[:2] == ["docker", "run"]
        self.runs.append(argv)
        return command.Completed(tuple(argv), self.status, self.output, self.errors, self.status is None)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker()
    monkeypatch.setattr(image_verify, "Docker", lambda **options: Docker(run=fake, **options))
    return fake


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "image": ID,
            "components": WANTED["components"],
            "reported_components": ["transformers"],
            "cann_version": "8.5.0",
            "generation": "a2",
            "architecture": "aarch64",
            "record": str(tmp_path / "images"),
            **arguments,
            "_ansible_check_mode": check,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            image_verify.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_an_image_is_run_once(docker: FakeDocker, run: Run) -> None:
    assert run(check=True)["known"] is False
    first = run()
    assert (first["changed"], first["remembered"], first["contents"]) == (False, False, CONTENTS)
    second = run()
    assert (second["remembered"], second["contents"]) == (True, CONTENTS)
    assert run(check=True)["known"] is True
    assert len(docker.runs) == 1
    # Another question about the same image needs another look.
    run(reported_components=["transformers", "numpy"])
    assert len(docker.runs) == 2


def test_the_container_gets_neither_network_nor_devices(docker: FakeDocker, run: Run) -> None:
    run()
    argv = docker.runs[0]
    options = argv[: argv.index(ID)]
    assert options[options.index("--network") + 1] == "none"
    assert options[options.index("--workdir") + 1] == "/"
    assert "--rm" in options
    assert not any(word in " ".join(options) for word in ("--privileged", "--device", "--volume", "-v "))


def test_what_is_only_reported_is_never_compared(docker: FakeDocker, run: Run) -> None:
    assert run()["contents"]["components"]["transformers"] == "4.57.6"


def test_an_image_that_is_not_right(docker: FakeDocker, run: Run) -> None:
    docker.output = answer(dict(CONTENTS, components={"torch": "2.8.0+cpu"}), "__device_type__ = 'A3'")
    for _time in range(2):
        result = run()
        assert result["failed"]
        for words in ("vllm-ascend:x", "found 2.8.0+cpu, needed 2.9.0+cpu", "torch_npu: not installed", "built for A3"):
            assert words in result["msg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"present": False}, "load it first"),
        ({"status": None}, "within 300 seconds"),
        ({"status": 1, "errors": "exec /usr/bin/python3: exec format error"}, "another architecture"),
        ({"status": 127, "errors": 'exec: "python3": executable file not found in $PATH'}, "no serving image"),
        ({"output": "nothing of ours"}, "did not say what it holds"),
    ],
)
def test_an_image_that_does_not_answer(docker: FakeDocker, run: Run, change: dict[str, Any], words: str) -> None:
    for name, value in change.items():
        setattr(docker, name, value)
    result = run()
    assert result["failed"]
    assert words in result["msg"]
    if change.get("status", 0) is None:
        assert docker.removed[0].startswith("ascend-fleet-verify-")


NO_THREAD = "RuntimeError: can't start new thread"


def test_an_image_that_cannot_start_threads_is_an_error_until_docker_is_newer(docker: FakeDocker, run: Run) -> None:
    docker.output = answer(dict(CONTENTS, thread_error=NO_THREAD))
    for _time in range(2):
        result = run()
        assert result["failed"]
        for words in (NO_THREAD, "docker 20.10.9", "needed docker 20.10.10", "libseccomp", "Fix:"):
            assert words in result["msg"]
    docker.output = answer()
    assert run()["contents"]["thread_error"] is None


@pytest.mark.parametrize(
    "said",
    [
        "RuntimeError: can't start new thread",
        "OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 64: Operation not permitted",
        "python3: error while loading: Operation not permitted",
    ],
)
def test_an_image_that_dies_of_it_says_the_same(docker: FakeDocker, run: Run, said: str) -> None:
    docker.status, docker.output, docker.errors = 1, "", said
    result = run()
    assert result["failed"]
    assert "needed docker 20.10.10" in result["msg"]


def test_a_privileged_service_needs_no_threads_of_an_unprivileged_container(docker: FakeDocker, run: Run) -> None:
    docker.output = answer(dict(CONTENTS, thread_error=NO_THREAD))
    assert run(threads=False)["contents"]["thread_error"] == NO_THREAD
    assert run()["failed"]


def test_what_a_former_version_recorded_is_tried_again_for_threads(
    docker: FakeDocker, run: Run, tmp_path: Path
) -> None:
    run()
    record = next((tmp_path / "images").iterdir())
    data = json.loads(record.read_text())
    del data["contents"]["thread_error"]
    record.write_text(json.dumps(data))
    result = run()
    assert (result["changed"], result["remembered"], len(docker.runs)) == (False, False, 2)
    assert run()["remembered"]


def test_in_check_mode_an_image_may_be_missing(docker: FakeDocker, run: Run) -> None:
    docker.present = False
    assert run(check=True).get("known") is False
