# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill the main job in each of its tasks that changes something, then let it run: it converges."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.fleet_helpers import ROOT, fleet, playbook, playbook_command, recap, wait_on

HOST = "a2-1"
LIMIT = ("--limit", f"{HOST},localhost")
REMOVED_WITH_IMAGES = ("-e", "decommission_confirm=true", "-e", "decommission_images=true")
# The tasks that change a host, and how long after their begin the controller is killed: at once, and in the middle.
TASKS = (
    ("Download and verify", 0.0),
    ("Download and verify", 1.5),
    ("Download and verify", 4.0),
    ("Load the image", 0.0),
    ("Load the image", 2.5),
    ("Verify what the image holds", 0.5),
    ("Bring about the units", 0.0),
    ("Bring about the units", 1.2),
    ("Wait until every replica serves", 1.0),
    ("Ask every replica the questions", 0.2),
)
# Where the host itself goes away, how long after the task's begin, and what is downloaded anew for it.
CUTS = (
    ("Download and verify", 4.0, ["/var/lib/ascend-fleet/models"]),
    ("Load the image", 2.0, []),
)
# What a run writes beside a file before it takes its place.
LEFT = (
    "find /var/lib/ascend-fleet /etc/ascend-fleet /etc/systemd/system"
    r" -name '*.tmp' -o -name '*.new' -o -name '*.partial' -o -name '*.part'"
)


def kill_in(inventory, task, after, reached=lambda: None):
    """Start the main job and kill it, with everything it started here, ``after`` seconds into ``task``.

    reached: waits, for a task whose work begins when the machine comes to it.

    A host that is as wanted is told by one call, and has no task to be killed in: files are hashed in any case here.
    """
    # The preflight changes nothing, and nothing after it needs it.
    options = (*LIMIT, "--skip-tags", "preflight", "-e", "model_artifacts_rehash=true")
    command, env = playbook_command(inventory, "site.yml", *options)
    env["PYTHONUNBUFFERED"] = "1"
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("TASK") and task in line:
            # Not a wait for something: the moment of the kill is what is varied here.
            time.sleep(after)
            reached()
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL, "".join(seen)


def test_killed_in_any_task_it_converges(request):
    inventory = request.config.getoption("ansible_inventory")
    for task, after in TASKS:
        kill_in(inventory, task, after)
    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    assert {host: numbers["changed"] for host, numbers in recap(output).items()} == {HOST: 0, "localhost": 0}, output
    assert fleet("exec", HOST, "--", "sh", "-c", LEFT) == ""


@pytest.mark.parametrize(("task", "after", "forget"), CUTS)
def test_cut_off_with_the_host_it_converges(task, after, forget, request):
    """Nothing goes on in the background here: the host restarts in the middle of the work."""
    inventory = request.config.getoption("ansible_inventory")
    status, output = playbook(inventory, "playbooks/decommission.yml", *LIMIT, *REMOVED_WITH_IMAGES)
    assert status == 0, output
    fleet("exec", HOST, "--", "rm", "-rf", "/var/lib/ascend-fleet/none", *forget)
    downloading = "Download" in task
    held = f"find {' '.join(forget)} -path '*/lfs/*' -size +100k 2>/dev/null | grep ."
    if downloading:
        fleet("origin-limit", "6m")
    try:
        kill_in(inventory, task, after, (lambda: wait_on(HOST, held, 120)) if downloading else (lambda: None))
        fleet("exec", HOST, "--", "systemctl", "reboot", "--force", "--force")
        fleet("up", "--inventory", f"{inventory}/hosts.yml")
        if downloading:
            assert wait_on(HOST, held, 0), "nothing had been downloaded when the host restarted: the cut came too early"
    finally:
        fleet("origin-limit", "none")
    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    status, output = playbook(inventory, "site.yml", *LIMIT)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] == 0, output
    assert fleet("exec", HOST, "--", "sh", "-c", LEFT) == ""


def test_killed_between_writing_a_unit_and_restarting_it(request):
    """The configuration on disk is new and the engine is old: the next run sees it and restarts the engine."""
    inventory = request.config.getoption("ansible_inventory")
    options = ("-e", '{"vllm_serve_options": {"max-num-seqs": 64}}')
    unit = "/etc/systemd/system/vllm-qwen3.5@0.service"
    started = "systemctl show -p ExecMainStartTimestampMonotonic --value vllm-qwen3.5@0"
    before = fleet("exec", HOST, "--", "sh", "-c", started)
    fleet("exec", HOST, "--", "sed", "-i", "s/--max-num-seqs 128/--max-num-seqs 64/", unit)
    status, output = playbook(inventory, "site.yml", *LIMIT, *options)
    assert status == 0, output
    assert fleet("exec", HOST, "--", "sh", "-c", started) != before
    status, output = playbook(inventory, "site.yml", *LIMIT, *options)
    assert status == 0, output
    assert recap(output)[HOST]["changed"] == 0, output


def test_a_driver_that_comes_up_after_docker(request):
    """A boot in which units start before their cards are there: they wait, and serve without a single restart."""
    inventory = request.config.getoption("ansible_inventory")
    serves = "curl --silent --fail --max-time 5 http://localhost:8010/health"
    fleet("break", HOST, "late-driver", "20")
    try:
        fleet("exec", HOST, "--", "systemctl", "reboot", "--force", "--force")
        fleet("up", "--inventory", f"{inventory}/hosts.yml")
        serving = wait_on(HOST, serves, 300)
        assert serving, fleet("exec", HOST, "--", "journalctl", "-u", "vllm-qwen3.5@0", "-b")
        log = fleet("exec", HOST, "--", "journalctl", "-u", "vllm-qwen3.5@0", "-b", "-o", "cat")
        assert "waiting for chips, " in log, log
        assert fleet("exec", HOST, "--", "systemctl", "show", "-p", "NRestarts", "--value", "vllm-qwen3.5@0") == "0\n"
    finally:
        fleet("mend", HOST, "late-driver")
