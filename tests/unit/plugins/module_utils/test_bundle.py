# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle holds beside the artifacts, made once and completed after any interruption."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import bundle
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.bundle import BundleError, Request
from ansible_collections.ascend.fleet.plugins.module_utils._base import command


class Programs:
    """pip and ansible-galaxy, as far as the bundle sees them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = ""

    def __call__(self, argv: list[str], **options: Any) -> command.Completed:
        what = "pip" if "pip" in argv else "galaxy"
        self.calls.append(what)
        if what == self.fails:
            return command.Completed(tuple(argv), 1, "", "no such index", False)
        if what == "pip":
            Path(argv[argv.index("--dest") + 1], "ansible_core-2.19.14-py3-none-any.whl").write_bytes(b"wheel")
        else:
            source = argv[argv.index("build") + 1]
            assert not list(Path(source).rglob("tests"))
            with tarfile.open(Path(argv[argv.index("--output-path") + 1], "ascend-fleet-0.1.0.tar.gz"), "w:gz") as tar:
                tar.add(source, arcname=".")
        return command.Completed(tuple(argv), 0, "", "", False)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    collection = tmp_path / "collection"
    for name in ("plugins/modules/x.py", "plugins/__pycache__/x.pyc", "tests/unit/test_x.py", "galaxy.yml"):
        (collection / name).parent.mkdir(parents=True, exist_ok=True)
        (collection / name).write_text(name)
    oid = hashlib.sha256(b"weights").hexdigest()
    for place in ("artifacts/objects/%s/%s/%s" % (oid[:2], oid[2:4], oid), ".work/models/M/weights"):
        (tmp_path / "bundle" / place).parent.mkdir(parents=True)
        (tmp_path / "bundle" / place).write_bytes(b"weights")
    return Request(
        path=str(tmp_path / "bundle"),
        collection=str(collection),
        releases=("r",),
        requirement="ansible-core==2.19.14",
        python="/usr/bin/python3",
        python_version="3.11.7",
        machine="x86_64",
    )


def test_everything_is_there_and_listed_with_its_hash(request_: Request) -> None:
    programs = Programs()
    outcome = bundle.ensure(request_, check=False, run=programs)
    root = Path(request_.path)
    listed = dict(reversed(line.split("  ")) for line in (root / "SHA256SUMS").read_text().splitlines())
    on_disk = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".work" not in p.parts}
    assert set(listed) == on_disk - {"SHA256SUMS", "bundle.json"}
    assert all(hashlib.sha256((root / name).read_bytes()).hexdigest() == oid for name, oid in listed.items())
    assert (outcome.changed, outcome.files) == (True, len(listed))
    about = json.loads((root / "bundle.json").read_text())
    assert about["releases"] == ["r"]
    assert about["python"] == {"requirement": "ansible-core==2.19.14", "version": "3.11", "machine": "x86_64"}
    assert about["files"]["python/requirements.txt"] == len("ansible-core==2.19.14\n")


def test_the_second_run_changes_nothing_and_downloads_nothing(request_: Request) -> None:
    programs = Programs()
    assert bundle.ensure(request_, check=True, run=programs).changed
    assert "pip" not in programs.calls
    assert not (Path(request_.path) / "collections").exists()
    bundle.ensure(request_, check=False, run=programs)
    before = (Path(request_.path) / "SHA256SUMS").stat().st_mtime_ns
    assert not bundle.ensure(request_, check=False, run=programs).changed
    assert not bundle.ensure(request_, check=True, run=programs).changed
    assert programs.calls.count("pip") == 1
    assert (Path(request_.path) / "SHA256SUMS").stat().st_mtime_ns == before
    (Path(request_.collection) / "plugins/modules/x.py").write_text("new")
    assert bundle.ensure(request_, check=True, run=programs).changed, (
        "code has changed, and no name and no size of a file"
    )
    assert (Path(request_.path) / "SHA256SUMS").stat().st_mtime_ns == before
    assert bundle.ensure(request_, check=False, run=programs).changed


@pytest.mark.parametrize(("fails", "words"), [("pip", "bundle_python=false"), ("galaxy", "cannot be built")])
def test_a_failure_says_what_to_do_and_the_next_run_completes(request_: Request, fails: str, words: str) -> None:
    programs = Programs()
    programs.fails = fails
    with pytest.raises(BundleError, match=words):
        bundle.ensure(request_, check=False, run=programs)
    assert not (Path(request_.path) / "SHA256SUMS").exists()
    programs.fails = ""
    assert bundle.ensure(request_, check=False, run=programs).changed


def test_an_installed_collection_is_packed_as_it_is(request_: Request) -> None:
    info = {"collection_info": {"namespace": "ascend", "name": "fleet", "version": "9.9.9"}}
    (Path(request_.collection) / "MANIFEST.json").write_text(json.dumps(info))
    programs = Programs()
    bundle.ensure(request_, check=False, run=programs)
    assert programs.calls == ["pip"]
    with tarfile.open(Path(request_.path) / "collections" / "ascend-fleet-9.9.9.tar.gz") as tar:
        assert {"MANIFEST.json", "plugins/modules/x.py"} <= set(tar.getnames())
        assert not [name for name in tar.getnames() if "__pycache__" in name]
