# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step of the gate runs next, and which need not run: decided from data, without running anything."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What a step without a recorded duration is taken to need, in seconds.
UNKNOWN_SECONDS = 60.0
#: What a step that failed before its dependants ran makes of them.
WAITING, RUNNING, PASSED, FAILED, MISSING, UNCHANGED = "waiting", "running", "passed", "failed", "missing", "unchanged"


@dataclass
class Step:
    """One command of the gate.

    inputs: prefixes of the paths, from the root of the repository, that the outcome depends on; "" is every file
    fleet: the simulated fleet that it works on; the steps of one fleet run one after the other, in order
    needs: the step that must have passed first
    """

    name: str
    argv: list[str]
    inputs: tuple[str, ...] = ("",)
    fleet: str | None = None
    needs: str | None = None
    timeout: int = 2400
    status: str = WAITING
    seconds: float = 0.0
    began: float = 0.0
    words: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def next_step(steps: Sequence[Step], durations: Mapping[str, float]) -> Step | None:
    """The step to start now in a free lane: the one with the longest work behind it; None when none can start."""
    ready = []
    chains: dict[str, float] = {}
    busy = {step.fleet for step in steps if step.fleet and step.status == RUNNING}
    for step in reversed(steps):
        if step.status != WAITING:
            continue
        seconds = durations.get(step.name, UNKNOWN_SECONDS)
        if step.fleet is None:
            ready.append((seconds, step))
            continue
        chains[step.fleet] = chains.get(step.fleet, 0.0) + seconds
        first = next(other for other in steps if other.fleet == step.fleet and other.status == WAITING)
        if first is step and step.fleet not in busy:
            ready.append((chains[step.fleet], step))
    return max(ready, key=lambda entry: entry[0])[1] if ready else None


def drop_unneeded(steps: Sequence[Step]) -> None:
    """Where nothing that needs a step has to run, the step has not to run either."""
    for step in steps:
        dependants = [other for other in steps if other.needs == step.name]
        if dependants and all(other.status == UNCHANGED for other in dependants):
            step.status = UNCHANGED


def digest_of(step: Step, root: Path, paths: Iterable[str]) -> str:
    """A hash of the step's command and of every file it depends on."""
    found = hashlib.sha256(json.dumps([step.argv, step.environment]).encode())
    for path in sorted(paths):
        if not path.startswith(step.inputs):
            continue
        file = root / path
        if file.is_symlink():
            content = os.readlink(file).encode()
        elif file.is_file():
            content = file.read_bytes()
        else:
            continue  # removed, but still known to git
        found.update(b"%s\0%d\0%d\0" % (path.encode(), os.access(file, os.X_OK), len(content)))
        found.update(content)
    return found.hexdigest()


def read_numbers(*files: Path) -> dict[str, float]:
    """The durations of steps, in seconds: a later file wins."""
    durations: dict[str, float] = {}
    for file in files:
        if file.exists():
            durations.update({str(k): float(v) for k, v in json.loads(file.read_text()).items()})
    return durations


def summary(steps: Sequence[Step], wall_seconds: float) -> str:
    """The table at the end: when each step began, how long it took, how it ended."""
    lines = ["", "%-28s %8s %8s  %s" % ("step", "began", "seconds", "status")]
    for step in sorted(steps, key=lambda s: (s.status == UNCHANGED, s.began)):
        ran = step.seconds > 0
        lines.append(
            "%-28s %8s %8s  %s"
            % (
                step.name,
                "%.0f" % step.began if ran else "-",
                "%.0f" % step.seconds if ran else "-",
                "%s  %s" % (step.status, step.words) if step.words else step.status,
            )
        )
    lines.append("%-28s %8s %8.0f" % ("all", "", sum(step.seconds for step in steps)))
    counts = ", ".join(
        "%d %s" % (count, status)
        for status in (PASSED, UNCHANGED, MISSING, FAILED, WAITING)
        if (count := sum(step.status == status for step in steps))
    )
    lines.append("%s in %d min %02d s" % (counts, wall_seconds // 60, wall_seconds % 60))
    return "\n".join(lines)


def has_passed(steps: Sequence[Step]) -> bool:
    """Whether every step passed now, or passed before with the same inputs. A step that did not run is a failure."""
    return bool(steps) and all(step.status in (PASSED, UNCHANGED) for step in steps)
