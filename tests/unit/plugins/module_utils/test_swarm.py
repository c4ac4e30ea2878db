# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing with other hosts: what aria2 is told, and what is believed of what it leaves."""

from __future__ import annotations

import hashlib
import os
import random
import re
import stat
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import swarm as _swarm
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import torrent as _torrent
from ansible_collections.ascend.fleet.plugins.module_utils._base import command

CONTENT = random.Random(6).randbytes(1_500_000)
OID = hashlib.sha256(CONTENT).hexdigest()
TRACKER = "http://192.0.2.5:6969/announce"
NO_BUS = "Failed to connect to bus: Connection refused"
NO_SYSTEMD = "System has not been booted with systemd as init system (PID 1). Can't operate."
SEED = "http://192.0.2.5:8008/objects/x"


def state_of(*states: str) -> str:
    """What systemctl shows of units in these states."""
    blocks = ["Id=ascend-fleet-swarm-%d.service\nActiveState=%s\n" % unit for unit in enumerate(states)]
    return "\n".join(blocks)


class Fake:
    """systemd-run and aria2c; ``work`` does in the data folder what aria2 would."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ran: list[list[str]] = []
        self.work: Callable[[Path], Any] = lambda data: (data / OID).write_bytes(CONTENT)
        self.status = 0
        self.said = ""
        self.stop: tuple[int | None, str] = (0, "")
        self.show: tuple[int | None, str, str] = (0, "", "")

    def run(self, argv: list[str], *, timeout: float) -> command.Completed:
        self.ran.append(argv)
        if argv[0] == "systemd-run" and "--wait" in argv:
            self.work(self.place / "work" / "data")
            return command.Completed(tuple(argv), self.status, self.said, "", False)
        if argv[:2] == ["systemctl", "stop"]:
            return command.Completed(tuple(argv), self.stop[0], "", self.stop[1], self.stop[0] is None)
        if argv[:2] == ["systemctl", "show"]:
            return command.Completed(tuple(argv), *self.show, self.show[0] is None)
        return command.Completed(tuple(argv), 0, "", "", False)

    @property
    def started(self) -> list[str]:
        return next(argv for argv in self.ran if argv[0] == "systemd-run")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(os, "fchown", lambda *args, **kwargs: None)  # tests may not be root
    monkeypatch.setattr(_swarm.shutil, "which", lambda name: "/usr/bin/" + name)
    return Fake(tmp_path / "swarm")


def swarm(fake: Fake, **settings: Any) -> _swarm.Swarm:
    return _swarm.Swarm(str(fake.place), _swarm.Settings(trackers=(TRACKER,), **settings), fake.run)


@pytest.fixture
def shared(tmp_path: Path) -> _swarm.Shared:
    (tmp_path / "original").write_bytes(CONTENT)
    return _swarm.Shared(OID, len(CONTENT), _torrent.hash_pieces(str(tmp_path / "original")), (SEED,))


def test_what_is_whole_is_returned_as_a_file_of_ours(fake: Fake, shared: _swarm.Shared) -> None:
    fake.work = lambda data: ((data / OID).write_bytes(CONTENT), (data / OID).chmod(0o666))
    found, problem = swarm(fake).bring([shared], {}, 60)
    assert (list(found), problem) == ([OID], "")
    assert Path(found[OID]).read_bytes() == CONTENT
    assert stat.S_IMODE(os.stat(found[OID]).st_mode) == 0o644
    assert stat.S_IMODE(fake.place.stat().st_mode) == 0o700, "nobody else reaches the folder in which all may write"
    torrent = (fake.place / "work" / "torrents" / (OID + ".torrent")).read_bytes()
    assert TRACKER.encode() in torrent
    assert SEED.encode() in torrent
    lines = (fake.place / "work" / "list").read_text().splitlines()
    assert lines == ["/run/ascend-fleet/torrents/%s.torrent" % OID, "  dir=/run/ascend-fleet/data"]


def test_aria2_runs_with_no_rights_and_talks_to_the_site_only(fake: Fake, shared: _swarm.Shared) -> None:
    swarm(fake, ports="7000-7001", ca_path="/etc/ca.pem").bring([shared], {}, 60)
    words = fake.started
    for word in (
        "--property=DynamicUser=yes", "--property=CapabilityBoundingSet=", "--property=ProtectSystem=strict",
        "--property=BindPaths=%s/work:/run/ascend-fleet" % fake.place, "--enable-dht=false", "--bt-enable-lpd=false",
        "--property=BindReadOnlyPaths=/etc/ca.pem:/run/ascend-fleet/ca.pem", "--listen-port=7000-7001",
        "--ca-certificate=/run/ascend-fleet/ca.pem", "--check-integrity=true", "--seed-time=0",
    ):  # fmt: skip
        assert word in words
    assert not any("check-certificate" in word for word in words)
    name = next(word for word in words if word.startswith("--unit=")).partition("=")[2]
    pattern = re.escape(fake.ran[0][2]).replace(r"\*", ".*")
    assert fake.ran[0][:2] == ["systemctl", "stop"], "what an interrupted run has left goes first"
    assert re.fullmatch(pattern, name + ".service")


@pytest.mark.parametrize(
    "work",
    [
        lambda data: None,
        lambda data: (data / OID).write_bytes(CONTENT[:-1]),
        lambda data: ((data / OID).write_bytes(CONTENT), (data / (OID + ".aria2")).write_bytes(b"")),
    ],
    ids=["nothing", "short", "unfinished"],
)
def test_what_is_not_whole_is_not_returned_and_the_reason_is_told(fake: Fake, shared: _swarm.Shared, work: Any) -> None:
    fake.work, fake.status = work, 7
    fake.said = "11/22 13:00:00 [ERROR] CUID#7 - Download aborted.\nerrorCode=8 URI=http://192.0.2.5:8008/objects/x\n"
    found, problem = swarm(fake).bring([shared], {}, 60)
    assert found == {}
    assert problem == "aria2c ended with status 7: errorCode=8 URI=http://192.0.2.5:8008/objects/x"


def test_a_planted_link_gets_nobody_elses_file_opened(fake: Fake, shared: _swarm.Shared, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    secret.chmod(0o600)
    for plant in (lambda data: (data / OID).symlink_to(secret), lambda data: os.link(secret, data / OID)):
        fake.work = plant
        found, _problem = swarm(fake).bring([shared], {}, 60)
        assert found == {}
        assert swarm(fake).unfinished(OID) is None
        swarm(fake).salvage(OID, len(CONTENT), str(tmp_path / "part"))
        assert not (tmp_path / "part").exists()
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        (fake.place / "work" / "data" / OID).unlink()


def test_a_beginning_is_used_up_and_an_end_without_all_becomes_one_again(
    fake: Fake, shared: _swarm.Shared, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.write_bytes(CONTENT[:600_000])
    seen = []

    def work(data: Path) -> None:
        seen.append((data / OID).read_bytes())
        with (data / OID).open("r+b") as handle:  # a piece behind a hole
            handle.seek(1_310_720)
            handle.write(CONTENT[1_310_720:])
        (data / (OID + ".aria2")).write_bytes(b"")

    fake.work, fake.status = work, 7
    one = swarm(fake)
    found, _problem = one.bring([shared], {OID: str(part)}, 60)
    assert (found, seen) == ({}, [CONTENT[:600_000]])
    assert not part.exists()
    assert one.received(OID) > 0
    swarm(fake).salvage(OID, len(CONTENT), str(part))
    assert part.read_bytes() == CONTENT[: 2 * 256 * 1024], "whole right pieces from the beginning"
    assert one.received(OID) == 0


def test_what_an_earlier_run_has_left_can_be_written_by_the_next(
    fake: Fake, shared: _swarm.Shared, tmp_path: Path
) -> None:
    """Whoever has more goes on, the beginning or the pieces; the other one is gone, and nothing is root's alone."""
    modes = []

    def work(data: Path) -> None:
        modes.append((stat.S_IMODE((data / OID).stat().st_mode), (data / OID).read_bytes()))

    part = tmp_path / "part"
    for has, begun in ((300_000, 900_000), (900_000, 300_000)):
        fake.work = lambda data, has=has: (data / OID).write_bytes(CONTENT[:has])
        swarm(fake).bring([shared], {}, 60)
        fake.work = work
        part.write_bytes(CONTENT[:begun])
        swarm(fake).bring([shared], {OID: str(part)}, 60)
        assert not part.exists()
        (fake.place / "work" / "data" / OID).unlink()
    assert modes == [(0o666, CONTENT[:900_000])] * 2


@pytest.mark.parametrize(
    ("stop", "show"),
    [
        ((None, ""), (0, state_of("active"), "")),
        ((None, ""), (0, state_of("deactivating"), "")),
        ((0, ""), (0, state_of("failed", "deactivating"), "")),
        ((1, NO_BUS), (1, "", NO_BUS)),
        ((0, ""), (None, "", "")),
        ((0, ""), (0, "Id=ascend-fleet-swarm-1.service\n", "")),
    ],
    ids=["active", "deactivating", "one of two", "no bus", "query too slow", "no state"],
)
def test_what_may_still_be_written_is_not_touched(
    fake: Fake, shared: _swarm.Shared, tmp_path: Path, stop: Any, show: Any
) -> None:
    fake.work = lambda data: (data / OID).write_bytes(CONTENT[:900_000])
    one = swarm(fake)
    one.bring([shared], {}, 60)
    fake.stop, fake.show = stop, show
    fake.ran.clear()
    found, problem = one.bring([shared], {}, 60)
    assert (found, problem) == ({}, "an aria2c of an earlier run does not end")
    assert one.unfinished(OID) is None
    one.salvage(OID, len(CONTENT), str(tmp_path / "part"))
    assert not (tmp_path / "part").exists()
    one.clean()
    assert one.received_together() >= 900_000
    assert one.seed([shared], str(tmp_path), lambda oid: "x") == "an aria2c of an earlier run does not end"
    assert not any(argv[0] == "systemd-run" for argv in fake.ran)
    assert not one.end()


@pytest.mark.parametrize(
    ("stop", "show"),
    [
        ((None, ""), (0, state_of("inactive", "failed"), "")),
        ((1, NO_BUS), (0, "", "")),
        ((1, NO_SYSTEMD), (1, "", NO_SYSTEMD)),
    ],
    ids=["ended after the deadline", "none", "no systemd"],
)
def test_what_is_known_to_have_ended_is_taken_over(fake: Fake, shared: _swarm.Shared, stop: Any, show: Any) -> None:
    fake.stop, fake.show = stop, show
    one = swarm(fake)
    assert list(one.bring([shared], {}, 60)[0]) == [OID]
    one.clean()
    assert not (fake.place / "work").exists()
    assert one.end()


def test_a_longer_beginning_wins(fake: Fake, shared: _swarm.Shared, tmp_path: Path) -> None:
    fake.work = lambda data: (data / OID).write_bytes(CONTENT[:300_000])
    one = swarm(fake)
    one.bring([shared], {}, 60)
    part = tmp_path / "part"
    part.write_bytes(CONTENT[:700_000])
    one.salvage(OID, len(CONTENT), str(part))
    assert part.read_bytes() == CONTENT[:700_000]
    assert list((fake.place / "work" / "data").iterdir()) == []
    one.clean()
    assert not (fake.place / "work").exists()


def test_seeding_reads_and_ends(fake: Fake, shared: _swarm.Shared, tmp_path: Path) -> None:
    objects = tmp_path / "objects" / OID[:2] / OID[2:4]
    objects.mkdir(mode=0o700, parents=True)
    problem = swarm(fake, seed_minutes=7).seed(
        [shared], str(tmp_path / "objects"), lambda oid: "%s/%s" % (oid[:2], oid[2:4])
    )
    assert problem == ""
    assert [stat.S_IMODE(place.stat().st_mode) for place in (objects, *list(objects.parents)[:2])] == [0o755] * 3
    words = fake.started
    assert "--seed-time=7" in words
    assert "--property=BindReadOnlyPaths=%s/objects:/run/ascend-fleet/objects" % tmp_path in words
    assert not any(word.startswith("--property=BindPaths") for word in words)
    lines = (fake.place / "given" / "list").read_text().splitlines()
    assert lines[1] == "  dir=/run/ascend-fleet/objects/%s/%s" % (OID[:2], OID[2:4])
    fake.ran.clear()
    swarm(fake, seed_minutes=0).seed([shared], str(tmp_path), lambda oid: "x")
    assert not any(argv[0] == "systemd-run" for argv in fake.ran)


@pytest.mark.parametrize(
    ("missing", "uid", "ca_is_folder", "words"),
    [
        ("aria2c", 0, False, "the package aria2"),
        ("systemd-run", 0, False, "root and systemd"),
        ("", 1000, False, "root and systemd"),
        ("", 0, True, "in a file; found the folder"),
        ("", 0, False, None),
    ],
)
def test_what_stands_in_the_way(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, uid: int, ca_is_folder: bool, words: Any
) -> None:
    monkeypatch.setattr(_swarm.shutil, "which", lambda name: None if name == missing else name)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    found = swarm(fake, ca_path=str(tmp_path) if ca_is_folder else None).obstacle()
    assert found is None if words is None else words in str(found)
