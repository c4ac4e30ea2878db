# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the state of a simulated host changes: whole files, and one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim_state import MIRROR_PATH, STATE_PATH, load_state, rooted

if TYPE_CHECKING:
    from sim_state import State


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old text or the new one, never half of it."""
    target = rooted(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".ascend-sim-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), mode)
    os.replace(temporary, target)


def save_state(state: State) -> None:
    text = json.dumps(state, indent=1, sort_keys=True) + "\n"
    write_file(STATE_PATH, text)
    write_file(MIRROR_PATH, text)


@contextlib.contextmanager
def changing_state() -> Iterator[State]:
    """The state, locked; saved again at the end."""
    lock_path = rooted(os.path.join(os.path.dirname(STATE_PATH), "lock"))
    os.makedirs(os.path.dirname(lock_path), exist_ok=True)
    with open(lock_path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load_state()
        if state is None:
            raise SystemExit("ascend-sim: this host has no silicon yet: run `ascend-sim install` first")
        yield state
        save_state(state)
