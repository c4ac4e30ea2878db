# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_converged: what it takes for a host to be left alone. Anything unknown is a reason not to."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Outcome
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Wanted
from ansible_collections.ascend.fleet.plugins.module_utils._host.docker import DockerError
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import SystemdError
from ansible_collections.ascend.fleet.plugins.modules import node_converged

IMAGE_ID = "sha256:" + "4b" * 32
UNIT = {
    "name": "vllm-m@0.service",
    "replica": 0,
    "url": "http://127.0.0.1:8010",
    "port": 8010,
    "container_name": "vllm-m-0",
    "served_model_name": "m",
    "release": "r",
    "indices": [0],
    "secrets": {"VLLM_API_KEY": "key"},
}
IMAGE = {
    "generation": "a2",
    "repository": "https://h/A/images.git",
    "revision": "main",
    "path": "a.tar",
    "tag": "t",
    "image_id": IMAGE_ID,
    "components": {},
    "reported_components": [],
}
RELEASE = {
    "release": "r",
    "cann": {"version": "9.1.0"},
    "images": [IMAGE],
    "model": {"name": "b", "repository": "https://h/A/b.git", "revision": "main"},
}
WEIGHTS = "/root/models/A--b"
DIGEST = node_converged.deployment.digest_of(node_converged.deployment.sha256_of(RELEASE), [UNIT], UNIT["secrets"])
CHANGE = {"id": "c1", "kind": "upgrade", "release": "r2", "step": "baking", "since": "2026-11-30T06:31:40Z"}
NODE = {"architecture": "aarch64", "docker": {}}


class Site:
    """A host on which everything is as wanted, until a test says otherwise."""

    def __init__(self):
        self.settled = True
        self.image = lambda: node_converged.store.Outcome(image_id=IMAGE_ID)
        self.quick = True
        self.contents = {"components": {}}
        self.report = lambda: [{"name": UNIT["name"], "changed": False, "steps": [], "reason": None}]
        self.removed, self.support = [], []
        self.ready = True
        self.settings = None
        self.node = None
        self.asked = []
        self.state = node_converged.state.empty
        self.kept = True

    def record(self, digest=None, change=None):
        """Let the wanted deployment, or another one, be the last good one of the host."""
        good = {"release": "r", "digest": digest or DIGEST, "since": "2026-11-30T06:15:00Z"}
        known = {**node_converged.state.empty(), "last_good": good, "change": change}
        self.state = lambda: known

    def read(self):
        return self.state()

    def settle(self, repository):
        self.asked.append(repository.request.dest)
        files = [Wanted("a", "0" * 64, 1, True, "b")] if self.settled else []
        return Outcome(settled=self.settled, dest=repository.request.dest, files=files)

    def ensure(self, wanted, docker, *, check):
        assert check
        return self.image()

    def plan(self, node, release, settings):
        self.settings, self.node = settings, node
        return [UNIT]

    def present(self, host, units, secrets):
        assert host.check
        assert units == [UNIT]
        assert secrets == UNIT["secrets"]
        return self.report(), self.removed, self.support

    def look(self, watcher):
        for watch in watcher.watches:
            watch.ready = self.ready


def method_of(function):
    """A method that hands its object on to a function."""

    def method(self, *arguments):
        return function(self, *arguments)

    return method


@pytest.fixture
def site(monkeypatch):
    found = Site()
    module = node_converged
    monkeypatch.setattr(module.Repository, "is_settled", method_of(found.settle))
    monkeypatch.setattr(module.store, "ensure", found.ensure)
    monkeypatch.setattr(module.store, "is_quickly_read", lambda wanted, docker: found.quick)
    monkeypatch.setattr(
        module.verify, "verify", lambda wanted, docker, check: module.verify.Verified("m", IMAGE_ID, found.contents)
    )
    monkeypatch.setattr(module.plan, "plan_replicas", found.plan)
    monkeypatch.setattr(module.units.Host, "present", method_of(found.present))
    monkeypatch.setattr(module.state, "read", found.read)
    monkeypatch.setattr(module.deployment, "is_kept", lambda digest: found.kept)
    found.record()
    monkeypatch.setattr(module.ready.Watcher, "look_ready", method_of(found.look))
    return found


def ask(**more):
    """The module's result."""
    arguments = {
        "release": RELEASE,
        "artifacts": {"generation": "a2", "architecture": "", "root": "/root", "origin": ""},
        "images": {"records": "/records", "verify": True, "threads": True},
        "node": NODE,
        "settings": {"environment": {"A": "1"}},
        "secrets": {"HF_TOKEN": "token-of-somebody"},
        "api_key": "key-of-the-service",
        **more,
    }
    out = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        node_converged.main()
    return json.loads(out.getvalue())


def test_a_host_that_is_as_wanted_is_converged(site):
    result = ask()
    assert result["converged"], result
    assert (result["changed"], result["reasons"]) == (False, [])
    assert (result["image_id"], result["weights"]) == (IMAGE_ID, WEIGHTS)
    assert [r["unit"] for r in result["replicas"]] == ["vllm-m@0.service"]
    assert (site.settings.image, site.settings.weights) == (IMAGE_ID, WEIGHTS)
    assert site.settings.environment == {"A": "1", "HF_TOKEN": "token-of-somebody"}
    assert "token-of-somebody" not in json.dumps(result)
    assert (result["digest"], result["last_good"]["digest"], result["change"]) == (DIGEST, DIGEST, None)


def test_it_is_converged_without_the_archive_of_an_image_that_docker_has(site):
    assert ask()["converged"]
    assert site.asked == ["/root/repositories/A--images", WEIGHTS]
    site.asked.clear()
    docker = {"image_store": "docker", "images": [{"id": IMAGE_ID, "tags": []}]}
    result = ask(node={**NODE, "docker": docker})
    assert (result["converged"], site.asked) == (True, [WEIGHTS]), result
    site.asked.clear()
    ask(node={**NODE, "docker": {**docker, "image_store": "containerd"}})
    assert len(site.asked) == 2


def test_the_node_is_read_where_nobody_has_read_it(site, monkeypatch):
    def collect(host, *, gather_subset):
        assert set(gather_subset) >= {"npu", "topology", "versions", "docker"}
        return {**NODE, "devices": ["of this host"]}

    monkeypatch.setattr(node_converged.collect, "collect", collect)
    assert ask(node=None)["converged"]
    assert site.node["devices"] == ["of this host"]
    assert ask()["converged"]
    assert "devices" not in site.node


def test_the_whole_release_is_told_by_its_digest(site):
    assert ask(release={**RELEASE, "smoke": {}})["digest"] != DIGEST
    other = {**RELEASE, "smoke": {}}
    assert ask(serve_release=other)["digest"] == ask(release=other)["digest"]


def test_what_somebody_has_chosen_holds(site):
    ask(settings={"image": "mine", "weights": "/mine", "weights_content": "c"})
    assert (site.settings.image, site.settings.weights, site.settings.weights_content) == ("mine", "/mine", "c")


def test_the_image_is_not_verified_where_that_is_switched_off(site):
    site.contents = None
    assert ask(images={"records": "/records", "verify": False, "threads": True})["converged"]


@pytest.mark.parametrize("empty", [True, False])
def test_one_that_is_as_wanted_and_not_recorded_is_not_converged_for_that_alone(site, empty):
    if empty:
        site.state = node_converged.state.empty
    else:
        site.record("0" * 64)
    result = ask()
    assert not result["converged"]
    assert result["reasons"] == ["its deployment is not recorded as last good yet"]
    assert result["digest"] == DIGEST
    assert (result["last_good"] or {}).get("digest") == (None if empty else "0" * 64)
    site.ready = False
    [reason] = ask()["reasons"]
    assert "recorded" not in reason


def test_one_whose_kept_deployment_is_gone_is_recorded_anew(site):
    site.kept = False
    assert ask()["reasons"] == ["its deployment is not recorded as last good yet"]


def test_a_change_that_is_open_is_a_reason(site):
    site.record(change=CHANGE)
    result = ask()
    assert result["reasons"] == ["c1 (upgrade to r2) has not come to its end: baking since 2026-11-30T06:31:40Z"]
    assert result["change"] == CHANGE


def test_another_secret_is_another_deployment(site, monkeypatch):
    monkeypatch.setitem(UNIT, "secrets", {"VLLM_API_KEY": "other"})
    result = ask()
    assert result["digest"] != DIGEST
    assert not result["converged"]


def answer(value):
    """A function that returns the value, or raises it."""

    def given():
        if isinstance(value, Exception):
            raise value
        return value

    return given


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("settled", False, "A/images of main is not complete in /root/repositories/A--images"),
        ("image", node_converged.store.Outcome(loaded=True, message="it would be loaded"), "it would be loaded"),
        ("image", node_converged.store.Outcome(image_id=IMAGE_ID, unread=True), "image"),
        ("image", node_converged.store.Outcome(image_id=IMAGE_ID, unrecorded=True), "image"),
        ("image", DockerError("`docker info` did not end within its deadline"), "docker info"),
        ("quick", False, "/root/repositories/A--images/a.tar"),
        ("contents", None, "image"),
        (
            "report",
            [{"name": "u", "changed": True, "steps": ["restart"], "reason": "its container runs another"}],
            "u: restart (its container runs another)",
        ),
        ("removed", ["vllm-old@0.service"], "vllm-old@0.service: remove"),
        ("support", ["/etc/ascend-fleet/x.sh"], "/etc/ascend-fleet/x.sh: write"),
        ("report", SystemdError("`systemctl show` ended with status 1"), "systemctl show"),
        ("ready", False, "vllm-m@0.service"),
        ("state", node_converged.state.StateError("found state.json damaged"), "state.json damaged"),
    ],
)
def test_anything_else_and_anything_unknown_is_a_reason(site, name, value, words):
    setattr(site, name, answer(value) if name in ("image", "report", "state") else value)
    result = ask()
    assert not result["converged"]
    assert not result.get("failed")
    assert len(result["reasons"]) == 1
    assert words in result["reasons"][0]
    assert "replicas" not in result


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [{**IMAGE, "image_id": None}]}, "no ID of the image yet"),
        ({"images": [{**IMAGE, "generation": "a3"}]}, "no image for generation a2"),
    ],
)
def test_a_release_that_does_not_say_what_the_host_needs_is_a_reason(site, change, words):
    [reason] = ask(release={**RELEASE, **change})["reasons"]
    assert words in reason
