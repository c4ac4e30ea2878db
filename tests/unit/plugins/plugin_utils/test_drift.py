# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: silent on a host as its release makes it, speaking on the one change that provokes each finding."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._drift import compare, findings, hide, read
from ansible_collections.ascend.fleet.plugins.module_utils._images import records
from ansible_collections.ascend.fleet.plugins.module_utils._npu import hardware, slots
from ansible_collections.ascend.fleet.plugins.module_utils._preflight import report
from ansible_collections.ascend.fleet.plugins.module_utils._serving import container, plan, unit_file
from ansible_collections.ascend.fleet.plugins.module_utils._serving.settings import Settings
from ansible_collections.ascend.fleet.plugins.modules import npu_info
from ansible_collections.ascend.fleet.plugins.plugin_utils import _drift_plan, _releases
from ansible_collections.ascend.fleet.plugins.plugin_utils._preflight_plan import HostSettings

Node = dict[str, Any]
IMAGE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SECRET = "sk-planted-in-the-vault"
WEIGHTS = "/var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B"
SYSTEMD = 249


def the_release(**model: Any) -> dict[str, Any]:
    """The shipped release, held by a lock."""
    release = _releases.by_name("qwen3_5_27b_v0", {})
    for image in release["images"]:
        image["image_id"] = IMAGE
    release["model"].update(commit="c" * 40, **model)
    return release


RELEASE = the_release()
SERVING = Settings(api_key=SECRET, environment={"HF_TOKEN": "hf_planted", "LANG": "C.UTF-8"})


def wanted(serving: Settings = SERVING, **own: Any) -> _drift_plan.Wanted:
    settings: dict[str, Any] = {
        "generation": "a2",
        "serving": serving,
        "ignore": [],
        "artifacts_path": "/var/lib/ascend-fleet",
        "artifacts_bytes": 0,
        "docker_bytes": 0,
        "memory_bytes": 0,
        "require_host_cann": False,
        **own,
    }
    return _drift_plan.Wanted(HostSettings(**settings), serving, "/var/lib/ascend-fleet")


def bare(**more: Any) -> Node:
    """A host that serves nothing yet."""
    return {
        **slots.nominal_node("a2"),
        "architecture": "aarch64",
        "kernel": "5.10.0-216.0.0.115.oe2203sp4.aarch64",
        "os": {"id": "openEuler", "version_id": "22.03"},
        "pci": [],
        "npu_smi": {"path": "/usr/local/sbin/npu-smi", "error": None},
        "mounts": dict(hardware.MOUNT_SOURCES),
        "programs": {"docker": "/usr/bin/docker"},
        "docker": {
            "running": True,
            "error": None,
            "engine": "docker",
            "server_version": "24.0.7",
            "image_store": "docker",
        },
        "versions": {
            "driver": {"version": "25.2.0"},
            "firmware": {"version": "7.8.0.7.220", "package_version": "25.2.0"},
        },
        "tuning": {
            "sysctl": {"vm.swappiness": 60},
            "transparent_hugepage": "madvise",
            "cpu_governors": ["performance"],
        },
        "disk": [],
        "proxies": [],
        "gathered": ["serving"],
        **more,
    }


def planned(node: Node, serving: Settings = SERVING) -> list[dict[str, Any]]:
    """What site.yml would write, by the same code."""
    brought = {"image": IMAGE, "weights": WEIGHTS, "weights_content": "f" * 64}
    return plan.plan_replicas(node, RELEASE, Settings(**{**serving.__dict__, **brought}))


IMAGE_ENV = ["PATH=/usr/local/bin:/usr/bin", "ASCEND_TOOLKIT_HOME=/usr/local/Ascend/ascend-toolkit/latest"]


def inspected(unit: dict[str, Any], env: str) -> dict[str, Any]:
    """What ``docker container inspect`` prints of a container that a unit has started (docker 24's layout)."""
    words = unit["docker_argv"]
    image = words.index(unit["image"])
    after = [words[n + 1] for n, word in enumerate(words[:image]) if word == "-v"]
    devices = [w.partition("=")[2] for w in words if w.startswith("--device=")]
    devices += [words[n + 1] for n, word in enumerate(words) if word == "--device"]
    labels = dict(words[n + 1].split("=", 1) for n, word in enumerate(words[:image]) if word == "--label")
    return {
        "Id": "0" * 63 + str(unit["replica"]),
        "Name": "/" + unit["container_name"],
        "Image": unit["image"],
        "State": {"Status": "running", "Pid": 4242, "StartedAt": "2026-11-24T10:00:00.000000000Z"},
        "Config": {
            "Image": unit["image"],
            "Env": [*env.splitlines(), *IMAGE_ENV],
            "Cmd": words[image + 1 :],
            "Labels": {"org.opencontainers.image.ref.name": "ubuntu", **labels},
            "WorkingDir": "/",
        },
        "HostConfig": {
            "Privileged": "--privileged" in words,
            "NetworkMode": "host",
            "ShmSize": 100 * 1024**3,
            # Docker adds the label to privileged containers.
            "SecurityOpt": ["no-new-privileges"] if "--security-opt" in words else ["label=disable"],
            "Devices": [{"PathOnHost": d, "PathInContainer": d, "CgroupPermissions": "rwm"} for d in devices],
        },
        "Mounts": [
            {
                "Type": "bind",
                "Source": volume.split(":")[0],
                "Destination": volume.split(":")[1],
                "Mode": "ro" if volume.endswith(":ro") else "",
                "RW": not volume.endswith(":ro"),
            }
            for volume in after
        ],
    }


class Machine:
    """A host on which units are written and started."""

    def __init__(self, root: Path, node: Node, serving: Settings = SERVING) -> None:
        self.root = root
        for folder in ("units", "config", "records"):
            (root / folder).mkdir()
        self.containers: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, str]] = {}
        for unit in planned(node, serving):
            self.unit(unit["name"]).write_text(unit_file.for_systemd(unit["content"], SYSTEMD))
            env = container.env_file_text(unit["environment"], unit["secrets"])
            self.env(unit["name"]).write_text(env)
            self.containers.append(inspected(unit, env))
        contents = {
            "components": {"torch": "2.9.0+cpu", "transformers": "5.0.0"},
            "cann": [{"version": "8.5.0", "path": "/x"}],
        }
        records.write_record(str(root / "records"), IMAGE, contents)

    def unit(self, name: str) -> Path:
        return self.root / "units" / name

    def env(self, name: str) -> Path:
        return self.root / "config" / (name[: -len(".service")] + ".env")

    def run(self, argv: Any, **_more: Any) -> Completed:
        words = list(argv)
        if words[0] in self.answers:
            status, said = self.answers[words[0]]
            return Completed(tuple(words), status, "", said, False)
        out = ""
        if words[:2] == ["systemctl", "--version"]:
            out = "systemd %d (249.11)\n" % SYSTEMD
        elif words[0] == "systemctl":
            out = "\n".join("Id=%s\nActiveState=active\n" % w for w in words if w.endswith(".service"))
        elif words[1] == "ps":
            out = "\n".join(c["Id"] for c in self.containers)
        elif words[1:3] == ["container", "inspect"]:
            out = json.dumps([c for c in self.containers if c["Id"] in words])
        elif words[1:3] == ["image", "inspect"]:
            out = json.dumps([{"Id": w, "Config": {"Env": IMAGE_ENV}} for w in words if w.startswith("sha256:")])
        return Completed(tuple(words), 0, out, "", False)

    def serving(self) -> dict[str, Any]:
        reader = read.Reader(
            run=self.run,
            unit_dir=str(self.root / "units"),
            config_dir=str(self.root / "config"),
            records_in=[str(self.root / "records")],
            drop_ins_in=(),
        )
        return reader.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, bare())


def drift(node: Node, release: dict[str, Any] = RELEASE, chosen: Any = None) -> dict[str, dict[str, Any]]:
    """The findings of one host, by ID."""
    found, reasons = _drift_plan.findings_of_all({"h": node}, {"h": release}, {"h": chosen or wanted()})
    assert not reasons
    return {f["id"]: f for f in found["h"]}


def test_a_host_that_site_has_brought_about_has_no_drift(machine: Machine) -> None:
    node = bare(serving=machine.serving())
    assert [u["name"] for u in node["serving"]["units"]] == ["vllm-qwen3.5@0.service", "vllm-qwen3.5@1.service"]
    assert drift(node) == {}


def test_a_host_with_the_commands_of_the_guide_has_no_drift(tmp_path: Path) -> None:
    serving = Settings(profile="guide", docker_options=("--ulimit", "memlock=-1", "-e", "HCCL_BUFFSIZE=2048"))
    weights = "/data/ascend-fleet/models/Qwen-AI--Qwen3.5-27B"
    brought = {"image": IMAGE, "weights": weights, "weights_content": "f" * 64}
    node = bare(mounts=dict.fromkeys(container._GUIDE_MOUNTS, "directory"))
    units = plan.plan_replicas(node, RELEASE, Settings(**{**serving.__dict__, **brought}))
    machine = Machine(tmp_path, bare())
    machine.containers.clear()
    for unit in units:
        machine.unit(unit["name"]).write_text(unit_file.for_systemd(unit["content"], SYSTEMD))
        env = container.env_file_text(unit["environment"], unit["secrets"])
        machine.env(unit["name"]).write_text(env)
        machine.containers.append(inspected(unit, env + "HCCL_BUFFSIZE=2048\n"))
    chosen = _drift_plan.Wanted(wanted(serving).host, serving, "/data/ascend-fleet")
    assert drift({**node, "serving": machine.serving()}, chosen=chosen) == {}


def test_no_secret_leaves_the_host(machine: Machine) -> None:
    name = "vllm-qwen3.5@0.service"
    text = machine.unit(name).read_text()
    machine.unit(name).write_text(text.replace("vllm serve", "vllm serve --api-key sk-by-hand", 1))
    machine.containers[0]["Config"]["Cmd"] += ["--api-key", "sk-by-hand", "--x-token=sk-by-hand"]
    machine.containers[0]["Config"]["Env"] += ["HTTP_PROXY=http://u:sk-by-hand@proxy:3128"]
    said = json.dumps(machine.serving())
    assert "VLLM_API_KEY" in said
    for secret in (SECRET, "hf_planted", "sk-by-hand"):
        assert secret not in said


# - each finding by the one change that provokes it -


def first(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = node["serving"]["units"][0]
    return found


def edit(machine: Machine, before: str, after: str) -> None:
    path = machine.unit("vllm-qwen3.5@0.service")
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))


def drop_in(machine: Machine) -> None:
    folder = machine.root / "units" / "vllm-qwen3.5@0.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text("[Service]\nCPUQuota=50%\n")


def env_line(machine: Machine, text: str) -> None:
    path = machine.env("vllm-qwen3.5@0.service")
    path.write_text(path.read_text() + text)


def of(machine: Machine) -> dict[str, Any]:
    return machine.containers[0]


def replace_in_command(machine: Machine, option: str, value: str) -> None:
    words = of(machine)["Config"]["Cmd"]
    words[words.index(option) + 1] = value


#: What is changed on the host: the ID, the change, words of what was found, words of what was needed.
ON_HOST: list[tuple[str, Callable[[Machine], Any], str, str]] = [
    ("DRF-002", lambda m: m.unit("vllm-qwen3.5@1.service").unlink(), "no vllm-qwen3.5@1", "2 replicas"),
    (
        "DRF-003",
        lambda m: m.unit("vllm-other@0.service").write_text(
            m.unit("vllm-qwen3.5@0.service").read_text().replace("qwen3.5", "other")
        ),
        "vllm-other@0",
        "vllm-qwen3.5@0",
    ),
    ("DRF-005", lambda m: m.answers.update(docker=(1, "Cannot connect to the Docker daemon")), "docker: ", "an answer"),
    ("DRF-005", lambda m: m.answers.update(systemctl=(1, "Failed to connect to bus")), "systemd: ", "an answer"),
    ("DRF-011", lambda m: edit(m, "RestartSec=10", "RestartSec=99"), "RestartSec=99", "RestartSec=10"),
    ("DRF-011", lambda m: edit(m, "Restart=always\n", ""), "no such line", "Restart=always"),
    ("DRF-011", lambda m: edit(m, IMAGE, OTHER), OTHER[:20], IMAGE[:20]),
    ("DRF-012", drop_in, "override.conf", "no such file"),
    ("DRF-013", lambda m: env_line(m, "DEBUG=1\n"), "DEBUG=1", "no DEBUG"),
    ("DRF-013", lambda m: m.env("vllm-qwen3.5@0.service").unlink(), "no file of variables", "variables"),
    ("DRF-021", lambda m: of(m)["State"].update(Status="exited"), "no container", "a running container"),
    ("DRF-022", lambda m: of(m).update(Image=OTHER), "vllm-qwen3.5@0: sha256:2", "sha256:1"),
    (
        "DRF-023",
        lambda m: replace_in_command(m, "--tensor-parallel-size", "2"),
        "--tensor-parallel-size 2",
        "--tensor-parallel-size 4",
    ),
    (
        "DRF-023",
        lambda m: of(m)["Config"]["Cmd"].append("--enforce-eager"),
        "--enforce-eager",
        "no --enforce-eager",
    ),
    ("DRF-024", lambda m: of(m)["Config"]["Env"].append("DEBUG=1"), "DEBUG=1", "no DEBUG"),
    (
        "DRF-025",
        lambda m: of(m)["Mounts"].append({"Type": "bind", "Source": "/etc", "Destination": "/host", "RW": True}),
        "/etc:/host",
        "no such mount",
    ),
    ("DRF-025", lambda m: of(m)["Mounts"][0].update(RW=True), ":", ":ro"),
    ("DRF-026", lambda m: of(m)["HostConfig"].update(Privileged=True), "privileged true", "privileged false"),
    ("DRF-026", lambda m: of(m)["HostConfig"].update(ShmSize=64 * 1024**2), "shm 67108864", "shm 107374182400"),
    ("DRF-026", lambda m: of(m)["HostConfig"].update(SecurityOpt=None), "security options none", "no-new-privileges"),
    ("DRF-026", lambda m: of(m)["HostConfig"]["Devices"].pop(0), "devices ", "/dev/davinci0"),
    (
        "DRF-027",
        lambda m: of(m)["Config"]["Labels"].update({"ascend.fleet.config": "0" * 64}),
        "a container of before",
        "its unit has started",
    ),
    ("DRF-033", lambda m: (m.root / "records" / ("1" * 64 + ".json")).unlink(), "no record", "CANN 8.5.0"),
]  # fmt: skip


@pytest.mark.parametrize(("identity", "change", "is_so", "needed"), ON_HOST, ids=[c[0] for c in ON_HOST])
def test_a_change_on_the_host_is_found(
    machine: Machine, identity: str, change: Callable[[Machine], Any], is_so: str, needed: str
) -> None:
    change(machine)
    found = drift(bare(serving=machine.serving()))
    assert is_so in found[identity]["found"], found
    assert needed in found[identity]["needed"], found
    assert found[identity]["fix"]
    # A surplus unit has nothing that runs for it, and of another image no record; nothing else echoes the change.
    assert set(found) - {identity} <= {"DRF-003": {"DRF-021"}, "DRF-022": {"DRF-033"}}.get(identity, set())


def test_an_unreadable_docker_is_not_taken_for_nothing_that_runs(machine: Machine) -> None:
    machine.answers["docker"] = (1, "Cannot connect to the Docker daemon")
    found = drift(bare(serving=machine.serving()))
    assert set(found) == {"DRF-005"}
    assert found["DRF-005"]["severity"] == "error"


def other_hash(unit: dict[str, Any]) -> None:
    before = unit["config_hash"]
    unit.update(config_hash="0" * 64, content=unit["content"].replace(before, "0" * 64))


#: What is changed in what the inventory or the node says: the ID, the change of the node, the release, the settings.
Change = Callable[[Node, dict[str, Any]], Any]
IN_DATA: list[tuple[str, Change, str]] = [
    ("DRF-001", lambda n, r: r.update(release="next"), "of qwen3_5_27b_v0"),
    ("DRF-004", lambda n, r: n.update(devices=[]), "0 usable chips"),
    ("DRF-005", lambda n, r: n.update(serving=None), "nothing about the units"),
    ("DRF-005", lambda n, r: n["npu_smi"].update(error="npu-smi hung"), "npu-smi hung"),
    (
        "DRF-006",
        lambda n, r: n.update(
            disk=[{"path": "/x", "artifacts": [{"folder": WEIGHTS, "requests": [{"commit": "d" * 40}]}]}]
        ),
        "commit dddddddddddd",
    ),
    ("DRF-014", lambda n, r: other_hash(first(n)), "another secret"),
    ("DRF-031", lambda n, r: n["versions"]["driver"].update(version="25.3.0"), "driver 25.3.0"),
    ("DRF-031", lambda n, r: n["versions"].update(driver=None), "no driver"),
    ("DRF-032", lambda n, r: n["versions"]["firmware"].update(package_version="25.0.0"), "firmware package 25.0.0"),
    ("DRF-033", lambda n, r: [u["contents"].update(cann=["8.3.RC1"]) for u in n["serving"]["units"]], "CANN 8.3.RC1"),
    (
        "DRF-034",
        lambda n, r: [u["contents"].update(components={"torch_npu": "2.8.0"}) for u in n["serving"]["units"]],
        "torch_npu 2.8.0",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("identity", "change", "is_so"), IN_DATA, ids=[c[0] for c in IN_DATA])
def test_a_change_of_the_node_or_the_release_is_found(
    machine: Machine, identity: str, change: Change, is_so: str
) -> None:
    node, release = bare(serving=machine.serving()), copy.deepcopy(RELEASE)
    change(node, release)
    found = drift(node, release)
    assert is_so in found[identity]["found"], found
    assert set(found) - {identity} <= {"DRF-014": {"DRF-027"}}.get(identity, set())


def test_a_changed_secret_of_the_inventory_is_found_and_not_shown(machine: Machine) -> None:
    other = Settings(**{**SERVING.__dict__, "api_key": "sk-another"})
    found = drift(bare(serving=machine.serving()), chosen=wanted(other))
    assert set(found) == {"DRF-014"}
    assert "sk-" not in json.dumps(found)


def test_a_changed_variable_of_the_inventory_is_found_in_unit_and_container(machine: Machine) -> None:
    other = Settings(**{**SERVING.__dict__, "options": {"max-num-seqs": 7}})
    found = drift(bare(serving=machine.serving()), chosen=wanted(other))
    assert set(found) == {"DRF-011", "DRF-023"}
    assert "--max-num-seqs 7" in found["DRF-023"]["needed"]


def test_images_of_containerds_store_are_not_compared_with_pinned_ids(machine: Machine) -> None:
    of(machine)["Image"] = OTHER
    node = bare(serving=machine.serving())
    node["docker"]["image_store"] = "containerd"
    assert "DRF-022" not in drift(node)


def test_proxies_that_dockers_client_hands_out_are_no_drift(tmp_path: Path) -> None:
    handed = {"where": "/root/.docker/config.json", "http": "http://p:3128", "no_proxy": "", "containers": True}
    node = bare(proxies=[handed])
    machine = Machine(tmp_path, node)
    for entry in machine.containers:
        entry["Config"]["Env"] += ["HTTP_PROXY=http://p:3128", "http_proxy=http://p:3128"]
    assert drift({**node, "serving": machine.serving()}) == {}


def test_a_check_that_fails_is_a_finding(machine: Machine) -> None:
    node = bare(serving=machine.serving())
    first(node)["container"].pop("mounts")
    found = drift(node)["DRF-025"]
    assert (found["severity"], "the check itself failed" in found["found"]) == ("error", True)


# - the fleet -


def fleet(serving: dict[str, Any], changes: dict[str, Callable[[Node], Any]], count: int = 5) -> dict[str, list[Any]]:
    nodes = {"h%d" % n: bare(serving=copy.deepcopy(serving)) for n in range(count)}
    for host, change in changes.items():
        change(nodes[host])
    everyone = {host: wanted() for host in nodes}
    found, _reasons = _drift_plan.findings_of_all(nodes, dict.fromkeys(nodes, RELEASE), everyone)
    return {host: [f for f in own if f["area"] == "fleet"] for host, own in found.items()}


def in_every_container(node: Node, **values: Any) -> None:
    for unit in node["serving"]["units"]:
        unit["container"].update(copy.deepcopy(values))


MOUNT = {"source": "/srv", "destination": "/srv", "read_only": True}
ODD: list[tuple[str, Callable[[Node], Any], str, str]] = [
    ("DRF-041", lambda n: [u.update(release="old") for u in n["serving"]["units"]], "old", "qwen3_5_27b_v0"),
    ("DRF-042", lambda n: in_every_container(n, image_id=OTHER), OTHER, IMAGE),
    ("DRF-043", lambda n: [u["container"]["command"].append("--x") for u in n["serving"]["units"]], "--x", "no such"),
    ("DRF-044", lambda n: first(n)["container"]["environment"].update(A="1"), "A=1", "no such"),
    ("DRF-045", lambda n: first(n)["container"]["mounts"].append(MOUNT), "/srv:/srv:ro", "no such"),
    ("DRF-046", lambda n: n["versions"].update(driver={"version": "25.3.0"}), "25.3.0", "25.2.0"),
    ("DRF-047", lambda n: n["versions"].update(firmware={"package_version": "25.3.0"}), "25.3.0", "25.2.0"),
    ("DRF-048", lambda n: n.update(kernel="5.10.0-240"), "5.10.0-240", "5.10.0-216"),
    ("DRF-049", lambda n: n["docker"].update(server_version="20.10.9"), "docker 20.10.9", "docker 24.0.7"),
    ("DRF-050", lambda n: n["tuning"]["sysctl"].update({"vm.swappiness": 1}), "vm.swappiness=1", "vm.swappiness=60"),
    ("DRF-050", lambda n: n["tuning"].update(transparent_hugepage="never"), "=never", "=madvise"),
    ("DRF-051", lambda n: n.update(os={"id": "ubuntu", "version_id": "22.04"}), "ubuntu 22.04", "openEuler 22.03"),
]  # fmt: skip


@pytest.mark.parametrize(("identity", "change", "is_so", "needed"), ODD, ids=[c[0] for c in ODD])
def test_the_one_host_that_differs_is_named_and_no_other(
    machine: Machine, identity: str, change: Callable[[Node], Any], is_so: str, needed: str
) -> None:
    found = fleet(machine.serving(), {"h3": change})
    assert [host for host, own in found.items() if own] == ["h3"]
    (finding,) = found["h3"]
    assert finding["id"] == identity
    assert is_so in finding["found"]
    assert needed in finding["needed"]
    assert "4 of 5 hosts of a2" in finding["needed"]


def test_without_a_majority_every_host_is_named(machine: Machine) -> None:
    found = fleet(machine.serving(), {"h1": lambda n: n["versions"]["driver"].update(version="25.3.0")}, count=2)
    assert [[f["id"] for f in own] for own in found.values()] == [["DRF-046"], ["DRF-046"]]
    assert "no majority" in found["h0"][0]["needed"]


def test_kernels_of_other_systems_and_architectures_are_not_compared(machine: Machine) -> None:
    def change(node: Node) -> None:
        node.update(architecture="x86_64", os={"id": "ubuntu", "version_id": "22.04"}, kernel="5.15.0-91-generic")

    found = fleet(machine.serving(), {"h1": change, "h2": change})
    assert not any(f["id"] in ("DRF-048", "DRF-051") for own in found.values() for f in own)


def test_what_is_not_known_does_not_count(machine: Machine) -> None:
    found = fleet(machine.serving(), {"h1": lambda n: n["docker"].update(server_version=None)}, count=3)
    assert not any(found.values())


# - the catalogue and its report -


def test_every_entry_has_a_test() -> None:
    tested = {c[0] for c in (*ON_HOST, *IN_DATA, *ODD)}
    assert tested == set(findings.CATALOGUE)


def test_ignored_findings_are_returned_as_ignored_and_unknown_ones_refused(machine: Machine) -> None:
    node = bare(serving=machine.serving())
    node["versions"]["driver"]["version"] = "25.3.0"
    assert drift(node, chosen=wanted(ignore=["DRF-031"]))["DRF-031"]["ignored"]
    _found, reasons = _drift_plan.findings_of_all({"h": node}, {"h": RELEASE}, {"h": wanted(ignore=["DRF-999"])})
    assert "DRF-999" in reasons["h"]


def test_the_report_has_the_areas_of_drift(machine: Machine) -> None:
    node = bare(serving=machine.serving())
    node["versions"]["driver"]["version"] = "25.3.0"
    data = report.build(["h", "gone"], {"h": list(drift(node).values())}, kind=findings.DRIFT)
    text = "\n".join(line for line, _tone in report.lines(data, "from r", findings.DRIFT))
    assert "DRIFT from r: 2 hosts, 1 without errors, 1 not checked" in text
    assert "versions" in text
    assert list(data["hosts"]["h"]["areas"]) == ["release", "units", "containers", "versions", "fleet"]
    short = [line for line, _tone in report.short_lines(data, findings.DRIFT)]
    assert short[0] == "DRIFT: 0 errors, 1 warning"
    assert short[1].startswith("DRF-031 h: found driver 25.3.0")
    assert short[2].startswith("gone was not compared")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--api-key", "x", "--port", "1"], ["--api-key", "***", "--port", "1"]),
        (["--api-key=x"], ["--api-key=***"]),
        (["--max-num-batched-tokens", "8192"], ["--max-num-batched-tokens", "8192"]),
        (["--download", "https://u:p@h/x"], ["--download", "https://***@h/x"]),
    ],
)
def test_commands_are_shown_without_secrets(words: list[str], shown: list[str]) -> None:
    assert hide.command(words) == shown


def test_a_docker_run_is_read_up_to_its_file_of_variables() -> None:
    argv = ["/usr/bin/docker", "run", "--rm", "-v", "/a:/b:ro", "--volume=/c:/d", "--device=/dev/x", "--shm-size", "1g"]
    argv += ["--tmpfs", "/run", "-e", "A=b=c", "--env-file", "/etc/x.env", "-w", "/", "image", "-v", "no:mount"]
    found = compare.parse_run(argv, "/etc/x.env")
    assert found["mounts"] == {("/a", "/b", True), ("/c", "/d", False)}
    assert (found["devices"], found["shm_bytes"], found["variables"]) == ({"/dev/x"}, 1024**3, {"A": "b=c"})
    assert not found["opaque"]
    assert compare.parse_run([*argv[:3], "--mount", "type=bind", *argv[3:]], "/etc/x.env")["opaque"]


def test_everything_that_is_read_of_a_unit_is_in_the_modules_sample(machine: Machine) -> None:
    sample = yaml.safe_load(npu_info.RETURN)["node"]["contains"]["serving"]["sample"]
    found = machine.serving()
    assert set(found) == set(sample)
    assert set(found["units"][0]) == set(sample["units"][0])
    assert set(found["units"][0]["container"]) == set(sample["units"][0]["container"])


def test_a_host_without_a_unit_asks_nobody(tmp_path: Path) -> None:
    def run(argv: Any, **_more: Any) -> Completed:
        raise AssertionError(argv)

    reader = read.Reader(run=run, unit_dir=str(tmp_path), config_dir=str(tmp_path), drop_ins_in=())
    assert reader.read() == read.empty()


@pytest.mark.parametrize(
    ("found", "wanted_options", "same"),
    [
        (["no-new-privileges:true"], ["no-new-privileges"], True),
        (["label=disable"], [], True),
        (["seccomp={}"], ["seccomp=/etc/profile.json"], True),
        (["seccomp=unconfined"], ["seccomp=/etc/profile.json"], False),
        ([], ["label=disable"], False),
        (["apparmor=unconfined"], [], False),
    ],
)
def test_security_options_are_compared_in_one_spelling(found: list[str], wanted_options: list[str], same: bool) -> None:
    left, right = compare.security(found, wanted_options)
    assert (left == right) is same
