# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of the change of its driver, and whether it is afterwards as it was before."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._driver import compare, pollers, record
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.state import StateError

sys.path.insert(0, str(Path(__file__).resolve().parent))

from driver_host import node

NEW, OLD = {"driver": "25.5.0", "firmware": "25.5.0"}, {"driver": "25.2.0", "firmware": "25.2.0"}


def begun(state=None, change="one", wanted=None, **more):
    given = {"by": "a@c", "now": 1796019300.0, "release": "r_v1", "found": OLD, "installs": [{"kind": "driver"}]}
    given = {**given, "before": {"chips": [1]}, **more}
    return record.begin(state or record.empty(), change=change, wanted=wanted or NEW, **given)


# - the record -


def test_a_change_from_its_begin_to_its_end():
    state = begun(bmc="192.0.2.1")
    assert record.token(state["change"]).endswith("Z")
    state = record.take_step(state, change="one", step="installing", now=1796019400.0, units=["u"])
    assert (state["change"]["step"], state["change"]["since"] > state["change"]["began"]) == ("installing", True)
    state = record.fail(state, change="one", why="a chip less")
    assert state["change"]["why"] == "a chip less"
    state = record.end(state, change="one", now=1796019500.0, measured={"u": {"out_seconds": 7.0}})
    [entry] = state["history"]
    assert (state["change"], entry["outcome"], entry["wanted"], entry["replicas"]) == (
        None,
        "good",
        NEW,
        {"u": {"out_seconds": 7.0}},
    )
    assert record.check(state) is None
    assert record.end(state, change="one", now=0.0) == state


def test_another_run_goes_on_with_everything_that_was_noted():
    state = record.take_step(
        begun(), change="one", step="rebooting", now=1.0, boot_id="b", reboots=1, pollers=[{"name": "p"}]
    )
    again = begun(record.fail(state, change="one", why="lost"), change="two", installs=[], before={})
    old, new = state["change"], again["change"]
    assert {**old, "id": "two"} == new
    assert record.token(old) == record.token(new)
    with pytest.raises(StateError, match="the change two"):
        record.take_step(again, change="one", step="verifying", now=1.0)


def test_another_target_ends_it_and_keeps_what_was_before():
    state = record.take_step(
        begun(bmc="192.0.2.1"), change="one", step="verifying", now=1.0, units=["u"], pollers=[{"name": "p"}]
    )
    back = begun(state, change="two", wanted=OLD, found=NEW, before={"chips": []}, installs=[])
    assert [entry["outcome"] for entry in back["history"]] == ["stopped"]
    change = back["change"]
    assert (change["before"], change["found"], change["units"], change["pollers"], change["bmc"], change["step"]) == (
        {"chips": [1]},
        OLD,
        ["u"],
        [{"name": "p"}],
        "192.0.2.1",
        "preparing",
    )


def test_the_file(tmp_path):
    folder = str(tmp_path)
    assert record.read(folder) == record.empty()
    record.write(begun(), folder)
    assert record.read(folder) == begun()


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "history": [], "change": {}}', '{"schema": true}'],
)
def test_a_file_that_is_no_record_is_an_error_and_never_an_empty_one(tmp_path, text):
    (tmp_path / "driver.json").write_text(text)
    with pytest.raises(StateError, match=r"driver\.json"):
        record.read(str(tmp_path))


def test_an_unknown_step_is_damage(tmp_path):
    state = begun()
    state["change"]["step"] = "flying"
    (tmp_path / "driver.json").write_text(json.dumps(state))
    with pytest.raises(StateError, match="flying"):
        record.read(str(tmp_path))
    with pytest.raises(StateError, match="cannot be written"):
        record.write(state, str(tmp_path))


# - before and after -


def judged(after, before=None, wanted=None):
    return compare.judge(compare.snapshot(before or node()), after, NEW if wanted is None else wanted)


def test_a_host_that_has_come_back_as_wanted():
    found = judged(node("25.5.0"))
    assert (found.good, found.problems, found.notes, found.again) == (True, [], [], False)


def changed(**more):
    return {**node("25.5.0"), **more}


def one_chip(**more):
    found = node("25.5.0")
    found["devices"][3].update(more)
    return found


def swapped():
    found = node("25.5.0")
    found["devices"][3]["index"], found["devices"][4]["index"] = 4, 3
    return found


DIFFERENT = {
    "a chip less": (lambda: node("25.5.0", chips=7), "found 7 chips; needed 8 as before (missing: NPU 7 chip 0)"),
    "numbered otherwise": (swapped, "found NPU 3 chip 0 as /dev/davinci4; needed /dev/davinci3"),
    "not healthy": (lambda: one_chip(health="Alarm"), "NPU 3 chip 0 with health Alarm"),
    "a manager missing": (
        lambda: changed(device_nodes=[n for n in node()["device_nodes"] if n["name"] != "devmm_svm"]),
        "no /dev/devmm_svm",
    ),
    "a PCI function missing": (lambda: changed(pci=node()["pci"][:7]), "no PCI function 0000:c7:00.0"),
    "another topology": (lambda: changed(topology={"links": {"NPU0": {"NPU1": "PIX"}}}), "another topology"),
    "no topology": (lambda: changed(topology=None), "no topology"),
    "other addresses": (lambda: changed(hccn={"addresses": [], "links": node()["hccn"]["links"]}), "/etc/hccn.conf"),
    "a port down": (
        lambda: changed(hccn={"addresses": node()["hccn"]["addresses"], "links": []}),
        "network ports of davinci0, 1, 2",
    ),
    "another package": (lambda: node("25.2.0"), "driver 25.2.0 installed; needed 25.5.0"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_not_as_before(name):
    make, words = DIFFERENT[name]
    found = judged(make())
    assert not found.good
    assert any(words in problem for problem in found.problems), found.problems
    assert found.again is False


def test_versions_that_are_installed_and_do_not_run_may_need_another_reboot():
    found = judged(node("25.5.0", runs="25.2.0"))
    assert (found.good, found.again, len(found.problems)) == (False, True, 2)
    assert "found firmware 7.8.0.7.220 running, and 7.8.0.5.201 installed" in found.problems[1]


def test_one_card_with_the_old_firmware_is_enough():
    found = judged(one_chip(board_firmware_version="7.8.0.7.220"))
    assert (found.good, found.again) == (False, True)
    assert "7.8.0.5.201, 7.8.0.7.220 running" in found.problems[0]


def test_a_driver_that_is_not_up_is_told_in_its_own_words():
    found = judged({**node("25.5.0", chips=0), "npu_smi": {"error": "dcmi module initialize failed. ret is -8005"}})
    assert found.again is True
    assert "-8005" in found.problems[0]


def test_what_was_the_matter_before_is_told_and_no_problem():
    before = node()
    before["devices"][3]["health"] = "Warning"
    found = judged(one_chip(health="Warning"), before)
    assert (found.good, found.notes) == (True, ["NPU 3 chip 0 has health Warning, as before"])


def test_only_what_is_wanted_must_be_of_a_version_but_what_runs_is_what_is_installed():
    assert judged(node("25.2.0"), wanted={"driver": "25.2.0", "firmware": ""}).good
    assert not judged(node("25.5.0", runs="25.2.0"), wanted={}).good


# - what asks npu-smi -


class Systemd:
    """Units by name: how each stands."""

    def __init__(self, **units):
        self.units = {name.replace("_", "-") + ".service": list(words) for name, words in units.items()}
        self.did = []

    def show(self, names):
        found = {}
        for name in names:
            active, enabled = self.units.get(name, ("inactive", ""))
            load = "loaded" if name in self.units else "not-found"
            found[name] = {"Id": name, "LoadState": load, "ActiveState": active, "UnitFileState": enabled}
        return found

    def _each(self, word, names, index, value):
        self.did.append((word, list(names)))
        for name in names:
            self.units[name][index] = value

    def stop(self, names, timeout):
        self._each("stop", names, 0, "inactive")

    def start(self, names, timeout):
        self._each("start", names, 0, "active")

    def disable(self, names):
        self._each("disable", names, 1, "disabled")

    def enable(self, names):
        self._each("enable", names, 1, "enabled")


def test_pollers_are_afterwards_as_they_were():
    systemd = Systemd(npu_exporter=("active", "enabled"), other=("inactive", "enabled"), vllm=("inactive", "disabled"))
    before = {name: list(words) for name, words in systemd.units.items()}
    noted = pollers.look(systemd, ["npu-exporter.service", "other.service", "none.service"])
    assert [one["name"] for one in noted] == ["npu-exporter.service", "other.service"]
    assert pollers.stop(systemd, noted)
    assert not pollers.stop(systemd, noted)
    assert systemd.units["npu-exporter.service"] == ["inactive", "disabled"]
    # A run that comes later finds them stopped, and keeps what was noted first.
    assert pollers.look(systemd, ["npu-exporter.service", "other.service"], noted) == noted
    assert pollers.restore(systemd, noted, ["vllm.service"])
    assert systemd.units == {**before, "vllm.service": ["inactive", "enabled"]}
    assert not pollers.restore(systemd, noted, ["vllm.service"])


def test_check_mode_touches_no_poller():
    systemd = Systemd(npu_exporter=("active", "enabled"))
    noted = pollers.look(systemd, ["npu-exporter.service"])
    assert pollers.stop(systemd, noted, check=True)
    assert systemd.did == []
