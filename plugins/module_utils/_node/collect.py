# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about one NPU server, read and joined. Nothing here changes anything, and nothing here raises.

``collect`` reads a ``Host`` (commands with a deadline, files below a root) and returns the node as plain data.
What cannot be read becomes an entry of ``problems`` or an ``error`` key beside the null it explains.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
import time
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from .._base import command
from .._host import containers as _containers
from .._host import docker
from .._npu import hardware, lspci, smi_commands, version_files
from .._npu import smi as _npu_smi

SUBSETS: tuple[str, ...] = ("npu", "board", "topology", "versions", "docker", "disk", "network", "systemd", "system")

DEFAULT_PATHS: tuple[str, ...] = ("/var/lib/ascend-fleet",)

# Kernel settings worth a look on a serving host, as files below /proc/sys.
SYSCTLS: tuple[str, ...] = (
    "fs.file-max",
    "kernel.numa_balancing",
    "kernel.pid_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
)

# Programs whose presence other steps rely on.
PROGRAMS: tuple[str, ...] = ("docker", "git", "git-lfs", "journalctl", "lspci", "npu-smi", "systemctl")

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - measured, never written to

_SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
_DAVINCI = re.compile(r"^davinci(\d+)$")
_LISTEN = "0A"


def subsets(wanted: Sequence[str]) -> set[str]:
    """The subsets that ``gather_subset`` asks for: names, ``all``, ``min`` (none), and ``!name`` to leave one out."""
    plain = {w for w in wanted if not w.startswith("!")}
    chosen = set(SUBSETS) if "all" in plain or not plain else plain & set(SUBSETS)
    return chosen - {w[1:] for w in wanted if w.startswith("!")}


class Host:
    """The machine that is read: its commands, each with a deadline, and its files below ``root``."""

    def __init__(
        self,
        root: str = "/",
        run: Callable[..., command.Completed] = command.run,
        timeout: float = 30.0,
    ) -> None:
        self.root = root
        self.timeout = timeout
        self._run = run
        self.problems: list[dict[str, str]] = []

    def problem(self, subject: str, message: str) -> None:
        """Note that something could not be read."""
        entry = {"subject": subject, "message": message}
        if entry not in self.problems:
            self.problems.append(entry)

    def path(self, path: str) -> str:
        """``path`` below the root."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def run(self, argv: Sequence[str], timeout: Optional[float] = None) -> command.Completed:
        """Run a command with the deadline; the driver's libraries can be found whatever shell this is."""
        libraries = ":".join(
            p
            for p in (
                os.environ.get("LD_LIBRARY_PATH", ""),
                hardware.DRIVER_PATH + "/lib64",
                hardware.DRIVER_PATH + "/lib64/common",
                hardware.DRIVER_PATH + "/lib64/driver",
            )
            if p
        )
        environment = {"LD_LIBRARY_PATH": libraries} if os.path.basename(argv[0]) == "npu-smi" else None
        return self._run(argv, timeout=timeout or self.timeout, env=environment)

    def read(self, path: str) -> Optional[str]:
        """A file's text; None when it cannot be read."""
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return None

    def read_noted(self, path: str) -> Optional[str]:
        """A file's text; that a present file cannot be read is a problem."""
        text = self.read(path)
        if text is None and os.path.lexists(self.path(path)):
            kind = "is a directory, not a file" if os.path.isdir(self.path(path)) else "cannot be read"
            self.problem(path, "%s %s" % (path, kind))
        return text

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when there is no such folder."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def kind(self, path: str) -> str:
        """``file``, ``directory``, ``other`` or ``missing``."""
        full = self.path(path)
        if os.path.isdir(full):
            return "directory"
        if os.path.isfile(full):
            return "file"
        return "other" if os.path.lexists(full) else "missing"

    def which(self, name: str) -> Optional[str]:
        """Where an executable program lies on the usual path."""
        for folder in dict.fromkeys([*_SEARCH, *os.environ.get("PATH", "").split(os.pathsep)]):
            full = self.path(os.path.join(folder, name))
            if folder and os.path.isfile(full) and os.access(full, os.X_OK):
                return os.path.join(folder, name)
        return None


def collect(
    host: Host,
    *,
    gather_subset: Sequence[str] = ("all",),
    paths: Sequence[str] = DEFAULT_PATHS,
    ports: Sequence[int] = (),
) -> dict[str, Any]:
    """Read ``host`` and return the node."""
    chosen = subsets(gather_subset)
    node = identity(host)

    smi = read_npu_smi(host, chosen) if "npu" in chosen else empty_npu_smi()
    node["npu_smi"] = smi["npu_smi"]
    node["device_nodes"] = read_device_nodes(host) if "npu" in chosen else []
    node["pci"] = read_pci(host) if "npu" in chosen else []
    node["versions"] = read_versions(host) if "versions" in chosen else empty_versions()
    node["docker"] = read_docker(host) if "docker" in chosen else empty_docker()
    scan = scan_processes(host, {c["id"] for c in node["docker"]["containers"]}) if "npu" in chosen else {}
    for container in node["docker"]["containers"]:
        container["pids"] = sorted(p for p, facts in scan.items() if facts["container_id"] == container["id"])
    node["processes"] = join_processes(smi["processes"], scan, node["docker"]["containers"])
    node["devices"] = join_devices(
        smi["devices"],
        chips=smi["chips"],
        topology=smi["topology"],
        boards=smi["boards"],
        health=smi["health"],
        device_nodes=node["device_nodes"],
        pci=node["pci"],
        processes=node["processes"],
        scan=scan,
        containers=node["docker"]["containers"],
    )
    indices = {(d["npu_id"], d["chip_id"]): d["index"] for d in node["devices"]}
    for process in node["processes"]:
        process["index"] = indices.get((process["npu_id"], process["chip_id"]))
    node["topology"] = smi["topology"]
    node["mounts"] = {p: host.kind(p) for p in hardware.MOUNT_SOURCES} if "versions" in chosen else {}

    wanted = list(dict.fromkeys(paths))
    root_dir = node["docker"]["root_dir"]
    node["disk"] = [read_disk(host, p) for p in wanted] if "disk" in chosen else []
    for disk in node["disk"]:
        disk["occupied_bytes"] = occupied_bytes(host, disk)
    if "disk" in chosen and root_dir:
        docker_disk = read_disk(host, root_dir)
        node["docker"]["root_free_bytes"] = docker_disk["free_bytes"]
        node["docker"]["root_total_bytes"] = docker_disk["total_bytes"]
        node["docker"]["root_filesystem"] = docker_disk["filesystem"]
        node["docker"]["root_mount"] = docker_disk["mount"]
    node["ports"] = read_ports(host, ports, scan, node["docker"]["containers"]) if "network" in chosen else []
    node["hccn"] = (
        read_hccn(host, [d["index"] for d in node["devices"] if d["index"] is not None])
        if "network" in chosen
        else {"present": False, "kind": None, "addresses": [], "links": []}
    )
    node["systemd"] = read_systemd(host) if "systemd" in chosen else {"state": None, "units": [], "error": None}
    node["memory"] = read_memory(host) if "system" in chosen else {"total_bytes": None, "available_bytes": None}
    shm = read_disk(host, SHARED_MEMORY) if "system" in chosen else {}
    node["shm"] = {"size_bytes": shm.get("total_bytes"), "free_bytes": shm.get("free_bytes")}
    node["tuning"] = read_tuning(host) if "system" in chosen else {}
    node["users"] = read_users(host) if "system" in chosen else {}
    node["programs"] = {name: host.which(name) for name in PROGRAMS} if "system" in chosen else {}
    node["gathered"] = sorted(chosen)
    node["problems"] = host.problems
    return node


# -- who the host is ------------------------------------------------------------------------------------------------


def identity(host: Host) -> dict[str, Any]:
    """Name, architecture, kernel, operating system."""
    uname = os.uname()
    release = parse_os_release(host.read("/etc/os-release") or host.read("/usr/lib/os-release") or "")
    boot = re.search(r"^btime (\d+)", host.read("/proc/stat") or "", re.MULTILINE)
    return {
        "hostname": uname.nodename,
        "architecture": uname.machine,
        "kernel": uname.release,
        "os": release,
        "python_version": "%d.%d.%d" % sys.version_info[:3],
        "effective_uid": os.geteuid(),
        "clock": int(time.time()),
        "boot_time": int(boot.group(1)) if boot else None,
        "virtualization": host.read("/run/systemd/container"),
    }


def parse_os_release(text: str) -> dict[str, Any]:
    """``/etc/os-release`` in four keys; ``like`` is a list."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")
    return {
        "id": values.get("ID"),
        "version_id": values.get("VERSION_ID"),
        "pretty_name": values.get("PRETTY_NAME"),
        "like": values.get("ID_LIKE", "").split(),
    }


# -- npu-smi --------------------------------------------------------------------------------------------------------


def empty_npu_smi() -> dict[str, Any]:
    """What ``read_npu_smi`` returns when nothing was asked."""
    return {
        "npu_smi": {
            "path": None,
            "exit_status": None,
            "timed_out": False,
            "error": None,
            "error_kind": None,
            "error_code": None,
            "error_meaning": None,
            "error_fix": None,
            "raw": "",
            "npu_smi_version": None,
            "driver_version": None,
            "warnings": [],
            "process_table": False,
            "directories": [],
        },
        "devices": [],
        "processes": [],
        "chips": [],
        "topology": None,
        "boards": {},
        "health": {},
    }


def read_npu_smi(host: Host, chosen: set[str]) -> dict[str, Any]:
    """Ask npu-smi for its table, the chip map, the topology, the boards' firmware and the faults of unhealthy chips."""
    found = empty_npu_smi()
    smi = found["npu_smi"]
    smi["directories"] = [p for p in hardware.NPU_SMI_PATHS if host.kind(p) == "directory"]
    smi["path"] = host.which("npu-smi")
    if smi["path"] is None:
        if smi["directories"]:
            smi.update(error="%s is a directory, not a program" % smi["directories"][0], error_kind="directory")
        else:
            smi.update(
                error="npu-smi is not installed (looked in %s)" % ", ".join(hardware.NPU_SMI_PATHS),
                error_kind="missing",
            )
        return found
    done = host.run([smi["path"], "info"])
    smi["exit_status"], smi["timed_out"] = done.exit_status, done.timed_out
    smi["raw"] = done.stdout or done.stderr
    if done.timed_out:
        smi.update(
            error="npu-smi info did not answer within %g s" % host.timeout,
            error_kind="hung",
            error_meaning="The driver or a card hangs, and every program that asks it hangs too.",
            error_fix="look for hung processes with `ps -eo pid,stat,wchan,args | grep ' D'` and for faults with "
            "`dmesg`, then reboot the host",
        )
        return found
    try:
        table = _npu_smi.parse_info(done.stdout)
    except _npu_smi.NpuSmiError as exc:
        if exc.kind == "tool":
            exc = _npu_smi.explain_error(done.stdout, done.stderr, done.exit_status)
        smi.update(
            error=exc.message,
            error_kind=exc.kind,
            error_code=exc.code,
            error_meaning=exc.meaning,
            error_fix=exc.fix,
        )
        return found
    for key in ("npu_smi_version", "driver_version", "warnings", "process_table"):
        smi[key] = table[key]
    found["devices"], found["processes"] = table["devices"], table["processes"]
    if done.exit_status:
        smi["warnings"] = [*smi["warnings"], "npu-smi info ended with status %s" % done.exit_status]
    _read_npu_smi_more(host, chosen, found)
    return found


def _read_npu_smi_more(host: Host, chosen: set[str], found: dict[str, Any]) -> None:
    path = found["npu_smi"]["path"]

    def ask(*words: str) -> Optional[str]:
        done = host.run([path, "info", *words])
        if not done.ok:
            host.problem("npu-smi info " + " ".join(words), done.describe())
            return None
        return str(done.stdout)

    def parsed(text: Optional[str], *words: str) -> Optional[dict[str, Any]]:
        if text is None:
            return None
        try:
            answer: dict[str, Any] = smi_commands.parse_command(text, "info " + " ".join(words))
            return answer
        except _npu_smi.NpuSmiError as exc:
            host.problem("npu-smi info " + " ".join(words), str(exc))
            return None

    answer = parsed(ask("-m"), "-m")
    found["chips"] = [c for c in (answer or {}).get("chips", []) if not c.get("mcu")]
    if "topology" in chosen:
        answer = parsed(ask("-t", "topo"), "-t", "topo")
        if answer:
            found["topology"] = {k: answer.get(k) for k in ("devices", "links", "cpu_affinity")}
    for npu in dict.fromkeys(d["npu_id"] for d in found["devices"]):
        if "board" not in chosen or any(p["message"].find("deadline") >= 0 for p in host.problems):
            break  # a tool that hangs once hangs again: do not wait for every card
        answer = parsed(ask("-t", "board", "-i", str(npu)), "-t", "board")
        if answer:
            found["boards"][npu] = merged_values(answer)
    for npu in dict.fromkeys(d["npu_id"] for d in found["devices"] if d["health"] != "OK"):
        if "board" not in chosen or any(p["message"].find("deadline") >= 0 for p in host.problems):
            break
        for device in (d for d in found["devices"] if d["npu_id"] == npu and d["health"] != "OK"):
            key = (npu, device["chip_id"])
            answer = parsed(ask("-t", "health", "-i", str(npu), "-c", str(key[1])), "-t", "health")
            if answer:
                found["health"][key] = merged_values(answer)


def merged_values(answer: Mapping[str, Any]) -> dict[str, str]:
    """The values of every block that is not the management controller's, first one wins."""
    values: dict[str, str] = {}
    for block in answer.get("blocks", []):
        if not block.get("mcu"):
            for key, value in (block.get("values") or {}).items():
                values.setdefault(key, value)
    return values


# -- devices --------------------------------------------------------------------------------------------------------


def read_device_nodes(host: Host) -> list[dict[str, Any]]:
    """The device nodes of the NPUs and of their managers, NPUs first and in order."""
    managers = {os.path.basename(p) for p in hardware.MANAGER_NODES}
    found = []
    for name in host.names("/dev"):
        match = _DAVINCI.match(name)
        if not match and name not in managers:
            continue
        try:
            status = os.stat(host.path("/dev/" + name))
        except OSError as exc:
            host.problem("/dev/" + name, "cannot be read: %s" % exc.strerror)
            continue
        found.append(
            {
                "path": "/dev/" + name,
                "name": name,
                "index": int(match.group(1)) if match else None,
                "is_char": stat.S_ISCHR(status.st_mode),
                "major": os.major(status.st_rdev) if stat.S_ISCHR(status.st_mode) else None,
                "minor": os.minor(status.st_rdev) if stat.S_ISCHR(status.st_mode) else None,
                "mode": "%04o" % stat.S_IMODE(status.st_mode),
                "owner": user_name(host, status.st_uid),
                "group": group_name(host, status.st_gid),
            }
        )
    return sorted(found, key=lambda n: (n["index"] is None, n["index"] or 0, n["name"]))


def user_name(host: Host, uid: int) -> str:
    """A user's name, or the number where it has none."""
    return _id_name(host.read("/etc/passwd"), uid)


def group_name(host: Host, gid: int) -> str:
    """A group's name, or the number where it has none."""
    return _id_name(host.read("/etc/group"), gid)


def _id_name(table: Optional[str], number: int) -> str:
    for line in (table or "").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(number):
            return fields[0]
    return str(number)


def read_pci(host: Host) -> list[dict[str, Any]]:
    """The Ascend processors on the PCI bus: from lspci where it exists, else from the kernel's tree."""
    functions: Optional[list[dict[str, Any]]] = None
    program = host.which("lspci")
    if program:
        done = host.run([program, "-D", "-n", "-d", hardware.VENDOR + ":"])
        if done.ok:
            functions = [dict(f) for f in lspci.parse_lspci(done.stdout)]
        else:
            host.problem("lspci", done.describe())
    if functions is None:
        functions = _pci_tree(host)
    found = []
    for function in functions:
        # The vendor makes network cards and disks too.
        if function["id"] not in hardware.PCI_IDS and function.get("class_id") != hardware.ACCELERATOR_CLASS:
            continue
        address = hardware.normal_address(function["address"])
        folder = "/sys/bus/pci/devices/%s" % address
        numa = (host.read(folder + "/numa_node") or "").strip()
        driver = host.path(folder + "/driver")
        found.append(
            {
                "address": address,
                "id": function["id"],
                "numa_node": int(numa) if numa.isdigit() else None,
                "driver": os.path.basename(os.path.realpath(driver)) if os.path.exists(driver) else None,
                "in_kernel": os.path.isdir(host.path(folder)),
            }
        )
    return sorted(found, key=lambda f: str(f["address"]))


def _pci_tree(host: Host) -> list[dict[str, Any]]:
    found = []
    for address in host.names("/sys/bus/pci/devices"):
        folder = "/sys/bus/pci/devices/%s/" % address
        vendor, device, kind = ((host.read(folder + n) or "").strip() for n in ("vendor", "device", "class"))
        if vendor == "0x" + hardware.VENDOR:
            found.append({"address": address, "id": "%s:%s" % (vendor[2:], device[2:]), "class_id": kind[2:6] or None})
    return found


def device_index(position: int, logic_id: Optional[int], phy_id: Optional[int], nodes: Sequence[int]) -> Optional[int]:
    """N of ``/dev/davinciN`` for a chip.

    The Phy-ID is N where the tool prints one. Else the chip's logic id, or its position in the table, counts the
    nodes in their order: some hosts start at 1, and with a chip missing the numbers have gaps.
    """
    if phy_id is not None:
        return phy_id
    ordinal = logic_id if logic_id is not None else position
    return nodes[ordinal] if nodes and nodes[0] != 0 and ordinal < len(nodes) else ordinal


def join_devices(
    devices: Sequence[Mapping[str, Any]],
    *,
    chips: Sequence[Mapping[str, Any]] = (),
    topology: Optional[Mapping[str, Any]] = None,
    boards: Optional[Mapping[int, Mapping[str, str]]] = None,
    health: Optional[Mapping[tuple[int, int], Mapping[str, str]]] = None,
    device_nodes: Sequence[Mapping[str, Any]] = (),
    pci: Sequence[Mapping[str, Any]] = (),
    processes: Sequence[Mapping[str, Any]] = (),
    scan: Optional[Mapping[int, Mapping[str, Any]]] = None,
    containers: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One record per chip: the tool's row with its node, its place in the machine and its holders."""
    mapped = {(c["npu_id"], c["chip_id"]): c for c in chips}
    present = sorted(n["index"] for n in device_nodes if n["index"] is not None)
    functions = {hardware.normal_address(f["address"]): f for f in pci}
    affinity = _affinities(topology, len(devices))
    joined = []
    for position, device in enumerate(devices):
        key = (device["npu_id"], device["chip_id"])
        chip = mapped.get(key, {})
        phy_id = device["phy_id"] if device["phy_id"] is not None else chip.get("phy_id")
        logic_id = chip.get("logic_id")
        if logic_id is None:
            logic_id = device.get("device_id")
        index = device_index(position, logic_id, phy_id, present)
        path = None if index is None else "/dev/davinci%d" % index
        function = functions.get(hardware.normal_address(device["bus_id"]), {})
        board = (boards or {}).get(key[0], {})
        detail = (health or {}).get(key, {})
        joined.append(
            dict(
                device,
                index=index,
                node=path,
                node_present=index in present,
                logic_id=logic_id,
                phy_id=phy_id,
                numa_node=function.get("numa_node"),
                pci_present=bool(function) if device["bus_id"] and pci else None,
                cpu_affinity=affinity[position],
                board_driver_version=board.get("Software Version"),
                board_firmware_version=board.get("Firmware Version"),
                product_name=board.get("Product Name"),
                serial_number=board.get("Serial Number"),
                error_codes=(detail.get("Error Code") or "").split(),
                error_information=detail.get("Error Information") or None,
                holders=holders(key, path, processes, scan or {}, containers),
            )
        )
    return joined


def _affinities(topology: Optional[Mapping[str, Any]], count: int) -> list[Optional[str]]:
    names = list((topology or {}).get("devices") or [])
    affinity = (topology or {}).get("cpu_affinity") or {}
    if len(names) != count:
        return [None] * count
    return [affinity.get(name) for name in names]


def holders(
    key: tuple[int, int],
    path: Optional[str],
    processes: Sequence[Mapping[str, Any]],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Who holds a chip, the best evidence first, each once.

    ``how``: ``npu-smi`` lists the process; ``open`` a process has the device node open; ``device`` the container was
    given the node; ``privileged`` the container could open any node.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    by_id = {c["id"]: c for c in containers}

    def add(holder: dict[str, Any]) -> None:
        # What holds is the container or the unit; a bare process is told apart by its number.
        identity = (holder["kind"], holder["name"] + (":%s" % holder["pid"] if holder["kind"] == "process" else ""))
        known = found.get(identity)
        if known is None:
            found[identity] = holder
        elif holder["memory_mb"] is not None:
            known["memory_mb"] = (known["memory_mb"] or 0) + holder["memory_mb"]

    for process in processes:
        if (process["npu_id"], process["chip_id"]) == key:
            add(_holder_of_process(process, process["memory_mb"], "npu-smi"))
    for pid in sorted(scan):
        facts = scan[pid]
        if path is not None and path in facts["device_nodes"]:
            described = describe_process(pid, facts["name"], facts, by_id)
            add(_holder_of_process(described, None, "open"))
    for container in containers:
        if container["state"] not in docker.LIVE_STATES:
            continue
        if path is not None and path in container["devices"]:
            add(_holder_of_container(container, "device"))
        elif container["privileged"]:
            add(_holder_of_container(container, "privileged"))
    return list(found.values())


def _holder_of_process(process: Mapping[str, Any], memory_mb: Optional[int], how: str) -> dict[str, Any]:
    container, unit = process["container"], process["unit"]
    kind = "container" if container else "unit" if unit else "process"
    return {
        "kind": kind,
        "name": container["name"] if container else unit if unit else process["name"],
        "pid": process["pid"],
        "process": process["name"],
        "image": container["image"] if container else None,
        "runtime": container["runtime"] if container else None,
        "managed": process["managed"],
        "memory_mb": memory_mb,
        "how": how,
    }


def _holder_of_container(container: Mapping[str, Any], how: str) -> dict[str, Any]:
    return {
        "kind": "container",
        "name": container["name"],
        "pid": container["pid"],
        "process": None,
        "image": container["image"],
        "runtime": "docker",
        "managed": container_is_managed(container),
        "memory_mb": None,
        "how": how,
    }


def container_is_managed(container: Mapping[str, Any]) -> bool:
    """Whether a container is one of ours."""
    return str((container.get("labels") or {}).get(docker.LABEL_MANAGED, "")).lower() == "true"


def unit_is_managed(unit: Optional[str]) -> bool:
    """Whether a systemd unit is one of ours."""
    return bool(unit) and str(unit).startswith("vllm-") and str(unit).endswith(".service")


# -- processes ------------------------------------------------------------------------------------------------------


def scan_processes(host: Host, container_ids: set[str]) -> dict[int, dict[str, Any]]:
    """What every process belongs to, which NPU nodes it has open, and which sockets."""
    own = set(_CONTAINER_ID.findall(host.read("/proc/1/cgroup") or ""))
    until = time.monotonic() + host.timeout
    found: dict[int, dict[str, Any]] = {}
    others: dict[str, dict[str, Optional[str]]] = {}  # containers that docker does not know, each looked up once
    for name in host.names("/proc"):
        if not name.isdigit():
            continue
        if time.monotonic() > until:
            host.problem("/proc", "the processes could not all be looked at within %g s" % host.timeout)
            break
        folder = "/proc/" + name
        cgroup = host.read(folder + "/cgroup")
        if cgroup is None:
            continue  # ended meanwhile
        container_id, unit = owner_of_cgroup(cgroup, container_ids, own)
        if container_id and container_id not in container_ids and container_id not in others:
            others[container_id] = _containers.describe(container_id, cgroup, host.read, host.names)
        nodes, sockets = _open_files(host, folder + "/fd")
        found[int(name)] = {
            "name": (host.read(folder + "/comm") or "").strip(),
            "container_id": container_id,
            "container": others.get(container_id or ""),
            "unit": unit,
            "device_nodes": nodes,
            "sockets": sockets,
        }
    return found


def _open_files(host: Host, folder: str) -> tuple[list[str], list[str]]:
    nodes: set[str] = set()
    sockets = []
    for descriptor in host.names(folder):
        try:
            target = os.readlink(host.path("%s/%s" % (folder, descriptor)))
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.append(target[8:-1])
        elif target.startswith("/dev/davinci") and _DAVINCI.match(os.path.basename(target)):
            nodes.add(target)
    return sorted(nodes), sockets


def owner_of_cgroup(text: str, container_ids: set[str], own: set[str]) -> tuple[Optional[str], Optional[str]]:
    """The container id and the systemd unit of a process, from its ``/proc/PID/cgroup``.

    The innermost id that docker knows is taken; else the innermost one that this host does not itself carry (where the
    host is a container, every process has the host's own id in its path).
    """
    container: Optional[str] = None
    unit: Optional[str] = None
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        ids = _CONTAINER_ID.findall(path)
        known = [i for i in ids if i in container_ids] or [i for i in ids if i not in own]
        if known and (container is None or known[-1] in container_ids):
            container = known[-1]
        for part in path.split("/"):
            if part.endswith(".service") and (line.startswith("0::") or ":name=systemd:" in line):
                unit = part
    return container, None if container else unit


def describe_process(
    pid: int, name: str, facts: Optional[Mapping[str, Any]], by_id: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A process with its container or its unit, and whether it is one of ours."""
    container: Optional[dict[str, Any]] = None
    unit = None
    managed = False
    if facts:
        name = name or facts["name"]
        unit = facts["unit"]
        if facts["container_id"]:
            known = by_id.get(facts["container_id"])
            other = facts.get("container") or {}
            container = {
                "id": facts["container_id"],
                "name": known["name"] if known else other.get("name") or facts["container_id"][:12],
                "image": known["image"] if known else other.get("image"),
                "runtime": "docker" if known else other.get("runtime"),
            }
            managed = container_is_managed(known) if known else False
            unit = (known or {}).get("labels", {}).get(docker.LABEL_UNIT) or None
        else:
            managed = unit_is_managed(unit)
    return {"pid": pid, "name": name, "container": container, "unit": unit, "managed": managed}


def join_processes(
    rows: Sequence[Mapping[str, Any]],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The rows of the tool's process table with what each process belongs to."""
    by_id = {c["id"]: c for c in containers}
    joined = []
    for row in rows:
        described = describe_process(row["pid"], row["name"], scan.get(row["pid"]), by_id)
        described.update(
            npu_id=row["npu_id"],
            chip_id=row["chip_id"],
            index=None,
            memory_mb=row["memory_mb"],
            container_pid=row.get("container_pid"),
            on_host=row["pid"] in scan,
        )
        joined.append(described)
    return joined


# -- versions -------------------------------------------------------------------------------------------------------


def empty_versions() -> dict[str, Any]:
    """What ``read_versions`` returns when nothing was asked."""
    return {"driver": None, "firmware": None, "cann": [], "install_info": None}


def read_versions(host: Host) -> dict[str, Any]:
    """The version files of driver, firmware and CANN."""
    found = empty_versions()
    text = host.read_noted("/etc/ascend_install.info")
    if text is not None:
        found["install_info"] = dict(version_files.parse_pairs(text))
    base = (found["install_info"] or {}).get("driver_install_path_param") or "/usr/local/Ascend"
    for part in ("driver", "firmware"):
        path = "%s/%s/version.info" % (base.rstrip("/"), part)
        text = host.read_noted(path)
        if text is not None:
            found[part] = dict(version_files.parse_version_info(text), path=path)
    seen: set[str] = set()
    for pattern in ("cann-*/*-linux", "cann/*-linux", "ascend-toolkit/*/*-linux", "ascend-toolkit/latest"):
        full = host.path("/usr/local/Ascend/%s/ascend_toolkit_install.info" % pattern)
        for path in sorted(glob.glob(full)):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            shown = real if host.root == "/" else "/" + os.path.relpath(real, os.path.realpath(host.root))
            info = version_files.parse_version_info(host.read(shown) or "")
            found["cann"].append(
                {
                    "version": info["version"],
                    "path": shown,
                    "architecture": info["arch"],
                    "innerversion": info["innerversion"],
                    "compatible_version": info["compatible_version"],
                }
            )
    return found


# -- docker ---------------------------------------------------------------------------------------------------------


def empty_docker() -> dict[str, Any]:
    """What ``read_docker`` returns when nothing was asked."""
    return dict(
        {"installed": False, "running": False, "error": None},
        **docker.empty_info(),
        root_free_bytes=None,
        root_total_bytes=None,
        root_filesystem=None,
        root_mount=None,
        containers=[],
        images=[],
    )


def read_docker(host: Host) -> dict[str, Any]:
    """The docker daemon, its containers and its images."""
    found = empty_docker()
    client = docker.Docker(timeout=host.timeout, run=host.run)
    try:
        found.update(client.info(), installed=True, running=True)
    except docker.DockerError as exc:
        found.update(installed=exc.installed, error=str(exc))
        return found
    try:
        found["containers"] = client.containers()
        found["images"] = client.images()
    except docker.DockerError as exc:
        found["error"] = str(exc)
        host.problem("docker", str(exc))
    return found


# -- disk, memory, network ------------------------------------------------------------------------------------------


def read_disk(host: Host, path: str) -> dict[str, Any]:
    """The file system that holds ``path``, or would hold it; ``occupied_bytes`` is what lies at ``path`` already."""
    found: dict[str, Any] = {
        "path": path,
        "exists": True,
        "mount": None,
        "filesystem": None,
        "total_bytes": None,
        "free_bytes": None,
        "occupied_bytes": None,
        "read_only": None,
    }
    asked = path
    while True:
        # A command with a deadline, because asking a dead network mount never returns.
        done = host.run(["df", "-P", "-T", "-B1", asked])
        rows = done.stdout.splitlines()
        if done.ok and len(rows) > 1:
            break
        if done.timed_out or asked in ("/", ""):
            host.problem(path, done.describe())
            return found
        found["exists"] = False
        asked = os.path.dirname(asked.rstrip("/")) or "/"
    fields = rows[-1].split()
    if len(fields) < 7 or not (fields[2].isdigit() and fields[4].isdigit()):
        host.problem(path, "the answer of df cannot be read: %s" % rows[-1])
        return found
    found.update(
        filesystem=fields[1], total_bytes=int(fields[2]), free_bytes=int(fields[4]), mount=" ".join(fields[6:])
    )
    found["read_only"] = mounted_read_only(host.read("/proc/self/mounts") or "", found["mount"])
    return found


def mounted_read_only(table: str, mount: str) -> Optional[bool]:
    """Whether the file system at ``mount`` is read-only, by the kernel's mount table; the last mount there counts."""
    result: Optional[bool] = None
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1].replace("\\040", " ") == mount:
            result = "ro" in fields[3].split(",")
    return result


def occupied_bytes(host: Host, disk: Mapping[str, Any]) -> Optional[int]:
    """How much already lies at the path of ``disk``; a file with several links counts once. None: not known in time."""
    if not disk["exists"]:
        return 0
    # Some sub-folder may be unreadable (status 1) and the sum still stands; a huge tree is given up at the deadline.
    done = host.run(["du", "-s", "-x", "-B1", disk["path"]], timeout=min(host.timeout, 10.0))
    words = done.stdout.split()
    return int(words[0]) if words and words[0].isdigit() and not done.timed_out else None


def read_ports(
    host: Host,
    ports: Sequence[int],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The TCP ports that are listened on (of ``ports``, or all when there are none), and by whom."""
    # Workers inherit their parent's sockets: the listener is the oldest, the one with the lowest number.
    sockets = {inode: pid for pid in sorted(scan, reverse=True) for inode in scan[pid]["sockets"]}
    by_id = {c["id"]: c for c in containers}
    published = {p: c for c in containers if c["state"] in docker.LIVE_STATES for p in c["published_ports"]}
    found: dict[tuple[int, Optional[int]], dict[str, Any]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for port, address, inode in parse_listeners(host.read(table) or ""):
            if ports and port not in ports:
                continue
            pid = sockets.get(inode)
            facts = scan.get(pid) if pid is not None else None
            described = describe_process(pid or 0, "", facts, by_id)
            container = described["container"]
            if container is None and port in published:
                container = {"name": published[port]["name"]}
                described["managed"] = container_is_managed(published[port])
            entry = {
                "port": port,
                "address": address,
                "pid": pid,
                "process": described["name"] or None,
                "container": container["name"] if container else None,
                "unit": described["unit"],
                "managed": described["managed"],
            }
            found.setdefault((port, pid), entry)
    return sorted(found.values(), key=lambda p: (p["port"], p["pid"] or 0))


def parse_listeners(text: str) -> list[tuple[int, str, str]]:
    """(port, address, inode) of every listening socket in ``/proc/net/tcp`` or ``tcp6``."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        address, _colon, port = fields[1].rpartition(":")
        try:
            found.append((int(port, 16), hex_address(address), fields[9]))
        except ValueError:
            continue
    return found


def hex_address(text: str) -> str:
    """An address as the kernel's socket tables print it (words in host order, little endian), made readable."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    octets = b"".join(words)
    if len(octets) == 4:
        return ".".join(str(o) for o in octets)
    if not any(octets):
        return "::"
    if octets[:12] == b"\0" * 10 + b"\xff\xff":
        return ".".join(str(o) for o in octets[12:])
    return ":".join("%x" % int.from_bytes(octets[i : i + 2], "big") for i in range(0, 16, 2))


def read_hccn(host: Host, indices: Sequence[int] = ()) -> dict[str, Any]:
    """The parameter network: whether its file is there, which chips have an address, and which links are up."""
    kind = host.kind("/etc/hccn.conf")
    text = host.read("/etc/hccn.conf") or ""
    addresses = {int(n): a for n, a in re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", text, re.MULTILINE)}
    tool = host.which("hccn_tool") or hardware.HCCN_TOOL
    links = []
    for index in indices if kind == "file" and host.kind(tool) == "file" else ():
        done = host.run([tool, "-i", str(index), "-link", "-g"], timeout=min(host.timeout, 10.0))
        status = re.search(r"link status:\s*(\w+)", done.stdout)
        if status:
            links.append({"index": index, "status": status.group(1).upper()})
        else:
            host.problem("hccn_tool", done.describe())
            break  # what one chip does not answer, the others do not either: one deadline is enough
    return {
        "present": kind == "file",
        "kind": kind,
        "addresses": [{"index": n, "address": addresses[n]} for n in sorted(addresses)],
        "links": links,
    }


def read_systemd(host: Host) -> dict[str, Any]:
    """The state of systemd and of our own units."""
    found: dict[str, Any] = {"state": None, "units": [], "error": None}
    state = host.run(["systemctl", "is-system-running"])
    found["state"] = state.stdout.strip() or None
    if state.timed_out or found["state"] in (None, "offline"):
        found["error"] = state.describe() if found["state"] is None else None
        return found
    properties = "--property=Id,LoadState,ActiveState,SubState,MainPID,NRestarts"
    shown = host.run(["systemctl", "show", "--all", properties, "vllm-*.service"])
    if not shown.ok:
        found["error"] = shown.describe()
        return found
    found["units"] = parse_units(shown.stdout)
    return found


def parse_units(text: str) -> list[dict[str, Any]]:
    """``systemctl show`` of several units: blocks of ``Key=value`` with a blank line between."""
    units = []
    for block in re.split(r"\n\s*\n", text.strip()):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not values.get("Id") or values.get("LoadState") == "not-found":
            continue
        units.append(
            {
                "name": values["Id"],
                "active": values.get("ActiveState"),
                "sub": values.get("SubState"),
                "main_pid": int(values.get("MainPID") or 0) or None,
                "restarts": int(values.get("NRestarts") or 0),
            }
        )
    return sorted(units, key=lambda u: u["name"])


def read_memory(host: Host) -> dict[str, Any]:
    """Main memory and swap."""
    text = host.read("/proc/meminfo") or ""
    values = {name: int(number) * 1024 for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    counts = {name: int(number) for name, number in re.findall(r"^(HugePages_\w+):\s+(\d+)\s*$", text, re.MULTILINE)}
    return {
        "total_bytes": values.get("MemTotal"),
        "available_bytes": values.get("MemAvailable"),
        "swap_total_bytes": values.get("SwapTotal"),
        "swap_free_bytes": values.get("SwapFree"),
        "hugepages": {
            "size_bytes": values.get("Hugepagesize"),
            "total": counts.get("HugePages_Total"),
            "free": counts.get("HugePages_Free"),
        },
    }


def read_tuning(host: Host) -> dict[str, Any]:
    """Kernel settings that matter to serving."""
    sysctl: dict[str, Any] = {}
    for name in SYSCTLS:
        text = host.read("/proc/sys/" + name.replace(".", "/"))
        if text is not None:
            words = text.split()
            sysctl[name] = int(words[0]) if len(words) == 1 and words[0].isdigit() else " ".join(words)
    huge = re.search(r"\[(\w+)\]", host.read("/sys/kernel/mm/transparent_hugepage/enabled") or "")
    selinux = (host.read("/sys/fs/selinux/enforce") or "").strip()
    governors = sorted(
        {
            (host.read("/sys/devices/system/cpu/%s/cpufreq/scaling_governor" % cpu) or "").strip()
            for cpu in host.names("/sys/devices/system/cpu")
            if re.match(r"^cpu\d+$", cpu)
        }
        - {""}
    )
    return {
        "sysctl": sysctl,
        "transparent_hugepage": huge.group(1) if huge else None,
        "cgroup_version": _cgroup_version(host),
        "selinux": {"1": "enforcing", "0": "permissive"}.get(selinux),
        "cpu_governors": governors,
        "kernel_command_line": (host.read("/proc/cmdline") or "").strip(),
        "processors": os.cpu_count(),
        "reboot_required": host.kind("/run/reboot-required") == "file",
    }


def _cgroup_version(host: Host) -> Optional[str]:
    """``2`` where the unified hierarchy is mounted, ``1`` where controllers are mounted one by one, else None."""
    if host.kind("/sys/fs/cgroup/cgroup.controllers") == "file":
        return "2"
    return "1" if host.kind("/sys/fs/cgroup/memory") == "directory" else None


def read_users(host: Host) -> dict[str, Any]:
    """The user and the group the driver's installer needs."""
    found: dict[str, Any] = {"HwHiAiUser": None}
    for line in (host.read("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] == "HwHiAiUser" and fields[2].isdigit() and fields[3].isdigit():
            found["HwHiAiUser"] = {
                "uid": int(fields[2]),
                "gid": int(fields[3]),
                "group": group_name(host, int(fields[3])),
            }
    return found


def image_has_tag(images: Iterable[Mapping[str, Any]], tag: str) -> bool:
    """Whether docker has an image of that tag."""
    return any(tag in i["tags"] for i in images)
