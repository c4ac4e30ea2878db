# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: which step runs next, what need not run again, and that a step that did not run is a failure."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


plan = load("gate_plan")
gate = load("gate")


def order(steps: list, durations: dict[str, float], lanes: int) -> list[str]:
    """The order in which steps begin when each takes exactly what is recorded."""
    now, begun, running = 0.0, [], []
    while True:
        while len(running) < lanes and (step := plan.next_step(steps, durations)) is not None:
            step.status = plan.RUNNING
            begun.append(f"{step.name}@{now:.0f}")
            running.append((now + durations.get(step.name, plan.UNKNOWN_SECONDS), step))
        if not running:
            return begun
        running.sort(key=lambda entry: entry[0])
        now, step = running.pop(0)
        step.status = plan.PASSED


def step(name: str, fleet: str | None = None, needs: str | None = None, inputs: tuple[str, ...] = ("",)):
    return plan.Step(name, [name], inputs, fleet, needs)


def test_the_longest_work_begins_first_and_a_fleet_does_one_thing_at_a_time() -> None:
    steps = [
        step("lint"),
        step("units"),
        step("up", "a"),
        step("default", "a", "up"),
        step("guide", "a", "up"),
        step("up-b", "b"),
        step("artifacts", "b", "up-b"),
    ]
    durations = {"lint": 10, "units": 200, "up": 30, "default": 100, "guide": 90, "up-b": 30, "artifacts": 150}
    assert order(steps, durations, 3) == [
        "up@0",
        "units@0",
        "up-b@0",
        "default@30",
        "artifacts@30",
        "guide@130",
        "lint@180",
    ]


def test_what_would_only_wait_begins_when_the_other_has_ended() -> None:
    steps = [step("long"), step("lint"), step("up", "a"), step("default", "a", "up"), step("up-b", "b")]
    steps[0].after = steps[4].after = "up"
    durations = {"long": 500, "lint": 50, "up": 30, "default": 100, "up-b": 30}
    assert order(steps, durations, 3) == ["up@0", "lint@0", "long@30", "default@30", "up-b@50"]
    # It is let end, not pass; and where it does not run at all nobody waits for it.
    steps[0].status, steps[2].status = plan.WAITING, plan.FAILED
    assert plan.next_step(steps, durations).name == "long"
    assert order([steps[0]], durations, 3) == ["long@0"]


def test_all_fleets_begin_after_the_one_that_makes_the_images() -> None:
    found = {entry.name: entry for entry in gate.steps()}
    assert found[gate.FIRST].after is None
    waiting = {name for name, entry in found.items() if entry.after == gate.FIRST}
    assert waiting == {"browser", *gate.OWN_FLEETS, *map(gate.up_of, gate.SCENARIOS)} - {gate.FIRST}


def test_a_step_without_a_record_counts_as_a_minute() -> None:
    assert order([step("short"), step("new"), step("long")], {"short": 50, "long": 70}, 1) == [
        "long@0",
        "new@70",
        "short@130",
    ]


def test_what_a_step_depends_on(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "docs").mkdir()
    code, page = tmp_path / "plugins" / "a.py", tmp_path / "docs" / "a.md"
    code.write_text("1")
    page.write_text("1")
    paths = ["docs/a.md", "plugins/a.py", "plugins/removed.py"]
    units = step("units", inputs=("plugins/",))
    before = plan.digest_of(units, tmp_path, paths)
    page.write_text("2")
    assert plan.digest_of(units, tmp_path, paths) == before
    assert plan.digest_of(step("units"), tmp_path, paths) != before
    code.write_text("2")
    assert plan.digest_of(units, tmp_path, paths) != before
    code.write_text("1")
    code.chmod(0o755)
    assert plan.digest_of(units, tmp_path, paths) != before


def test_a_fleet_is_not_brought_up_for_nothing() -> None:
    steps = [step("up", "a"), step("default", "a", "up"), step("guide", "a", "up")]
    steps[1].status = steps[2].status = plan.UNCHANGED
    plan.drop_unneeded(steps)
    assert steps[0].status == plan.UNCHANGED
    steps[0].status = steps[2].status = plan.WAITING
    plan.drop_unneeded(steps)
    assert steps[0].status == plan.WAITING


@pytest.mark.parametrize(
    ("status", "passed"),
    [("passed", True), ("unchanged", True), ("failed", False), ("missing", False), ("waiting", False)],
)
def test_a_step_that_did_not_run_is_a_failure(status: str, passed: bool) -> None:
    steps = [step("units"), step("lint")]
    steps[0].status, steps[1].status = plan.PASSED, status
    assert plan.has_passed(steps) is passed
    assert f"1 {status}" in plan.summary(steps, 75.0) or status == plan.PASSED
    assert "in 1 min 15 s" in plan.summary(steps, 75.0)


def test_nothing_is_no_success() -> None:
    assert not plan.has_passed([])


def test_every_scenario_is_a_step() -> None:
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    names = [entry.name for entry in gate.steps()]
    assert {name.removeprefix("molecule-") for name in names if name.startswith("molecule-")} == scenarios - {
        *gate.BY_HAND
    }
    assert scenarios >= {*gate.BY_HAND}
    assert len(names) == len(set(names))


def test_the_inputs_of_a_step_exist() -> None:
    for entry in gate.steps():
        for prefix in entry.inputs:
            assert not prefix or (ROOT / prefix).exists(), f"{entry.name}: {prefix}"


def test_the_unit_tests_run_once_on_each_version() -> None:
    words = {entry.name: " ".join(entry.argv).replace(str(gate.ROOT), "") for entry in gate.steps()}
    assert {"units-3.11", "units-3.13"} <= set(words)
    # Where the other Python is missing, its step says so instead.
    found = {name for name, said in words.items() if re.search(r"\bansible_test.sh units\b|tests/unit\b", said)}
    assert found <= {"units-3.11", "units-3.13"}
    assert found


def test_the_recorded_durations_are_those_of_steps() -> None:
    assert set(plan.read_numbers(gate.RECORDED)) <= {entry.name for entry in gate.steps()}


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list, *argv: str) -> int:
    monkeypatch.setattr(gate, "LOGS", tmp_path)
    monkeypatch.setattr(gate, "LAST", tmp_path / "durations.json")
    monkeypatch.setattr(gate, "LAST_PASSED", tmp_path / "passed.json")
    monkeypatch.setattr(gate, "steps", lambda: steps)
    monkeypatch.setattr(gate, "tracked", lambda: ["galaxy.yml"])
    monkeypatch.setattr(gate.signal, "signal", lambda *_arguments: None)
    result: int = gate.main(list(argv))
    return result


def shell(name: str, script: str) -> plan.Step:  # type: ignore[name-defined]
    return plan.Step(name, ["sh", "-c", script], ("galaxy.yml",))


def test_a_run_of_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CI", raising=False)
    good = 'echo run >> "%s"' % (tmp_path / "runs")
    assert run(tmp_path, monkeypatch, [shell("good", good), shell("bad", "echo why; exit 3")]) == 1
    assert "    | why" in capsys.readouterr().out
    assert run(tmp_path, monkeypatch, [shell("good", good), shell("bad", "echo no tool; exit 77")]) == 1
    assert "missing  no tool" in capsys.readouterr().out
    assert run(tmp_path, monkeypatch, [shell("good", good), shell("bad", "true")]) == 0
    assert "1 passed, 1 unchanged" in capsys.readouterr().out
    assert (tmp_path / "runs").read_text() == "run\n"
    monkeypatch.setenv("CI", "true")
    assert run(tmp_path, monkeypatch, [shell("good", good)]) == 0
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    assert run(tmp_path, monkeypatch, [shell("good", good)], "gone") == 2


def test_steps_of_a_fleet_that_is_not_up_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    up, scenario = shell("up", "exit 1"), shell("scenario", "true")
    up.fleet = scenario.fleet = "a"
    scenario.needs = "up"
    assert run(tmp_path, monkeypatch, [up, scenario]) == 1
    assert (scenario.status, scenario.words) == (plan.FAILED, "needs up, which did not pass")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it said nothing"),
        ("plugins/a.py:1:1: F401 unused\nFound 1 problem.\n\n", "Found 1 problem."),
        (
            "tests/a.py:3: error: wrong type  [arg-type]\nFound 1 in 1 file\n",
            "tests/a.py:3: error: wrong type  [arg-type]",
        ),
        (
            "Traceback:\n  x\nE   ValueError: no\nFAILED tests/unit/test_a.py::test_one - ValueError: no\n"
            "FAILED tests/unit/test_b.py::test_two[a-1] - assert 1 == 2\n"
            'ERROR: Command "pytest" returned exit status 1.\n',
            "tests/unit/test_a.py::test_one - ValueError: no",
        ),
        (
            "ERROR tests/unit/test_a.py - ImportError: no\nInterrupted: 1 error\n",
            "tests/unit/test_a.py - ImportError: no",
        ),
        (
            "[   0.1s] fleet test: a2-1 (a2)\nfleet: fleet test is up already, from the checkout /x\n"
            "fleet: to do: take that one down\n",
            "fleet: fleet test is up already, from the checkout /x",
        ),
        (
            "ERROR: Found 1 pylint issue(s) which need to be resolved:\nERROR: plugins/a.py:1:0: empty: wrong\n"
            "See documentation for help: https://docs.example\n"
            "ERROR: The 1 sanity test(s) listed below (out of 30) failed. See error output above.\npylint\n",
            "ERROR: plugins/a.py:1:0: empty: wrong",
        ),
        (
            "Traceback (most recent call last):\n  File 'a'\nsubprocess.CalledProcessError: no\n",
            "subprocess.CalledProcessError: no",
        ),
        (
            "  \x1b[2m│\x1b[0m TASK [Start]\n  \x1b[2m│\x1b[0m \x1b[31mfatal: [a2-1]: FAILED! => \x1b[0m\n"
            "  \x1b[2m│\x1b[0m     changed: false\n"
            "  \x1b[2m│\x1b[0m     msg: host a2-1 has no\n  \x1b[2m│\x1b[0m   cards\n"
            "\x1b[31mCRITICAL\x1b[0m Ansible return code was 2, command was: molecule\n"
            "ERROR    default ➜ verify: Executed: Failed\n",
            "fatal: [a2-1]: host a2-1 has no cards",
        ),
    ],
)
def test_why_a_step_failed_is_one_line_of_its_output(text: str, expected: str) -> None:
    assert plan.reason(text) == expected
    assert len(plan.reason(text + "x" * 300)) <= plan.REASON_LENGTH


def test_what_failed_is_the_end_of_the_table() -> None:
    steps = [step("good"), step("bad"), step("scenario"), step("later")]
    for number, (entry, status) in enumerate(zip(steps, ("passed", "failed", "failed", "passed"), strict=True)):
        entry.status, entry.began, entry.seconds, entry.cpu = status, float(number), 10.0, 7.0
    steps[2].seconds, steps[2].words = 0.0, "needs bad, which did not pass"
    steps[1].words = "tests/unit/test_a.py::test_one"
    rows = plan.summary(steps, 20.0).splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["step", "good", "later", "scenario", "bad", "all", "2"]
    assert rows[5].split() == ["bad", "1", "10", "7", "failed", "tests/unit/test_a.py::test_one"]
    assert rows[6].split() == ["all", "30", "28"]


def test_a_step_says_why_it_failed_and_what_it_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = shell(
        "bad", "python3 -c 'sum(range(3_000_000))'; echo 'fleet: no room'; echo 'fleet: to do: make some'; exit 1"
    )
    slow, killed = shell("slow", "exec sleep 60"), shell("killed", "kill -9 $$")
    slow.timeout = 1
    assert run(tmp_path, monkeypatch, [bad, slow, killed]) == 1
    assert (killed.status, killed.words) == (plan.FAILED, "ended by signal 9")
    assert (bad.status, bad.words) == (plan.FAILED, "fleet: no room")
    assert bad.cpu > 0
    assert (slow.status, slow.words) == (plan.FAILED, "timed out after 1 s")


def test_what_a_killed_step_has_brought_up_is_taken_down() -> None:
    up, scenario = step("fleet-up-test", fleet="test"), step("molecule-default", fleet="test", needs="fleet-up-test")
    own, other = step("molecule-two_systems"), step("molecule-real_engine")
    assert gate.fleets_left([up, scenario, own, other]) == []
    up.status, up.seconds = plan.PASSED, 10.0
    own.status = plan.RUNNING
    other.status, other.seconds = plan.PASSED, 100.0
    assert gate.fleets_left([up, scenario, own, other]) == ["test", "two"]
