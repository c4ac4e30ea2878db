# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions go, what is in use and what is not ours stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils import _command, _prune
from ansible_collections.ascend.fleet.plugins.module_utils._prune import Revision
from ansible_collections.ascend.fleet.plugins.modules import artifact_prune

IDS = ["sha256:" + digit * 64 for digit in "1234"]


@pytest.mark.parametrize(
    ("keep", "in_use", "gone"),
    [
        (0, [], []),
        (1, [], ["m@1", "m@2"]),
        (2, [], ["m@1"]),
        (9, [], []),
        (1, ["m@1"], ["m", "m@2"]),
        (1, ["m@1", "m@2"], ["m"]),
        (2, ["m@1"], ["m@2"]),
    ],
)
def test_superfluous(keep: int, in_use: list[str], gone: list[str]) -> None:
    revisions = [Revision("m@1", "m", 1), Revision("m@2", "m", 2), Revision("m", "m", 3), Revision("other", "o", 0)]
    assert [r.name for r in _prune.superfluous(revisions, keep, in_use)] == gone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--volume /r/models/m:/r/models/m:ro", True),
        ('"Source": "/r/models/m"', True),
        ("vllm serve /r/models/m/", True),
        ("/r/models/m@v1", False),
        ("/r/models/m-2", False),
        ("/r/models/m.old /r/models/m2", False),
    ],
)
def test_mentions(text: str, expected: bool) -> None:
    assert _prune.mentions(text, "/r/models/m") is expected


class Docker:
    """Two containers, one of them stopped, and four images."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.inspected = "[]"
        self.down = False

    def __call__(self, argv: list[str], **options: Any) -> _command.Completed:
        text = ""
        if argv[1:3] == ["image", "ls"]:
            text = "\n".join(IDS)
        elif argv[1] == "ps":
            text = "c1 c2"
        elif argv[1:3] == ["container", "inspect"]:
            text = self.inspected
        elif argv[1:3] == ["image", "rm"]:
            self.removed.append(argv[-1])
        else:
            raise AssertionError(argv)
        return _command.Completed(tuple(argv), 1 if self.down else 0, text, "cannot connect", False)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    docker = Docker()
    real = _prune.Host
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(_prune, "Host", lambda: real(str(tmp_path / "units"), docker))
    return docker


def prune(tmp_path: Path, capfd: pytest.CaptureFixture[str], check: bool = False, **arguments: Any) -> dict[str, Any]:
    arguments = {"root": str(tmp_path), **arguments, "_ansible_check_mode": check}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        artifact_prune.main()
    result: dict[str, Any] = json.loads(capfd.readouterr().out)
    return result


def make(tmp_path: Path, *names: str) -> list[str]:
    for age, name in enumerate(names):
        state = tmp_path / name / ".git" / "ascend-fleet" / "state.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")
        (tmp_path / name / "weights").write_bytes(b"x" * 1000)
        os.utime(state, (1000 + age, 1000 + age))
    return [str(tmp_path / name) for name in names]


def test_folders(docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two, three, four = make(tmp_path, "models/m@1", "models/m@2", "models/m@3", "models/m")
    make(tmp_path, "repositories/r@1", "models/other")
    (tmp_path / "models" / "m@mine").mkdir()
    docker.inspected = '[{"Mounts": [{"Source": "%s"}]}]' % one
    (tmp_path / "units" / "vllm-m@0.service").write_text("ExecStart=docker run -v %s:%s:ro" % (two, two))
    arguments: dict[str, Any] = {"what": "revisions", "keep": 1, "current": [four]}
    foreseen = prune(tmp_path, capfd, check=True, **arguments)
    assert (foreseen["changed"], foreseen["removed"], Path(three).exists()) == (True, [three], True)
    done = prune(tmp_path, capfd, **arguments)
    assert (done["removed"], done["freed_bytes"]) == ([three], 1002)
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["m", "m@1", "m@2", "m@mine", "other"]
    assert not prune(tmp_path, capfd, **arguments)["changed"]


def test_images(docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    for age, image_id in enumerate(IDS[:3]):  # the fourth is somebody else's
        record = tmp_path / "images" / (image_id[7:] + ".json")
        record.write_text("{}")
        os.utime(record, (age, age))
    docker.inspected = '[{"Image": "%s"}]' % IDS[0]
    done = prune(tmp_path, capfd, what="images", keep=2, current=[IDS[2]])
    assert done["removed"] == docker.removed == [IDS[1]]


def test_nothing_is_removed_when_docker_does_not_answer(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, _two = make(tmp_path, "models/m@1", "models/m")
    docker.down = True
    result = prune(tmp_path, capfd, what="revisions", keep=1)
    assert "Nothing was removed" in result["msg"]
    assert Path(one).exists()
    assert not prune(tmp_path, capfd, what="revisions", keep=2)["changed"]
