# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done with driver and firmware of a host, and every reason why it must not be done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._driver import plan, record

sys.path.insert(0, str(Path(__file__).resolve().parent))

import driver_host
from driver_host import about, node, read_package, release


def planned(known=None, wanted=None, **more):
    return plan.plan(known or about(), wanted or release(), generation="a2", table=driver_host.TABLE, **more)


def reasons(known, wanted=None, **more):
    return [found for found, _needed, _fix in planned(known, wanted, **more)["reasons"]]


def test_firmware_comes_before_the_driver():
    found = planned()
    assert [(i["kind"], i["version"], i["file"]) for i in found["installs"]] == [
        ("firmware", "25.5.0", "/srv/" + driver_host.FIRMWARE_FILE),
        ("driver", "25.5.0", "/srv/" + driver_host.DRIVER_FILE),
    ]
    assert (found["converged"], found["reasons"], found["warnings"], found["goes_on"]) == (False, [], [], False)
    assert (found["found"], found["bmc"]) == ({"firmware": "25.2.0", "driver": "25.2.0"}, "192.0.2.110")
    assert len(found["before"]["chips"]) == 8


def test_a_host_that_has_both_running_is_left_alone_whatever_else_is_the_matter():
    known = about(node={**node("25.5.0"), "disk": [{"path": "/", "free_bytes": 1}]}, packages=[])
    assert planned(known)["converged"] is True
    assert planned(known)["reasons"] == []


def test_only_what_differs_is_installed():
    known = about()
    known["node"]["versions"]["firmware"] = {"version": "7.8.0.5.201", "package_version": "25.5.0"}
    assert [i["kind"] for i in planned(known)["installs"]] == ["driver"]


def test_what_is_installed_and_does_not_run_needs_a_reboot_alone():
    found = planned(about(node=node("25.5.0", runs="25.2.0")))
    assert (found["converged"], found["installs"], found["reasons"]) == (False, [], [])


def test_the_former_version_is_gone_back_to_in_the_same_way():
    wanted = release("25.2.0")
    known = about(node=node("25.5.0"))
    known["packages"] = [
        read_package("firmware", version="7.8.0.7.220", release_version="25.2.0"),
        read_package("driver", version="25.2.0", release_version="25.2.0"),
    ]
    found = planned(known, wanted)
    assert [(i["kind"], i["version"]) for i in found["installs"]] == [("firmware", "25.2.0"), ("driver", "25.2.0")]
    assert found["reasons"] == []


def without_driver(known):
    known["node"]["versions"] = {"driver": None, "firmware": None}


def held(how):
    def change(known):
        holder = {"kind": "container", "name": "training", "pid": 7, "managed": False, "how": how}
        known["node"]["devices"][5]["holders"] = [holder]

    return change


def ours(known):
    known["node"]["devices"][5]["holders"] = [
        {"kind": "container", "name": "vllm-m-0", "pid": 7, "managed": True, "how": "npu-smi"}
    ]


def kernel(**more):
    def change(known):
        known["node"]["kernels"] = {
            "running": "5.10",
            "newest": "6.6",
            "installed": [
                {"version": "5.10", "has_driver_module": True, "headers": True},
                {"version": "6.6", "has_driver_module": False, "headers": False, **more},
            ],
        }

    return change


def of_packages(which, **more):
    def change(known):
        known["packages"] = [read_package(k, **(more if k == which else {})) for k in ("firmware", "driver")]

    return change


def put(path, value):
    def change(known):
        *keys, last = path.split()
        data = known
        for key in keys:
            data = data[int(key) if key.isdigit() else key]
        data[last] = value

    return change


REASONS = {
    "no driver at all": (without_driver, "no driver installed"),
    "a foreign container": (held("device"), "the container training (pid 7), which holds /dev/davinci5"),
    "a foreign process": (held("open"), "training"),
    "a next kernel that cannot have the module": (kernel(), "the next kernel 6.6 without headers"),
    "no room": (put("node disk", [{"path": "/x", "free_bytes": 1000}]), "0.0 GB free below /x"),
    "no user": (put("node users", {"HwHiAiUser": None}), "no user HwHiAiUser (gid 1000 is"),
    "no chip": (put("node devices", []), "no chip in npu-smi"),
    "no docker": (put("node docker", {"running": False, "error": None}), "docker that does not answer: it is stopped"),
    "a rollback that needs the old one": (
        put("releases", [{"name": "r_old", "role": "good before that", "cann": "8.2.RC1"}]),
        "driver 25.5.0, which does not go with CANN 8.2.RC1 of the release r_old, good before that",
    ),
    "a package that is not there": (put("packages", []), "no package Ascend-hdk-910b-npu-firmware"),
    "a package that is damaged": (of_packages("driver", problem="an archive of 7 bytes in x"), "an archive of 7 bytes"),
    "another sha256": (of_packages("driver", sha256="0" * 64), "of sha256 0000"),
    "another version": (of_packages("driver", release_version="25.3.0"), "of version 25.3.0"),
    "another architecture": (of_packages("driver", architecture="x86_64"), "for x86_64"),
    "another generation": (of_packages("driver", generation="a3", product="Atlas-A3-hdk"), "for a3 (Atlas-A3-hdk)"),
    "cards of no generation": (of_packages("firmware", generation="other", product="310p"), "for other (310p)"),
    "a firmware that says it is a driver": (of_packages("firmware", kind="driver"), "the driver package"),
    "a firmware that the driver does not list": (
        of_packages("driver", firmware_ranges=[["7.9.0", "7.9.9"]]),
        "firmware 7.8.0.5.201 to run beside driver 25.5.0",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons(name):
    change, words = REASONS[name]
    known = about()
    change(known)
    found = planned(known)
    assert words in found["refusal"], found["refusal"]
    assert found["converged"] is False
    assert "Fix: " in found["refusal"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (held("privileged"), "is privileged"),
        (kernel(headers=None), "no headers of the next kernel 6.6"),
        (kernel(has_driver_module=True), "no headers of the next kernel 6.6"),
        (put("releases", [{"name": "r", "role": "running", "cann": ""}]), "not known which CANN"),
        (put("releases", [{"name": "r", "role": "running", "cann": "9.9"}]), "not known whether driver 25.5.0"),
        (of_packages("driver", generation=None, architecture=None), "does not say its generation, architecture"),
    ],
)
def test_what_is_not_known_is_told_and_no_reason(change, words):
    known = about()
    change(known)
    found = planned(known)
    assert found["reasons"] == []
    assert any(words in warning for warning in found["warnings"]), found["warnings"]


def test_our_own_replicas_are_no_reason_and_a_kernel_with_headers_neither():
    known = about()
    ours(known)
    kernel(headers=True)(known)
    assert (planned(known)["reasons"], planned(known)["warnings"]) == ([], [])


def test_without_a_driver_nothing_else_is_asked_of_the_host():
    known = about(packages=[])
    without_driver(known)
    known["node"].update(devices=[], users={"HwHiAiUser": None})
    assert reasons(known) == ["no driver installed"]


def test_several_reasons_come_at_once():
    known = about(packages=[])
    held("device")(known)
    assert len(reasons(known)) == 3


def test_a_release_without_packages_says_which_are_missing():
    wanted = release()
    del wanted["driver"]["packages"]
    [found] = reasons(about(), wanted)
    assert found == "driver 25.2.0, and no package for a2 on aarch64 in the release"
    assert planned(about(node=node("25.5.0")), wanted)["converged"] is True


def test_before_packages_are_brought_their_absence_is_no_reason():
    assert planned(about(packages=[]), staged=False)["reasons"] == []
    known = about()
    of_packages("driver", architecture="x86_64")(known)
    assert len(planned(known, staged=False)["reasons"]) == 1


def opened(step, known=None):
    first = planned(known or about())
    state = record.begin(
        record.empty(), change="one", by="a@c", now=0.0, release="r_v1", wanted=first["wanted"], found=first["found"],
        installs=first["installs"], before=first["before"], bmc="192.0.2.9",
    )  # fmt: skip
    return record.take_step(state, change="one", step=step, now=1.0)


@pytest.mark.parametrize("step", ["rebooting", "verifying", "serving"])
def test_what_has_begun_goes_on_with_what_was_found_then(step):
    """The packages may be gone, a chip too, and the driver may not answer: the host is not refused for that."""
    broken = node("25.5.0", chips=7)
    broken["npu_smi"]["error"] = "dcmi-8005"
    found = planned(about(node=broken, packages=[], state=opened(step), bmc=""))
    assert (found["goes_on"], found["step"], found["reasons"], found["converged"]) == (True, step, [], False)
    assert (len(found["before"]["chips"]), len(found["installs"]), found["bmc"]) == (8, 2, "192.0.2.9")


def test_a_half_installed_driver_goes_on_and_is_no_first_installation():
    known = about(state=opened("installing"))
    without_driver(known)
    assert (planned(known)["reasons"], len(planned(known)["installs"])) == ([], 2)


def test_a_host_that_is_in_maintenance_is_never_left_alone():
    known = about(node=node("25.5.0"), state=opened("serving"))
    assert planned(known)["converged"] is False


def test_another_target_begins_anew_and_keeps_what_was_before():
    known = about(node=node("25.5.0", chips=7), state=opened("verifying"))
    known["packages"] = [
        read_package("firmware", version="7.8.0.7.220", release_version="25.2.0"),
        read_package("driver", version="25.2.0", release_version="25.2.0"),
    ]
    found = planned(known, release("25.2.0"))
    assert (found["goes_on"], found["reasons"], len(found["before"]["chips"])) == (False, [], 8)
    assert [i["version"] for i in found["installs"]] == ["25.2.0", "25.2.0"]


def test_where_packages_lie():
    wanted = release()
    wanted["driver"]["packages"][0]["repository"] = "https://example.org/site/hdk.git"
    found = plan.fetches(wanted, generation="a2", architecture="aarch64", folder="", root="/r", origin="")
    assert [p["file"] for p in found["packages"]] == [
        "",
        "/r/repositories/site--hdk/" + driver_host.DRIVER_FILE,
    ]
    [request] = found["requests"]
    assert request["checksums"] == {driver_host.DRIVER_FILE: "d" * 64}
    assert request["name"] == "package " + driver_host.DRIVER_FILE
    own = plan.fetches(wanted, generation="a2", architecture="aarch64", folder="/srv/p", root="/r")
    assert own["requests"] == []
    assert [p["file"] for p in own["packages"]] == [
        "/srv/p/" + driver_host.FIRMWARE_FILE,
        "/srv/p/" + driver_host.DRIVER_FILE,
    ]
    assert plan.fetches(wanted, generation="a3", architecture="aarch64", folder="", root="/r")["packages"] == []


def test_minutes_of_the_last_good_change():
    entry = {"outcome": "good", "replicas": {"u0": {"out_seconds": 600.0}, "u1": {"out_seconds": 660.0}}}
    assert plan.minutes([entry, {"outcome": "failed", "replicas": {"u0": {"out_seconds": 6.0}}}]) == 11.0
    assert plan.minutes([]) is None
