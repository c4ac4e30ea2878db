# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker and systemd have one client each: who else calls their programs is listed here, with the reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
#: What can follow the program's name. A list of words that begins with the name alone is no command.
SUBCOMMANDS = {
    "docker": {"container", "exec", "image", "images", "info", "inspect", "load", "logs", "ps", "pull", "rename", "rm",
               "rmi", "run", "start", "stop", "tag", "top", "update", "version"},
    "systemctl": {"--failed", "cat", "daemon-reload", "disable", "enable", "is-active", "is-enabled", "is-failed",
                  "is-system-running", "kill", "list-timers", "list-unit-files", "list-units", "reload", "reset-failed",
                  "restart", "show", "start", "status", "stop", "try-restart"},
}  # fmt: skip
#: On the host it stands alone with its rules, without the clients.
STANDALONE = "module_utils/_serving/watchdog_program.py"
CALLERS = {
    "docker": ["module_utils/_host/docker.py", STANDALONE],
    "systemctl": ["module_utils/_host/systemd.py", STANDALONE],
}


def calls(source: str, program: str) -> bool:
    """Whether a text holds a command line of a program: a list or tuple that begins with its name."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.List, ast.Tuple)) or len(node.elts) < 2:
            continue
        first, second = node.elts[:2]
        if isinstance(first, ast.Constant) and first.value == program:
            if isinstance(second, ast.Starred):
                return True
            if isinstance(second, ast.Constant) and second.value in SUBCOMMANDS[program]:
                return True
    return False


@pytest.mark.parametrize("program", CALLERS)
def test_a_program_is_called_by_its_client(program: str) -> None:
    paths = sorted(PLUGINS.rglob("*.py"))
    found = [str(p.relative_to(PLUGINS)) for p in paths if calls(p.read_text(encoding="utf-8"), program)]
    assert len(paths) > 200
    assert found == CALLERS[program]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run(['docker', 'ps'])", True),
        ("argv = ('docker', *words)", True),
        ("needs = ('docker', 'npu')", False),
        ("needs = ('docker',)", False),
        ("'docker ps'", False),
    ],
)
def test_what_a_command_line_is(source: str, found: bool) -> None:
    assert calls(source, "docker") is found
