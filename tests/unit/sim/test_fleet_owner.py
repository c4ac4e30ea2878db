# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a simulated fleet is: each checkout has its own, and what removed ones have left goes."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))

from fleetsim import machine
from fleetsim.fleet import Fleet


class Docker:
    """Containers and networks, each with the checkout that made it."""

    def __init__(self, **roots: Path) -> None:
        self.things = {kind: {"thing-%s" % kind: str(root)} for kind, root in roots.items()}
        self.removed: list[str] = []

    def names(self, kind: str, *_filters: str) -> list[str]:
        return list(self.things.get(kind, {}))

    def inspect(self, kind: str, *names: str) -> list[dict[str, Any]]:
        found = [(name, {machine.ROOT_LABEL: self.things[kind][name]}) for name in names]
        if kind == "container":
            return [{"Name": "/" + name, "Config": {"Labels": labels}} for name, labels in found]
        return [{"Name": name, "Labels": labels} for name, labels in found]

    def __call__(self, command: str, *words: str, **_options: object) -> None:
        kind, name = ("container", words[-1]) if command == "rm" else (command, words[-1])
        del self.things[kind][name]
        self.removed.append(name)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(machine, "repository_root", lambda: tmp_path / "here")
    monkeypatch.setattr(machine, "cache_home", lambda: tmp_path / "cache")
    return Fleet("test")


def test_fleets_of_one_name_live_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cache_home", lambda: tmp_path / "cache")
    found = []
    for folder in ("here", "there"):
        monkeypatch.setattr(machine, "repository_root", lambda folder=folder: tmp_path / folder)
        found.append(Fleet("test"))
    here, there = found
    assert here.container("a2-1").startswith("test-a2-1-")
    assert here.container("a2-1") != there.container("a2-1")
    assert here.network != there.network
    filters: list[tuple[str, ...]] = []
    monkeypatch.setattr(here.docker, "names", lambda kind, *words: filters.append(words) or [])
    here.names("container")
    assert filters == [("label=ascend.fleet.sim=test", "label=ascend.fleet.sim.root=%s" % (tmp_path / "here"))]


def test_what_a_removed_checkout_has_left_is_removed(fleet: Fleet, tmp_path: Path) -> None:
    docker = Docker(container=tmp_path / "gone", network=tmp_path / "gone")
    fleet.docker = docker  # type: ignore[assignment]
    fleet._clear()
    assert docker.removed == ["thing-container", "thing-network"]


def test_what_a_checkout_has_that_is_there_stays(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    docker = Docker(container=tmp_path / "other", network=tmp_path / "other")
    fleet.docker = docker  # type: ignore[assignment]
    fleet._clear()
    assert docker.removed == []


def test_a_daemon_that_listens_is_told_from_a_socket_that_was_left(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = Path("s")
    assert not machine.accepts(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert machine.accepts(path)
    assert path.exists()
    assert not machine.accepts(path)
