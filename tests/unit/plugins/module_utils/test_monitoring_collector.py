# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector: what it writes of captured tables, and what it does while npu-smi hangs."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import (
    collector,
    exposition,
    fleet_metrics,
    install,
    npu_metrics,
)
from ansible_collections.ascend.fleet.plugins.module_utils._npu import smi
from ansible_collections.ascend.fleet.plugins.module_utils._npu.hardware import HCCN_TOOL

DATA = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi"
CAPTURES = sorted(
    path.stem
    for path in (DATA / "info").glob("*.txt")
    if "result" in json.loads((DATA / "expected" / (path.stem + ".json")).read_text(encoding="utf-8"))
)
A2, A3 = "910b3-x8-25.2.0-1proc", "a3-ascend910-x4-26.0.rc1-procs"
ECC = (DATA / "sub" / "ecc-i1-910.txt").read_text(encoding="utf-8")
UNIT = """# Managed by ascend.fleet: changes here are overwritten.
[Service]
ExecStart=/usr/bin/docker run
[X-AscendFleet]
Replica=0
ServedModelName=qwen3.5
Release=qwen3_5_27b_v0
Port=8010
"""
_LINE = re.compile(r'([a-z_:]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (-?[0-9.e+]+)\Z')


def text_of(name):
    return (DATA / "info" / (name + ".txt")).read_text(encoding="utf-8")


def samples(text):
    """Values by name and labels; every line must be one that Prometheus reads."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) [a-z_]+ .+", line), line
            continue
        match = _LINE.match(line)
        assert match, line
        key = match.group(1) + (match.group(2) or "")
        assert key not in found, key
        found[key] = float(match.group(3))
    return found


def table_metrics(name, nodes=()):
    out = exposition.Metrics(npu_metrics.CATALOGUE)
    table = smi.parse_info(text_of(name))
    npu_metrics.add_table(out, table, npu_metrics.chips_of(table, nodes))
    return samples(out.text())


class TestTable:
    def test_a2(self):
        found = table_metrics(A2)
        labels = '{id="4",model_name="910B3",pcie_bus_info="0000:01:00.0"}'
        assert found["machine_npu_nums"] == found["machine_card_nums"] == found["machine_healthy_npu_nums"] == 8
        assert found["npu_chip_info_temperature" + labels] == 45
        assert found["npu_chip_info_power" + labels] == 139.7
        assert found["npu_chip_info_utilization" + labels] == 25
        assert found["npu_chip_info_hbm_used_memory" + labels] == 21784
        assert found["npu_chip_info_hbm_total_memory" + labels] == 65536
        assert found["npu_chip_info_hbm_utilization" + labels] == 33.2
        assert found["npu_chip_info_process_info_num" + labels] == 1
        process = labels[:-1] + ',process_id="1601114",container_id=""}'
        assert found["npu_chip_info_process_info" + process] == 18429
        assert not any(key.startswith("npu_chip_info_total_memory") for key in found)  # 0 of 0: it has no DDR

    def test_a3_has_two_chips_a_card_and_says_power_once(self):
        found = table_metrics(A3)
        assert (found["machine_npu_nums"], found["machine_card_nums"]) == (4, 2)
        assert sum(key.startswith("npu_chip_info_power{") for key in found) == 2
        assert found['npu_chip_info_health_status{id="11",model_name="Ascend910",pcie_bus_info="0000:8B:00.0"}'] == 1

    @pytest.mark.parametrize("name", CAPTURES)
    def test_every_capture(self, name):
        table = smi.parse_info(text_of(name))
        found = table_metrics(name)
        assert found["machine_npu_nums"] == len(table["devices"])
        assert found["machine_npu_nums"] == (
            found["machine_healthy_npu_nums"] + found["machine_unhealthy_npu_nums"] + found["machine_unknown_npu_nums"]
        )
        temperatures = [d["temperature_celsius"] for d in table["devices"] if d["temperature_celsius"] is not None]
        values = [v for key, v in found.items() if key.startswith("npu_chip_info_temperature{")]
        # Two that cannot be told apart are one series.
        assert values == temperatures or len(values) < len(temperatures)

    def test_an_alarm_is_not_healthy(self):
        found = table_metrics("950pr-x3-25.7.rc1-alarm-procs")
        assert found["machine_unhealthy_npu_nums"] >= 1
        assert 0 in [v for key, v in found.items() if key.startswith("npu_chip_info_health_status")]

    @pytest.mark.parametrize("word", ["Warning", "Alarm", "Critical", "UNKNOWN"])
    def test_ok_alone_is_healthy(self, word):
        out = exposition.Metrics(npu_metrics.CATALOGUE)
        table = smi.parse_info(text_of(A2).replace("| OK       ", "| %-8s " % word, 1))
        npu_metrics.add_table(out, table, npu_metrics.chips_of(table, []))
        found = samples(out.text())
        health = [value for key, value in found.items() if key.startswith("npu_chip_info_health_status")]
        assert health == [0, 1, 1, 1, 1, 1, 1, 1]
        counts = found["machine_unhealthy_npu_nums"], found["machine_unknown_npu_nums"]
        assert counts == ((0, 1) if word == "UNKNOWN" else (1, 0))

    def test_nodes_that_begin_at_1(self):
        found = table_metrics(A2, nodes=[1, 2, 3, 4, 5, 6, 7, 8])
        assert 'npu_chip_info_temperature{id="8",model_name="910B3",pcie_bus_info="0000:42:00.0"}' in found


class TestExposition:
    def test_labels_are_escaped(self):
        out = exposition.Metrics({"a": "b"})
        out.add("a", 1.5, {"x": 'a "b"\\\n\udcff'})
        assert out.text().splitlines()[-1] == 'a{x="a \\"b\\"\\\\\\n?"} 1.5'

    def test_what_is_not_known_is_left_out_and_what_is_not_described_is_refused(self):
        out = exposition.Metrics({"a": "b"})
        out.add("a", None)
        assert out.text() == ""
        with pytest.raises(KeyError):
            out.add("c", 1)
        with pytest.raises(ValueError):
            out.add("a", 1, {"x-y": ""})


class Machine:
    """A host that answers with captured text."""

    def __init__(self, root, table=A2):
        self.root = root
        self.table = table
        self.asked = []
        self.fails = {}
        self.now = 1_800_000_000.0
        for folder in ("run", "etc/systemd/system", "var/lib/ascend-fleet/gateway", "textfile", "dev"):
            (root / folder).mkdir(parents=True)
        self.config = {"source": "npu_smi", "textfile": "/textfile", "expected_chips": 8}

    def run(self, argv, *, timeout, pass_fds=()):
        words = " ".join(argv)
        self.asked.append(words)
        for start, done in self.fails.items():
            if start in words:
                return Completed(tuple(argv), done, "", "no", done is None)
        if words.endswith("npu-smi info"):
            return Completed(tuple(argv), 0, text_of(self.table), "", False)
        if "-t ecc" in words:
            text = ECC.replace("HBM Double Bit Error Count               : 0", "HBM Double Bit Error Count  : 2")
            return Completed(tuple(argv), 0, text, "", False)
        if "-link" in words:
            return Completed(tuple(argv), 0, "link status: %s\n" % ("DOWN" if "-i 3 " in words else "UP"), "", False)
        if "-net_health" in words:
            return Completed(tuple(argv), 0, "net health status: Success\n", "", False)
        if argv[0] == "systemctl":
            text = "Id=vllm-qwen3.5@0.service\nActiveState=active\nNRestarts=2\nActiveEnterTimestampMonotonic=5000000\n"
            return Completed(tuple(argv), 0, text, "", False)
        if argv[0] == "openssl":
            return Completed(tuple(argv), 0, "notAfter=Jan  5 00:00:00 2027 GMT\n", "", False)
        raise AssertionError(words)

    def host(self):
        return collector.Host(
            root=str(self.root), run=self.run, clock=lambda: 100.0, wall=lambda: self.now, shared_seconds=0.2
        )

    def look(self):
        (self.root / "config.json").write_text(json.dumps(self.config))
        problems = collector.collect("/config.json", self.host())
        return samples((self.root / "textfile" / collector.NAME).read_text(encoding="utf-8")), problems


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


class TestLook:
    def test_the_chips(self, machine):
        found, problems = machine.look()
        assert not problems
        assert found["machine_npu_nums"] == found["ascend_fleet_expected_chips"] == 8
        assert found['ascend_fleet_driver_info{version="25.2.0",npu_smi_version="25.2.0"}'] == 1
        assert found['ascend_fleet_collector_success{part="npu"}'] == 1
        assert found["ascend_fleet_npu_smi_hung"] == 0
        assert found["ascend_fleet_collector_time_seconds"] == machine.now
        assert (machine.root / "textfile" / collector.NAME).stat().st_mode & 0o777 == 0o644
        assert os.listdir(machine.root / "textfile") == [collector.NAME]

    def test_every_chip_is_asked_now_and_then_only(self, machine):
        tool = machine.root / HCCN_TOOL.lstrip("/")
        tool.parent.mkdir(parents=True)
        tool.write_text("")
        found, _problems = machine.look()
        labels = '{id="3",model_name="910B3",pcie_bus_info="0000:82:00.0"}'
        assert found["npu_chip_info_hbm_ecc_double_bit_error_cnt" + labels] == 2
        assert found["npu_chip_info_link_status" + labels] == 0
        assert found["npu_chip_info_network_status" + labels] == 1
        first = len(machine.asked)
        machine.now += 30
        again, _problems = machine.look()
        assert len(machine.asked) == first + 1
        assert again["npu_chip_info_link_status" + labels] == 0
        assert again['ascend_fleet_collector_success{part="ecc"}'] == 1
        machine.now += 300
        machine.look()
        assert len(machine.asked) == 2 * first + 1

    def test_a_table_that_is_cut_says_nothing_of_chips(self, machine):
        machine.table = "910b2-24.1.0-cut-midrow"
        found, problems = machine.look()
        assert found['ascend_fleet_collector_success{part="npu"}'] == 0
        assert not any(key.startswith(("npu_", "machine_")) for key in found)
        assert "truncated" in problems[0]

    def test_a_card_that_does_not_answer_is_a_part_that_is_not_whole(self, machine):
        machine.fails["-t ecc -i 4"] = 1
        found, problems = machine.look()
        assert found['ascend_fleet_collector_success{part="ecc"}'] == 0
        assert found['ascend_fleet_collector_success{part="npu"}'] == 1
        assert sum(key.startswith("npu_chip_info_hbm_ecc_double_bit_error_cnt") for key in found) == 7
        assert problems

    def test_what_hangs_once_is_not_asked_again(self, machine):
        machine.fails["npu-smi info"] = None
        found, problems = machine.look()
        assert [words for words in machine.asked if "npu-smi" in words] == ["npu-smi info"] or len(machine.asked) == 1
        assert found["ascend_fleet_npu_smi_hung"] == 1
        assert found['ascend_fleet_collector_success{part="npu"}'] == 0
        assert "deadline" in problems[0]

    def test_while_one_hangs_none_is_added(self, machine):
        lock = os.open(machine.root / "run" / "ascend-fleet-collector.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            found, problems = machine.look()
        finally:
            os.close(lock)
        assert not machine.asked
        assert found["ascend_fleet_npu_smi_hung"] == 1
        assert found['ascend_fleet_collector_success{part="npu"}'] == 0
        assert "has not ended" in problems[0]
        assert machine.look()[0]["ascend_fleet_npu_smi_hung"] == 0

    def test_a_replica_that_starts_is_not_disturbed(self, machine):
        lock = os.open(machine.root / "run" / "ascend-fleet-npu-smi.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            found, problems = machine.look()
        finally:
            os.close(lock)
        assert not machine.asked
        assert (found["ascend_fleet_npu_smi_hung"], found['ascend_fleet_collector_success{part="npu"}']) == (0, 0)
        assert "another program has asked npu-smi" in problems[0]

    @pytest.mark.parametrize("source", ["npu_exporter", "none"])
    def test_where_somebody_else_asks_the_chips_nobody_does_here(self, machine, source):
        machine.config["source"] = source
        found, problems = machine.look()
        assert not problems
        assert not machine.asked
        assert found['ascend_fleet_collector_info{source="%s"}' % source] == 1
        assert not any(key.startswith(("npu_chip", "machine_")) for key in found)

    def test_units(self, machine):
        machine.config["source"] = "none"
        path = machine.root / "etc/systemd/system/vllm-qwen3.5@0.service"
        path.write_text(UNIT)
        (path.parent / "vllm-other@0.service").write_text("[Service]\n")
        started = machine.now - 100 + 5
        os.utime(path, (started, started))
        unit = 'unit="vllm-qwen3.5@0.service",replica="0",model_name="qwen3.5"'
        found, problems = machine.look()
        assert not problems
        assert found['ascend_fleet_replica_info{%s,release="qwen3_5_27b_v0",port="8010"}' % unit] == 1
        assert found['ascend_fleet_unit_state{%s,state="active"}' % unit] == 1
        assert found["ascend_fleet_unit_restarts{%s}" % unit] == 2
        assert found["ascend_fleet_replica_outdated{%s}" % unit] == 0
        assert not any("other" in key for key in found)
        os.utime(path, (machine.now, machine.now))
        assert machine.look()[0]["ascend_fleet_replica_outdated{%s}" % unit] == 1
        machine.fails["systemctl"] = 1
        found, problems = machine.look()
        assert found['ascend_fleet_unit_state{%s,state="unknown"}' % unit] == 1
        assert found['ascend_fleet_collector_success{part="units"}'] == 0
        assert problems

    def test_what_the_fleet_records(self, machine):
        machine.config.update(source="none", disk={"/var/lib/ascend-fleet/new": 5000}, certificates=["/etc/tls.pem"])
        state = machine.root / "var/lib/ascend-fleet"
        (machine.root / "etc/tls.pem").write_text("")
        (state / "state.json").write_text(
            json.dumps(
                {
                    "schema": 1,
                    "last_good": {"release": "v0"},
                    "previous_good": None,
                    "replicas": {"vllm-a@0.service": {"release": "v0"}},
                    "change": {"kind": "upgrade", "release": "v1", "step": "baking", "began": "2026-11-24T21:58:23Z"},
                }
            )
        )
        (state / "findings.json").write_text(install.with_findings(None, {"preflight": {"at": 5, "error": 1}}))
        record = {"since": "2026-11-24T21:58:23Z", "owner": "operator", "by": "a", "reason": "b"}
        (state / "gateway/drains.json").write_text(json.dumps({"vllm-a/a2-1:0": record}))
        found, problems = machine.look()
        assert not problems
        assert found['ascend_fleet_last_good_info{release="v0",kind="last_good"}'] == 1
        assert found['ascend_fleet_change_time_seconds{kind="upgrade",release="v1",step="baking"}'] == 1795557503
        traffic = '{backend="vllm-a",server="a2-1:0",owner="operator"}'
        assert found["ascend_fleet_traffic_out_time_seconds" + traffic] == 1795557503
        assert found['ascend_fleet_findings{source="preflight",severity="error"}'] == 1
        assert found['ascend_fleet_disk_needed_bytes{path="/var/lib/ascend-fleet/new"}'] == 5000
        assert found['ascend_fleet_certificate_end_time_seconds{path="/etc/tls.pem"}'] == 1799107200

    def test_a_damaged_file_is_no_empty_one(self, machine):
        machine.config["source"] = "none"
        (machine.root / "var/lib/ascend-fleet/state.json").write_text("{")
        found, problems = machine.look()
        assert found['ascend_fleet_collector_success{part="state"}'] == 0
        assert found['ascend_fleet_collector_success{part="traffic"}'] == 1
        assert "state.json" in problems[0]


def installed(tmp_path, script):
    """The programs as they lie on a host, with an npu-smi of our own."""
    home = tmp_path / "host"
    for path, text in install.wanted_files(install.Wanted(), "python3").items():
        if path.startswith(install.FOLDER):
            target = home / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    smi_program = tmp_path / "npu-smi"
    smi_program.write_text(script)
    smi_program.chmod(0o755)
    return home / install.FOLDER.lstrip("/")


class TestProgram:
    def test_it_runs_as_installed(self, tmp_path):
        folder = installed(tmp_path, "")
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"source": "none", "textfile": str(tmp_path)}))
        argv = [sys.executable, "-B", "-s", "-E", "-m", install.PACKAGE + "._monitoring.collector", str(config)]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        found = samples((tmp_path / collector.NAME).read_text(encoding="utf-8"))
        assert found['ascend_fleet_collector_success{part="state"}'] == 1

    def test_a_process_that_nobody_can_end_keeps_the_next_look_from_asking(self, tmp_path, monkeypatch):
        """As in uninterruptible sleep. Here a process of a session of its own, which the deadline does not reach."""
        pid, asked = tmp_path / "pid", tmp_path / "asked"
        script = "#!/bin/sh\necho >> %s\nsetsid sh -c 'echo $$ > %s; exec sleep 60' &\nsleep 60\n" % (asked, pid)
        program = tmp_path / "bin" / "npu-smi"
        program.parent.mkdir()
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (program.parent, os.environ["PATH"]))
        monkeypatch.setattr(collector, "_PROGRAMS", str(program.parent))
        monkeypatch.setattr(collector, "_SMI_SECONDS", 1.0)
        (tmp_path / "run").mkdir()
        config = collector.Config("npu_smi", "/")

        def look():
            return samples(collector.Collector(config, collector.Host(root=str(tmp_path))).look())

        assert look()["ascend_fleet_npu_smi_hung"] == 1
        left = int(pid.read_text())
        try:
            assert look()["ascend_fleet_npu_smi_hung"] == 1
            assert len(asked.read_text().splitlines()) == 1
        finally:
            os.kill(left, signal.SIGKILL)
        program.write_text("#!/bin/sh\ncat %s\n" % (DATA / "info" / (A2 + ".txt")))
        until = time.monotonic() + 10
        while time.monotonic() < until and look()["ascend_fleet_npu_smi_hung"]:
            time.sleep(0.05)
        assert look()["machine_npu_nums"] == 8


def test_the_catalogues_name_different_metrics():
    assert not set(fleet_metrics.CATALOGUE) & set(npu_metrics.CATALOGUE)
    assert all(name.startswith("ascend_fleet_") for name in fleet_metrics.CATALOGUE)
    assert all(name.startswith(("npu_chip_info_", "machine_")) for name in npu_metrics.CATALOGUE)


def test_promtool_reads_what_is_written(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("REQUIRE_PROMTOOL")
        pytest.skip("promtool is not installed")
    machine = Machine(tmp_path)
    machine.look()
    text = (tmp_path / "textfile" / collector.NAME).read_text(encoding="utf-8")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error while linting" not in done.stderr
    assert done.returncode in (0, 3), done.stderr  # 3: it would name some of npu-exporter's metrics otherwise
