# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_traffic as Ansible calls it, at a gateway of a few lines."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.ascend.fleet.plugins.module_utils._host import haproxy
from ansible_collections.ascend.fleet.plugins.modules import vllm_traffic

A, B = "vllm-qwen3.5/a2-1:0", "vllm-qwen3.5/a2-1:1"


class FakeHaproxy:
    """Two servers; what it is told holds until it is restarted."""

    def __init__(self, folder):
        self.folder = folder
        self.path = str(folder / "admin.sock")
        self.states = {A: "ready", B: "ready"}
        self.sessions = {A: 0, B: 0}
        self.told = []
        self.saved = 0
        self.looks = self.up_after = 0
        (folder / "haproxy.cfg").write_text("")

    def servers(self):
        found = []
        for key, state in self.states.items():
            backend, name = key.split("/")
            self.looks += 1
            status = "UP" if self.looks > self.up_after else "DOWN 1/2"
            one = haproxy.Server(backend, name, "10.0.0.1", 8010, state, state != "ready", status, 0, 0)
            found.append(dataclasses.replace(one, sessions=self.sessions[key]))
        return found

    def set_state(self, backend, server, state):
        # A note must be there before its drain: without one it would count as made by hand.
        assert state == "ready" or "%s/%s" % (backend, server) in json.loads(
            (self.folder / "drains.json").read_text() or "{}"
        )
        self.states["%s/%s" % (backend, server)] = state
        self.told.append((server, state))

    def save_state(self, path):
        self.saved += 1


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    fake = FakeHaproxy(tmp_path)
    monkeypatch.setattr(vllm_traffic.haproxy, "Haproxy", lambda path: fake)
    return fake


def call(gateway, check=False, **arguments):
    folder = gateway.folder
    given = {
        "socket": str(folder / "admin.sock"),
        "config": str(folder / "haproxy.cfg"),
        "records": str(folder / "drains.json"),
        "state_file": str(folder / "servers.state"),
        "_ansible_check_mode": check,
        **arguments,
    }
    out = io.StringIO()
    with patch_module_args(given), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        vllm_traffic.main()
    return json.loads(out.getvalue())


def notes(gateway):
    path = gateway.folder / "drains.json"
    return json.loads(path.read_text()) if path.exists() else {}


def states(result):
    return {s["server"]: s["admin_state"] for s in result["servers"]}


def test_out_and_in_checked_done_and_done_again(gateway):
    out = {"state": "out", "host": "a2-1", "replicas": [0], "owner": "change", "by": "alice", "reason": "new option"}
    seen = call(gateway, check=True, **out)
    assert (seen["changed"], states(seen), gateway.told, notes(gateway)) == (True, {"a2-1:0": "drain"}, [], {})
    assert seen["diff"]["after"] == A + ": drain (change, alice, new option)\n"
    done = call(gateway, **out)
    assert (done["changed"], states(done), gateway.told) == (True, {"a2-1:0": "drain"}, [("a2-1:0", "drain")])
    assert notes(gateway)[A]["owner"] == "change"
    assert os.stat(gateway.folder / "drains.json").st_mode & 0o777 == 0o600
    assert gateway.saved == 1
    assert not call(gateway, **out)["changed"]
    back = {"state": "in", "host": "a2-1", "replicas": [0], "owner": "change"}
    assert call(gateway, check=True, **back)["changed"]
    assert gateway.states[A] == "drain"
    assert call(gateway, **back)["changed"]
    assert (gateway.states[A], notes(gateway), gateway.saved) == ("ready", {}, 2)
    assert not call(gateway, **back)["changed"]


def test_a_change_goes_on_when_requests_go_to_what_it_has_put_back(gateway, monkeypatch):
    slept = []
    monkeypatch.setattr(vllm_traffic.time, "sleep", slept.append)
    back = {"state": "in", "host": "a2-1", "owner": "change"}
    call(gateway, state="out", host="a2-1", replicas=[0], owner="change")
    gateway.up_after = gateway.looks + 8
    assert call(gateway, **back)["changed"]
    assert set(slept) == {0.5}
    gateway.up_after = 10**9
    monkeypatch.setattr(vllm_traffic, "_IN_SERVICE_SECONDS", 0.0)
    seen = call(gateway, **back)
    assert seen["msg"].startswith("found a2-1:0 DOWN 1/2, a2-1:1 DOWN 1/2 not in service at this gateway 0 s after")
    # An operator may put back what does not serve yet.
    assert "msg" not in call(gateway, state="in", host="a2-1")


def test_an_operators_drain_outlives_a_change_and_one_by_hand_too(gateway):
    call(gateway, state="out", replicas=["a2-1:0"], by="bob", reason="fan")
    gateway.states[B] = "drain"  # socat
    for state in ("out", "in"):
        seen = call(gateway, state=state, host="a2-1", owner="change")
        assert not seen["changed"]
        assert [(s["owner"], s["drained_by"]) for s in seen["servers"]] == [
            ("operator", "bob"),
            ("operator", "by hand"),
        ]
    assert states(call(gateway, state="in", host="a2-1")) == {"a2-1:0": "ready", "a2-1:1": "ready"}


def test_a_gateway_that_has_forgotten_is_told_again(gateway):
    call(gateway, state="out", replicas=["a2-1:0"], by="bob")
    gateway.states[A] = "ready"
    assert call(gateway, state="restore")["changed"]
    assert (gateway.states[A], notes(gateway)[A]["by"]) == ("drain", "bob")
    assert not call(gateway, state="restore")["changed"]


def test_a_drain_that_was_undone_by_hand_is_forgotten_with_the_next_change(gateway):
    call(gateway, state="out", replicas=["a2-1:0"])
    gateway.states[A] = "ready"
    assert states(call(gateway, state="query"))["a2-1:0"] == "ready"
    assert set(notes(gateway)) == {A}
    assert not call(gateway, state="in", replicas=["a2-1:0"], owner="change")["changed"]
    assert notes(gateway) == {}


def test_a_replica_that_the_gateway_does_not_have(gateway):
    seen = call(gateway, state="out", replicas=["a9-1"])
    assert seen["msg"].startswith("found no a9-1 at this gateway (there is: %s, %s); needed it. Fix: " % (A, B))
    assert call(gateway, state="out", replicas=["a9-1"], absent="ignore")["missing"] == ["a9-1"]
    assert call(gateway, state="query", replicas=["a9-1"])["missing"] == ["a9-1"]


def test_the_last_one_is_refused(gateway):
    seen = call(gateway, state="out", host="a2-1", last="refuse")
    assert "no other replica in service" in seen["msg"]
    assert (gateway.told, notes(gateway)) == ([], {})


def test_a_host_without_a_gateway_holds_nothing_back(gateway):
    os.unlink(gateway.folder / "haproxy.cfg")
    seen = call(gateway, state="out", host="a2-1")
    assert (seen["installed"], seen["servers"], seen["changed"]) == (False, [], False)


def test_a_gateway_that_does_not_answer_is_an_error(gateway, monkeypatch):
    def silent():
        raise haproxy.HaproxyError("found: `show servers state` to /s: nobody listening", listening=False)

    monkeypatch.setattr(gateway, "servers", silent)
    assert "nobody listening" in call(gateway, state="out", host="a2-1")["msg"]


def test_notes_that_cannot_be_read_are_an_error(gateway):
    (gateway.folder / "drains.json").write_text("[]")
    assert "needed who drained which server" in call(gateway, state="query")["msg"]


def test_a_lock_that_another_holds_ends_the_wait(gateway, monkeypatch):
    monkeypatch.setattr(vllm_traffic, "_LOCK_SECONDS", 0.0)
    fd = os.open(gateway.folder / "drains.json.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert "held by another process" in call(gateway, state="out", host="a2-1")["msg"]
        assert call(gateway, state="query")["servers"]
    finally:
        os.close(fd)


def test_idle_names_what_is_left(gateway, monkeypatch):
    gateway.sessions[A] = 2
    looked = call(gateway, state="idle", host="a2-1", check_settled=True)
    assert (looked["settled"], looked["servers"][0]["sessions"]) == (False, 2)
    assert "a2-1:0: 2 sessions" in call(gateway, state="idle", host="a2-1", timeout=0)["msg"]

    def sleep(_seconds):
        gateway.sessions[A] = 0

    monkeypatch.setattr(vllm_traffic.time, "sleep", sleep)
    progress = gateway.folder / "progress"
    assert call(gateway, state="idle", host="a2-1", progress=str(progress))["settled"]
    assert json.loads(progress.read_text())["text"] == "a2-1:0: 2 sessions"


def test_with_the_driver_external_the_notes_are_the_state(gateway, monkeypatch):
    units = [{"served_model_name": "qwen3.5", "replica": n, "port": 8010 + n} for n in (0, 1)]
    monkeypatch.setattr(vllm_traffic, "deployed", lambda: units)
    out = {"driver": "external", "host": "a2-1", "owner": "change", "by": "alice"}
    assert call(gateway, state="out", check=True, **out)["changed"]
    assert states(call(gateway, state="out", replicas=[1], **out)) == {"a2-1:1": "drain"}
    assert set(notes(gateway)) == {B}
    seen = call(gateway, state="out", **{**out, "owner": "operator"})
    assert [s["changed"] for s in seen["servers"]] == [True, True]
    assert not call(gateway, state="in", **out)["changed"]
    assert call(gateway, state="in", **{**out, "owner": "operator"})["changed"]
    assert (notes(gateway), gateway.told) == ({}, [])
    assert "needed a gateway that can be asked" in call(gateway, state="idle", **out)["msg"]
