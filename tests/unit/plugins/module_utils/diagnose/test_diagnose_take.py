# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source is taken within its deadline and its limit, and no link of a container leads out of its folder."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose import take
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.redact import MASK, Redactor
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.take import Source, Taker

SECRET = "pl4ntedT0ken"


def taker(redactor: Redactor | None = None) -> Taker:
    return Taker(redactor or Redactor([SECRET]), shutil.which)


def shell(script: str, **more: object) -> Source:
    return Source("x", "x", argv=("sh", "-c", script), **more)  # type: ignore[arg-type]


def processes(word: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if word.encode() in line:
            found.append(pid)
    return found


class TestCommands:
    def test_output_and_errors_are_taken_without_secrets(self) -> None:
        taken = taker().take(shell("echo one %s; echo two >&2" % SECRET), 10)
        assert (taken.state, taken.text) == (take.COLLECTED, "one %s\ntwo\n" % MASK)
        assert taken.redacted == 1

    def test_a_secret_that_comes_in_two_pieces_is_taken_out(self) -> None:
        script = "printf %s; sleep 0.2; echo %s" % (SECRET[:5], SECRET[5:])
        assert taker().take(shell(script), 10).text == MASK + "\n"

    def test_a_command_that_fails_says_how(self) -> None:
        taken = taker().take(shell("echo no such device; exit 3"), 10)
        assert (taken.state, taken.text) == (take.FAILED, "no such device\n")
        assert "ended with status 3: no such device" in taken.reason

    def test_the_tools_of_the_driver_find_its_libraries(self, tmp_path) -> None:
        for name in ("hccn_tool", "other"):
            (tmp_path / name).write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH"\n')
            (tmp_path / name).chmod(0o755)
        found = [
            taker().take(Source("x", "x", argv=(str(tmp_path / name),)), 10).text for name in ("hccn_tool", "other")
        ]
        assert "/usr/local/Ascend/driver/lib64/common" in found[0]
        assert "/usr/local/Ascend" not in found[1]

    def test_a_status_that_means_nothing_bad(self) -> None:
        assert taker().take(shell("exit 1", accepts=(0, 1)), 10).state == take.EMPTY

    def test_a_program_that_is_not_there_is_left_out(self) -> None:
        taken = taker().take(Source("x", "x", argv=("/no/such/hccn_tool",)), 10)
        assert (taken.state, taken.reason) == (take.LEFT_OUT, "hccn_tool is not installed")

    @pytest.mark.parametrize(
        "script", ["echo begun; sleep {n}; echo end", "echo begun; sleep {n} & exec >&-; sleep {n}"]
    )
    def test_at_the_deadline_it_ends_with_everything_it_has_started(self, script: str) -> None:
        number = "97%d" % os.getpid()
        began = time.monotonic()
        taken = taker().take(shell(script.format(n=number), seconds=0.5), 60)
        assert time.monotonic() - began < 60  # not as long as what it has started
        assert (taken.state, taken.text) == (take.TIMED_OUT, "begun\n")
        assert "did not end within" in taken.reason
        # What was killed is seen until its parent has taken note of it.
        until = time.monotonic() + 30
        while processes("sleep\0" + number) and time.monotonic() < until:
            time.sleep(0.05)
        assert processes("sleep\0" + number) == []

    def test_the_time_that_is_left_for_all_is_a_deadline_too(self) -> None:
        assert taker().take(shell("sleep 30", seconds=30), 0.3).state == take.TIMED_OUT

    def test_an_endless_command_ends_when_its_first_part_is_there(self) -> None:
        taken = taker().take(shell("yes line", limit=1000), 20)
        assert taken.state == take.COLLECTED
        assert len(taken.text) <= 1000
        assert taken.cut_bytes > 0

    def test_of_a_tail_the_last_lines_are_kept(self) -> None:
        taken = taker().take(shell("seq 1 10000", limit=1000, keep=take.TAIL), 20)
        assert taken.text.endswith("9999\n10000\n")
        assert len(taken.text) <= 1000
        assert taken.cut_bytes > 40000

    def test_only_lines_that_matter(self) -> None:
        source = shell("echo davinci up; echo usb down", only=re.compile("davinci"))
        assert taker().take(source, 10).text == "davinci up\n"


class TestFiles:
    def test_a_missing_file_is_left_out(self, tmp_path) -> None:
        taken = taker().take(Source("x", "x", path=str(tmp_path / "no")), 10)
        assert (taken.state, taken.reason) == (take.LEFT_OUT, "there is no such file")

    @pytest.mark.parametrize("keep", [take.HEAD, take.TAIL])
    def test_limits(self, tmp_path, keep: str) -> None:
        path = tmp_path / "plog.log"
        path.write_text("".join("line %d %s\n" % (n, SECRET) for n in range(50000)))
        taken = taker().take(Source("x", "x", path=str(path), limit=4000, keep=keep), 10)
        assert SECRET not in taken.text
        assert len(taken.text) <= 4000
        assert ("line 49999 " in taken.text) == (keep == take.TAIL)
        assert taken.cut_bytes

    def test_a_compressed_log_is_read_and_redacted(self, tmp_path) -> None:
        path = tmp_path / "plog.log.gz"
        path.write_bytes(gzip.compress(("old %s\n" % SECRET).encode()))
        assert taker().take(Source("x", "x", path=str(path)), 10).text == "old %s\n" % MASK

    def test_a_damaged_compressed_log_fails(self, tmp_path) -> None:
        path = tmp_path / "plog.log.gz"
        path.write_bytes(gzip.compress(b"x" * 9000)[:20])
        assert taker().take(Source("x", "x", path=str(path)), 10).state == take.FAILED

    def test_what_is_no_text_is_left_out(self, tmp_path) -> None:
        path = tmp_path / "core.log"
        path.write_bytes(os.urandom(9000))
        assert taker().take(Source("x", "x", path=str(path)), 10).reason == "it holds no text"

    def test_a_link_out_of_the_folder_is_not_followed(self, tmp_path) -> None:
        outside, folder = tmp_path / "shadow", tmp_path / "log"
        outside.write_text("root:hash\n")
        folder.mkdir()
        (folder / "a.log").symlink_to(outside)
        (folder / "dir").symlink_to(tmp_path)
        for name in ("a.log", "dir/shadow"):
            taken = taker().take(Source("x", "x", path=str(folder / name), folder=str(folder)), 10)
            assert (taken.state, taken.text) == (take.LEFT_OUT, "")
            assert "leads out of" in taken.reason

    def test_a_pipe_does_not_keep_it_waiting(self, tmp_path) -> None:
        os.mkfifo(tmp_path / "a.log")
        taken = taker().take(Source("x", "x", path=str(tmp_path / "a.log"), folder=str(tmp_path)), 10)
        assert taken.reason == "it is not a regular file"


class TestLines:
    def test_however_it_is_cut(self) -> None:
        data = "eins\r\nzwei\rdrei ü\nvier".encode()
        for size in range(1, 9):
            lines, found = take.Lines(), []
            for start in range(0, len(data), size):
                found += list(lines.feed(data[start : start + size]))
            found += list(lines.feed(b"", True))
            assert found == ["eins", "zwei", "drei ü", "vier"]

    def test_a_line_without_an_end_needs_no_memory(self) -> None:
        lines, found = take.Lines(), []
        for _n in range(100):
            found += list(lines.feed(b"x" * 65536))
        found += list(lines.feed(b"\nnext\n", True))
        assert [len(found[0]), found[1:]] == [take.READ_CHARACTERS, ["next"]]

    def test_what_is_asked_may_be_absent_or_fail(self) -> None:
        def absent() -> str:
            raise take.Absent("there is none")

        def fails() -> str:
            raise OSError("HAProxy said %s" % SECRET)

        assert taker().take(Source("x", "x", ask=absent), 10).state == take.LEFT_OUT
        taken = taker().take(Source("x", "x", ask=fails), 10)
        assert (taken.state, taken.reason) == (take.FAILED, "HAProxy said " + MASK)


def test_the_newest_files(tmp_path) -> None:
    for n in range(5):
        (tmp_path / ("%d.log" % n)).write_text("x")
        os.utime(tmp_path / ("%d.log" % n), (n, n))
    paths = [str(p) for p in tmp_path.iterdir()] + [str(tmp_path / "gone.log")]
    assert [os.path.basename(p) for p in take.newest(paths, 2)] == ["3.log", "4.log"]
