# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old revisions and images go, what is in use and what is not ours stays."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._base import command
from ansible_collections.ascend.fleet.plugins.module_utils._host import docker as _docker
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.module_utils._images import usage as _usage
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import deployment, state
from ansible_collections.ascend.fleet.plugins.modules import artifact_prune

sys.path.insert(0, str(Path(__file__).resolve().parent))

from prune_site import V0, V1, V2, Site, expected

IDS = ["sha256:" + digit * 64 for digit in "1234"]


class Docker:
    """Two containers, one of them stopped, and four images."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.inspected = "[]"
        self.down = False
        self.absent = False

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        text = ""
        if argv[1:3] == ["image", "ls"]:
            present = [image_id for image_id in IDS if image_id not in self.removed]
            text = "\n".join(json.dumps({"ID": i, "Repository": "<none>", "Tag": "<none>"}) for i in present)
        elif argv[1] == "ps":
            text = "\n".join("c%d" % n for n in range(len(json.loads(self.inspected))))
        elif argv[1:3] == ["container", "inspect"]:
            text = self.inspected
        elif argv[1:3] == ["image", "rm"]:
            self.removed.append(argv[-1])
        else:
            raise AssertionError(argv)
        if self.absent:
            return command.Completed(tuple(argv), 127, "", "docker: No such file or directory", False)
        return command.Completed(tuple(argv), 1 if self.down else 0, text, "cannot connect", False)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    docker = Docker()
    (tmp_path / "units").mkdir()
    usage, client = _usage.Usage, _docker.Docker
    read, in_use_text = state.read, deployment.in_use_text
    monkeypatch.setattr(artifact_prune.state, "read", lambda: read(str(tmp_path)))
    monkeypatch.setattr(artifact_prune.deployment, "in_use_text", lambda needed: in_use_text(needed, str(tmp_path)))
    monkeypatch.setattr(artifact_prune, "Docker", lambda **options: client(run=docker, **options))
    monkeypatch.setattr(
        artifact_prune, "Usage", lambda docker, **options: usage(docker, str(tmp_path / "units"), **options)
    )
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


def record(tmp_path: Path, image_id: str, used_at: float) -> None:
    records.write_record(str(tmp_path / "images"), image_id)
    records.set_used(str(tmp_path / "images"), image_id, used_at)


def serves(docker: Docker, image_id: str) -> None:
    docker.inspected = '[{"Image": "%s"}, {"Image": "other"}]' % image_id


def test_images(docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for age, image_id in enumerate(IDS[:3]):  # the fourth is somebody else's
        record(tmp_path, image_id, age)
    serves(docker, IDS[0])
    foreseen = prune(tmp_path, capfd, check=True, what="images", keep=2, current=[IDS[2]])
    assert docker.removed == []
    done = prune(tmp_path, capfd, what="images", keep=2, current=[IDS[2]])
    assert foreseen["removed"] == done["removed"] == docker.removed == [IDS[1]]
    assert not records.has_record(str(tmp_path / "images"), IDS[1])
    assert not prune(tmp_path, capfd, what="images", keep=2, current=[IDS[2]])["changed"]


def test_the_image_that_a_rollback_needs_is_kept(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first image, the second, back to the first, then on to the third: the first is where a rollback leads."""
    first, second, third, _other = IDS
    for age, image_id in enumerate((first, second)):
        record(tmp_path, image_id, 1000 + age)
    serves(docker, second)
    assert not prune(tmp_path, capfd, what="images", keep=2, current=[first])["changed"]
    record(tmp_path, third, 2000)
    serves(docker, third)
    assert prune(tmp_path, capfd, what="images", keep=2, current=[third])["removed"] == [second]


def test_an_image_that_served_is_younger_than_one_that_was_only_recorded_later(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, staged, third, _other = IDS
    record(tmp_path, first, 1000)
    record(tmp_path, staged, 1001)  # and never served
    serves(docker, first)
    prune(tmp_path, capfd, what="images", keep=3, current=[first])
    record(tmp_path, third, 2000)
    serves(docker, third)
    assert prune(tmp_path, capfd, what="images", keep=2, current=[third])["removed"] == [staged]


def test_nothing_is_removed_when_docker_does_not_answer(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, _two = make(tmp_path, "models/m@1", "models/m")
    docker.down = True
    result = prune(tmp_path, capfd, what="revisions", keep=1)
    assert "Nothing was removed" in result["msg"]
    assert Path(one).exists()
    assert not prune(tmp_path, capfd, what="revisions", keep=2)["changed"]


def deploy(tmp_path: Path, image_id: str, weights: str) -> deployment.Deployment:
    """Keep a deployment with this image and these weights; returns it."""
    unit = dict.fromkeys(deployment._OF_UNIT, "")
    unit.update(name="vllm-m@0.service", url="", served_model_name="m", image=image_id)
    unit["content"] = "docker run -v %s:%s:ro %s" % (weights, weights, image_id)
    made = deployment.Deployment.of({"release": image_id[-4:]}, [unit], {})
    deployment.keep(made, str(tmp_path))
    return made


def good(found: dict[str, Any], made: deployment.Deployment, now: float) -> dict[str, Any]:
    return state.record_good(found, state.Target(made.name, made.digest), made.unit_names, by="a@b", now=now)


def test_what_a_rollback_needs_stays_whatever_the_count_says(
    docker: Docker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = make(tmp_path, "models/m@1", "models/m@2", "models/m@3", "models/m@4")
    for age, image_id in enumerate(IDS):
        record(tmp_path, image_id, age)
    before, last, new = (deploy(tmp_path, IDS[n], folders[n]) for n in range(3))
    found = good(good(state.empty(), before, 1.0), last, 2.0)
    target = state.Target(new.name, new.digest)
    state.write(state.begin(found, target, change="c1", kind="upgrade", by="a@b", now=3.0), str(tmp_path))
    serves(docker, IDS[3])
    for what, current in (("revisions", folders[3]), ("images", IDS[3])):
        assert not prune(tmp_path, capfd, what=what, keep=1, current=[current])["changed"], what
    # The change has ended well: what was last good before stays, and what was before that goes.
    state.write(good(found, new, 4.0), str(tmp_path))
    assert prune(tmp_path, capfd, what="revisions", keep=1, current=[folders[3]])["removed"] == [folders[0]]
    assert prune(tmp_path, capfd, what="images", keep=1, current=[IDS[3]])["removed"] == [IDS[0]]


@pytest.mark.parametrize("damage", ["state", "deployment", "gone"])
def test_nothing_is_removed_where_it_is_not_known_what_a_rollback_needs(
    docker: Docker,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(artifact_prune.AnsibleModule, "warn", lambda _module, words: said.append(words))
    one, two = make(tmp_path, "models/m@1", "models/m")
    made = deploy(tmp_path, IDS[0], two)
    state.write(good(state.empty(), made, 1.0), str(tmp_path))
    path = Path(deployment.path_of(made.digest, str(tmp_path)))
    if damage == "gone":
        path.unlink()
    else:
        (path if damage == "deployment" else tmp_path / "state.json").write_text("{")
    result = prune(tmp_path, capfd, what="revisions", keep=1, current=[two])
    assert not result["changed"]
    assert said[0].startswith("nothing was removed, as it is not known what a rollback needs: found ")
    assert Path(one).exists()


def test_a_mirror_needs_no_docker(docker: Docker, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    k0, k1 = site.bring(V0), site.bring(V1)
    docker.absent = True
    arguments: dict[str, Any] = {"keep": 1, "current": [k1]}
    refused = prune(site.root, capfd, what="revisions", **arguments)
    assert "Nothing was removed" in refused["msg"]
    foreseen = prune(site.root, capfd, check=True, what="mirror", **arguments)
    done = prune(site.root, capfd, what="mirror", **arguments)
    assert done["removed"] == foreseen["removed"]
    assert done["changed"]
    assert site.names() == expected(V1, keys=(k1,))
    docker.absent, docker.down = False, True
    k2 = site.bring(V2)
    assert "Nothing was removed" in prune(site.root, capfd, what="mirror", keep=1, current=[k2])["msg"]
    assert k0
