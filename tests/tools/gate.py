# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that must hold before a change lands, as named steps in three lanes.

A lane that is free takes the step with the longest work behind it, by the durations of the last run (.cache/gate) or
the recorded ones (tests/tools/gate_durations.json). Scenarios share two simulated fleets: on each they run one after
the other, so that what one has set up serves the next. A step whose inputs have not changed since it passed does not
run again, unless it is named, or CI is set in the environment. Each step's output goes to .cache/gate/STEP.log, and its
end is printed when the step fails. A step that could not run fails the gate.

usage: gate.py [STEP ...]      all steps, or those named
       gate.py --list          their names
       gate.py --all           also those whose inputs have not changed
       gate.py --record        as --all, and write the durations to tests/tools/gate_durations.json
ASCEND_SIM_KEEP=1 leaves the simulated fleets up afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from gate_plan import (
    FAILED,
    MISSING,
    PASSED,
    RUNNING,
    UNCHANGED,
    WAITING,
    Step,
    digest_of,
    drop_unneeded,
    has_passed,
    next_step,
    read_numbers,
    reason,
    summary,
)

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".cache" / "gate"
RECORDED = ROOT / "tests" / "tools" / "gate_durations.json"
LAST = LOGS / "durations.json"
LAST_PASSED = LOGS / "passed.json"
LANES = 3
# The scenarios by the fleet they share, in an order in which each finds what it can use again.
SCENARIOS = {
    "test": ("default", "guide", "unprivileged", "preflight_faults", "bad_input", "benchmark"),
    "test-b": ("former_version", "interrupted", "artifacts"),
}
# The fleets of steps that bring up one of their own, and take it down unless they are killed.
OWN_FLEETS = {
    "molecule-two_systems": "two",
    "molecule-real_engine": "real",
    "molecule-serving": "serving",
    "molecule-upgrade": "upgrade",
}
# Scenarios that are no step: `make driver` and `make monitoring` run them.
BY_HAND = ("driver", "monitoring")
# It makes the images on a machine that has none yet; the other fleets begin when they are there.
FIRST = "fleet-up-test"
SKIPPED = 77  # a step's exit status that says: not possible on this machine (the last line of its output says why)

_CODE = ("plugins/", "roles/", "playbooks/", "meta/", "galaxy.yml", "ansible.cfg", "site.yml")
_TOOLS = (".config/", "pyproject.toml", "tests/tools/molecule.py", "tests/conftest.py", "tests/fleet_helpers.py")
_FLEET = (*_CODE, *_TOOLS, "tests/sim/", "tests/testinfra/", "inventories/demo/", "molecule/resources/")


def second_python(minor: int) -> str | None:
    """A Python 3.``minor`` interpreter of this machine, or None."""
    home = Path.home() / ".pyenv" / "versions"
    found = sorted(home.glob(f"3.{minor}.*/bin/python3.{minor}"), reverse=True)
    if found:
        return str(found[0])
    name = shutil.which(f"python3.{minor}")
    return name if name and "shims" not in name else None


def steps() -> list[Step]:
    """The gate."""
    python = sys.executable
    tool = str(Path(python).parent)
    typed = ("plugins/", "tests/", "pyproject.toml", ".config/")
    found = [
        Step("ruff", [f"{tool}/ruff", "check", "."]),
        Step("ruff-format", [f"{tool}/ruff", "format", "--check", "."]),
        Step("mypy", ["bash", "tests/tools/mypy.sh", f"{tool}/mypy"], typed),
        Step("target-pythons", [python, "tests/tools/target_pythons.py"], typed),
        Step("ansible-lint", ["bash", "tests/tools/ansible_lint.sh", tool]),
        Step("antsibull-docs", ["bash", "tests/tools/docs.sh", tool]),
        Step("installed-collection", ["bash", "tests/tools/installed.sh", tool]),
        *ansible_test(tool),
        Step(
            "promtool", ["bash", "tests/tools/promtool.sh", python], ("plugins/", "roles/", "tests/", "docs/alerts.md")
        ),
        # Installs chromium where there is none: not beside the first fleet, which installs packages too.
        Step(
            "browser",
            ["bash", "tests/tools/browser.sh", python],
            (
                "plugins/",
                "tests/browser/",
                "tests/unit/plugins/plugin_utils/",
                "tests/tools/browser.sh",
                "pyproject.toml",
            ),
            after=FIRST,
        ),
        Step(
            "molecule-two_systems",
            [python, "tests/tools/molecule.py", "two_systems"],
            (*_FLEET, "molecule/two_systems/"),
            after=FIRST,
        ),
        Step(
            "molecule-serving",
            [python, "tests/tools/molecule.py", "serving"],
            (*_FLEET, "molecule/serving/", "tests/load/", "tests/serving_helpers.py"),
            after=FIRST,
        ),
        Step(
            "molecule-upgrade",
            [python, "tests/tools/molecule.py", "upgrade"],
            (
                *_FLEET,
                "molecule/upgrade/",
                "molecule/serving/",
                "tests/load/",
                "tests/serving_helpers.py",
                "tests/upgrade_helpers.py",
                "molecule/driver/releases.py",
                "tests/driver_helpers.py",
            ),
            after=FIRST,
        ),
        Step(
            "molecule-real_engine",
            [python, "tests/sim/real_engine/scenario.py"],
            (*_FLEET, "molecule/real_engine/", "tests/load/", "tests/serving_helpers.py"),
            after=FIRST,
        ),
    ]
    for fleet, scenarios in SCENARIOS.items():
        up = [python, "tests/sim/fleet", "--name", fleet, "up", "--inventory", f".sim/{fleet}/inventory/hosts.yml"]
        found.append(Step(up_of(fleet), up, _FLEET, fleet, after=None if up_of(fleet) == FIRST else FIRST))
        for name in scenarios:
            inputs = (*_FLEET, f"molecule/{name}/", "molecule/default/prepare.yml")
            step = Step(f"molecule-{name}", [python, "tests/tools/molecule.py", name], inputs, fleet, up_of(fleet))
            step.environment = {"ASCEND_SIM_TEST_FLEET": fleet}
            found.append(step)
    return found


def up_of(fleet: str) -> str:
    """The step that brings a fleet up."""
    return f"fleet-up-{fleet}"


def ansible_test(tool: str) -> list[Step]:
    """Sanity and unit tests on both ansible-core versions: nothing else runs the unit tests.

    ansible-test starts a process for every unit test, which takes as long as the tests themselves. It runs those of
    code that meets Ansible, and pytest by itself the others.
    """
    here = sys.version_info[1]
    other = 13 if here != 13 else 11
    found = []
    for minor, venv in ((here, f"{tool}/.."), (other, "")):
        script = 'venv="$1"; '
        interpreter = sys.executable
        if not venv:
            interpreter = second_python(other) or ""
            script = 'venv=$(tests/tools/toolset.sh "$2") && '
        for kind in ("sanity", "units"):
            command = script + f'exec bash tests/tools/ansible_test.sh {kind} "$venv" 3.{minor} .cache/ansible-test'
            if not interpreter:
                command = (
                    f"echo 'found no Python 3.{minor} below ~/.pyenv/versions or on PATH; needed for the other "
                    f"ansible-core. Fix: install it'; exit {SKIPPED}"
                )
            found.append(Step(f"{kind}-3.{minor}", ["bash", "-c", command, "gate", venv, interpreter]))
    return found


class Gate:
    """One run of the gate: the steps, what runs now, and what is printed."""

    def __init__(self, plan: list[Step], durations: dict[str, float]) -> None:
        self.plan = plan
        self._durations = durations
        self._changed = threading.Condition()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        self._began = time.monotonic()

    def run(self) -> float:
        """Run every step that waits; return how long it took, in seconds."""
        lanes = [threading.Thread(target=self._lane, daemon=True) for _number in range(LANES)]
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
        return time.monotonic() - self._began

    def end(self) -> None:
        """End what still runs."""
        with self._changed:
            self._ended = True
            for process in self._processes:
                os.killpg(process.pid, signal.SIGTERM)
            self._changed.notify_all()

    def _lane(self) -> None:
        while (step := self._take()) is not None:
            try:
                self._run(step)
            except Exception as exc:
                step.status, step.words = FAILED, f"{type(exc).__name__}: {exc}"
            self._say(step)

    def _take(self) -> Step | None:
        """Wait until a step can start; None when all have."""
        with self._changed:
            while not self._ended and any(step.status == WAITING for step in self.plan):
                step = next_step(self.plan, self._durations)
                if step is not None:
                    step.status, step.began = RUNNING, time.monotonic() - self._began
                    print(f"started   {step.name}", flush=True)
                    return step
                self._changed.wait()
            return None

    def _say(self, step: Step) -> None:
        with self._changed:
            print(f"{step.status:9} {step.name:28} {step.seconds:6.0f} s  {step.words}", flush=True)
            log = LOGS / f"{step.name}.log"
            if step.status == FAILED and log.exists():
                text = log.read_text(errors="replace")
                print("".join(f"    | {line}\n" for line in text.splitlines()[-150:]), flush=True)
            self._changed.notify_all()

    def _run(self, step: Step) -> None:
        """Run one step and note how it ended."""
        needed = next((other for other in self.plan if other.name == step.needs), None)
        if needed is not None and needed.status not in (PASSED, UNCHANGED):
            step.status, step.words = FAILED, f"needs {needed.name}, which did not pass"
            return
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = dict(os.environ, PATH=path, PYTHONUNBUFFERED="1", **step.environment)
        env.pop("ANSIBLE_COLLECTIONS_PATH", None)
        # Programs that start some hundred times are compiled once.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        log = LOGS / f"{step.name}.log"
        began = time.monotonic()
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
            with self._changed:
                self._processes.add(process)
            overdue = threading.Timer(step.timeout, os.killpg, (process.pid, signal.SIGTERM))
            overdue.daemon = True
            overdue.start()
            try:
                # Not Popen.wait: only this tells the processor time of the process and of all that it waited for.
                _pid, status, used = os.wait4(process.pid, 0)
                code = process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                overdue.cancel()
                with self._changed:
                    self._processes.discard(process)
        step.seconds, step.cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
        step.status = {0: PASSED, SKIPPED: MISSING}.get(code, FAILED)
        if step.status == MISSING:
            lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            step.words = lines[-1] if lines else "no reason was given"
        elif step.status == FAILED and step.seconds >= step.timeout:
            step.words = f"timed out after {step.timeout} s"
        elif code < 0:
            step.words = f"ended by signal {-code}"
        elif step.status == FAILED:
            step.words = reason(log.read_text(errors="replace"))


def fleets_left(plan: list[Step]) -> list[str]:
    """The fleets that are up after these steps: the shared ones, and those of steps that did not come to their end."""
    brought_up = {step.name for step in plan if step.seconds or step.status == RUNNING}
    left = [fleet for fleet in SCENARIOS if up_of(fleet) in brought_up]
    ended_badly = {step.name for step in plan if step.name in brought_up and step.status != PASSED}
    return left + [fleet for name, fleet in OWN_FLEETS.items() if name in ended_badly]


def tracked() -> list[str]:
    """The files of the repository, with those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.split("\0") if path]


def busy_seconds() -> float:
    """What all processors of this machine have worked since its start, whoever for."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    user, nice, system, _idle, _waiting, irq, softirq = map(int, words)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def write_json(path: Path, data: object) -> None:
    """Write a small file."""
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


def main(argv: list[str]) -> int:
    """Run the gate; the exit status is 0 only when every step has passed."""
    plan = steps()
    if argv == ["--list"]:
        print("\n".join(step.name for step in plan))
        return 0
    record, everything = "--record" in argv, bool({"--all", "--record"} & set(argv))
    named = [word for word in argv if not word.startswith("--")]
    if unknown := (set(argv) - {step.name for step in plan} - {"--all", "--record"}):
        names = ", ".join(step.name for step in plan)
        print(f"unknown step {', '.join(sorted(unknown))}; the steps are: {names}", file=sys.stderr)
        return 2
    if named:
        plan = [step for step in plan if step.name in named]
    LOGS.mkdir(parents=True, exist_ok=True)
    paths = tracked()
    digests = {step.name: digest_of(step, ROOT, paths) for step in plan}
    passed = json.loads(LAST_PASSED.read_text()) if LAST_PASSED.exists() else {}
    if not (named or everything or os.environ.get("CI", "").lower() not in ("", "0", "false")):
        for step in plan:
            # A fleet is brought up for the steps that need it, however often it was before.
            if step.needs is not None or step.fleet is None:
                step.status = UNCHANGED if passed.get(step.name) == digests[step.name] else WAITING
        drop_unneeded(plan)
    gate = Gate(plan, read_numbers(RECORDED, LAST))
    # Ended from outside, what is running still ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, busy = time.monotonic(), busy_seconds()
    try:
        gate.run()
    finally:
        gate.end()
        for step in plan:
            if step.status == PASSED:
                passed[step.name] = digests[step.name]
            elif step.status != UNCHANGED:
                passed.pop(step.name, None)
        write_json(LAST_PASSED, passed)
        took = {step.name: round(step.seconds) for step in plan if step.status == PASSED}
        write_json(LAST, {**read_numbers(LAST), **took})
        if record:
            write_json(RECORDED, {**read_numbers(RECORDED), **took})
        if not os.environ.get("ASCEND_SIM_KEEP"):
            for fleet in fleets_left(plan):
                subprocess.run([sys.executable, "tests/sim/fleet", "--name", fleet, "down"], cwd=ROOT, check=False)
        wall = time.monotonic() - began
        print(f"\nprocessors busy {busy_seconds() - busy:.0f} s of {wall * (os.cpu_count() or 1):.0f} s", flush=True)
        print(summary(plan, wall), flush=True)
    return 0 if has_passed(plan) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
