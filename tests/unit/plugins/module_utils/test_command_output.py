# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard error of a command in a file: readable while it runs, and in its result when it has ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import command


def test_it_can_be_read_while_the_command_runs(tmp_path: Path) -> None:
    path = tmp_path / "errors"
    # The command ends when it finds its own words in the file.
    script = 'echo step >&2; until grep -q step "$1"; do :; done; echo out; echo end >&2; exit 3'
    done = command.run(["sh", "-c", script, "sh", str(path)], timeout=30, stderr_path=str(path))
    assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "step\nend\n")
    assert path.read_text() == done.stderr


def test_what_was_said_until_the_deadline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "errors"
    done = command.run(["sh", "-c", "echo step >&2; sleep 60"], timeout=0.5, stderr_path=str(path))
    assert (done.timed_out, done.stderr) == (True, "step\n")


@pytest.mark.parametrize(("program", "status"), [("no-such-program", 127), ("sh", 126)])
def test_what_cannot_begin_says_so(program: str, status: int, tmp_path: Path) -> None:
    path = tmp_path / "errors" if status == 127 else tmp_path
    done = command.run([program], timeout=30, stderr_path=str(path))
    assert done.exit_status == status
    assert str(path if status == 126 else program) in done.stderr
