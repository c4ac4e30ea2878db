# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that must hold before a change lands, as named steps in two lanes.

The lane "static" reads and unit-tests the code on both ansible-core versions, and then runs the scenarios that have a
simulated fleet of their own; the lane "fleet" works the fleet that the other scenarios share. The two have nothing in
common but the machine, so they run side by side. Each step's output goes to .cache/gate/STEP.log, and its end is
printed when the step fails.

usage: gate.py [STEP ...]      all steps, or those named;  gate.py --list
ASCEND_SIM_KEEP=1 leaves the simulated fleet up afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "gate"
RUNNING: set[subprocess.Popen[bytes]] = set()
# The scenarios that share the simulated fleet "test", in an order in which each finds what it can use again.
SCENARIOS = ("default", "guide", "preflight_faults", "bad_input", "interrupted", "artifacts")
SKIPPED = 77  # a step's exit status that says: not possible on this machine (the last line of its output says why)


@dataclass
class Step:
    """One command of the gate; ``needs`` names a step that must have passed first."""

    name: str
    lane: str
    argv: list[str]
    needs: str | None = None
    timeout: int = 2400
    status: str = "waiting"
    seconds: float = 0.0
    words: str = ""


def second_python(minor: int) -> str | None:
    """A Python 3.``minor`` interpreter of this machine, or None."""
    home = Path.home() / ".pyenv" / "versions"
    found = sorted(home.glob(f"3.{minor}.*/bin/python3.{minor}"), reverse=True)
    if found:
        return str(found[0])
    name = shutil.which(f"python3.{minor}")
    return name if name and "shims" not in name else None


def steps() -> list[Step]:
    """The gate, in order."""
    python = sys.executable
    tool = str(Path(python).parent)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    static = [
        Step("ruff", "static", [f"{tool}/ruff", "check", "."]),
        Step("ruff-format", "static", [f"{tool}/ruff", "format", "--check", "."]),
        Step("mypy", "static", ["bash", "tests/tools/mypy.sh", f"{tool}/mypy"]),
        Step("unit", "static", [python, "-m", "pytest", "tests/unit", "-q", "-n", "2"]),
        Step("target-pythons", "static", [python, "tests/tools/target_pythons.py"]),
        Step("ansible-lint", "static", ["bash", "tests/tools/ansible_lint.sh", tool]),
        Step("antsibull-docs", "static", ["bash", "tests/tools/docs.sh", tool]),
        Step("installed-collection", "static", ["bash", "tests/tools/installed.sh", tool]),
        Step(
            f"ansible-test-{here}",
            "static",
            ["bash", "tests/tools/ansible_test.sh", f"{tool}/..", here, f".cache/ansible-test-{here}"],
        ),
    ]
    other = 13 if here != "3.13" else 11
    found = second_python(other)
    name = f"ansible-test-3.{other}"
    if found is None:
        words = (
            f"echo 'no Python 3.{other} on this machine (looked under ~/.pyenv/versions and on PATH)'; exit {SKIPPED}"
        )
        static.append(Step(name, "static", ["bash", "-c", words]))
    else:
        script = (
            f'venv=$(tests/tools/toolset.sh "{found}") && '
            f'exec bash tests/tools/ansible_test.sh "$venv" 3.{other} .cache/ansible-test-3.{other}'
        )
        static.append(Step(name, "static", ["bash", "-c", script]))
    molecule = [python, "tests/tools/molecule.py"]
    fleet = [
        Step(
            "fleet-up",
            "fleet",
            [python, "tests/sim/fleet", "--name", "test", "up", "--inventory", ".sim/test/inventory/hosts.yml"],
        ),
        *(Step(f"molecule-{name}", "fleet", [*molecule, name], needs="fleet-up") for name in SCENARIOS),
    ]
    apart = [
        Step("molecule-two_systems", "static", [*molecule, "two_systems"]),
        Step("molecule-real_engine", "static", [python, "tests/sim/real_engine/scenario.py"]),
    ]
    return static + apart + fleet


def run(step: Step) -> None:
    """Run one step and note how it ended."""
    began = time.monotonic()
    log = LOGS / f"{step.name}.log"
    env = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", PYTHONUNBUFFERED="1")
    env.pop("ANSIBLE_COLLECTIONS_PATH", None)
    with log.open("w") as out:
        process = subprocess.Popen(
            step.argv,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        RUNNING.add(process)
        try:
            code = process.wait(step.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            code = -1
        finally:
            RUNNING.discard(process)
    step.seconds = time.monotonic() - began
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    step.status = {0: "passed", SKIPPED: "skipped"}.get(code, "failed")
    step.words = (
        last
        if step.status == "skipped"
        else ""
        if step.status == "passed"
        else f"exit status {code}"
        if code != -1
        else "timed out"
    )


def main(argv: list[str]) -> int:
    """Run the gate; the exit status is 0 only when no step failed."""
    plan = steps()
    if argv == ["--list"]:
        print("\n".join(step.name for step in plan))
        return 0
    if unknown := set(argv) - {step.name for step in plan}:
        print(
            f"unknown step {', '.join(sorted(unknown))}; the steps are: {', '.join(step.name for step in plan)}",
            file=sys.stderr,
        )
        return 2
    if argv:
        plan = [step for step in plan if step.name in argv]
    LOGS.mkdir(parents=True, exist_ok=True)
    lock, ended = threading.Lock(), threading.Event()
    by_name = {step.name: step for step in plan}

    def say(step: Step) -> None:
        with lock:
            print(f"{step.status:8} {step.name:28} {step.seconds:6.0f} s  {step.words}", flush=True)
            if step.status == "failed":
                text = (LOGS / f"{step.name}.log").read_text(errors="replace")
                print("".join(f"    | {line}\n" for line in text.splitlines()[-150:]), flush=True)

    def lane(name: str) -> None:
        for step in (s for s in plan if s.lane == name):
            if ended.is_set():
                return
            before = by_name.get(step.needs or "")
            if before is not None and before.status != "passed":
                step.status, step.words = "failed", f"needs {before.name}, which did not pass"
                (LOGS / f"{step.name}.log").write_text(step.words + "\n")
            else:
                with lock:
                    print(f"started  {step.name}", flush=True)
                run(step)
            say(step)

    # Ended from outside, what is running still ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lanes = [threading.Thread(target=lane, args=(name,), daemon=True) for name in ("static", "fleet")]
    try:
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
    finally:
        ended.set()
        for process in list(RUNNING):
            os.killpg(process.pid, signal.SIGTERM)
        if by_name.get("fleet-up") and not os.environ.get("ASCEND_SIM_KEEP"):
            subprocess.run([sys.executable, "tests/sim/fleet", "--name", "test", "down"], cwd=ROOT, check=False)
    count = {status: sum(step.status == status for step in plan) for status in ("passed", "failed", "skipped")}
    for step in plan:
        if step.status != "passed":
            print(f"{step.status}: {step.name}: {step.words}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
