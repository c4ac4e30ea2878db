# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell programs that units use, run by a shell, with tools made up for them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import support

# A character device that every machine has stands in for a card's device node.
NODE = "/dev/null"
GOOD = "        Health Status                  : OK\n        Error Code                     : NA\n"


class Tools:
    """A folder of programs that the scripts find before any others."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.npu_smi = self.bin / "npu-smi"
        (root / "etc").mkdir()
        for path, text in support.support_files(str(root / "etc"), str(root / "etc")).items():
            Path(path).write_text(text, encoding="utf-8")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
        path.chmod(0o755)

    def run(self, script: str, *words: str, pause: str = "0.05") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": "%s:%s" % (self.bin, os.environ["PATH"]),
            "ASCEND_FLEET_LOCK": str(self.root / "lock"),
            "ASCEND_FLEET_PAUSE": pause,
        }
        argv = ["/bin/sh", str(self.root / "etc" / script), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def calls(self) -> list[str]:
        log = self.root / "calls"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def npu_smi_says(self, text: str, status: int = 0) -> None:
        (self.root / "answer").write_text(text, encoding="utf-8")
        self.program("npu-smi", 'echo "$@" >> %s/calls\ncat %s/answer\nexit %d\n' % (self.root, self.root, status))


@pytest.fixture
def tools(tmp_path):
    return Tools(tmp_path)


class TestWait:
    def wait(self, tools, *words, seconds="0"):
        return tools.run("wait-for-chips.sh", seconds, *(words or (str(tools.npu_smi), NODE, "0:0", "3:1")))

    @pytest.mark.parametrize("text", [GOOD, GOOD.replace("OK", "Warning"), "Health : OK\nChip ID : 0\n"])
    def test_all_is_well(self, tools, text):
        tools.npu_smi_says(text)
        done = self.wait(tools)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert tools.calls() == ["info -t health -i 0 -c 0", "info -t health -i 3 -c 1"]

    def test_an_answer_without_a_health_stops_nobody(self, tools):
        tools.npu_smi_says("This device does not support querying health.\n")
        assert self.wait(tools).returncode == 0

    @pytest.mark.parametrize(
        ("text", "status", "words"),
        [
            (GOOD.replace("OK", "Alarm"), 0, "found NPU 0 chip 0 has health Alarm after 0 s; needed all chips"),
            ("dcmi module initialize failed. ret is -8005\n", 187, "ended with status 187: dcmi module initialize fai"),
        ],
    )
    def test_a_chip_that_does_not_work(self, tools, text, status, words):
        tools.npu_smi_says(text, status)
        done = self.wait(tools)
        assert done.returncode == 1
        assert words in done.stderr

    def test_a_missing_device_node_is_told_without_asking_npu_smi(self, tools):
        tools.npu_smi_says(GOOD)
        done = self.wait(tools, str(tools.npu_smi), NODE, "/dev/no-such-card", "0:0")
        assert (done.returncode, tools.calls()) == (1, [])
        assert "found no device node /dev/no-such-card" in done.stderr

    def test_a_file_in_place_of_a_device_node_is_none(self, tools):
        done = self.wait(tools, "-", str(tools.root / "etc" / "wait-for-chips.sh"))
        assert done.returncode == 1

    def test_a_tool_that_comes_later(self, tools):
        assert "no program" in self.wait(tools).stderr

    def test_without_npu_smi_the_device_nodes_are_enough(self, tools):
        assert self.wait(tools, "-", NODE, "0:0").returncode == 0

    def test_a_driver_that_comes_up_later_is_waited_for(self, tools):
        tools.program(
            "npu-smi",
            'echo >> %s/calls\n[ "$(wc -l < %s/calls)" -gt 3 ] || { echo "-8005"; exit 187; }\necho "Health : OK"\n'
            % (tools.root, tools.root),
        )
        done = self.wait(tools, str(tools.npu_smi), NODE, "0:0", seconds="30")
        assert done.returncode == 0
        # What it waits for is said once, not at every look.
        assert done.stdout.count("waiting for chips") == 1

    def test_one_query_at_a_time_on_a_host(self, tools):
        tools.program(
            "npu-smi",
            "mkdir %s/busy || exit 9\nsleep 0.1\nrmdir %s/busy\necho 'Health : OK'\n" % (tools.root, tools.root),
        )
        argv = ["/bin/sh", str(tools.root / "etc" / "wait-for-chips.sh"), "0", str(tools.npu_smi), NODE, "0:0", "1:0"]
        environment = {**os.environ, "ASCEND_FLEET_LOCK": str(tools.root / "lock")}
        several = [subprocess.Popen(argv, env=environment) for _count in range(4)]
        assert [one.wait(timeout=60) for one in several] == [0, 0, 0, 0]


class TestDelay:
    @pytest.mark.parametrize(
        ("restarts", "seconds"),
        [("0", None), ("1", None), ("2", 10), ("3", 30), ("4", 70), ("5", 150), ("6", 290), ("50", 290), ("", None)],
    )
    def test_doubles_up_to_five_minutes(self, tools, restarts, seconds):
        tools.program("systemctl", "echo %s\n" % restarts)
        tools.program("sleep", 'echo "slept $1"\n')
        done = tools.run("delay-start.sh", "vllm-qwen3.5@0.service")
        assert done.returncode == 0
        assert done.stdout.splitlines()[1:] == (["slept %d" % seconds] if seconds else [])

    def test_a_systemd_that_does_not_answer_delays_nothing(self, tools):
        tools.program("systemctl", "exit 1\n")
        assert tools.run("delay-start.sh", "vllm-qwen3.5@0.service").returncode == 0


class TestReport:
    def test_stands_in_the_journal_of_the_unit(self, tools):
        tools.program("systemctl", "[ $1 = is-failed ] || echo start-limit-hit\n")
        tools.program("logger", "cat > %s/logged\n" % tools.root)
        assert tools.run("report-failure.sh", "vllm-qwen3.5@0.service").stdout == ""
        logged = dict(line.split("=", 1) for line in (tools.root / "logged").read_text().splitlines())
        assert logged["OBJECT_SYSTEMD_UNIT"] == "vllm-qwen3.5@0.service"
        assert logged["PRIORITY"] == "3"
        assert "found vllm-qwen3.5@0.service failed (start-limit-hit) and not started again" in logged["MESSAGE"]
        assert "Fix: see journalctl -u vllm-qwen3.5@0.service" in logged["MESSAGE"]

    def test_without_such_a_logger_it_is_said_anyway(self, tools):
        tools.program("systemctl", "[ $1 = is-failed ] || echo exit-code\n")
        tools.program("logger", "exit 1\n")
        assert tools.run("report-failure.sh", "vllm-x@0.service").stdout.startswith("<3>found vllm-x@0.service failed")

    def test_between_two_starts_nothing_is_said(self, tools):
        tools.program("systemctl", "exit 1\n")
        tools.program("logger", "touch %s/logged\n" % tools.root)
        assert tools.run("report-failure.sh", "vllm-x@0.service").stdout == ""
        assert not (tools.root / "logged").exists()


def test_every_program_is_plain_shell_and_bears_our_mark(tmp_path):
    for path, text in support.support_files("/etc/systemd/system", "/etc/ascend-fleet").items():
        assert "Managed by ascend.fleet" in text.splitlines()[0 if path.endswith(".service") else 1]
        if path.endswith(".sh"):
            (tmp_path / "script").write_text(text, encoding="utf-8")
            assert subprocess.run(["/bin/sh", "-n", str(tmp_path / "script")], check=False).returncode == 0


class TestLimits:
    @pytest.fixture
    def replica(self, tools):
        folder = tools.root / "data" / "replicas" / "vllm-q-0"
        for name in ("log", "cache"):
            (folder / name).mkdir(parents=True)
        unit = "# Managed by ascend.fleet: x\n[X-AscendFleet]\nDirectory=%s\n" % folder
        (tools.root / "etc" / "vllm-q@0.service").write_text(unit, encoding="utf-8")
        return folder

    @staticmethod
    def file(path, days=0.0, size=400000):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        when = time.time() - days * 86400
        os.utime(path, (when, when))
        return path

    @staticmethod
    def keep(tools, megabytes=1):
        environment = {**os.environ, "ASCEND_FLEET_LOG_MB": str(megabytes), "ASCEND_FLEET_CACHE_MB": str(megabytes)}
        argv = ["/bin/sh", str(tools.root / "etc" / "keep-within-limits.sh"), str(tools.root / "etc")]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_the_oldest_logs_go_until_the_rest_fits(self, tools, replica):
        kept = [self.file(replica / "log" / "debug" / ("plog-%d.log" % n), days) for n, days in enumerate((0, 0.1))]
        gone = [self.file(replica / "log" / "run" / ("plog-%d.log" % n), days) for n, days in enumerate((40, 20, 2))]
        self.keep(tools)
        assert all(path.exists() for path in kept)
        assert not any(path.exists() for path in gone)

    def test_what_fits_stays_however_old_it_is(self, tools, replica):
        old = [self.file(replica / name / "old.log", 400) for name in ("log", "cache")]
        self.keep(tools)
        assert all(path.exists() for path in old)

    def test_a_cache_of_today_stays_whatever_its_size(self, tools, replica):
        new = self.file(replica / "cache" / "vllm" / "torch_compile_cache" / "a", 0.5, 3000000)
        old = self.file(replica / "cache" / "vllm" / "torch_compile_cache" / "b", 2)
        self.keep(tools)
        assert new.exists()
        assert not old.exists()

    def test_links_lead_nowhere(self, tools, replica):
        outside = self.file(tools.root / "outside" / "precious", 400, 3000000)
        (replica / "log" / "link").symlink_to(outside.parent)
        (replica / "cache").rmdir()
        (replica / "cache").symlink_to(outside.parent)
        self.file(replica / "log" / "plog.log", 400, 3000000)
        self.keep(tools)
        assert outside.exists()
        assert not (replica / "log" / "plog.log").exists()

    @pytest.mark.parametrize("change", [("# Managed by ascend.fleet: x", "# mine"), ("/replicas/", "/replicas/../")])
    def test_only_folders_of_replicas_of_ours(self, tools, replica, change):
        unit = tools.root / "etc" / "vllm-q@0.service"
        unit.write_text(unit.read_text().replace(*change))
        old = self.file(replica / "log" / "plog.log", 400, 3000000)
        self.keep(tools)
        assert old.exists()

    def test_a_start_keeps_the_limits_first(self, tools, replica):
        script = tools.root / "etc" / "keep-within-limits.sh"
        script.write_text("touch %s/ran\nexit 3\n" % tools.root)
        tools.npu_smi_says(GOOD)
        done = tools.run("wait-for-chips.sh", "0", str(tools.npu_smi), NODE, "0:0")
        assert (done.returncode, (tools.root / "ran").exists()) == (0, True)
