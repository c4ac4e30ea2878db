# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle holds: every source with its deadline and its limit, in the order of their worth."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Callable, Optional, Sequence

from .._host import by_hand, docker, systemd
from .._host.haproxy import ADMIN_SOCKET, DRAIN_RECORDS, STATE_FILE, Haproxy, HaproxyError
from .._node.host import Host
from .._npu.hardware import DRIVER_PATH, FIRMWARE_PATH, HCCN_TOOL
from .._serving import gateway_config, watchdog_program
from .._serving.deployed import UNIT_DIR
from . import redact
from .look import Look, Unit
from .take import HEAD, KIB, TAIL, Absent, Source, newest

#: Where signatures are looked for, and how.
START, FAILURE, RECENT, PLOG, KERNEL, HOST = "start", "failure", "recent", "plog", "kernel", "host"
STATE_DIR = "/var/lib/ascend-fleet"
MSNPUREPORT = DRIVER_PATH + "/tools/msnpureport"

_KERNEL_LINES = re.compile(
    r"davinci|devdrv|devmm|hisi|ascend|\bnpu\b|hccs|tsdrv|ts_agent|\bsvm\b|drv_\w+|AER|PCIe|out of memory|oom"
    r"|killed process|segfault|hung task|blocked for more|soft lockup|I/O error|EXT4-fs error|XFS.*(?:error|shut)"
    r"|Machine check|mce:|Hardware Error|seccomp|edac",
    re.IGNORECASE,
)
#: What is never taken, whatever the host has of it.
NEVER = (
    ("/etc/ascend-fleet/*.env", "the variables of replicas, among them their API keys"),
    ("/etc/ascend-fleet/gateway/keys.map, tls.pem", "keys of clients, and the gateway's private key"),
    ("/root/.docker/config.json, /root/.ssh, /etc/ssl/private", "logins and private keys"),
    ("`show errors` of HAProxy", "requests as clients sent them"),
    ("/var/lib/ascend-fleet/deployments", "configurations with their variables; the state names them"),
    ("questions, answers and pictures of clients", "an engine that logs requests has them in its journal: see there"),
    ("images, weights, core dumps", "they are large, and may hold anything; core dumps are listed"),
)

_SYSTEM: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("uname.txt", "kernel and architecture", ("uname", "-a")),
    ("uptime.txt", "how long it runs, and its load", ("uptime",)),
    ("processes.txt", "processes", ("ps", "-eo", "pid,ppid,stat,etime,rss,wchan:24,args", "--sort=-rss")),
    ("disks.txt", "file systems", ("df", "-hT")),
    ("inodes.txt", "file systems: inodes", ("df", "-i")),
    ("block_devices.txt", "disks", ("lsblk",)),
    ("memory.txt", "memory", ("free", "-m")),
    ("processors.txt", "processors", ("lscpu",)),
    ("addresses.txt", "network addresses", ("ip", "-brief", "address")),
    ("routes.txt", "routes", ("ip", "route")),
    ("listeners.txt", "listening ports", ("ss", "-ltnp")),
    ("modules.txt", "kernel modules", ("lsmod",)),
    ("clock.txt", "clock", ("timedatectl",)),
    ("journal_size.txt", "size of the journal", ("journalctl", "--disk-usage")),
    ("core_dumps.txt", "core dumps, as a list", ("coredumpctl", "--no-pager", "-n", "20", "list")),
    ("failed_units.txt", "units that have failed", systemd.question("--failed", "--no-pager", "--plain")),
)
_FILES: tuple[tuple[str, str, str], ...] = (
    ("system/os-release.txt", "operating system", "/etc/os-release"),
    ("system/cmdline.txt", "kernel command line", "/proc/cmdline"),
    ("system/meminfo.txt", "memory in detail", "/proc/meminfo"),
    ("system/core_pattern.txt", "where core dumps go", "/proc/sys/kernel/core_pattern"),
    ("system/journald.conf.txt", "limits of the journal", "/etc/systemd/journald.conf"),
    ("driver/driver_version.txt", "version of the driver", DRIVER_PATH + "/version.info"),
    ("driver/firmware_version.txt", "version of the firmware", FIRMWARE_PATH + "/version.info"),
    ("driver/install_info.txt", "installation of the driver", "/etc/ascend_install.info"),
    ("driver/hccn.conf.txt", "network of the chips", "/etc/hccn.conf"),
    ("docker/daemon.json.txt", "settings of docker", "/etc/docker/daemon.json"),
)
_CANN = (
    "/usr/local/Ascend/ascend-toolkit/latest/*-linux/ascend_toolkit_install.info",
    "/usr/local/Ascend/cann-*/*-linux/ascend_toolkit_install.info",
    "/usr/local/Ascend/cann/*-linux/ascend_toolkit_install.info",
)
# Of every NPU: what `npu-smi info -t` is asked for.
_NPU_KINDS = ("board", "health", "common", "usages", "memory", "temp", "power", "ecc", "product", "proc-mem", "volt")
_HCCN_OPTIONS = ("-link", "-net_health", "-ip", "-gateway", "-tls", "-stat", "-link_stat", "-optical", "-lldp")


def every(host: Host, look: Look) -> list[Source]:
    """Every source of a host. The first ones tell most: when the time is over, what follows is left out."""
    found = _npu_table(look)
    for unit in look.units:
        found += _unit(unit)
    found += _kernel() + _state(host) + _gateway(host)
    found += _system() + _docker(look)
    for unit in look.units:
        found += _plog(host, unit) + _engine(unit) + _stacks(host, look, unit)
    found += _other_plog(host) + _evidence(host)
    found += _hccn(look) + _npus(look)
    return found


# - chips -


def _npu_table(look: Look) -> list[Source]:
    table = look.npu_smi
    if table is None:
        return [Source("npu-smi/info.txt", "npu-smi info", reason=look.npu_smi_problem, signs=HOST)]
    return [Source("npu-smi/info.txt", "npu-smi info", ask=lambda: table, signs=HOST)]


def _npus(look: Look) -> list[Source]:
    hangs = look.npu_smi_problem if "did not end" in look.npu_smi_problem else ""
    commands: list[tuple[str, tuple[str, ...]]] = [("list", ("-l",)), ("map", ("-m",)), ("topology", ("-t", "topo"))]
    npus = sorted({int(chip["npu_id"]) for chip in look.chips}) or look.indices[:16]
    for npu in npus:
        commands += [("npu%d_%s" % (npu, kind), ("-t", kind, "-i", str(npu))) for kind in _NPU_KINDS]
    return [
        Source(
            "npu-smi/%s.txt" % name,
            "npu-smi info " + " ".join(words),
            argv=("npu-smi", "info", *words),
            reason="npu-smi hangs: %s" % hangs if hangs else "",
            group="npu-smi",
            limit=64 * KIB,
        )
        for name, words in commands
    ]


def _hccn(look: Look) -> list[Source]:
    return [
        Source(
            "hccn/chip%d_%s.txt" % (index, option[1:]),
            "hccn_tool -i %d %s -g" % (index, option),
            argv=(HCCN_TOOL, "-i", str(index), option, "-g"),
            seconds=10,
            group="hccn_tool",
            limit=64 * KIB,
        )
        for index in look.indices
        for option in _HCCN_OPTIONS
    ]


def _kernel() -> list[Source]:
    journal = ("journalctl", "--quiet", "--no-pager", "--output=short-iso", "--dmesg")
    return [
        Source(
            "kernel/driver.txt",
            "kernel: driver, memory, PCIe, disks",
            argv=("dmesg", "--ctime"),
            limit=512 * KIB,
            keep=TAIL,
            only=_KERNEL_LINES,
            signs=KERNEL,
        ),
        Source("kernel/last.txt", "kernel: last lines", argv=("dmesg", "--ctime"), limit=128 * KIB, keep=TAIL),
        Source(
            "kernel/boot_before.txt",
            "kernel: driver, memory, PCIe, disks, in the boot before",
            argv=(*journal, "--boot=-1", "--lines=20000"),
            limit=256 * KIB,
            keep=TAIL,
            only=_KERNEL_LINES,
            accepts=(0, 1),
        ),
    ]


# - replicas -


def _unit(unit: Unit) -> list[Source]:
    folder = "replicas/%s" % unit.short
    journal = ("journalctl", "--quiet", "--no-pager", "--output=short-iso")

    def of_run(run: str) -> tuple[str, ...]:
        return ("_SYSTEMD_INVOCATION_ID=%s" % run, "+", "INVOCATION_ID=%s" % run)

    def one(name: str, title: str, run: str, missing: str, keep: str, signs: str) -> Source:
        about = ("%s/%s" % (folder, name), "%s: %s" % (unit.short, title))
        if not run:
            return Source(*about, reason=missing)
        # What ran for days may have gigabytes: journalctl itself finds the last lines at once.
        last = ("--lines=8000",) if keep == TAIL else ()
        argv = (*journal, *last, *of_run(run))
        return Source(*about, argv=argv, seconds=60, limit=KIB * KIB, keep=keep, signs=signs, unit=unit.name)

    return [
        one("failure.txt", "journal of its last failure", unit.failure, "it has not failed", TAIL, FAILURE),
        one(
            "start.txt", "journal of its last start", unit.invocation, "it was not started since the boot", HEAD, START
        ),
        Source(
            "%s/recent.txt" % folder,
            "%s: last lines of its journal" % unit.short,
            argv=(*journal, "--lines=3000", "--unit=%s" % unit.name),
            seconds=60,
            limit=768 * KIB,
            keep=TAIL,
            signs=RECENT,
            unit=unit.name,
        ),
        Source("%s/unit.txt" % folder, "%s: unit" % unit.short, argv=systemd.question("cat", "--no-pager", unit.name)),
        Source(
            "%s/systemd.txt" % folder, "%s: state" % unit.short, argv=systemd.question("show", "--no-pager", unit.name)
        ),
    ]


def _engine(unit: Unit) -> list[Source]:
    """What a running engine answers, without a question to the model."""
    port = unit.about.get("port")
    if port is None or unit.state.get("ActiveState") != "active":
        return []

    def asking(path: str) -> Callable[[], str]:
        def ask() -> str:
            status, text = watchdog_program.ask(int(port), path, 10)
            return "GET %s: HTTP %d\n%s" % (path, status, text) if status else _raise("GET %s: %s" % (path, text))

        return ask

    return [
        Source("replicas/%s/%s.txt" % (unit.short, name), "%s: %s" % (unit.short, path), ask=asking(path), seconds=15)
        for name, path in (("health", "/health"), ("version", "/version"), ("metrics", "/metrics"))
    ]


def _plog(host: Host, unit: Unit) -> list[Source]:
    folder = str(unit.about.get("directory") or "")
    target = "replicas/%s/plog" % unit.short
    title = "%s: CANN's log" % unit.short
    if not folder:
        return [Source(target, title, reason="the unit names no folder")]
    sizes = ("replicas/%s/sizes.txt" % unit.short, "%s: sizes of its folders" % unit.short)
    return [*_logs(host, folder + "/log", target, title, unit.name, 12), Source(*sizes, ask=_sizes(host, folder))]


def _other_plog(host: Host) -> list[Source]:
    """Logs of engines that were started by hand, and of the chips themselves."""
    found: list[Source] = []
    for folder, name in (("/root/ascend/log", "plog_of_root"), ("/var/log/npu", "chips")):
        if host.kind(folder) == "directory":
            found += _logs(host, folder, "logs/%s" % name, "CANN's log in %s" % folder, "", 6)
    return found


def _logs(host: Host, folder: str, target: str, title: str, unit: str, count: int) -> list[Source]:
    paths = []
    for parent, _folders, names in os.walk(host.path(folder), followlinks=False):
        paths += [os.path.join(parent, name) for name in names if name.endswith((".log", ".txt", ".gz"))]
        if len(paths) > 20000:
            break
    if not paths:
        return [Source(target, title, reason="there is none in %s" % folder)]
    below = host.path(folder)
    found = []
    for path in newest(paths, count):
        inner = os.path.relpath(path, below)
        found.append(
            Source(
                "%s/%s.txt" % (target, inner.replace(os.sep, "_").lstrip(".")),
                "%s: %s" % (title, inner),
                path=os.path.join(folder, inner),
                folder=folder,
                limit=256 * KIB,
                keep=TAIL,
                signs=PLOG,
                unit=unit,
            )
        )
    left = len(paths) - len(found)
    return found + ([Source(target, title, reason="%d older files of %s" % (left, folder))] if left > 0 else [])


def _sizes(host: Host, folder: str) -> Callable[[], str]:
    def ask() -> str:
        sizes: dict[str, int] = {}
        base = host.path(folder)
        for count, (parent, _folders, names) in enumerate(os.walk(base, followlinks=False)):
            top = "/".join(os.path.relpath(parent, base).split(os.sep)[:2])
            for name in names:
                try:
                    sizes[top] = sizes.get(top, 0) + os.lstat(os.path.join(parent, name)).st_size
                except OSError:
                    continue
            if count > 20000:
                sizes["(there are more folders)"] = 0
                break
        return "".join("%12d  %s/%s\n" % (size, folder, top) for top, size in sorted(sizes.items()))

    return ask


def _stacks(host: Host, look: Look, unit: Unit) -> list[Source]:
    """Where the processes of an engine stand: by py-spy of the host or of the image, and what the kernel says."""
    found = []
    container = str(unit.about.get("container_name") or "")
    for pid in unit.pids[:24]:
        about = ("replicas/%s/stacks/%d.txt" % (unit.short, pid), "%s: stacks of process %d" % (unit.short, pid))
        if host.which("py-spy"):
            argv: tuple[str, ...] = ("py-spy", "dump", "--pid", str(pid))
        else:
            argv = docker.question("exec", container, "py-spy", "dump", "--pid", str(_inner_pid(host, pid) or pid))
        found.append(Source(*about, argv=argv, seconds=20, group="py-spy %s" % unit.short, limit=128 * KIB))
        found.append(
            Source(about[0].replace(".txt", "_kernel.txt"), about[1] + ", kernel", ask=_kernel_stack(host, pid))
        )
    if not unit.pids:
        found.append(
            Source("replicas/%s/stacks" % unit.short, "%s: stacks" % unit.short, reason="docker told of no processes")
        )
    return found


def _inner_pid(host: Host, pid: int) -> Optional[int]:
    match = re.search(r"^NSpid:.*\s(\d+)$", host.read("/proc/%d/status" % pid) or "", re.MULTILINE)
    return int(match.group(1)) if match else None


def _kernel_stack(host: Host, pid: int) -> Callable[[], str]:
    def ask() -> str:
        status = host.read("/proc/%d/status" % pid)
        if status is None:
            raise Absent("the process has ended")
        state = [line for line in status.splitlines() if line.startswith(("Name", "State", "Threads", "VmRSS"))]
        parts = [
            *state,
            "wchan: %s" % (host.read("/proc/%d/wchan" % pid) or "?"),
            host.read("/proc/%d/stack" % pid) or "",
        ]
        return "\n".join(parts) + "\n"

    return ask


# - the rest -


def _system() -> list[Source]:
    found = [
        Source(
            "system/" + name, title, argv=argv, accepts=(0, 1) if argv[0] == "coredumpctl" else (0,), limit=512 * KIB
        )
        for name, title, argv in _SYSTEM
    ]
    found += [Source(name, title, path=path, limit=64 * KIB) for name, title, path in _FILES]
    for number, pattern in enumerate(_CANN):
        for path in sorted(glob.glob(pattern))[:4]:
            name = "driver/cann_%d_%s.txt" % (number, path.split("/")[-2])
            found.append(Source(name, "CANN on the host: %s" % path, path=path, limit=16 * KIB))
    ours = ("vllm-*", "ascend-fleet*")
    found.append(
        Source(
            "system/units.txt", "our units", argv=systemd.question("list-units", "--all", "--no-pager", "--full", *ours)
        )
    )
    found.append(Source("system/timers.txt", "timers", argv=systemd.question("list-timers", "--all", "--no-pager")))
    return found


def _docker(look: Look) -> list[Source]:
    journal = ("journalctl", "--quiet", "--no-pager", "--output=short-iso", "--unit=docker.service", "--lines=400")
    containers = look.containers
    unread = ["docker did not say: %s" % p["message"] for p in look.problems if p["subject"] == "docker"]
    found = [
        Source("docker/version.txt", "version of docker", argv=docker.question("version")),
        Source("docker/info.txt", "docker info", argv=docker.question("info"), signs=HOST),
        Source("docker/containers.txt", "containers", argv=docker.question("ps", "--all", "--no-trunc")),
        Source("docker/images.txt", "images", argv=docker.question("image", "ls", "--no-trunc")),
        Source("docker/journal.txt", "journal of docker", argv=journal, keep=TAIL, signs=HOST),
        Source(
            "docker/inspect.json",
            "docker inspect, without environments",
            reason="".join(unread),
            ask=lambda: json.dumps(redact.without_environment(containers), indent=1, ensure_ascii=False) + "\n",
            limit=KIB * KIB,
        ),
    ]
    for name in by_hand.serving_others(containers)[:4]:
        argv = docker.question("logs", "--timestamps", "--tail", "3000", name)
        found.append(
            Source(
                "docker/logs_%s.txt" % re.sub(r"[^A-Za-z0-9_.-]", "_", name),
                "log of the container %s, which is not of this collection" % name,
                argv=argv,
                seconds=60,
                limit=768 * KIB,
                keep=TAIL,
                signs=FAILURE,
                unit="container %s" % name,
            )
        )
    return found


def _gateway(host: Host) -> list[Source]:
    socket_path = host.path(ADMIN_SOCKET)
    if not os.path.exists(socket_path) and host.kind(gateway_config.PLACES.config) != "file":
        return [Source("gateway", "gateway", reason="there is none on this host")]

    def asking(words: str) -> Callable[[], str]:
        def ask() -> str:
            try:
                return Haproxy(socket_path).ask(words)
            except HaproxyError as exc:
                return _raise(str(exc))

        return ask

    journal = ("journalctl", "--quiet", "--no-pager", "--output=short-iso", "--unit=ascend-fleet-gateway.service")
    found = [
        Source("gateway/%s.txt" % words.replace(" ", "_"), "HAProxy: %s" % words, ask=asking(words), limit=512 * KIB)
        for words in ("show info", "show servers state", "show stat", "show activity")
    ]
    found += [
        Source("gateway/haproxy.cfg", "HAProxy: configuration", path=gateway_config.PLACES.config, limit=512 * KIB),
        Source("gateway/servers.state.txt", "HAProxy: state on disk", path=STATE_FILE),
        Source("gateway/drains.json", "who is drained by whom", ask=_json_file(host, DRAIN_RECORDS)),
        Source(
            "gateway/journal.txt", "journal of the gateway", argv=(*journal, "--lines=2000"), keep=TAIL, limit=768 * KIB
        ),
        Source("gateway/unit.txt", "unit", argv=systemd.question("cat", "--no-pager", "ascend-fleet-gateway.service")),
    ]
    return found


def _state(host: Host) -> list[Source]:
    names = (
        ("state/state.json", "what is recorded of changes", STATE_DIR + "/state.json"),
        ("state/lease.json", "who holds the fleet", STATE_DIR + "/lease.json"),
        ("state/watchdog.json", "what the watchdog has seen", watchdog_program.STATE),
        ("state/watchdog_out.json", "what the watchdog has taken out", watchdog_program.OUT),
        ("state/watchdog_restarts.json", "what the watchdog has restarted", watchdog_program.RECORD),
    )
    found = [Source(name, title, ask=_json_file(host, path), limit=512 * KIB) for name, title, path in names]
    pattern = os.path.join(glob.escape(host.path(UNIT_DIR)), "ascend-fleet*")
    for path in sorted(glob.glob(pattern))[:12]:
        name = os.path.basename(path)
        if os.path.isfile(path):
            found.append(Source("state/units/%s.txt" % name, name, path="%s/%s" % (UNIT_DIR, name), limit=64 * KIB))
    return found


def _evidence(host: Host) -> list[Source]:
    """What the watchdog has saved of engines that stalled: the newest folders."""
    folder = watchdog_program.EVIDENCE
    names = sorted(host.names(folder), key=lambda entry: entry.rpartition("-")[2])
    if not names:
        return [Source("evidence", "evidence of the watchdog", reason="there is none")]
    found = []
    for name in names[-3:]:
        for part in host.names("%s/%s" % (folder, name)):
            target, path = "evidence/%s/%s" % (name, part), "%s/%s/%s" % (folder, name, part)
            found.append(Source(target, "evidence %s: %s" % (name, part), path=path, folder=folder, keep=TAIL))
    if len(names) > 3:
        found.append(Source("evidence", "evidence of the watchdog", reason="%d older folders" % (len(names) - 3)))
    return found


def _json_file(host: Host, path: str) -> Callable[[], str]:
    """A file of one long line, in lines that can be read and cut."""

    def ask() -> str:
        if not os.path.lexists(host.path(path)):
            raise Absent("there is no file %s" % path)
        text = host.read(path)
        if text is None:
            return _raise("%s cannot be read" % path)
        try:
            return json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        except ValueError:
            return text

    return ask


def _raise(words: str) -> str:
    raise OSError(words)


def names_of(sources: Sequence[Source]) -> list[str]:
    """Their names, for a run that collects nothing."""
    return [source.name for source in sources]
