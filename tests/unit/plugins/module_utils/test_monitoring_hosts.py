# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector and Prometheus as they come to hosts: what is written, started and removed, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._host import service
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import Systemd
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import collector, install, removal, server
from ansible_collections.ascend.fleet.plugins.modules import fleet_collector, fleet_prometheus


class FakeSystemd:
    """The systemctl of a host that remembers what runs."""

    def __init__(self, *running):
        self.states = {name: ["active", "enabled"] for name in running}
        self.done = []

    def run(self, argv, timeout=0.0):
        verb, names = argv[1], [word for word in argv[2:] if not word.startswith("--")]
        if verb == "show":
            blocks = []
            for name in names:
                active, enabled = self.states.get(name, ["inactive", "disabled"])
                blocks.append(
                    "Id=%s\nActiveState=%s\nUnitFileState=%s\nNeedDaemonReload=no\n" % (name, active, enabled)
                )
            return Completed(tuple(argv), 0, "\n".join(blocks), "", False)
        if verb == "list-units":
            lines = ["%s loaded %s running x" % (name, state[0]) for name, state in self.states.items()]
            wanted = tuple(name.rstrip("*") for name in names)
            return Completed(tuple(argv), 0, "\n".join(x for x in lines if x.startswith(wanted)), "", False)
        self.done.append(" ".join([verb, *names]))
        for name in names:
            state = self.states.setdefault(name, ["inactive", "disabled"])
            if verb in ("start", "restart"):
                state[0] = "active"
            elif verb == "stop":
                state[0] = "inactive"
            elif verb in ("enable", "disable"):
                state[1] = verb + "d"
        return Completed(tuple(argv), 0, "", "", False)


def collector_host(tmp_path, systemd):
    return install.CollectorHost(Systemd(run=systemd.run), root=str(tmp_path), python="/usr/bin/python3")


def wanted(source="npu_smi", **more):
    return install.Wanted(config=collector.Config(source=source, textfile="/textfile"), **more)


class TestCollector:
    def test_do_do_again_change_and_remove(self, tmp_path):
        systemd = FakeSystemd()
        host = collector_host(tmp_path, systemd)
        plan = host.plan(wanted())
        assert plan.start == [install.TIMER]
        assert install.CONFIG in plan.write
        host.carry_out(plan)
        assert systemd.done == ["daemon-reload", "enable " + install.TIMER, "restart " + install.TIMER]
        assert host.plan(wanted()).steps == []
        changed = host.plan(wanted(interval_seconds=60))
        assert changed.steps == ["write /etc/systemd/system/" + install.TIMER, "start " + install.TIMER]
        # A configuration is read at the next look: nothing is restarted.
        other = install.Wanted(config=collector.Config("npu_smi", "/textfile", expected_chips=8))
        assert host.plan(other).steps == ["write " + install.CONFIG]
        (tmp_path / "textfile").mkdir()
        (tmp_path / "textfile" / collector.NAME).write_text("")
        gone = wanted(state="absent")
        host.carry_out(host.plan(gone), absent=True)
        assert [str(p) for p in tmp_path.rglob("*") if p.is_file()] == []
        assert systemd.states[install.TIMER] == ["inactive", "disabled"]
        assert host.plan(gone).steps == []

    def test_a_run_that_was_killed_before_the_start_is_completed(self, tmp_path):
        host = collector_host(tmp_path, FakeSystemd())
        host.carry_out(install.Plan(write=host.plan(wanted()).write))
        assert host.plan(wanted()).steps == ["start " + install.TIMER]

    def test_the_other_one_ends_before_this_one_begins(self, tmp_path):
        systemd = FakeSystemd()
        host = collector_host(tmp_path, systemd)
        host.carry_out(host.plan(wanted("npu_exporter")))
        assert systemd.states[install.EXPORTER] == ["active", "enabled"]
        systemd.done.clear()
        plan = host.plan(wanted())
        assert plan.stop == [install.EXPORTER]
        host.carry_out(plan)
        assert systemd.done[0] == "stop " + install.EXPORTER
        assert systemd.states[install.EXPORTER] == ["inactive", "disabled"]
        assert not (tmp_path / "etc/systemd/system" / install.EXPORTER).exists()
        assert json.loads((tmp_path / install.CONFIG.lstrip("/")).read_text())["source"] == "npu_smi"

    def test_another_program_of_npu_exporter_is_started(self, tmp_path):
        host = collector_host(tmp_path, FakeSystemd())
        host.carry_out(host.plan(wanted("npu_exporter", exporter_digest="a")))
        assert host.plan(wanted("npu_exporter", exporter_digest="a")).steps == []
        assert host.plan(wanted("npu_exporter", exporter_digest="b")).start == [install.EXPORTER]

    def test_paused_nothing_asks_the_chips_and_it_comes_back(self, tmp_path):
        systemd = FakeSystemd()
        host = collector_host(tmp_path, systemd)
        host.carry_out(host.plan(wanted()))
        host.carry_out(host.plan(wanted(state="paused")))
        assert systemd.states[install.TIMER] == ["inactive", "enabled"]
        assert host.plan(wanted(state="paused")).steps == []
        assert host.plan(wanted()).steps == ["start " + install.TIMER]
        assert host.plan(wanted(state="resumed")).steps == ["start " + install.TIMER]
        host.carry_out(host.plan(wanted(state="resumed")))
        assert host.plan(wanted(state="resumed")).steps == []
        nobody = install.CollectorHost(Systemd(run=FakeSystemd().run), root=str(tmp_path / "nobody"))
        assert nobody.plan(wanted(state="resumed")).steps == nobody.plan(wanted(state="paused")).steps == []

    def test_units_give_little(self):
        texts = install.wanted_files(wanted("npu_exporter"), "/usr/bin/python3")
        unit = texts["/etc/systemd/system/" + install.SERVICE]
        for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "ReadWritePaths=/textfile /run"):
            assert line in unit
        assert "CAP_SYS_ADMIN" not in unit
        assert "ExecStart=/usr/bin/python3 -B -s -E -m " in unit
        at_home = install.wanted_files(wanted(), "/root/venv/bin/python")["/etc/systemd/system/" + install.SERVICE]
        assert "ExecStart=/usr/bin/python3 -B" in at_home  # the unit sees no home
        exporter = texts["/etc/systemd/system/" + install.EXPORTER]
        assert "User=hwMindX" in exporter
        assert "\nCapabilityBoundingSet=CAP_SETUID\n" in exporter

    def test_findings_of_one_check_leave_those_of_others(self):
        text = install.with_findings('{"drift": {"at": 1, "error": 2}}', {"preflight": {"at": 5, "error": 0}})
        assert json.loads(text) == {"drift": {"at": 1, "error": 2}, "preflight": {"at": 5, "error": 0}}
        assert json.loads(install.with_findings("{", {"a": {"at": 5}})) == {"a": {"at": 5}}

    def test_a_check_that_has_not_looked_at_the_host_tells_nothing(self):
        class Host:
            @staticmethod
            def read(_path):
                return '{"drift": {"at": 1, "error": 2, "warning": 0}}'

        checked, not_checked = (
            {"checked": True, "errors": 1, "warnings": 3},
            {"checked": False, "errors": 0, "warnings": 0},
        )
        params = {"state": "present", "findings": {"preflight": checked, "drift": not_checked, "other": {}}}
        text = fleet_collector.findings_text(Host, params, 7.9)
        assert json.loads(text) == {
            "drift": {"at": 1, "error": 2, "warning": 0},
            "preflight": {"at": 7, "error": 1, "warning": 3},
        }
        assert fleet_collector.findings_text(Host, {**params, "findings": {"drift": not_checked}}, 7.9) is None
        assert fleet_collector.findings_text(Host, {**params, "state": "absent"}, 7.9) is None

    @pytest.mark.parametrize("source", ["npu_smi", "npu_exporter"])
    def test_nobody_asks_beside_the_sites_own_exporter(self, source):
        systemd = Systemd(run=FakeSystemd("npu-exporter.service").run)
        with pytest.raises(fleet_collector.CollectorError, match=r"found npu-exporter\.service running; needed one"):
            fleet_collector.refuse_two(systemd, wanted(source))
        fleet_collector.refuse_two(systemd, wanted("none"))
        fleet_collector.refuse_two(systemd, wanted(source, state="absent"))

    def test_an_exporter_that_is_not_there_is_named(self, monkeypatch):
        monkeypatch.setattr(install, "EXPORTER_PROGRAM", "/nowhere")
        with pytest.raises(fleet_collector.CollectorError, match="fleet_monitoring_npu_exporter_binary"):
            fleet_collector.refuse_two(Systemd(run=FakeSystemd().run), wanted("npu_exporter"))

    def test_arguments_become_what_is_wanted(self):
        params = {name: about.get("default") for name, about in fleet_collector.ARGUMENTS.items()}
        found = fleet_collector.wanted_of({**params, "expected_chips": 8, "disk_gib": {"/a": 2, "/b": 0}})
        assert dict(found.config.disk) == {"/a": 2 * 1024**3, "/b": None}
        assert found.config.expected_chips == 8
        assert fleet_collector.wanted_of(params).config.expected_chips is None

    def test_a_difference_shows_no_program(self, tmp_path):
        host = collector_host(tmp_path, FakeSystemd())
        shown = [entry["after_header"] for entry in fleet_collector.diff_of(host, host.plan(wanted()))]
        assert install.CONFIG in shown
        assert len(shown) == 3


FILES = {server.CONFIG: "rule_files: [FOLDER/rules.yml]\n", server.RULES: "groups: []\n", "dashboards/a.json": "{}\n"}


class PrometheusMachine:
    """A host with Prometheus whose promtool says what it is told to."""

    def __init__(self, tmp_path, *running):
        self.folder = tmp_path / "monitoring"
        self.systemd = FakeSystemd(*running)
        self.tmp_path = tmp_path
        self.asked = []
        self.refuses = ""
        self.programs = {"prometheus": "/usr/bin/prometheus", "promtool": "/usr/bin/promtool"}
        for name in ("units", "runtime"):
            (tmp_path / name).mkdir()

    def run(self, argv, timeout):
        self.asked.append(list(argv[1:3]))
        text = Path(argv[3]).read_text(encoding="utf-8")
        if self.refuses and self.refuses in text:
            return Completed(tuple(argv), 1, "", "FAILED: parsing %s" % argv[3], False)
        return Completed(tuple(argv), 0, "", "", False)

    def host(self):
        return server.PrometheusHost(
            Systemd(run=self.systemd.run), self.run, self.programs.get, str(self.tmp_path / "units"),
            str(self.tmp_path / "runtime"),
        )  # fmt: skip

    def wanted(self, **more):
        files = {name: text.replace("FOLDER", str(self.folder)) for name, text in FILES.items()}
        return server.Wanted(**{"folder": str(self.folder), "files": files, **more})

    def started(self):
        """What the unit writes down when it starts."""
        wanted = self.wanted()
        folder = self.tmp_path / "runtime" / server.NAME
        folder.mkdir(exist_ok=True)
        (folder / "unit.sha256").write_text(service.unit_hash(server.service_of(wanted, "/usr/bin/prometheus")))
        lines = []
        for name in (server.CONFIG, server.RULES):
            path = os.path.join(wanted.folder, name)
            lines.append("%s  %s\n" % (hashlib.sha256(wanted.files[name].encode()).hexdigest(), path))
        (folder / "reread.sha256").write_text("".join(lines))


class TestPrometheus:
    def test_do_do_again_change_and_remove(self, tmp_path):
        machine = PrometheusMachine(tmp_path)
        host = machine.host()
        todo = host.plan(machine.wanted())
        assert todo.steps[-3:] == ["reload systemd", "enable", "start"]
        host.carry_out(todo)
        machine.started()
        assert host.plan(machine.wanted()).steps == []
        files = {**machine.wanted().files, server.RULES: "groups: [{}]\n"}
        changed = host.plan(machine.wanted(files=files))
        assert changed.steps == ["write %s" % (machine.folder / server.RULES), "reload"]
        # A run that was killed after the writing: the next one reloads.
        (machine.folder / server.RULES).write_text(files[server.RULES])
        assert host.plan(machine.wanted(files=files)).steps == ["reload"]
        host.carry_out(host.absent(str(machine.folder)))
        assert not machine.folder.exists()
        assert machine.systemd.states[server.NAME + ".service"] == ["inactive", "disabled"]
        assert host.absent(str(machine.folder)).steps == []

    def test_files_alone(self, tmp_path):
        machine = PrometheusMachine(tmp_path)
        host = machine.host()
        host.carry_out(host.plan(machine.wanted()))
        files = {server.JOBS: "scrape_configs: []\n", server.RULES: "groups: []\n"}
        alone = machine.wanted(files=files, runs=False)
        host.carry_out(host.plan(alone))
        assert sorted(os.listdir(machine.folder)) == ["dashboards", server.RULES, server.JOBS]
        assert machine.systemd.states[server.NAME + ".service"][0] == "inactive"
        assert not list((tmp_path / "units").iterdir())
        assert host.plan(alone).steps == []
        assert host.missing(alone) == []

    def test_promtool_reads_what_is_to_be_written_before_it_is(self, tmp_path):
        machine = PrometheusMachine(tmp_path)
        machine.host().check(machine.wanted())
        assert machine.asked == [["check", "rules"], ["check", "config"]]
        machine.refuses = "rule_files"
        with pytest.raises(server.ServerError, match=r"promtool refuses prometheus\.yml: FAILED: parsing .*monitoring"):
            machine.host().check(machine.wanted())
        assert not machine.folder.exists()
        machine.programs = {}
        machine.host().check(machine.wanted())
        assert machine.host().missing(machine.wanted()) == ["prometheus", "promtool"]

    def test_beside_another_prometheus_there_is_none(self, tmp_path):
        machine = PrometheusMachine(tmp_path, "prometheus.service")
        with pytest.raises(server.ServerError, match="set fleet_monitoring_prometheus to files"):
            machine.host().plan(machine.wanted())
        assert machine.host().plan(machine.wanted(runs=False)).steps

    def test_the_unit(self, tmp_path):
        text = service.unit_text(server.service_of(PrometheusMachine(tmp_path).wanted(), "/usr/bin/prometheus"))
        assert "StateDirectory=ascend-fleet-prometheus" in text
        assert "--web.listen-address=127.0.0.1:9090" in text
        assert "DynamicUser=yes" in text
        assert "kill -HUP" in text

    def test_a_difference_shows_no_dashboard(self, tmp_path):
        machine = PrometheusMachine(tmp_path)
        shown = fleet_prometheus.diff_of(machine.host().plan(machine.wanted()))
        assert [os.path.basename(entry["after_header"]) for entry in shown] == [server.CONFIG, server.RULES]


def test_everything_goes_with_the_host(tmp_path, monkeypatch):
    machine = PrometheusMachine(tmp_path)
    units = str(tmp_path / "units")
    systemd = Systemd(run=machine.systemd.run)
    monkeypatch.setattr(removal, "FOLDER", str(machine.folder))
    assert removal.MonitoringRemoval(systemd, units, str(tmp_path)).steps == []
    there = install.CollectorHost(systemd, str(tmp_path), "/units", "/usr/bin/python3")
    there.carry_out(there.plan(wanted()))
    machine.host().carry_out(machine.host().plan(machine.wanted()))
    (tmp_path / "textfile").mkdir()
    (tmp_path / "textfile" / collector.NAME).write_text("")
    found = removal.MonitoringRemoval(systemd, "/units", str(tmp_path))
    assert "stop " + install.TIMER in found.steps
    assert "remove /textfile/" + collector.NAME in found.steps
    found.carry_out()
    assert not (tmp_path / "textfile" / collector.NAME).exists()
    assert not machine.folder.exists()
    assert machine.systemd.states[install.TIMER] == ["inactive", "disabled"]
