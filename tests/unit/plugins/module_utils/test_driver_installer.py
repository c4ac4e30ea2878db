# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real installers in processes of their own: what is known of them, whoever looks, and that none is started twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._driver import installer

RUN = "20261130T061500Z-firmware"


class Host:
    """A folder in which installers run. systemd is a process that is left to itself."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []
        self.refuses = None

    def execute(self, argv, *, timeout):
        self.calls.append(list(argv))
        if self.refuses is not None:
            return Completed(tuple(argv), self.refuses, "", "Failed to start transient service", self.refuses is None)
        words = argv[argv.index("/bin/sh") :]
        # Left to init, as a unit is, so that an end is an end and no zombie.
        subprocess.run(["sh", "-c", 'setsid "$@" < /dev/null > /dev/null 2>&1 &', "sh", *words], check=True)
        return Completed(tuple(argv), 0, "", "", False)

    def package(self, text):
        path = self.folder / "package.run"
        path.write_text("#!/bin/bash\n" + text)
        return str(path)

    def of(self, run=RUN, **more):
        return installer.Installation(run, folder=str(self.folder), execute=self.execute, **more)

    def starts(self):
        path = self.folder / "starts"
        return len(path.read_text().split()) if path.exists() else 0

    def start(self, text, retry=False, **more):
        return self.of(**more).start(self.package(text), ["--upgrade", "--quiet"], {"sha256": "1"}, retry=retry)

    def ends(self, seconds=20, **more):
        return self.waits(lambda found: found.state == installer.ENDED, seconds, **more)

    def waits(self, wanted, seconds=20, **more):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.of(**more).look()
            if wanted(found):
                return found
            time.sleep(0.05)
        raise AssertionError(found)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def noted(host):
    return 'echo x >> "%s/starts"\n' % host.folder


@pytest.mark.parametrize("status", [0, 2])
def test_it_runs_to_its_end_and_is_not_started_again(host, status):
    text = noted(host) + 'echo "upgradePercentage:30%%"; echo "$@"; exit %d\n' % status
    assert host.start(text)
    found = host.ends()
    assert (found.code, found.done, found.percent) == (status, True, 30)
    assert found.tail.splitlines()[-1] == "--upgrade --quiet"
    assert not host.start(text)
    assert not host.start(text, retry=True)
    assert (host.starts(), len(host.calls)) == (1, 1)


def test_nothing_ends_it_from_outside(host):
    host.start("exit 0\n")
    [argv] = host.calls
    assert argv[0] == "systemd-run"
    assert {"--property=TimeoutStopSec=infinity", "--property=SendSIGKILL=no", "--property=KillMode=process"} <= set(
        argv
    )
    assert not [word for word in argv if "RuntimeMax" in word]
    assert "--unit=ascend-fleet-install-%s.service" % RUN in argv
    # systemd replaces what begins with a dollar in the words of a command.
    assert not [word for word in argv if "$" in word]


def test_while_it_runs_nobody_starts_another_one(host):
    text = noted(host) + 'while [ ! -e "%s/go" ]; do sleep 0.05; done; exit 0\n' % host.folder
    assert host.start(text)
    running = host.waits(lambda found: found.state == installer.RUNNING)
    assert running.pid
    results = []
    others = [threading.Thread(target=lambda: results.append(host.start(text, retry=True))) for _n in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert results == [False] * 4
    (host.folder / "go").touch()
    assert host.ends().done
    assert host.starts() == 1


def test_one_that_failed_is_started_again_only_when_a_person_says_so(host):
    text = noted(host) + 'echo "ERR_NO:0x0085"; exit 1\n'
    host.start(text)
    assert not host.ends().done
    with pytest.raises(
        installer.InstallerError, match=r"status 1 \(it last said: ERR_NO:0x0085\); needed 0 or 2"
    ) as told:
        host.start(text)
    assert "npu_driver_retry=true" in str(told.value)
    assert host.starts() == 1
    assert host.start(text, retry=True)
    host.ends()
    assert host.starts() == 2
    # What the first one said is kept.
    kept = [name for name in os.listdir(host.folder / "driver") if name != RUN]
    assert len(kept) == 1
    assert "ERR_NO" in (host.folder / "driver" / kept[0] / "log").read_text()


def test_one_that_was_killed_is_not_known_to_have_ended(host):
    text = noted(host) + "echo flashing; sleep 60\n"
    host.start(text)
    found = host.waits(lambda found: found.state == installer.RUNNING and "flashing" in found.tail)
    os.killpg(found.pid, signal.SIGKILL)
    host.waits(lambda found: found.state == installer.CUT)
    with pytest.raises(installer.InstallerError, match="was cut off") as told:
        host.start(text)
    assert "it last said: flashing" in str(told.value)
    assert host.starts() == 1


def test_after_another_boot_its_process_is_another_one(host):
    host.start("sleep 60\n")
    found = host.waits(lambda found: found.state == installer.RUNNING)
    try:
        assert host.of(boot_id="of the next boot").look().state == installer.CUT
    finally:
        os.killpg(found.pid, signal.SIGKILL)


def test_one_whose_start_was_cut_off_before_it_began_is_started(host):
    host.start("exit 0\n")
    host.ends()
    folder = host.folder / "driver" / RUN
    for name in ("began", "exit"):
        (folder / name).unlink()
    record = json.loads((folder / "record.json").read_text())
    assert host.of().look().state == installer.STARTING
    assert not host.start("exit 0\n")
    assert host.of(clock=lambda: record["at"] + 120).look().state == installer.NONE
    assert host.start("exit 0\n", clock=lambda: record["at"] + 120)


def test_a_systemd_that_refuses_is_told_and_nothing_counts_as_started(host):
    host.refuses = 1
    with pytest.raises(installer.InstallerError, match="Failed to start transient service"):
        host.start("exit 0\n")
    assert host.of().look().state == installer.NONE
    host.refuses = None
    assert host.start("exit 0\n")
    assert host.ends().done


def test_a_record_that_cannot_be_read_is_an_error(host):
    host.start("exit 0\n")
    host.ends()
    (host.folder / "driver" / RUN / "record.json").write_text("{")
    with pytest.raises(installer.InstallerError, match="unreadable"):
        host.of().look()


@pytest.mark.parametrize("path", ["/x/$HOME.run", "/x/a b.run", "relative.run"])
def test_paths_that_systemd_would_read_otherwise_are_refused(host, path):
    with pytest.raises(installer.InstallerError, match="needed one of letters"):
        host.of().start(path, [], {})
    assert host.calls == []


def test_silence_is_told(host):
    host.start('while [ ! -e "%s/go" ]; do sleep 0.05; done\n' % host.folder)
    host.waits(lambda found: found.state == installer.RUNNING)
    later = host.of(clock=lambda: time.time() + 600).look()
    assert (later.state, later.silent > 590, later.percent) == (installer.RUNNING, True, None)
    (host.folder / "go").touch()
    host.ends()
