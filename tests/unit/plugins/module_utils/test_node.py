# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node, read from a tree of files and recorded commands, and joined."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base import command as _command
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._node import (
    collect,
    devices,
    disk,
    network,
    processes,
    software,
    system,
)
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from ansible_collections.ascend.fleet.plugins.module_utils._npu import smi as _npu_smi
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import findings

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi"
A2 = (FIXTURES / "info/910b3-x8-25.2.0-1proc.txt").read_text(encoding="utf-8")
A3 = (FIXTURES / "info/a3-ascend910-x4-25.2.0-1proc.txt").read_text(encoding="utf-8")
TOPO = (FIXTURES / "sub/topo-910b1-x8-hccs.txt").read_text(encoding="utf-8")
BOARD = (FIXTURES / "sub/board-i0-910b-25.5.1.txt").read_text(encoding="utf-8")
ALARM = (FIXTURES / "sub/health-i0-c0-alarm-multi-error.txt").read_text(encoding="utf-8")
MAPPING = (FIXTURES / "sub/info-m-910b4-x8-mcu.txt").read_text(encoding="utf-8")
CONTAINER = "c" * 64
OUTER = "d" * 64
DF = "Filesystem Type 1-blocks Used Available Capacity Mounted on\n/dev/sda1 xfs 1000 400 600 40% /\n"


class Machine:
    """A tree of files with recorded commands: what a Host is made of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: dict[str, tuple[Optional[int], str, str]] = {"df": (0, DF, ""), "du": (0, "123\t/x\n", "")}
        self.calls: list[str] = []

    def file(self, path: str, text: str = "", mode: int = 0o644) -> None:
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text, encoding="utf-8")
        full.chmod(mode)

    def program(self, path: str) -> None:
        self.file(path, "#!/bin/sh\n", 0o755)

    def link(self, path: str, target: str) -> None:
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.symlink_to(target)

    def run(self, argv: Any, *, timeout: float, env: Any = None, **_more: Any) -> Completed:
        command = " ".join([os.path.basename(argv[0]), *argv[1:]])
        self.calls.append(command)
        best = max((w for w in self.answers if command.startswith(w)), key=len, default=None)
        if best is None:
            return Completed(tuple(argv), 127, "", "%s: No such file or directory" % argv[0], False)
        status, out, err = self.answers[best]
        return Completed(tuple(argv), status, out, err, status is None)

    def host(self) -> Host:
        return Host(root=str(self.root), run=self.run, timeout=7)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", "/usr/bin")
    return Machine(tmp_path)


@pytest.fixture
def a2(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An A2 host with all its files, on which a foreign container holds card 4."""
    machine.program("/usr/local/sbin/npu-smi")
    machine.program("/usr/bin/docker")
    machine.program("/usr/bin/lspci")
    addresses = ["c1", "c2", "81", "82", "01", "02", "41", "42"]
    lspci = ["0000:%s:00.0 1200: 19e5:d802 (rev 20)" % a for a in addresses]
    lspci.append("0000:7d:00.0 0200: 19e5:a222 (rev 21)")
    machine.answers.update(
        {
            "npu-smi info": (0, A2, ""),
            "npu-smi info -m": (0, MAPPING, ""),
            "npu-smi info -t topo": (0, TOPO, ""),
            "npu-smi info -t board": (0, BOARD, ""),
            "lspci": (0, "\n".join(lspci), ""),
            "docker info": (0, json.dumps({"ServerVersion": "24.0.7", "DockerRootDir": "/var/lib/docker"}), ""),
            "docker ps": (0, CONTAINER, ""),
            "docker container inspect": (0, json.dumps([foreign()]), ""),
            "docker image ls": (0, "", ""),
            "systemctl is-system-running": (1, "degraded\n", ""),
            "systemctl show": (0, UNITS, ""),
        }
    )
    for address in addresses:
        folder = "/sys/bus/pci/devices/0000:%s:00.0" % address
        machine.file(folder + "/numa_node", "3\n" if address == "c1" else "-1\n")
    machine.link("/sys/bus/pci/devices/0000:c1:00.0/driver", "../../../../drivers/devdrv_device_driver")
    (machine.root / "sys/drivers/devdrv_device_driver").mkdir(parents=True)
    for name in [*("davinci%d" % n for n in range(8)), "davinci_manager", "devmm_svm", "hisi_hdc", "null", "davinci_x"]:
        machine.file("/dev/" + name)
    machine.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nHwHiAiUser:x:1001:1002::/home/HwHiAiUser:/bin/bash\n")
    machine.file("/etc/group", "root:x:0:\nHwHiAiUser:x:1002:\n")
    machine.file("/proc/1/cgroup", "0::/docker/%s/init.scope\n" % OUTER)
    machine.file("/proc/1/comm", "systemd\n")
    machine.file("/proc/1601114/cgroup", "0::/docker/%s/docker/%s\n" % (OUTER, CONTAINER))
    machine.file("/proc/1601114/comm", "python\n")
    machine.link("/proc/1601114/fd/7", "/dev/davinci4")
    machine.link("/proc/1601114/fd/8", "socket:[777]")
    machine.file("/proc/77/cgroup", "0::/docker/%s/system.slice/nginx.service\n" % OUTER)
    machine.file("/proc/77/comm", "nginx\n")
    machine.link("/proc/77/fd/3", "socket:[555]")
    machine.file("/proc/net/tcp", TCP)
    machine.file("/usr/local/Ascend/driver/version.info", "Version=25.2.0\ncompatible_version_fw=[7.0.0,8.9.9]\n")
    machine.file("/usr/local/Ascend/firmware/version.info", "Version=7.8.0.7.220\npackage_version=25.2.0\n")
    machine.file("/etc/ascend_install.info", "UserName=HwHiAiUser\nDriver_Install_Path_Param=/usr/local/Ascend\n")
    machine.file("/etc/hccn.conf", (FIXTURES / "files/hccn-conf-elided.txt").read_text(encoding="utf-8"))
    machine.file("/usr/local/Ascend/driver/tools/hccn_tool")
    for index in range(8):
        for option, words in HCCN.items():
            machine.answers["hccn_tool -i %d %s -g" % (index, option)] = (0, words, "")
    toolkit = (FIXTURES / "files/ascend-toolkit-install-info-8.5.0-aarch64.txt").read_text(encoding="utf-8")
    machine.file("/usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info", toolkit)
    machine.link("/usr/local/Ascend/cann", "cann-8.5.0")
    machine.file(
        "/proc/meminfo",
        "MemTotal:       1024 kB\nMemAvailable:    512 kB\n"
        "HugePages_Total:      64\nHugePages_Free:       60\nHugepagesize:       2048 kB\n",
    )
    machine.file("/proc/sys/vm/swappiness", "60\n")
    machine.file("/proc/sys/kernel/numa_balancing", "1\n")
    machine.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    machine.file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    machine.file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    machine.file("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")

    real = os.stat

    def as_devices(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(path, *args, **kwargs)
        if isinstance(path, str) and path.startswith(str(machine.root / "dev/")):
            fields = list(found)
            fields[0] = stat.S_IFCHR | 0o660
            fields[4:6] = [1001, 1002]
            return os.stat_result(fields, {"st_rdev": os.makedev(236, 4)})
        return found

    monkeypatch.setattr(os, "stat", as_devices)
    return machine


HCCN = {
    "-link": "link status: UP\n",
    "-net_health": "net health status: Success\n",
    "-ip": (FIXTURES / "files/hccn-ip-910b.txt").read_text(encoding="utf-8"),
    "-tls": (FIXTURES / "files/hccn-doc-tls.txt").read_text(encoding="utf-8"),
}
UNITS = """Id=vllm-qwen3.5@1.service
LoadState=loaded
ActiveState=failed
SubState=failed
MainPID=0
NRestarts=5

MainPID=4242
NRestarts=0
Id=vllm-qwen3.5@0.service
LoadState=loaded
ActiveState=active
SubState=running

Id=vllm-gone.service
LoadState=not-found
ActiveState=inactive
"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F4A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0000 100 0 0 10 0
   1: 0100007F:1F4B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0000 100 0 0 10 0
   2: 0100007F:0016 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 999 1 0000 100 0 0 10 0
   3: cut off
"""


def foreign(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "Id": CONTAINER,
        "Name": "/training",
        "Image": "sha256:1",
        "State": {"Status": "running", "Pid": 1601114},
        "Config": {"Image": "pytorch:latest", "Labels": {}},
        "HostConfig": {"Privileged": False, "Devices": [{"PathOnHost": "/dev/davinci5"}]},
    }
    raw.update(changes)
    return raw


# -- the whole ------------------------------------------------------------------------------------------------------


def test_an_a2_host(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert node["problems"] == []
    assert node["npu_smi"]["error"] is None
    assert (node["npu_smi"]["driver_version"], node["npu_smi"]["process_table"]) == ("25.2.0", True)
    assert [d["index"] for d in node["devices"]] == list(range(8))
    assert all(d["node_present"] and d["pci_present"] for d in node["devices"])
    first = node["devices"][0]
    assert (first["numa_node"], first["logic_id"], first["cpu_affinity"]) == (3, 0, "144-167")
    assert (first["board_firmware_version"], first["node"]) == ("7.8.0.6.201", "/dev/davinci0")
    assert node["devices"][1]["numa_node"] is None
    assert [p["id"] for p in node["pci"]] == ["19e5:d802"] * 8
    assert {p["address"]: p["driver"] for p in node["pci"]}["0000:c1:00.0"] == "devdrv_device_driver"
    assert [n["name"] for n in node["device_nodes"]][-3:] == ["davinci_manager", "devmm_svm", "hisi_hdc"]
    assert node["device_nodes"][0]["mode"] == "0660"
    assert (node["device_nodes"][0]["owner"], node["device_nodes"][0]["major"]) == ("HwHiAiUser", 236)
    assert node["versions"]["driver"]["version"] == "25.2.0"
    assert node["versions"]["firmware"]["package_version"] == "25.2.0"
    assert [(c["version"], c["architecture"]) for c in node["versions"]["cann"]] == [("8.5.0", "aarch64")]
    assert node["memory"]["total_bytes"] == 1024 * 1024
    assert node["tuning"]["sysctl"] == {
        "kernel.numa_balancing": 1,
        "vm.swappiness": 60,
        "net.ipv4.ip_local_port_range": "32768 60999",
    }
    assert node["hccn"]["present"]
    assert [a["index"] for a in node["hccn"]["addresses"]] == [0, 7]
    assert len(node["hccn"]["links"]) == 8
    assert node["users"]["HwHiAiUser"] == {"uid": 1001, "gid": 1002, "group": "HwHiAiUser"}
    assert node["disk"][0]["free_bytes"] == 600
    assert node["docker"]["root_free_bytes"] == 600
    assert [(u["name"], u["active"], u["main_pid"]) for u in node["systemd"]["units"]] == [
        ("vllm-qwen3.5@0.service", "active", 4242),
        ("vllm-qwen3.5@1.service", "failed", None),
    ]
    json.dumps(node)


def test_what_tunes_the_host(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert node["memory"]["hugepages"] == {"size_bytes": 2 << 20, "total": 64, "free": 60}
    assert node["tuning"]["transparent_hugepage"] == "madvise"
    assert node["tuning"]["sysctl"]["kernel.numa_balancing"] == 1
    assert node["tuning"]["cpu_governors"] == ["performance"]
    assert node["tuning"]["cgroup_version"] == "2"
    assert node["shm"] == {"size_bytes": 1000, "free_bytes": 600}


def test_the_physical_id_of_the_mapping_is_taken_where_the_table_has_none() -> None:
    chips_read = _npu_smi.parse_info(A2)["devices"][:2]
    chips = [{"npu_id": n, "chip_id": 0, "logic_id": n, "phy_id": n + 1} for n in range(2)]
    nodes = [{"index": n} for n in (1, 2)]
    joined = devices.join_devices(chips_read, chips=chips, device_nodes=nodes)
    assert [(d["phy_id"], d["logic_id"], d["index"]) for d in joined] == [(1, 0, 1), (2, 1, 2)]


def test_the_holder_of_a_card_is_named(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert [len(d["holders"]) for d in node["devices"]] == [0, 0, 0, 0, 1, 1, 0, 0]
    held = node["devices"][4]["holders"][0]
    assert held == {
        "kind": "container",
        "name": "training",
        "pid": 1601114,
        "process": "python",
        "image": "pytorch:latest",
        "runtime": "docker",
        "managed": False,
        "memory_mb": 18429,
        "how": "npu-smi",
    }
    assert (node["devices"][5]["holders"][0]["how"], node["devices"][5]["holders"][0]["name"]) == ("device", "training")
    assert node["processes"][0]["container"] == {
        "id": CONTAINER,
        "name": "training",
        "image": "pytorch:latest",
        "runtime": "docker",
    }
    assert node["processes"][0]["index"] == 4
    assert node["docker"]["containers"][0]["pids"] == [1601114]


def test_our_own_container_is_managed(a2: Machine) -> None:
    ours = foreign(
        Config={"Image": "i", "Labels": {"ascend.fleet.managed": "true", "ascend.fleet.unit": "vllm-q@0.service"}}
    )
    a2.answers["docker container inspect"] = (0, json.dumps([ours]), "")
    node = collect.collect(a2.host())
    assert all(h["managed"] for d in node["devices"] for h in d["holders"])
    assert node["processes"][0]["unit"] == "vllm-q@0.service"


def test_a_process_that_has_the_node_open_holds_the_card(a2: Machine) -> None:
    a2.link("/proc/77/fd/9", "/dev/davinci2")
    node = collect.collect(a2.host())
    assert [(h["kind"], h["name"], h["how"]) for h in node["devices"][2]["holders"]] == [
        ("unit", "nginx.service", "open")
    ]


def test_ports_and_their_listeners(a2: Machine) -> None:
    node = collect.collect(a2.host())
    assert [(p["port"], p["address"], p["process"], p["container"], p["unit"]) for p in node["ports"]] == [
        (8010, "0.0.0.0", "nginx", None, "nginx.service"),
        (8011, "127.0.0.1", "python", "training", None),
    ]
    assert [p["port"] for p in collect.collect(a2.host(), ports=[8011])["ports"]] == [8011]


def test_the_listener_is_the_parent_not_a_worker_that_inherited_the_socket(a2: Machine) -> None:
    a2.file("/proc/1234/cgroup", "0::/system.slice/nginx.service\n")
    a2.file("/proc/1234/comm", "worker\n")
    a2.link("/proc/1234/fd/3", "socket:[555]")
    assert [p["pid"] for p in collect.collect(a2.host())["ports"]] == [77, 1601114]


def test_an_empty_machine_is_described_without_a_traceback(machine: Machine) -> None:
    machine.answers.clear()
    node = collect.collect(machine.host())
    assert node["npu_smi"]["error_kind"] == "missing"
    assert node["docker"]["installed"] is False
    assert node["devices"] == node["pci"] == node["device_nodes"] == node["ports"] == []
    assert node["versions"] == {"driver": None, "firmware": None, "cann": [], "install_info": None}
    assert node["disk"][0]["free_bytes"] is None
    assert node["systemd"]["state"] is None
    json.dumps(node)


# -- containers of other runtimes -----------------------------------------------------------------------------------

OTHER = "e" * 64
KUBERNETES = {
    "annotations": {
        "io.kubernetes.cri.container-name": "worker",
        "io.kubernetes.cri.sandbox-name": "train-0",
        "io.kubernetes.cri.sandbox-namespace": "ml",
        "io.kubernetes.cri.image-name": "pytorch:2",
    }
}
TASKS = "/run/containerd/io.containerd.runtime.v2.task"
STORAGE = "/var/lib/containers/storage/overlay-containers/containers.json"
STORED = [{"id": "f" * 64}, {"id": OTHER, "names": ["train"], "metadata": json.dumps({"image-name": "quay.io/t:1"})}]
ISULAD = {"CommonConfig": {"Name": "train", "Image": "openeuler:22"}}


@pytest.mark.parametrize(
    ("cgroup", "path", "content", "words", "fix"),
    [
        (
            "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-%s.scope",
            TASKS + "/k8s.io/%s/config.json" % OTHER,
            KUBERNETES,
            "containerd container `ml/train-0/worker` (image pytorch:2)",
            "kubectl -n ml delete pod train-0",
        ),
        (
            "11:devices:/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:%s",
            None,
            None,
            "containerd container `eeeeeeeeeeee`",
            "crictl stop eeeeeeeeeeee",
        ),
        ("12:pids:/kubepods/burstable/pod1/%s", None, None, "containerd container `eeeeeeeeeeee`", "crictl stop e"),
        (
            "0::/system.slice/nerdctl-%s.scope",
            TASKS + "/default/%s/config.json" % OTHER,
            {"annotations": {"nerdctl/name": "train"}},
            "nerdctl container `train`",
            "nerdctl stop train",
        ),
        (
            "0::/machine.slice/libpod-%s.scope/container",
            STORAGE,
            STORED,
            "podman container `train` (image quay.io/t:1)",
            "podman stop train",
        ),
        ("0::/machine.slice/libpod-%s.scope", STORAGE, "garbage", "podman container `eeeeeeeeeeee`", "podman stop e"),
        ("0::/kubepods.slice/crio-%s.scope", STORAGE, STORED, "cri-o container `train`", "crictl stop train"),
        (
            "4:memory:/isulad/%s",
            "/var/lib/isulad/engines/lcr/%s/config.v2.json" % OTHER,
            ISULAD,
            "isulad container `train` (image openeuler:22)",
            "isula stop train",
        ),
        ("0::/something/%s", None, None, "container `eeeeeeeeeeee`", "stop eeeeeeeeeeee"),
    ],
)
def test_the_container_of_another_runtime_is_named(
    a2: Machine, cgroup: str, path: Any, content: Any, words: str, fix: str
) -> None:
    a2.file("/proc/4321/cgroup", cgroup % OTHER + "\n")
    a2.file("/proc/4321/comm", "python\n")
    a2.link("/proc/4321/fd/9", "/dev/davinci2")
    if path:
        a2.file(path, content if isinstance(content, str) else json.dumps(content))
    node = collect.collect(a2.host())
    (found,) = [f for f in findings.findings(node, {}, generation="a2") if "davinci2, held" in f["found"]]
    assert found["id"] == "NPU-011"
    assert "held by " + words in found["found"]
    assert fix in found["fix"]
    json.dumps(node)


# -- npu-smi --------------------------------------------------------------------------------------------------------


def test_a_hung_npu_smi_is_asked_once(a2: Machine) -> None:
    a2.answers["npu-smi info"] = (None, "", "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["timed_out"]
    assert node["npu_smi"]["error_kind"] == "hung"
    assert "7 s" in node["npu_smi"]["error"]
    assert [c for c in a2.calls if c.startswith("npu-smi")] == ["npu-smi info"]


def test_a_folder_in_the_place_of_npu_smi(machine: Machine) -> None:
    (machine.root / "usr/local/sbin/npu-smi").mkdir(parents=True)
    node = collect.collect(machine.host())
    assert node["npu_smi"]["error_kind"] == "directory"
    assert node["npu_smi"]["directories"] == ["/usr/local/sbin/npu-smi"]


def test_a_folder_beside_a_good_npu_smi(a2: Machine) -> None:
    (a2.root / "usr/local/bin/npu-smi").mkdir(parents=True)
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error"] is None
    assert node["npu_smi"]["directories"] == ["/usr/local/bin/npu-smi"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("dcmi-8005-ret4", 187, -8005), ("dcmi-8020-device-is-used", 172, -8020), ("board-type-9005", 211, -9005)],
)
def test_npu_smis_own_errors(a2: Machine, name: str, status: int, code: int) -> None:
    words = (FIXTURES / "errors" / (name + ".txt")).read_text(encoding="utf-8")
    a2.answers["npu-smi info"] = (status, words, "")
    smi = collect.collect(a2.host())["npu_smi"]
    assert (smi["error_kind"], smi["error_code"], smi["exit_status"]) == ("tool", code, status)
    assert str(code) in smi["error"]
    assert smi["error_fix"]


def test_the_loaders_words_stand_on_stderr(a2: Machine) -> None:
    words = (FIXTURES / "errors/lib-libdrvdsmi_host.txt").read_text(encoding="utf-8")
    a2.answers["npu-smi info"] = (127, "", words)
    smi = collect.collect(a2.host())["npu_smi"]
    assert "libdrvdsmi_host.so" in smi["error"]
    assert smi["raw"] == words


@pytest.mark.parametrize("name", ["910b2-24.1.0-cut-midrow", "a3-24.1.rc3.7-cut", "310p3duo-24.1.rc3-cut-midcard"])
def test_a_truncated_table_gives_no_device(a2: Machine, name: str) -> None:
    a2.answers["npu-smi info"] = (0, (FIXTURES / "info" / (name + ".txt")).read_text(encoding="utf-8"), "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error_kind"] == "truncated"
    assert node["devices"] == []


def test_what_the_sub_commands_refuse_is_a_problem_not_a_failure(a2: Machine) -> None:
    for words in ("npu-smi info -m", "npu-smi info -t topo", "npu-smi info -t board"):
        a2.answers[words] = (1, "Error parameter of -t\n", "")
    node = collect.collect(a2.host())
    assert [d["index"] for d in node["devices"]] == list(range(8))
    assert {p["subject"] for p in node["problems"]} >= {"npu-smi info -m", "npu-smi info -t topo"}


def test_a_sub_command_that_hangs_is_not_asked_for_every_card(a2: Machine) -> None:
    a2.answers["npu-smi info -t board"] = (None, "", "")
    collect.collect(a2.host())
    assert len([c for c in a2.calls if "-t board" in c]) == 1


def test_the_faults_of_an_unhealthy_chip(a2: Machine) -> None:
    a2.answers["npu-smi info"] = (
        0,
        A2.replace("| 2     910B3               | OK   ", "| 2     910B3               | Alarm"),
        "",
    )
    a2.answers["npu-smi info -t health"] = (0, ALARM, "")
    node = collect.collect(a2.host())
    assert node["devices"][2]["health"] == "Alarm"
    assert node["devices"][2]["error_codes"] == ["A4025021", "8C03A000", "8C084E00"]
    assert "heart beat" in node["devices"][2]["error_information"]
    assert [c for c in a2.calls if "-t health" in c] == ["npu-smi info -t health -i 2 -c 0"]


def test_a_subset_asks_for_nothing_else(a2: Machine) -> None:
    node = collect.collect(a2.host(), gather_subset=["npu"])
    assert {c.split()[0] for c in a2.calls} == {"npu-smi", "lspci"}
    assert not any("board" in c or "topo" in c for c in a2.calls)
    assert node["gathered"] == ["npu"]
    assert len(node["devices"]) == 8


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["min"], set()),
        (["min", "disk"], {"disk"}),
        (["all"], set(collect.SUBSETS)),
        ([], set(collect.SUBSETS)),
        (["!board"], set(collect.SUBSETS) - {"board"}),
        (["npu", "docker"], {"npu", "docker"}),
        (["all", "!npu", "!disk"], set(collect.SUBSETS) - {"npu", "disk"}),
    ],
)
def test_subsets(wanted: list[str], expected: set[str]) -> None:
    assert collect.subsets(wanted) == expected


HANGS = {
    "npu-smi": "NPU-003",
    "docker": "DKR-002",
    "hccn_tool": "SYS-016",
    "lspci": "SYS-016",
    "systemctl": "SYS-005",
    "df": "DSK-006",
}


@pytest.mark.parametrize("name", HANGS)
def test_a_hung_command_of_any_kind_is_a_finding_not_a_hang(a2: Machine, name: str) -> None:
    """The command really hangs, with a child of its own, and both refuse to end."""
    hung = a2.root / "hung"
    hung.write_text("#!/bin/sh\ntrap '' TERM INT\nsleep 600 &\nsleep 600\n", encoding="utf-8")
    hung.chmod(0o755)

    def run(argv: Any, **more: Any) -> Completed:
        if os.path.basename(argv[0]) == name:
            return _command.run([str(hung), *argv[1:]], timeout=more["timeout"])
        return a2.run(argv, **more)

    began = time.monotonic()
    node = collect.collect(Host(root=str(a2.root), run=run, timeout=0.4))
    assert time.monotonic() - began < 60
    found = findings.findings(node, {}, generation="a2", required_bytes={"/var/lib/ascend-fleet": 1})
    assert HANGS[name] in {f["id"] for f in found}
    if HANGS[name] == "SYS-016":
        assert any("did not end within its deadline" in f["found"] for f in found if f["id"] == "SYS-016")
    # What the others say is there all the same.
    assert node["versions"]["driver"]["version"] == "25.2.0"
    assert bool(node["devices"]) is (name != "npu-smi")
    assert bool(node["docker"]["containers"]) is (name != "docker")


def test_the_shipped_deadline_reaches_every_command(a2: Machine) -> None:
    deadlines = []

    def run(argv: Any, **more: Any) -> Completed:
        deadlines.append(more["timeout"])
        return a2.run(argv, **more)

    collect.collect(Host(root=str(a2.root), run=run, timeout=7))
    assert len(deadlines) > 20
    assert all(0 < d <= 7 for d in deadlines)


# -- joins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "logic", "phy", "nodes", "expected"),
    [
        (0, None, None, [0, 1, 2], 0),  # by position
        (2, 5, None, [0, 1, 2, 3, 4, 5], 5),  # by logic id
        (2, 2, 11, [0, 11], 11),  # Phy-ID wins
        (0, 0, None, [1, 2, 3, 4], 1),  # nodes from 1 on, as on some 310P hosts
        (3, 3, None, [0, 1, 2], 3),  # a node is missing: its chip still has a name
        (0, None, None, [], 0),
    ],
)
def test_device_index(position: int, logic: Any, phy: Any, nodes: list[int], expected: int) -> None:
    assert devices.device_index(position, logic, phy, nodes) == expected


def test_a3_dies_have_the_node_of_their_phy_id() -> None:
    chips_read = _npu_smi.parse_info(A3)["devices"]
    joined = devices.join_devices(chips_read, device_nodes=[{"index": n} for n in (0, 1, 3)])
    assert [(d["index"], d["node_present"]) for d in joined] == [(0, True), (1, True), (2, False), (3, True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/docker-%s.scope\n" % CONTAINER, (CONTAINER, None)),
        ("12:pids:/docker/%s\n1:name=systemd:/docker/%s\n" % (CONTAINER, CONTAINER), (CONTAINER, None)),
        ("0::/system.slice/train.service\n", (None, "train.service")),
        ("1:name=systemd:/docker/%s/system.slice/ssh.service\n" % OUTER, (None, "ssh.service")),
        ("1:name=systemd:/docker/%s/docker/%s\n" % (OUTER, CONTAINER), (CONTAINER, None)),
        ("0::/kubepods/burstable/pod1/%s\n" % ("e" * 64), ("e" * 64, None)),
        ("0::/user.slice/user-0.slice/session-1.scope\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_owner_of_cgroup(text: str, expected: tuple[Any, Any]) -> None:
    assert processes.owner_of_cgroup(text, {CONTAINER}, {OUTER}) == expected


def test_a_process_of_an_unknown_container_is_named_by_its_id() -> None:
    facts = {"name": "python", "container_id": "e" * 64, "unit": None, "device_nodes": [], "sockets": []}
    found = processes.describe_process(5, "", facts, {})
    assert found["container"] == {"id": "e" * 64, "name": "e" * 12, "image": None, "runtime": None}
    assert (found["name"], found["managed"]) == ("python", False)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("vllm-qwen3.5@0.service", True), ("nginx.service", False), (None, False), ("vllm-x.timer", False)],
)
def test_unit_is_managed(unit: Any, expected: bool) -> None:
    assert processes.unit_is_managed(unit) is expected


# -- files and disks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000", "0.0.0.0"),
        ("0100007F", "127.0.0.1"),
        ("00000000000000000000000000000000", "::"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("B80D01200000000067452301EFCDAB89", "2001:db8:0:0:123:4567:89ab:cdef"),
    ],
)
def test_hex_address(text: str, expected: str) -> None:
    assert network.hex_address(text) == expected


def test_a_path_that_does_not_exist_counts_for_its_parent(machine: Machine) -> None:
    machine.answers = {"df": (1, "", "df: x: No such file or directory"), "df -P -T -B1 /": (0, DF, "")}
    machine.answers["df -P -T -B1 /var"] = (1, "", "df: No such file or directory")
    found = disk.read_disk(machine.host(), "/var/lib/ascend-fleet")
    assert (found["exists"], found["mount"], found["free_bytes"]) == (False, "/", 600)
    assert machine.calls == ["df -P -T -B1 " + p for p in ("/var/lib/ascend-fleet", "/var/lib", "/var", "/")]
    assert disk.occupied_bytes(machine.host(), found) == 0


def test_a_dead_mount_is_a_problem(machine: Machine) -> None:
    machine.answers["df"] = (None, "", "")
    host = machine.host()
    assert disk.read_disk(host, "/data")["free_bytes"] is None
    assert [p["subject"] for p in host.problems] == ["/data"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("/dev/sda / ext4 rw,relatime 0 0\n", False),
        ("/dev/sda / ext4 rw 0 0\n/dev/sdb / ext4 ro,x 0 0\n", True),
        ("/dev/sdb /other ext4 ro 0 0\n", None),
    ],
)
def test_mounted_read_only(table: str, expected: Any) -> None:
    assert disk.mounted_read_only(table, "/") is expected


def test_a_folder_in_the_place_of_a_version_file_is_a_problem(machine: Machine) -> None:
    (machine.root / "usr/local/Ascend/driver/version.info").mkdir(parents=True)
    host = machine.host()
    assert software.read_versions(host)["driver"] is None
    assert "is a directory" in host.problems[0]["message"]


def test_the_driver_may_be_installed_elsewhere(machine: Machine) -> None:
    machine.file("/etc/ascend_install.info", "Driver_Install_Path_Param=/opt/Ascend\n")
    machine.file("/opt/Ascend/driver/version.info", "Version=25.2.0\n")
    assert software.read_versions(machine.host())["driver"]["path"] == "/opt/Ascend/driver/version.info"


def test_pci_from_the_kernels_tree_where_there_is_no_lspci(machine: Machine) -> None:
    for address, vendor, device, kind in (
        ("0000:c1:00.0", "0x19e5", "0xd803", "0x120000"),
        ("0000:7d:00.0", "0x19e5", "0xa222", "0x020000"),
        ("0000:01:00.0", "0x8086", "0xd803", "0x120000"),
    ):
        for name, text in (("vendor", vendor), ("device", device), ("class", kind)):
            machine.file("/sys/bus/pci/devices/%s/%s" % (address, name), text + "\n")
    assert [(p["address"], p["id"], p["in_kernel"]) for p in devices.read_pci(machine.host())] == [
        ("0000:c1:00.0", "19e5:d803", True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID="openEuler"\nVERSION_ID="22.03"\nPRETTY_NAME="openEuler 22.03 (LTS-SP4)"\n', ("openEuler", "22.03", [])),
        ("ID=ubuntu\nVERSION_ID='22.04'\nID_LIKE=debian\n# x=y\n", ("ubuntu", "22.04", ["debian"])),
        ('ID="kylin"\nID_LIKE="rhel fedora"\n', ("kylin", None, ["rhel", "fedora"])),
        ("", (None, None, [])),
    ],
)
def test_os_release(text: str, expected: tuple[Any, Any, Any]) -> None:
    found = system.parse_os_release(text)
    assert (found["id"], found["version_id"], found["like"]) == expected


# -- the chips' own network -----------------------------------------------------------------------------------------


def test_every_chips_port_is_read(a2: Machine) -> None:
    links = collect.collect(a2.host())["hccn"]["links"]
    assert [link["index"] for link in links] == list(range(8))
    assert (links[0]["status"], links[0]["health"], links[0]["tls"]["enabled"]) == ("UP", "Success", False)
    assert (links[7]["ip"]["address"], links[7]["ip"]["netmask"]) == ("29.1.112.213", "255.255.0.0")


def test_a_chip_that_hangs_is_asked_once_and_the_others_are_read(a2: Machine) -> None:
    a2.answers["hccn_tool -i 2 -link -g"] = (None, "", "")
    node = collect.collect(a2.host())
    assert [link["index"] for link in node["hccn"]["links"]] == [0, 1, 3, 4, 5, 6, 7]
    assert [c for c in a2.calls if c.startswith("hccn_tool -i 2 ")] == ["hccn_tool -i 2 -link -g"]
    (problem,) = node["problems"]
    assert problem["subject"] == "hccn_tool -link -g"
    assert "-i 2 -link -g` did not end within its deadline (davinci2)" in problem["message"]


def test_where_chips_hang_the_others_are_not_waited_for(a2: Machine) -> None:
    for index in range(8):
        a2.answers["hccn_tool -i %d -link -g" % index] = (None, "", "")
    node = collect.collect(a2.host(), gather_subset=["npu", "network"])
    assert node["hccn"]["links"] == []
    assert len([c for c in a2.calls if c.startswith("hccn_tool")]) == 2
    assert node["problems"][-1]["message"] == "davinci2, 3, 4, 5, 6, 7 not asked, because davinci0, 1 did not answer"


def test_the_same_refusal_of_several_chips_is_one_problem(a2: Machine) -> None:
    for index in (1, 5):
        a2.answers["hccn_tool -i %d -tls -g" % index] = (1, "hccn tool is busy, please try again.\n", "")
    node = collect.collect(a2.host())
    assert [link["tls"] is None for link in node["hccn"]["links"]] == [n in (1, 5) for n in range(8)]
    (problem,) = node["problems"]
    assert problem["message"].endswith("is busy, please try again. (davinci1, 5)")


def test_the_virtual_port_is_asked_where_the_chip_has_no_other(a2: Machine) -> None:
    a2.answers["hccn_tool -i 0 -ip -g"] = (1, "Cmd execute failed!\n", "")
    a2.answers["hccn_tool -i 0 -vnic -g"] = (0, (FIXTURES / "files/a5-hccn-vnic.txt").read_text(encoding="utf-8"), "")
    node = collect.collect(a2.host())
    assert node["hccn"]["links"][0]["ip"]["address"] == "192.168.2.199"
    assert node["problems"] == []


def test_a_link_to_nothing_in_the_place_of_hccn_conf(a2: Machine) -> None:
    (a2.root / "etc/hccn.conf").unlink()
    a2.link("/etc/hccn.conf", "/nonexistent/hccn.conf")
    node = collect.collect(a2.host())
    assert (node["hccn"]["kind"], node["hccn"]["present"], node["hccn"]["addresses"]) == ("dangling", False, [])
    assert node["mounts"]["/etc/hccn.conf"] == "dangling"


def test_without_hccn_tool_nothing_is_asked(a2: Machine) -> None:
    (a2.root / "usr/local/Ascend/driver/tools/hccn_tool").unlink()
    node = collect.collect(a2.host())
    assert (node["hccn"]["links"], node["problems"]) == ([], [])
    assert len(node["hccn"]["addresses"]) == 2


# -- unknown is not empty -------------------------------------------------------------------------------------------


def test_units_that_cannot_be_listed_are_an_error(a2: Machine) -> None:
    a2.answers["systemctl show"] = (1, "", "Failed to connect to bus: No such file or directory")
    node = collect.collect(a2.host())
    assert node["systemd"]["units"] == []
    assert "Failed to connect to bus" in node["systemd"]["error"]
    assert [p["subject"] for p in node["problems"]] == ["systemd"]
    assert "`systemctl show" in node["problems"][0]["message"]


def test_a_socket_table_that_is_missing_is_a_problem(a2: Machine) -> None:
    (a2.root / "proc/net/tcp").unlink()
    node = collect.collect(a2.host())
    assert {"subject": "/proc/net/tcp", "message": "there is no such file"} in node["problems"]


def test_a_folder_that_cannot_be_listed_is_a_problem(a2: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def refuse(path: Any) -> Any:
        if str(path).endswith(("/dev", "/proc/77/fd")):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    node = collect.collect(a2.host())
    assert node["device_nodes"] == []
    assert {"subject": "/dev", "message": "cannot be read: Permission denied"} in node["problems"]
    assert any("the open files of 1 processes" in p["message"] for p in node["problems"])


@pytest.mark.parametrize("status", [-9, -15])
def test_a_table_whose_tool_was_killed_is_truncated(a2: Machine, status: int) -> None:
    a2.answers["npu-smi info"] = (status, A2, "")
    node = collect.collect(a2.host())
    assert (node["npu_smi"]["error_kind"], node["devices"]) == ("truncated", [])
    assert "signal %d" % -status in node["npu_smi"]["error"]


def test_a_table_cut_between_two_npus_is_told_by_the_map_of_chips(a2: Machine) -> None:
    border = next(line for line in A2.splitlines() if line.startswith("+==="))
    five = border.join(A2.split(border)[:6]) + border + "\n"
    assert len(_npu_smi.parse_info(five)["devices"]) == 5
    a2.answers["npu-smi info"] = (0, five, "")
    node = collect.collect(a2.host())
    assert (node["npu_smi"]["error_kind"], node["devices"], node["processes"]) == ("truncated", [], [])
    assert "has 5 chips; `npu-smi info -m` also has NPU 5 chip 0" in node["npu_smi"]["error"]


def test_binary_garbage_of_the_tool_is_escaped_and_not_a_table(a2: Machine) -> None:
    garbage = bytes(range(256)).decode("utf-8", "replace") + "\x1b[2J\x07"
    a2.answers["npu-smi info"] = (0, garbage, "")
    node = collect.collect(a2.host())
    assert node["npu_smi"]["error_kind"] == "layout"
    assert "not text" in node["npu_smi"]["error"]
    assert "NPU-004" in {f["id"] for f in findings.findings(node, {}, generation="a2")}
    assert all(c.isprintable() or c in "\n\r\t" for c in json.dumps(node, ensure_ascii=False))
    assert "\x1b" not in node["npu_smi"]["raw"]


def test_terminal_escapes_of_any_tool_are_escaped(a2: Machine) -> None:
    evil = "\x1b]0;owned\x07"
    a2.answers["lspci"] = (1, "", evil)
    a2.answers["npu-smi info"] = (0, A2.replace("910B3 ", evil + " ", 1) + evil + "\n", "")
    a2.answers["npu-smi info -t board"] = (0, BOARD.replace("IT21", evil), "")
    a2.answers["docker info"] = (1, json.dumps({"ServerErrors": [evil]}), "")
    a2.file("/proc/77/comm", evil)
    node = collect.collect(a2.host())
    assert all(c.isprintable() or c in "\n\r\t" for c in _strings(node))
    assert node["npu_smi"]["warnings"]


def _strings(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_strings(v) for pair in value.items() for v in pair)
    if isinstance(value, list):
        return "".join(_strings(v) for v in value)
    return value if isinstance(value, str) else ""


# -- what the next boot brings --------------------------------------------------------------------------------------

OLD, NEW = "5.10.0-99.0.0.115.oe2203sp4.aarch64", "5.10.0-216.0.0.115.oe2203sp4.aarch64"


@pytest.fixture
def booted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host that runs OLD, for which the driver has modules, with NEW installed beside it."""
    real = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((real[0], real[1], OLD, real[3], real[4])))
    for version in (OLD, NEW):
        machine.file("/lib/modules/%s/modules.builtin" % version)
        machine.file("/lib/modules/%s/modules.dep" % version, "kernel/drivers/net/e1000.ko.xz: kernel/x.ko\n")
    machine.file("/lib/modules/%s/updates/drv_davinci_intf_host.ko" % OLD)
    machine.file("/lib/modules/5.10.0-1.removed/updates/drv_davinci_intf_host.ko")
    machine.file("/proc/modules", "drv_davinci_intf_host 45056 0 - Live 0x0\n")
    return machine


def test_a_newer_kernel_without_the_drivers_modules(booted: Machine) -> None:
    node = collect.collect(booted.host(), gather_subset=["system"])
    assert node["kernels"] == {
        "running": OLD,
        "installed": [
            {"version": OLD, "has_driver_module": True},
            {"version": NEW, "has_driver_module": False},
        ],
        "newest": NEW,
    }
    assert node["pending"] == [{"package": "kernel", "running": OLD, "installed": NEW}]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("updates/dkms/drv_devmm_host.ko.xz", True),
        ("extra/ascend_event_sched_host.ko", True),
        ("weak-updates/drv_pcie_host.ko", True),
        ("updates/nvidia.ko", False),
    ],
)
def test_where_the_drivers_modules_lie(booted: Machine, place: str, found: bool) -> None:
    booted.file("/lib/modules/%s/%s" % (NEW, place))
    kernels = software.read_kernels(booted.host())
    assert [k["has_driver_module"] for k in kernels["installed"]] == [True, found]


def test_the_list_of_modules_names_the_drivers(booted: Machine) -> None:
    booted.file("/lib/modules/%s/modules.dep" % NEW, "kernel/drivers/davinci/drv_davinci_intf_host.ko: a.ko\n")
    assert software.read_kernels(booted.host())["installed"][1]["has_driver_module"] is True
    (booted.root / ("lib/modules/%s/modules.dep" % NEW)).unlink()
    assert software.read_kernels(booted.host())["installed"][1]["has_driver_module"] is None


def test_modules_that_lie_elsewhere_are_unknown(booted: Machine) -> None:
    (booted.root / ("lib/modules/%s/updates/drv_davinci_intf_host.ko" % OLD)).unlink()
    host = booted.host()
    kernels = software.read_kernels(host)
    assert [k["has_driver_module"] for k in kernels["installed"]] == [None, None]
    assert [p["subject"] for p in host.problems] == ["/lib/modules"]


@pytest.mark.parametrize(
    ("said", "pending"),
    [
        ("Docker version 24.0.7, build afdd53b\n", []),
        ("Docker version 26.1.4, build 5650f9b\n", [{"package": "docker", "running": "24.0.7", "installed": "26.1.4"}]),
    ],
)
def test_an_upgrade_of_docker_that_does_not_run_yet(a2: Machine, said: str, pending: list[dict[str, Any]]) -> None:
    a2.program("/usr/bin/dockerd")
    a2.answers["dockerd --version"] = (0, said, "")
    node = collect.collect(a2.host())
    assert (node["pending"], node["problems"]) == (pending, [])


def test_a_dockerd_that_does_not_tell_its_version_is_a_problem(a2: Machine) -> None:
    a2.program("/usr/bin/dockerd")
    a2.answers["dockerd --version"] = (139, "", "Segmentation fault")
    node = collect.collect(a2.host())
    assert (node["pending"], [p["subject"] for p in node["problems"]]) == ([], ["dockerd"])


def test_packages_that_wait_for_a_reboot(machine: Machine) -> None:
    machine.file("/run/reboot-required.pkgs", "linux-image-6.1.0-28-arm64\nlibc6\nlibc6\n")
    node = collect.collect(machine.host(), gather_subset=["system"])
    assert [p["package"] for p in node["pending"]] == ["libc6", "linux-image-6.1.0-28-arm64"]
