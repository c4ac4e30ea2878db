# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that locks a release, with ansible-playbook, git and git-lfs on this machine: a branch moves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
#: ansible-test works in a copy that lies where Ansible looks for collections; a checkout has a link in .collections/.
COLLECTIONS = ROOT.parents[2] if ROOT.parts[-3] == "ansible_collections" else ROOT / ".collections"
MODEL, IMAGES = "Qwen-AI/Qwen3.5-27B", "Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp"
PLAYBOOK = [
    {"import_playbook": str(ROOT / "playbooks" / "lock.yml")},
    {"hosts": "npu_hosts", "gather_facts": False, "roles": ["ascend.fleet.model_artifacts"]},
]

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("git", "git-lfs")), reason="git and git-lfs are needed"
)


class Site:
    """An origin, an inventory whose hosts are folders of this machine, and a playbook that downloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: list[str] = []
        self.lock = folder / "inventory" / "releases" / "qwen3_5_27b_v0.lock.yml"
        (folder / "inventory").mkdir()
        (folder / "play.yml").write_text(yaml.safe_dump(PLAYBOOK))
        plain = dict.fromkeys(("config.json", "tokenizer.json", "tokenizer_config.json"), b"{}")
        self.commit(MODEL, {**plain, "model.safetensors": b"former" * 1000})
        self.commit(IMAGES, {"vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar": b"archive" * 1000})

    def commit(self, repository: str, files: dict[str, bytes]) -> None:
        """Commit files to the branch main of a repository of the origin, which is made where it is not there."""
        work, bare = self.folder / "work" / repository, self.folder / "origin" / (repository + ".git")
        if not work.exists():
            work.mkdir(parents=True)
            self.git(work, "init", "-q", "-b", "main", ".")
            self.git(work, "lfs", "install", "--local")
            lines = ["%s filter=lfs diff=lfs merge=lfs -text\n" % pattern for pattern in ("*.safetensors", "*.tar")]
            (work / ".gitattributes").write_text("".join(lines))
            self.git(self.folder, "init", "-q", "--bare", "-b", "main", str(bare))
            for option in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
                self.git(bare, "config", option, "true")
        for name, content in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        self.git(work, "add", "-A")
        self.git(work, "commit", "-q", "-m", "files")
        self.git(work, "push", "-q", "--no-verify", str(bare), "HEAD:main")
        shutil.copytree(work / ".git" / "lfs" / "objects", bare / "lfs" / "objects", dirs_exist_ok=True)

    def git(self, where: Path, *argv: str) -> None:
        identity = {"GIT_%s_%s" % (who, what): "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, **identity, "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *argv], cwd=where, env=env, check=True, capture_output=True)

    def run(self, playbook: str, *arguments: str) -> tuple[str, dict[str, int]]:
        """Run a playbook; return its output, and how many tasks have changed something, by host."""
        variables: dict[str, Any] = {
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "fleet_release": "qwen3_5_27b_v0",
            "npu_generation": "a2",
            "artifact_origin": "file://%s/origin" % self.folder,
            "model_artifacts_root": "%s/{{ inventory_hostname }}" % self.folder,
        }
        hosts = {host: {"ansible_host": "192.0.2.%d" % n} for n, host in enumerate(self.hosts, 1)}
        groups = {"npu_hosts": {"children": {"atlas_a2": {"hosts": hosts}}}}
        inventory = self.folder / "inventory" / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"vars": variables, "children": groups}}))
        # ansible-test's environment has the library, but not the program.
        program = [sys.executable, "-m", "ansible.cli.playbook"]
        done = subprocess.run(
            [*program, "-i", str(inventory), playbook, "--connection=local", *arguments],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_NOCOLOR": "1",
                "PATH": "%s:%s" % (Path(sys.executable).parent, os.environ["PATH"]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        recap = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
        return done.stdout, {host: int(count) for host, count in recap}

    def weights(self) -> dict[str, set[bytes]]:
        """The beginnings of the weights, by host."""
        return {
            host: {path.read_bytes()[:6] for path in (self.folder / host / "models").glob("*/model.safetensors")}
            for host in self.hosts
        }


def test_hosts_get_what_the_first_one_got_until_the_lock_is_renewed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.hosts = ["h1"]
    download = str(tmp_path / "play.yml")
    site.run(download)
    text = site.lock.read_text()
    lock = yaml.safe_load(text)
    assert (lock["release"], [image["generation"] for image in lock["images"]]) == ("qwen3_5_27b_v0", ["a2"])

    # The branch moves, and a host is added: it gets the former bytes, and nothing happens to the other one.
    site.commit(MODEL, {"model.safetensors": b"newest" * 1000})
    site.hosts.append("h2")
    _output, changed = site.run(download)
    assert site.weights() == {host: {b"former"} for host in site.hosts}
    assert (changed["h1"], site.lock.read_text()) == (0, text)

    # A fleet that runs without a lock gives its own, and only that file changes.
    site.lock.unlink()
    _output, changed = site.run(str(ROOT / "playbooks" / "lock.yml"))
    assert (sum(changed.values()), site.lock.read_text()) == (1, text)

    site.run(download, "-e", "fleet_relock=true")
    # Engines may serve from the former ones.
    assert site.weights() == {host: {b"former", b"newest"} for host in site.hosts}
    renewed = yaml.safe_load(site.lock.read_text())
    assert renewed["images"] == lock["images"]
    assert renewed["model"]["commit"] != lock["model"]["commit"]

    # What they hold since then is the lock that they give.
    text = site.lock.read_text()
    site.lock.unlink()
    site.run(str(ROOT / "playbooks" / "lock.yml"))
    assert site.lock.read_text() == text
