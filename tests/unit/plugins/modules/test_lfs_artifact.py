# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lfs_artifact: parameters in, result out; the work itself is tested with _repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import errors, manifest, tree
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository as _repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome, Request
from ansible_collections.ascend.fleet.plugins.modules import lfs_artifact

OID = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
WANTED = tree.Wanted("vllm-image/a2.tar", "0" * 40, OID, 20_000_000_000, True)
Run = Callable[..., dict[str, Any]]


class FakeRepository:
    outcome = Outcome()
    error: Exception | None = None
    requests: list[Request] = []  # noqa: RUF012 - emptied by the fixture
    calls: list[str] = []  # noqa: RUF012

    def __init__(self, request: Request) -> None:
        self.requests.append(request)

    def ensure(self) -> Outcome:
        self.calls.append("ensure")
        if self.error:
            raise self.error  # pylint: disable=raising-bad-type
        return self.outcome

    def plan(self, scratch: str) -> Outcome:
        self.calls.append("plan")
        assert Path(scratch).is_dir()
        return self.outcome


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> type[FakeRepository]:
    monkeypatch.setattr(FakeRepository, "outcome", Outcome())
    monkeypatch.setattr(FakeRepository, "error", None)
    FakeRepository.requests.clear()
    FakeRepository.calls.clear()
    monkeypatch.setattr(_repository, "Repository", FakeRepository)
    return FakeRepository


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "repository": "https://modelers.cn/A/b.git",
            "dest": "/nonexistent/b",
            **arguments,
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path),
            "_ansible_tmpdir": str(tmp_path),
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            lfs_artifact.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_defaults(repository: type[FakeRepository], run: Run) -> None:
    run()
    assert repository.requests == [
        Request(repository="https://modelers.cn/A/b.git", revision="main", dest="/nonexistent/b")
    ]


def test_result(repository: type[FakeRepository], run: Run) -> None:
    repository.outcome = Outcome(
        changed=True,
        dest="/nonexistent/b",
        commit="c" * 40,
        moved_from="d" * 40,
        files=[WANTED],
        missing_bytes=WANTED.size,
        downloaded_bytes=15_000_000_000,
        resumed_bytes=5_000_000_000,
        after={WANTED.path: (OID, WANTED.size)},
        notes=["it was damaged"],
    )
    result = run(paths=["vllm-image/a2.tar"], checksums={"vllm-image/a2.tar": "sha256:" + OID, "other": None})
    assert repository.calls == ["ensure"]
    assert repository.requests[0].checksums == {"vllm-image/a2.tar": "sha256:" + OID}
    assert (result["changed"], result["commit"], result["moved_from"]) == (True, "c" * 40, "d" * 40)
    assert result["files"] == [
        {
            "path": "vllm-image/a2.tar",
            "file": "/nonexistent/b/vllm-image/a2.tar",
            "oid": OID,
            "size": WANTED.size,
            "lfs": True,
        }
    ]
    assert (result["missing_bytes"], result["downloaded_bytes"], result["resumed_bytes"]) == (
        20_000_000_000,
        15_000_000_000,
        5_000_000_000,
    )
    assert result["diff"]["before"] == ""
    assert result["diff"]["after"] == "%s 20000000000 vllm-image/a2.tar\n" % OID
    assert "14.0 GiB were downloaded, 4.7 GiB resumed" in result["msg"]
    assert result["notes"] == ["it was damaged"]
    assert result["content"] == manifest.content_id({WANTED.path: OID}) != manifest.content_id({WANTED.path: "0" * 64})


def test_check_mode_only_plans(repository: type[FakeRepository], run: Run) -> None:
    repository.outcome = Outcome(changed=True, files=[WANTED], missing_bytes=WANTED.size)
    result = run(check=True)
    assert repository.calls == ["plan"]
    assert result["msg"].endswith("18.6 GiB to download")


def test_what_cannot_be_planned_is_said(repository: type[FakeRepository], run: Run) -> None:
    repository.outcome = Outcome(changed=True, known=False, notes=["git is not installed yet"])
    result = run(check=True)
    assert (result["changed"], result["known"], result["msg"]) == (True, False, "git is not installed yet")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.ArtifactError("the origin cannot be reached"), "the origin cannot be reached"),
        (
            PermissionError(13, "Permission denied", "/nonexistent/b/.git"),
            "found Permission denied at /nonexistent/b/.git; needed the right",
        ),
    ],
)
def test_errors_are_messages(repository: type[FakeRepository], run: Run, error: Exception, words: str) -> None:
    repository.error = error
    result = run()
    assert result["failed"]
    assert words in result["msg"]


def test_a_relative_folder_is_refused(
    repository: type[FakeRepository], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.ArtifactError, match="absolute"):
        lfs_artifact.request_of({"dest": "models"})
