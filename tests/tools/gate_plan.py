# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step of the gate runs next, and which need not run: decided from data, without running anything."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

#: What a step without a recorded duration is taken to need, in seconds.
UNKNOWN_SECONDS = 60.0
#: How much of a step's own error the table shows: CI keeps only the end of a long output.
REASON_LENGTH = 100
#: What a step that failed before its dependants ran makes of them.
WAITING, RUNNING, PASSED, FAILED, MISSING, UNCHANGED = "waiting", "running", "passed", "failed", "missing", "unchanged"


@dataclass
class Step:
    """One command of the gate.

    inputs: prefixes of the paths, from the root of the repository, that the outcome depends on; "" is every file
    fleet: the simulated fleet that it works on; the steps of one fleet run one after the other, in order
    needs: the step that must have passed first
    after: the step that is let end first, however it ends: it makes what both want, and this one would only wait
    """

    name: str
    argv: list[str]
    inputs: tuple[str, ...] = ("",)
    fleet: str | None = None
    needs: str | None = None
    after: str | None = None
    timeout: int = 2400
    status: str = WAITING
    seconds: float = 0.0
    cpu: float = 0.0
    began: float = 0.0
    words: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def next_step(steps: Sequence[Step], durations: Mapping[str, float]) -> Step | None:
    """The step to start now in a free lane: the one with the longest work behind it; None when none can start."""
    ready = []
    chains: dict[str, float] = {}
    busy = {step.fleet for step in steps if step.fleet and step.status == RUNNING}
    to_come = {step.name for step in steps if step.status in (WAITING, RUNNING)}
    for step in reversed(steps):
        if step.status != WAITING:
            continue
        seconds = durations.get(step.name, UNKNOWN_SECONDS)
        if step.fleet is None:
            if step.after not in to_come:
                ready.append((seconds, step))
            continue
        chains[step.fleet] = chains.get(step.fleet, 0.0) + seconds
        first = next(other for other in steps if other.fleet == step.fleet and other.status == WAITING)
        if first is step and step.fleet not in busy and step.after not in to_come:
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


# What colours a terminal, and the frames that molecule draws around what it runs.
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|[│┌└]")
_FAILED_TEST = re.compile(r"(?:FAILED|ERROR) (\S+\.py\b.*)")
_FATAL = re.compile(r"fatal: \[([^\]]+)\].*")
_ERROR = re.compile(r"(fleet: |\[?ERROR\b|.*\berror: |([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception|Exit|Expired)\b)")
_END_OF_TASK = re.compile(r"TASK |PLAY |CRITICAL ")
# These follow the error and say nothing about it.
_AFTERMATH = re.compile(r"fleet: to do: |ERROR: The \d+ sanity|ERROR +\S+ ➜|.*Ansible return code was")


def reason(text: str) -> str:
    """The line of a failed step's output that says why: the first failed test, else the last error, else the end."""
    lines = [line for raw in text.splitlines() if (line := _DECORATION.sub("", raw).strip())]
    found = next((match[1] for line in lines if (match := _FAILED_TEST.match(line))), "")
    for number in range(len(lines) - 1, -1, -1) if not found else ():
        line = lines[number]
        if _AFTERMATH.match(line):
            continue
        if fatal := _FATAL.match(line):
            # The message is one of the fields that follow.
            fields = takewhile(lambda text: not _END_OF_TASK.match(text), lines[number : number + 12])
            message = re.search(r"\bmsg\b['\"]?: (?:\|-|>-)?(.*)", " ".join(fields))
            found = "fatal: [%s]: %s" % (fatal[1], message[1].strip()) if message else line
        elif _ERROR.match(line):
            found = line
        if found:
            break
    found = found or (lines[-1] if lines else "it said nothing")
    return found if len(found) <= REASON_LENGTH else found[: REASON_LENGTH - 1] + "…"


def _row(step: Step) -> str:
    ran = step.seconds > 0
    return "%-28s %8s %8s %8s  %s" % (
        step.name,
        "%.0f" % step.began if ran else "-",
        "%.0f" % step.seconds if ran else "-",
        "%.0f" % step.cpu if ran else "-",
        "%s  %s" % (step.status, step.words) if step.words else step.status,
    )


def summary(steps: Sequence[Step], wall_seconds: float) -> str:
    """The table at the end: when each step began, how long it took, its processor time, how it ended.

    What failed stands last: CI shows only the end. The processor time is that of the step's own processes; what the
    simulated hosts and their engines use meanwhile is not in it.
    """
    lines = ["", "%-28s %8s %8s %8s  %s" % ("step", "began", "seconds", "cpu", "status")]
    # Last of all those that ran and failed: the others failed because of them.
    order = sorted(steps, key=lambda s: (s.status == FAILED, s.status == FAILED and s.seconds > 0, s.began))
    lines += [_row(step) for step in order]
    seconds, cpu = sum(step.seconds for step in steps), sum(step.cpu for step in steps)
    lines.append("%-28s %8s %8.0f %8.0f" % ("all", "", seconds, cpu))
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
