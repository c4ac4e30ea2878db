# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, as the simulated fleet uses it: packages, mirror, firewall, commands, files; and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))

from fleetsim import cli, machine, spec
from fleetsim.shell import FleetError, end_children, lock, read_json, run, try_again, wait_for, write_atomic

TARGETS = """\
http://mirror.example/debian/|bookworm|main|Debian
http://mirror.example/debian/|bookworm-updates|main|Debian
http://mirror.example/debian-security/|bookworm-security|main|Debian
https://other.example/repo|nodistro|main|Node Source
http://mirror.example/debian|bookworm|contrib|Debian
"""


def test_the_mirror_is_this_machines_own_and_only_the_distributions() -> None:
    main, lines = machine.parse_targets(TARGETS, "bookworm")
    assert main == "http://mirror.example/debian"
    assert lines == (
        "deb http://mirror.example/debian bookworm main contrib",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security bookworm-security main",
    )
    other = machine.Mirror("bookworm", None, main, lines).sources_for("trixie")
    assert other.splitlines()[2] == "deb http://mirror.example/debian-security trixie-security main"
    assert machine.parse_targets("", "bookworm") == ("", ())


def test_missing_packages_are_found_by_their_files() -> None:
    assert machine.missing_packages(lambda path: True) == []
    assert machine.missing_packages(lambda path: "dockerd" not in path) == ["docker.io"]
    assert machine.missing_packages(lambda path: path != "/usr/bin/dockerd") == []  # the other place will do


RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o br-0123456789ab -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 172.30.0.0/24 ! -o br-0123456789ab -j MASQUERADE
COMMIT
"""


def test_dockers_firewall_rules_are_told_from_the_machines() -> None:
    assert machine.foreign_rules(RULES) == ["-A INPUT -p tcp --dport 22 -j ACCEPT"]
    assert machine.foreign_rules("") == []
    assert machine.flushed(RULES).splitlines() == [
        "*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", "COMMIT",
        "*nat", ":POSTROUTING ACCEPT [0:0]", "COMMIT",
    ]  # fmt: skip


def test_a_process_is_known_by_pid_and_start() -> None:
    assert machine.process_start(os.getpid()) == machine.process_start(os.getpid())
    child = subprocess.Popen(["true"])
    wait_for("the child is a zombie or gone", lambda: machine.process_start(child.pid) is None, 10)
    child.wait()
    assert machine.process_start(2**22 + 1) is None


def test_side_by_side_jobs_all_end_before_the_error_is_raised() -> None:
    ended: list[str] = []

    def fails() -> None:
        raise FleetError("the first job failed", "do this")

    with pytest.raises(FleetError, match="the first job failed"):
        machine.parallel([("one", fails), ("two", lambda: ended.append("two"))])
    assert ended == ["two"]


def test_a_tree_has_the_hash_of_what_counts(tmp_path: Path) -> None:
    (tmp_path / "tree/__pycache__").mkdir(parents=True)
    program = tmp_path / "tree/program"
    program.write_text("one")
    before = spec.tree_hash(tmp_path / "tree")
    (tmp_path / "tree/__pycache__/x.pyc").write_text("compiled")
    (tmp_path / "tree/.mypy_cache").mkdir()
    (tmp_path / "tree/.mypy_cache/x").write_text("cache")
    assert spec.tree_hash(tmp_path / "tree") == before
    program.chmod(0o755)
    executable = spec.tree_hash(tmp_path / "tree")
    program.write_text("two")
    assert len({before, executable, spec.tree_hash(tmp_path / "tree")}) == 3
    assert spec.content_hash(["ab", "c"]) != spec.content_hash(["a", "bc"])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, "one", 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one", 0o600)

    def no_space(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "two")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_broken_state_is_no_state(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert read_json(path) == {}
    assert read_json(tmp_path / "absent.json") == {}


def test_a_failed_command_is_quoted_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"exit status 3: sh -c 'echo last words >&2; exit 3'\n  last words") as caught:
        run(["sh", "-c", "echo last words >&2; exit 3"], fix="do that")
    assert caught.value.fix == "do that"
    with pytest.raises(FleetError, match=r"(?s)exit status 1: .*the whole log: .*/log/MainThread.log"):
        run(["false"], log=tmp_path / "log")
    with pytest.raises(FleetError, match="no end after"):
        run(["sleep", "5"], timeout=0.1)
    with pytest.raises(FleetError, match="no-such-program is missing"):
        run(["no-such-program"])


def test_what_runs_in_another_thread_ends_with_us(tmp_path: Path) -> None:
    started = tmp_path / "started"
    errors: list[FleetError] = []

    def job() -> None:
        try:
            run(["sh", "-c", "sleep 60 & echo $! >%s; wait" % started])
        except FleetError as error:
            errors.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    wait_for("the job runs", lambda: started.exists() and started.read_text().strip(), 10)
    grandchild = int(started.read_text())
    end_children()
    thread.join(10)
    assert "exit status -9" in str(errors[0])
    wait_for("the grandchild has ended", lambda: machine.process_start(grandchild) is None, 10)


def test_what_a_mirror_spoils_is_tried_again_and_the_last_error_counts(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([FleetError("no route\n  and so on"), FleetError("still none"), "packages"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, FleetError):
            raise answer
        return answer

    assert try_again("installing", ask, pause=0) == "packages"
    said = capsys.readouterr().out
    assert "installing: no route; tried again in 0 s (2 more)" in said
    assert "and so on" not in said
    answers = iter([FleetError("first"), FleetError("last")])
    with pytest.raises(FleetError, match="last"):
        try_again("installing", ask, times=2, pause=0)


def test_waiting_ends_with_an_error(tmp_path: Path) -> None:
    answers = iter([None, "", "yes"])
    assert wait_for("an answer", lambda: next(answers), 5) == "yes"
    with pytest.raises(FleetError, match="an answer: not so after"):
        wait_for("an answer", lambda: None, 0.1)
    with lock(tmp_path / "lock", "test"):
        pass


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["up"], {"command": "up", "host": [], "name": "demo", "no_origin": False}),
        (["--name", "x", "up", "--host", "a2-1", "--host", "a3-1"], {"host": ["a2-1", "a3-1"], "name": "x"}),
        (["down", "--cache"], {"cache": True}),
        (["break", "a2-1", "alarm", "3"], {"host": "a2-1", "what": "alarm", "argument": "3"}),
        (["mend", "a2-1"], {"host": "a2-1", "what": None}),
        (["exec", "a2-1", "ls", "-l"], {"host": "a2-1", "argv": ["ls", "-l"]}),
    ],
)
def test_the_command_line(argv: list[str], expected: dict[str, object]) -> None:
    options = vars(cli.parser().parse_args(argv))
    assert {key: options[key] for key in expected} == expected


def test_a_bad_fleet_name_is_an_error_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--name", "Not/Good", "status"]) == 1
    said = capsys.readouterr().err
    assert "fleet name 'Not/Good'" in said
    assert "to do:" in said
