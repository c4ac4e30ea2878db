# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, measured against a release: a catalogue of checks over the data of ``npu_info``.

Each check is a function that yields what it found; its ``Check`` says what it is about and how it is mended. A check
never reads anything itself, and says nothing about parts of the node that were not gathered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence

from .._base.versions import Version, compare
from .._host import containers
from .._host import docker as _docker
from .._npu import hardware as _hardware
from .._npu import slots, version_files
from .._release import compatibility

ERROR = "error"
WARNING = "warning"

GIB = 1024**3

# The first part of an id is the area; the order is that of the report.
AREAS: dict[str, str] = {
    "SYS": "system",
    "DRV": "driver",
    "CANN": "CANN",
    "DEV": "devices",
    "NPU": "NPUs",
    "DKR": "docker",
    "DSK": "disk",
    "NET": "network",
}

# Older ones are still found on Kylin V10 and openEuler 20.03; the engine's `docker run` line was never tried on them.
MIN_DOCKER = "20.10"
MIN_PYTHON = "3.9"
# Below this the host's memory cannot take the weights of the model through the page cache while the engine starts.
DEFAULT_MEMORY_BYTES = 64 * GIB
MAX_TEMPERATURE_CELSIUS = 90
MIN_PLAUSIBLE_CLOCK = 1735689600  # 2025-01-01: a clock before this makes every certificate invalid


@dataclass(frozen=True)
class Found:
    """What a check found: the state, the need, and what to do where it differs from the catalogue's advice."""

    found: str
    needed: str
    fix: Optional[str] = None


@dataclass(frozen=True)
class Facts:
    """Everything that a check may look at."""

    node: Mapping[str, Any]
    release: Mapping[str, Any]
    generation: Optional[str] = None
    ports: Sequence[int] = ()
    required_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    require_host_cann: bool = False
    table: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)

    def install(self, *names: str) -> str:
        """How what has these names is installed on the host's operating system."""
        known = self.system.get("packages") or {}
        wanted = [p for name in names for p in known.get(name, [name])]
        how = self.system.get("install") or "install the packages"
        text = "%s %s" % (how, " ".join(wanted))
        return text if how.startswith("install") else "`%s`" % text

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The chips of the table."""
        return list(self.node.get("devices") or [])

    @property
    def davinci(self) -> list[dict[str, Any]]:
        """The device nodes of the chips."""
        return [n for n in self.node.get("device_nodes") or [] if n["index"] is not None]

    @property
    def smi(self) -> Mapping[str, Any]:
        """What became of npu-smi."""
        return self.node.get("npu_smi") or {}

    @property
    def docker(self) -> Mapping[str, Any]:
        """The docker daemon."""
        return self.node.get("docker") or {}

    @property
    def hardware(self) -> Optional[Mapping[str, Any]]:
        """What the generation consists of."""
        found: Optional[Mapping[str, Any]] = _hardware.GENERATIONS.get(self.generation or "")
        return found

    @property
    def cann(self) -> str:
        """The CANN version that the release's image carries."""
        return str((self.release.get("cann") or {}).get("version") or "")

    @property
    def images(self) -> list[Mapping[str, Any]]:
        """The release's images for this host's generation and architecture."""
        return [
            i
            for i in self.release.get("images") or []
            if (self.generation is None or i.get("generation") == self.generation)
            and i.get("architecture") in ("any", None, self.node.get("architecture"))
        ]

    @property
    def has_driver(self) -> bool:
        """Whether a driver is installed, as far as is known; without one its consequences are not worth a word."""
        return bool(self.version("driver")) or "versions" not in (self.node.get("gathered") or [])

    def version(self, part: str) -> Mapping[str, Any]:
        """The version file of ``driver`` or ``firmware``."""
        return (self.node.get("versions") or {}).get(part) or {}

    def tuning(self, sysctl: str) -> Any:
        """A kernel setting, None where the kernel has none."""
        return ((self.node.get("tuning") or {}).get("sysctl") or {}).get(sysctl)


CheckFunction = Callable[[Facts], Iterable[Found]]


@dataclass(frozen=True)
class Check:
    """An entry of the catalogue."""

    id: str
    severity: str
    title: str
    what: str
    fix: str
    needs: tuple[str, ...]
    function: CheckFunction

    @property
    def area(self) -> str:
        """The column of the report."""
        return AREAS[self.id.split("-", 1)[0]]


CATALOGUE: dict[str, Check] = {}


def check(
    identity: str, severity: str, title: str, *, what: str, fix: str, needs: Sequence[str] = ()
) -> Callable[[CheckFunction], CheckFunction]:
    """Put a function into the catalogue."""

    def register(function: CheckFunction) -> CheckFunction:
        if identity in CATALOGUE:
            raise ValueError("%s stands twice in the catalogue" % identity)
        CATALOGUE[identity] = Check(identity, severity, title, what, fix, tuple(needs), function)
        return function

    return register


def service_ports(release: Mapping[str, Any], generation: Optional[str], replicas: Optional[int] = None) -> list[int]:
    """The ports that a host's replicas listen on: one each from the release's port on, as many replicas as fit."""
    serve = release.get("serve") or {}
    options = serve.get("options") or {}
    if not serve.get("port"):
        return []
    chips = int(_hardware.GENERATIONS.get(generation or "", {}).get("chips", 0))
    per_replica = int(options.get("tensor-parallel-size") or 1) * int(options.get("data-parallel-size") or 1)
    count = replicas if replicas is not None else chips // max(1, per_replica)
    return [int(serve["port"]) + n for n in range(max(1, count))]


def findings(
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    *,
    generation: Optional[str] = None,
    ignore: Sequence[str] = (),
    ports: Optional[Sequence[int]] = None,
    replicas: Optional[int] = None,
    required_bytes: Optional[Mapping[str, int]] = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    require_host_cann: bool = False,
    table: Optional[Mapping[str, Any]] = None,
    system: Optional[Mapping[str, Any]] = None,
) -> list[dict[str, Any]]:
    """Everything that is wrong with ``node``, errors first, each with ``id``, ``severity``, ``message`` and ``fix``.

    generation: what the inventory says the host is; without it the PCI bus tells.
    ignore: ids that are accepted on purpose; they are returned with ``ignored`` set.
    ports: TCP ports that the service will listen on; by default those of the release's replicas.
    replicas: how many replicas there will be; by default as many as fit.
    required_bytes: free space needed, by path; the key ``docker`` stands for docker's own folder.
    table: the compatibility table.
    system: what is known of the host's operating system, ``packages`` and ``install``.
    """
    unknown = sorted(set(ignore) - set(CATALOGUE))
    if unknown:
        raise ValueError(
            "cannot ignore %s: no such finding; the ids stand in docs/findings.md, from %s to %s"
            % (", ".join(unknown), min(CATALOGUE), max(CATALOGUE))
        )
    if generation and generation not in _hardware.GENERATIONS:
        raise ValueError("the generation is `%s`; known are %s" % (generation, ", ".join(_hardware.GENERATIONS)))
    generation = generation or _hardware.generation_of_pci(list(node.get("pci") or []))
    facts = Facts(
        node=node,
        release=release,
        generation=generation,
        ports=tuple(service_ports(release, generation, replicas) if ports is None else ports),
        required_bytes=dict(required_bytes or {}),
        memory_bytes=memory_bytes,
        require_host_cann=require_host_cann,
        table=table or {},
        system=system or {},
    )
    gathered = set(node.get("gathered") or [])
    result = []
    for entry in CATALOGUE.values():
        if not set(entry.needs) <= gathered:
            continue
        for found in _apply(entry, facts):
            result.append(
                {
                    "id": entry.id,
                    "severity": entry.severity,
                    "area": entry.area,
                    "title": entry.title,
                    "message": "%s: found %s; needed %s" % (entry.title, found.found, found.needed),
                    "found": found.found,
                    "needed": found.needed,
                    "fix": found.fix or entry.fix,
                    "ignored": entry.id in ignore,
                }
            )
    return sorted(result, key=lambda f: (f["ignored"], f["severity"] != ERROR))


def _apply(entry: Check, facts: Facts) -> list[Found]:
    try:
        return list(entry.function(facts))
    except Exception as exc:  # one check that stumbles over strange data must not hide what the others find
        found = "that the check itself failed, unchecked (%s: %s)" % (type(exc).__name__, exc)
        return [
            Found(
                found, "data that the check understands", "report this as a bug of the collection, with the node's data"
            )
        ]


def catalogue() -> list[dict[str, str]]:
    """The catalogue as data, in its order."""
    return [
        {"id": c.id, "severity": c.severity, "area": c.area, "title": c.title, "what": c.what, "fix": c.fix}
        for c in CATALOGUE.values()
    ]


def same(left: Any, right: Any) -> bool:
    """Whether two versions are one release, whatever their spelling and build number."""
    one, two = Version.parse(left), Version.parse(right)
    return str(left) == str(right) if one is None or two is None else one.same_release(two)


# -- words ----------------------------------------------------------------------------------------------------------


def numbers(values: Iterable[int]) -> str:
    """``0-3,5`` of 0, 1, 2, 3, 5."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ",".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts)


def cards(devices: Iterable[Mapping[str, Any]]) -> str:
    """Chips by their device nodes, ``davinci0-3``; by NPU and chip where a chip has none."""
    listed = list(devices)
    known = [d["index"] for d in listed if d["index"] is not None]
    words = ["davinci" + numbers(known)] if known else []
    words += ["NPU %s chip %s" % (d["npu_id"], d["chip_id"]) for d in listed if d["index"] is None]
    return ", ".join(words)


def gib(size: Optional[int]) -> str:
    """A size in GiB, rounded so that hosts alike read alike."""
    if size is None:
        return "an unknown size"
    return "%.0f GiB" % (size / GIB) if size >= 10 * GIB else "%.0f MiB" % (size / 1024**2)


def holder_words(holder: Mapping[str, Any]) -> str:
    """A holder with all that helps to find it."""
    if holder["kind"] == "container":
        runtime = holder.get("runtime") or "docker"
        return "%scontainer `%s`%s" % (
            "" if runtime == "docker" else runtime + " ",
            holder["name"],
            " (image %s)" % holder["image"] if holder["image"] else "",
        )
    if holder["kind"] == "unit":
        return "systemd unit `%s`" % holder["name"]
    return "process %s%s" % (holder["pid"], " (%s)" % holder["name"] if holder["name"] else "")


def by_holder(
    devices: Iterable[Mapping[str, Any]], wanted: Callable[[Mapping[str, Any]], bool]
) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]], int]]:
    """Foreign holders with the chips they hold and their memory in MB, one entry per holder."""
    groups: dict[str, tuple[Mapping[str, Any], list[Mapping[str, Any]], list[int]]] = {}
    for device in devices:
        for holder in device["holders"]:
            if not holder["managed"] and wanted(holder):
                entry = groups.setdefault(holder_words(holder), (holder, [], []))
                entry[1].append(device)
                entry[2].append(holder["memory_mb"] or 0)
    return [(holder, held, sum(memory)) for holder, held, memory in groups.values()]


def holds(device: Mapping[str, Any]) -> bool:
    """Whether somebody is known to hold a chip, other than by being able to."""
    return any(h["how"] != "privileged" or h["managed"] for h in device["holders"])


# -- system ---------------------------------------------------------------------------------------------------------


@check(
    "SYS-001",
    ERROR,
    "Not root",
    what="Without root the holders of the cards, other users' processes and docker cannot be seen.",
    fix="set `become: true` (or ansible_user: root) for the host",
)
def _not_root(f: Facts) -> Iterator[Found]:
    uid = f.node.get("effective_uid")
    if uid not in (0, None):
        yield Found("user id %s" % uid, "user id 0")


@check(
    "SYS-002",
    ERROR,
    "No image for this host in the release",
    what="The release must have an image for the host's generation and architecture.",
    fix="add an image for it to the release, or take the host out of this group",
)
def _no_image(f: Facts) -> Iterator[Found]:
    images = f.release.get("images") or []
    if images and not f.images:
        have = sorted({"%s/%s" % (i.get("generation"), i.get("architecture")) for i in images})
        yield Found(
            "images for %s" % ", ".join(have), "one for %s/%s" % (f.generation or "?", f.node.get("architecture"))
        )


@check(
    "SYS-003",
    ERROR,
    "Python is too old",
    what="The collection's modules run on the host's Python 3.9 or later.",
    fix="install a newer Python on the host and set ansible_python_interpreter to it",
)
def _python(f: Facts) -> Iterator[Found]:
    version = f.node.get("python_version")
    if version and compare(version, MIN_PYTHON) < 0:
        yield Found("Python %s" % version, "%s or later" % MIN_PYTHON)


@check(
    "SYS-004",
    WARNING,
    "Programs are missing",
    what="Artifacts are fetched with git and git-lfs on the host. The role model_artifacts installs them where "
    "the host has a source of packages.",
    fix="install the packages git and git-lfs",
    needs=("system",),
)
def _programs(f: Facts) -> Iterator[Found]:
    programs = f.node.get("programs") or {}
    missing = [p for p in ("git", "git-lfs") if p in programs and not programs[p]]
    if missing:
        yield Found("no %s" % ", no ".join(missing), "git and git-lfs", f.install(*missing))


@check(
    "SYS-005",
    ERROR,
    "systemd does not run",
    what="Every replica is a systemd unit.",
    fix="boot the host with systemd; in a container, use one that has systemd as its first process",
    needs=("systemd",),
)
def _no_systemd(f: Facts) -> Iterator[Found]:
    systemd = f.node.get("systemd") or {}
    if systemd.get("state") in (None, "offline", "unknown"):
        yield Found("state `%s`%s" % (systemd.get("state"), _because(systemd)), "a running systemd")


def _because(part: Mapping[str, Any]) -> str:
    return " (%s)" % part["error"] if part.get("error") else ""


@check(
    "SYS-006",
    WARNING,
    "systemd is not ready",
    what="A host that is starting, stopping or in maintenance is about to change under us.",
    fix="`systemctl list-jobs` and wait; leave maintenance with `systemctl default`",
    needs=("systemd",),
)
def _systemd_state(f: Facts) -> Iterator[Found]:
    state = (f.node.get("systemd") or {}).get("state")
    if state in ("initializing", "starting", "maintenance", "stopping"):
        yield Found("state `%s`" % state, "`running` or `degraded`")


@check(
    "SYS-007",
    WARNING,
    "A unit of ours has failed",
    what="A serving unit that has used up its restarts stays down.",
    fix="read `journalctl -u UNIT -n 200`, then `systemctl reset-failed UNIT` and run site.yml",
    needs=("systemd",),
)
def _failed_units(f: Facts) -> Iterator[Found]:
    failed = [u["name"] for u in (f.node.get("systemd") or {}).get("units") or [] if u.get("active") == "failed"]
    if failed:
        yield Found(
            "%s failed" % ", ".join(failed),
            "active or stopped units",
            "read `journalctl -u {0} -n 200`, then `systemctl reset-failed {0}` and run site.yml".format(failed[0]),
        )


@check(
    "SYS-008",
    WARNING,
    "Little memory",
    what="Loading the weights and the engine's workers need main memory; too little ends in the kernel's OOM killer.",
    fix="stop what uses the memory, or set npu_preflight_memory_gib to what your model needs",
    needs=("system",),
)
def _memory(f: Facts) -> Iterator[Found]:
    total = (f.node.get("memory") or {}).get("total_bytes")
    if total is not None and total < f.memory_bytes:
        yield Found("%s of memory" % gib(total), "%s" % gib(f.memory_bytes))


@check(
    "SYS-009",
    WARNING,
    "The clock is wrong",
    what="With a clock in the past every certificate is invalid and downloads fail.",
    fix="`timedatectl set-ntp true`, or `chronyc makestep`",
)
def _clock(f: Facts) -> Iterator[Found]:
    clock = f.node.get("clock")
    if clock is not None and clock < MIN_PLAUSIBLE_CLOCK:
        yield Found("a clock before 2025", "the present time")


@check(
    "SYS-010",
    WARNING,
    "A reboot is asked for",
    what="The operating system's package manager asks for a reboot.",
    fix="reboot the host while it serves nothing",
    needs=("system",),
)
def _reboot_required(f: Facts) -> Iterator[Found]:
    if (f.node.get("tuning") or {}).get("reboot_required"):
        yield Found("/run/reboot-required", "a host that runs what is installed")


@check(
    "SYS-011",
    WARNING,
    "Automatic NUMA balancing is on",
    what="The kernel moves pages between NUMA nodes under the engine's bound workers, which costs throughput.",
    fix="`sysctl -w kernel.numa_balancing=0`, and the same line in /etc/sysctl.d/",
    needs=("system",),
)
def _numa_balancing(f: Facts) -> Iterator[Found]:
    value = f.tuning("kernel.numa_balancing")
    if isinstance(value, int) and value != 0:
        yield Found("kernel.numa_balancing = %s" % value, "0")


@check(
    "SYS-012",
    WARNING,
    "The kernel swaps eagerly",
    what="With swap on, a high swappiness pushes the engine's memory out while the weights stream through the "
    "page cache.",
    fix="`sysctl -w vm.swappiness=10` (0 to 10), or `swapoff -a`",
    needs=("system",),
)
def _swappiness(f: Facts) -> Iterator[Found]:
    value = f.tuning("vm.swappiness")
    if isinstance(value, int) and value > 60 and (f.node.get("memory") or {}).get("swap_total_bytes"):
        yield Found("vm.swappiness = %s with swap on" % value, "60 or less")


@check(
    "SYS-013",
    WARNING,
    "Processors do not run at full speed",
    what="A power-saving governor slows the engine's scheduler, which feeds the cards.",
    fix="`cpupower frequency-set -g performance`",
    needs=("system",),
)
def _governor(f: Facts) -> Iterator[Found]:
    slow = [g for g in (f.node.get("tuning") or {}).get("cpu_governors") or [] if g in ("powersave", "conservative")]
    if slow:
        yield Found("the governor `%s`" % ", ".join(slow), "`performance` or `schedutil`")


@check(
    "SYS-014",
    WARNING,
    "Few process numbers",
    what="Each engine starts thousands of threads; when the numbers run out, starting fails with `can't start "
    "new thread`.",
    fix="`sysctl -w kernel.pid_max=4194304`, and the same line in /etc/sysctl.d/",
    needs=("system",),
)
def _pid_max(f: Facts) -> Iterator[Found]:
    value = f.tuning("kernel.pid_max")
    if isinstance(value, int) and value < 32768:
        yield Found("kernel.pid_max = %s" % value, "32768 or more, better 4194304")


@check(
    "SYS-015",
    WARNING,
    "Memory is not overcommitted",
    what="With vm.overcommit_memory=2 the engine's large virtual mappings are refused although memory is free.",
    fix="`sysctl -w vm.overcommit_memory=0`, and the same line in /etc/sysctl.d/",
    needs=("system",),
)
def _overcommit(f: Facts) -> Iterator[Found]:
    if f.tuning("vm.overcommit_memory") == 2:
        yield Found("vm.overcommit_memory = 2", "0 or 1")


@check(
    "SYS-016",
    WARNING,
    "Something could not be read",
    what="A part of the node is unknown, therefore unchecked.",
    fix="run the command that is quoted, on the host, as root",
)
def _problems(f: Facts) -> Iterator[Found]:
    for problem in f.node.get("problems") or []:
        yield Found("%s: %s" % (problem["subject"], problem["message"]), "an answer")


# -- driver and firmware --------------------------------------------------------------------------------------------


@check(
    "DRV-001",
    ERROR,
    "The driver is not installed",
    what="The driver's version file is missing.",
    fix="install the driver package (`--full --install-for-all`), then the firmware package, then reboot",
    needs=("versions",),
)
def _driver_missing(f: Facts) -> Iterator[Found]:
    if not f.version("driver"):
        yield Found("no %s/version.info" % _hardware.DRIVER_PATH, "driver %s" % _wanted(f, "driver"))


def _wanted(f: Facts, part: str) -> str:
    section = f.release.get(part) or {}
    return str(section.get("version") or section.get("package_version") or "of any version")


@check(
    "DRV-002",
    ERROR,
    "The driver's version cannot be read",
    what="The version file is there and names no version: an installation broke off, or the file was edited.",
    fix="install the driver package again (`--upgrade`), then reboot",
    needs=("versions",),
)
def _driver_unreadable(f: Facts) -> Iterator[Found]:
    driver = f.version("driver")
    if driver and not driver.get("version"):
        yield Found("%s without a version" % driver.get("path"), "a line `Version=%s`" % _wanted(f, "driver"))


def _driver_level(f: Facts) -> tuple[Optional[str], str]:
    """The driver's version where it is not the release's own, with its level towards the release's CANN."""
    version = f.version("driver").get("version")
    wanted = (f.release.get("driver") or {}).get("version")
    if not version or not f.cann or (wanted and same(version, wanted)):
        return None, ""
    return version, compatibility.driver_level(f.table, f.cann, version)


@check(
    "DRV-003",
    ERROR,
    "The driver does not go with the release's CANN",
    what="This driver is known not to work with the CANN in the image (507033, E39011, TsdOpen failed at start).",
    fix="upgrade firmware, then driver, to the release's version, and reboot (playbooks/driver.yml)",
    needs=("versions",),
)
def _driver_incompatible(f: Facts) -> Iterator[Found]:
    version, level = _driver_level(f)
    if version and level == compatibility.INCOMPATIBLE:
        yield Found(
            "driver %s, incompatible with CANN %s" % (version, f.cann),
            "%s%s" % (_wanted(f, "driver"), _also(f)),
            "upgrade the firmware, then the driver, to %s, and reboot" % _wanted(f, "driver"),
        )


def _also(f: Facts) -> str:
    known = compatibility.drivers_for(f.table, f.cann)
    return " (or, for CANN %s: %s)" % (f.cann, ", ".join(known)) if known else ""


@check(
    "DRV-004",
    WARNING,
    "The driver is not the release's, but compatible",
    what="Another driver than the release pins, which the vendor lists for the CANN in the image.",
    fix="nothing needs to be done; to have the tested combination, install the release's driver",
    needs=("versions",),
)
def _driver_compatible(f: Facts) -> Iterator[Found]:
    version, level = _driver_level(f)
    if version and level in (compatibility.PAIRED, compatibility.COMPATIBLE):
        yield Found("driver %s, %s with CANN %s" % (version, level, f.cann), "%s" % _wanted(f, "driver"))


@check(
    "DRV-005",
    WARNING,
    "It is not known whether the driver goes with the release's CANN",
    what="Another driver than the release pins, and the compatibility table does not know it.",
    fix="install the release's driver, or look into the release note of the CANN version",
    needs=("versions",),
)
def _driver_unknown(f: Facts) -> Iterator[Found]:
    version, level = _driver_level(f)
    if version and level == compatibility.UNKNOWN:
        yield Found("driver %s, not listed for CANN %s" % (version, f.cann), "%s%s" % (_wanted(f, "driver"), _also(f)))


@check(
    "DRV-006",
    ERROR,
    "The running driver is not the installed one",
    what="The driver was installed or upgraded and the host has not been rebooted: cards answer -8005 or "
    "-8020 sooner or later.",
    fix="reboot the host",
    needs=("npu", "versions"),
)
def _driver_live(f: Facts) -> Iterator[Found]:
    installed = f.version("driver").get("version")
    running = f.smi.get("driver_version")
    if installed and running and _readable(running) and not same(installed, running):
        yield Found("driver %s running, %s installed" % (running, installed), "the same of both")


def _readable(version: Any) -> bool:
    return Version.parse(version) is not None


@check(
    "DRV-007",
    WARNING,
    "npu-smi is not the driver's",
    what="The tool's own version differs from the driver's: an older copy stands first on the path.",
    fix="compare `which -a npu-smi`; remove the copy that does not belong to the driver",
    needs=("npu",),
)
def _tool_version(f: Facts) -> Iterator[Found]:
    tool, driver = f.smi.get("npu_smi_version"), f.smi.get("driver_version")
    if tool and driver and _readable(tool) and _readable(driver) and not same(tool, driver):
        yield Found("npu-smi %s with driver %s" % (tool, driver), "the same version")


@check(
    "DRV-008",
    WARNING,
    "The firmware is not installed",
    what="The firmware's version file is missing: what runs on the cards is whatever was flashed before.",
    fix="install the firmware package of the driver's version, then reboot",
    needs=("versions",),
)
def _firmware_missing(f: Facts) -> Iterator[Found]:
    if f.version("driver") and not f.version("firmware"):
        yield Found("no %s/version.info" % _hardware.FIRMWARE_PATH, "firmware package %s" % _wanted(f, "firmware"))


@check(
    "DRV-009",
    WARNING,
    "The firmware package is not the release's",
    what="The firmware's package version (not its own 7.x number) differs from the release's.",
    fix="upgrade the firmware package to the release's version, then the driver, and reboot",
    needs=("versions",),
)
def _firmware_package(f: Facts) -> Iterator[Found]:
    firmware = f.version("firmware")
    package = firmware.get("package_version")
    wanted = (f.release.get("firmware") or {}).get("package_version")
    if package and wanted and not same(package, wanted) and not _firmware_is_out(f):
        yield Found("firmware package %s (firmware %s)" % (package, firmware.get("version")), "package %s" % wanted)


def _firmware_is_out(f: Facts) -> bool:
    package = f.version("firmware").get("package_version")
    return bool(package) and compatibility.driver_level(f.table, f.cann, str(package)) == compatibility.INCOMPATIBLE


@check(
    "DRV-010",
    ERROR,
    "Driver and firmware do not go together",
    what="The firmware's version lies outside of what the driver accepts (compatible_version_fw).",
    fix="install driver and firmware packages of one version: upgrade the firmware first, then the driver, and reboot",
    needs=("versions",),
)
def _firmware_range(f: Facts) -> Iterator[Found]:
    ranges = f.version("driver").get("compatible_version_fw") or []
    version = f.version("firmware").get("version")
    if ranges and version and not version_files.in_ranges(version, ranges):
        yield Found(
            "firmware %s with driver %s" % (version, f.version("driver").get("version")),
            "firmware from %s" % " or ".join("%s to %s" % tuple(r) for r in ranges),
        )


@check(
    "DRV-011",
    WARNING,
    "The cards do not run one firmware",
    what="After a firmware upgrade some cards still run the old one, or a card was exchanged.",
    fix="reboot (power-cycle) the host; if it stays, install the firmware package again",
    needs=("npu", "board"),
)
def _firmware_mixed(f: Facts) -> Iterator[Found]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for device in f.devices:
        if device.get("board_firmware_version"):
            groups.setdefault(str(device["board_firmware_version"]), []).append(device)
    if len(groups) > 1:
        yield Found(", ".join("%s on %s" % (v, cards(groups[v])) for v in sorted(groups)), "one version on all cards")


@check(
    "DRV-012",
    WARNING,
    "The running firmware is not the installed one",
    what="The firmware package was installed and the cards have not been restarted since.",
    fix="reboot (power-cycle) the host",
    needs=("npu", "board", "versions"),
)
def _firmware_live(f: Facts) -> Iterator[Found]:
    installed = f.version("firmware").get("version")
    running = sorted({str(d["board_firmware_version"]) for d in f.devices if d.get("board_firmware_version")})
    if installed and len(running) == 1 and not same(installed, running[0]):
        yield Found("firmware %s running, %s installed" % (running[0], installed), "the same of both")


@check(
    "DRV-013",
    WARNING,
    "The driver's user is missing",
    what="The driver belongs to the user and group HwHiAiUser; its installer and some tools need them.",
    fix="`groupadd HwHiAiUser && useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash`",
    needs=("system",),
)
def _user_missing(f: Facts) -> Iterator[Found]:
    users = f.node.get("users") or {}
    if "HwHiAiUser" in users and not users["HwHiAiUser"]:
        yield Found("no user HwHiAiUser", "the user and the group HwHiAiUser")


@check(
    "DRV-014",
    WARNING,
    "The driver is not completely installed",
    what="npu-smi itself says that files of the driver package are missing.",
    fix="install the driver package again (`--upgrade`), then reboot",
    needs=("npu",),
)
def _driver_incomplete(f: Facts) -> Iterator[Found]:
    for warning in f.smi.get("warnings") or []:
        if "may not be completely installed" in warning:
            yield Found("npu-smi's warning that it may not be", "a complete driver package")
            return


@check(
    "DRV-015",
    ERROR,
    "The firmware does not go with the release's CANN",
    what="Driver and firmware packages are released together; this version is known not to work with the CANN.",
    fix="upgrade the firmware, then the driver, to the release's version, and reboot",
    needs=("versions",),
)
def _firmware_incompatible(f: Facts) -> Iterator[Found]:
    firmware = f.version("firmware")
    if f.cann and _firmware_is_out(f):
        yield Found(
            "firmware package %s (firmware %s), incompatible with CANN %s"
            % (firmware.get("package_version"), firmware.get("version"), f.cann),
            "package %s" % _wanted(f, "firmware"),
        )


@check(
    "DRV-016",
    WARNING,
    "The firmware does not list the driver",
    what="Advice of the host's own files: the driver is of another version than the firmware and not among those in "
    "the firmware's compatible_version_drv. A firmware can only list drivers that existed when it was made.",
    fix="install driver and firmware packages of one version: upgrade the firmware first, then the driver, and reboot",
    needs=("versions",),
)
def _firmware_lists_driver(f: Facts) -> Iterator[Found]:
    yield from _advice(f, "firmware_driver")


def _advice(f: Facts, pair: str) -> Iterator[Found]:
    for entry in compatibility.advice(f.node.get("versions") or {}):
        if entry["pair"] == pair:
            yield Found(entry["found"], entry["needed"])


# -- CANN -----------------------------------------------------------------------------------------------------------


@check(
    "CANN-001",
    ERROR,
    "The host has no CANN of the release's version",
    what="Only where npu_preflight_require_host_cann is set: serving itself uses the image's CANN.",
    fix="install the CANN toolkit of the release's version, or set npu_preflight_require_host_cann: false",
    needs=("versions",),
)
def _host_cann(f: Facts) -> Iterator[Found]:
    installed = [c["version"] for c in (f.node.get("versions") or {}).get("cann") or [] if c.get("version")]
    if f.require_host_cann and f.cann and not any(same(v, f.cann) for v in installed):
        yield Found("CANN %s" % ", ".join(installed) if installed else "no CANN", "CANN %s" % f.cann)


@check(
    "CANN-002",
    WARNING,
    "The release's vllm-ascend was built for another CANN",
    what="The released images of this vllm-ascend carry another CANN than the release names.",
    fix="correct cann.version or components.vllm_ascend in the release",
)
def _vllm_ascend_cann(f: Facts) -> Iterator[Found]:
    for image in f.images:
        version = (image.get("components") or {}).get("vllm_ascend")
        wanted = compatibility.cann_for(f.table, str(version)) if version else None
        if wanted and f.cann and not same(wanted, f.cann):
            yield Found("vllm-ascend %s with CANN %s" % (version, f.cann), "CANN %s for it" % wanted)
            return


@check(
    "CANN-003",
    ERROR,
    "The release's own driver and CANN do not go together",
    what="The release pins a driver that is known not to work with its CANN.",
    fix="correct driver.version or cann.version in the release",
)
def _release_pair(f: Facts) -> Iterator[Found]:
    wanted = (f.release.get("driver") or {}).get("version")
    if wanted and f.cann:
        level = compatibility.driver_level(f.table, f.cann, str(wanted))
        if level == compatibility.INCOMPATIBLE:
            known = compatibility.drivers_for(f.table, f.cann)
            yield Found("driver %s with CANN %s" % (wanted, f.cann), ", or ".join(known) or "another driver")


@check(
    "CANN-004",
    WARNING,
    "The host's own CANN and its driver do not know each other",
    what="Advice of the host's own files: neither lists the other's inner version in compatible_version. Serving uses "
    "the image's CANN; programs that run on the host itself are concerned.",
    fix="install a CANN and a driver that were released together, or remove the host's CANN if nothing uses it",
    needs=("versions",),
)
def _host_cann_advice(f: Facts) -> Iterator[Found]:
    yield from _advice(f, "cann_driver")


# -- devices --------------------------------------------------------------------------------------------------------


@check(
    "DEV-001",
    ERROR,
    "No Ascend processor on the PCI bus",
    what="The host has no NPU, or none of them came up at power-on.",
    fix="check the group of the host in the inventory; look into the server's BMC for the NPU boards",
    needs=("npu",),
)
def _no_pci(f: Facts) -> Iterator[Found]:
    if not f.node.get("pci"):
        yield Found("no PCI function of vendor %s" % _hardware.VENDOR, _expected_pci(f))


def _expected_pci(f: Facts) -> str:
    if f.hardware:
        return "%d × %s (%s)" % (f.hardware["chips"], f.hardware["pci_id"], f.hardware["title"])
    return "Ascend processors"


@check(
    "DEV-002",
    ERROR,
    "The host is of another generation",
    what="What stands on the PCI bus is not what the inventory's group says.",
    fix="move the host to the group of its generation (atlas_a2, atlas_a3)",
    needs=("npu",),
)
def _generation(f: Facts) -> Iterator[Found]:
    ids = sorted({p["id"] for p in f.node.get("pci") or []})
    if f.hardware and ids and f.hardware["pci_id"] not in ids:
        found = ", ".join("%s (%s)" % (i, _hardware.PCI_IDS.get(i, "unknown")) for i in ids)
        yield Found(found, "%s (%s)" % (f.hardware["pci_id"], f.hardware["title"]))


@check(
    "DEV-003",
    ERROR,
    "A card is missing on the PCI bus",
    what="Fewer PCI functions than the server has chips: a card dropped off the bus.",
    fix="power-cycle the host from its BMC; if it stays, have the NPU board checked",
    needs=("npu",),
)
def _pci_count(f: Facts) -> Iterator[Found]:
    pci = [p for p in f.node.get("pci") or [] if f.hardware and p["id"] == f.hardware["pci_id"]]
    if f.hardware and pci and len(pci) != f.hardware["chips"]:
        yield Found("%d functions %s" % (len(pci), f.hardware["pci_id"]), "%d" % f.hardware["chips"])


@check(
    "DEV-004",
    ERROR,
    "npu-smi does not show every chip",
    what="Fewer chips in npu-smi's table than the server has; an A3 NPU counts as two.",
    fix="look for the missing one with `npu-smi info -l`, `lspci -d 19e5:` and dmesg; reboot, else "
    "power-cycle the host",
    needs=("npu",),
)
def _chip_count(f: Facts) -> Iterator[Found]:
    if f.hardware and f.devices and len(f.devices) != f.hardware["chips"]:
        yield Found("%d chips" % len(f.devices), "%d (%s)" % (f.hardware["chips"], f.hardware["title"]))


@check(
    "DEV-005",
    ERROR,
    "A device node is missing",
    what="npu-smi shows a chip whose /dev/davinciN does not exist: no container can be given it.",
    fix="`systemctl restart systemd-udevd && udevadm trigger`; if it stays missing, reboot the host",
    needs=("npu",),
)
def _node_missing(f: Facts) -> Iterator[Found]:
    missing = [d for d in f.devices if d["index"] is not None and not d["node_present"]]
    if missing:
        yield Found("no %s" % _paths(missing), "one device node per chip (%d)" % len(f.devices))
    elif f.hardware and not f.devices and f.has_driver and len(f.davinci) < f.hardware["chips"]:
        # npu-smi cannot say which chips there are; the generation can.
        there = {n["index"] for n in f.davinci}
        absent = [n for n in range(int(f.hardware["chips"])) if n not in there]
        yield Found("no /dev/davinci%s" % numbers(absent), "one device node per chip (%d)" % f.hardware["chips"])


def _paths(devices: Iterable[Mapping[str, Any]]) -> str:
    return "/dev/davinci" + numbers(d["index"] for d in devices)


@check(
    "DEV-006",
    WARNING,
    "A device node has no chip",
    what="A /dev/davinciN for which npu-smi shows no chip: the chip is lost or being split (vNPU).",
    fix="compare `npu-smi info` with `ls /dev/davinci*`; reboot the host",
    needs=("npu",),
)
def _node_surplus(f: Facts) -> Iterator[Found]:
    known = {d["index"] for d in f.devices}
    surplus = [n["index"] for n in f.davinci if n["index"] not in known]
    if f.devices and surplus:
        yield Found("/dev/davinci%s without a chip" % numbers(surplus), "as many nodes as chips (%d)" % len(f.devices))


@check(
    "DEV-007",
    ERROR,
    "A manager node is missing",
    what="Without the driver's three manager nodes no container reaches any card.",
    fix="`lsmod | grep drv_`; load the driver with a reboot, or install it again",
    needs=("npu",),
)
def _managers(f: Facts) -> Iterator[Found]:
    there = {n["path"] for n in f.node.get("device_nodes") or []}
    missing = [p for p in _hardware.MANAGER_NODES if p not in there]
    if missing and f.has_driver:
        yield Found("no %s" % ", no ".join(missing), "%s" % ", ".join(_hardware.MANAGER_NODES))


@check(
    "DEV-008",
    ERROR,
    "A device node is not a device",
    what="A file or folder stands where a character device should be, made by a wrong mount or copy.",
    fix="stop the containers that mount it, remove it, and `udevadm trigger` or reboot",
    needs=("npu",),
)
def _not_char(f: Facts) -> Iterator[Found]:
    wrong = [n["path"] for n in f.node.get("device_nodes") or [] if not n["is_char"]]
    if wrong:
        yield Found("%s" % ", ".join(wrong), "character devices", "`rm -rf %s && udevadm trigger`" % " ".join(wrong))


@check(
    "DEV-009",
    WARNING,
    "A device node cannot be read and written by its owner",
    what="Someone changed the permissions of the device nodes.",
    fix="`chmod 0660` and `chown HwHiAiUser:HwHiAiUser` the nodes; `udevadm trigger` restores the driver's rules",
    needs=("npu",),
)
def _node_mode(f: Facts) -> Iterator[Found]:
    wrong = [n for n in f.node.get("device_nodes") or [] if n["is_char"] and int(n["mode"], 8) & 0o600 != 0o600]
    if wrong:
        yield Found(", ".join("%s with mode %s" % (n["path"], n["mode"]) for n in wrong), "mode 0660")


@check(
    "DEV-010",
    ERROR,
    "A processor has no driver",
    what="The kernel shows the PCI function, and no driver has taken it.",
    fix="`lsmod | grep drv_`, `dmesg | grep -i devdrv`; install the driver for the running kernel, or reboot",
    needs=("npu",),
)
def _unbound(f: Facts) -> Iterator[Found]:
    unbound = [p["address"] for p in f.node.get("pci") or [] if p.get("in_kernel") and not p["driver"]]
    if unbound:
        yield Found("%s without a driver" % ", ".join(unbound), "the Ascend driver on each")


@check(
    "DEV-011",
    ERROR,
    "Chips share a device node",
    what="Several chips carry the same Phy-ID: the host splits its NPUs (vNPU), which serving does not support.",
    fix="`npu-smi info -t info-vnpu -i N`; destroy the virtual NPUs with `npu-smi set -t destroy-vnpu …`",
    needs=("npu",),
)
def _shared_index(f: Facts) -> Iterator[Found]:
    indices = [d["index"] for d in f.devices if d["index"] is not None]
    shared = sorted({i for i in indices if indices.count(i) > 1})
    if shared:
        yield Found("several chips on /dev/davinci%s" % numbers(shared), "one node per chip")


@check(
    "DEV-012",
    WARNING,
    "npu-smi and the PCI bus disagree",
    what="npu-smi shows a chip at a PCI address where the bus has none.",
    fix="compare the Bus-Id column of `npu-smi info` with `lspci -D -d 19e5:`; reboot the host",
    needs=("npu",),
)
def _pci_mismatch(f: Facts) -> Iterator[Found]:
    lost = [d for d in f.devices if d.get("pci_present") is False]
    if lost:
        yield Found(
            ", ".join("%s at %s" % (cards([d]), str(d["bus_id"]).lower()) for d in lost),
            "a PCI function at each chip's address",
        )


# -- NPUs -----------------------------------------------------------------------------------------------------------


@check(
    "NPU-001",
    ERROR,
    "npu-smi is missing",
    what="The driver's tool is neither in /usr/local/sbin nor in /usr/local/bin: the driver is not "
    "(completely) installed.",
    fix="install the driver package (`--full --install-for-all`)",
    needs=("npu",),
)
def _smi_missing(f: Facts) -> Iterator[Found]:
    if f.smi.get("error_kind") == "missing":
        yield Found("no npu-smi", "a program in %s" % " or ".join(_hardware.NPU_SMI_PATHS))


@check(
    "NPU-002",
    ERROR,
    "A folder stands in npu-smi's place",
    what="Docker makes a folder where the source of a mount is missing: a container was started before the "
    "driver was installed.",
    fix="remove the container with that mount, remove the empty folder with rmdir, install the driver again",
    needs=("npu",),
)
def _smi_directory(f: Facts) -> Iterator[Found]:
    paths = list(f.smi.get("directories") or [])
    if paths:
        yield Found(
            "the folder %s" % " and the folder ".join(paths),
            "the program npu-smi",
            "remove the container that mounts it, then `rmdir %s`, and install the driver again" % " ".join(paths),
        )


@check(
    "NPU-003",
    ERROR,
    "npu-smi hangs",
    what="The tool did not answer within the deadline: a card or the driver hangs, and so will every engine.",
    fix="look at dmesg and at processes in state D; then reboot the host",
    needs=("npu",),
)
def _smi_hung(f: Facts) -> Iterator[Found]:
    if f.smi.get("error_kind") == "hung":
        yield Found("%s" % f.smi["error"], "an answer")


@check(
    "NPU-004",
    ERROR,
    "npu-smi's table is not whole",
    what="The table is cut off, has no chips, or is of an unknown form; a half-read table must not pass for a "
    "healthy host.",
    fix="run `npu-smi info` on the host; if it is cut off there too, look at dmesg and reboot",
    needs=("npu",),
)
def _smi_table(f: Facts) -> Iterator[Found]:
    if f.smi.get("error_kind") in ("truncated", "no chips", "layout"):
        yield Found("%s" % f.smi["error"], "a complete table")


@check(
    "NPU-005",
    ERROR,
    "npu-smi is refused by a held card",
    what="-8005 or -8020: a container holds a card, or the driver was upgraded and the host not rebooted.",
    fix="stop the container that holds the card; if there is none, reboot the host",
    needs=("npu",),
)
def _smi_held(f: Facts) -> Iterator[Found]:
    if f.smi.get("error_kind") != "tool" or f.smi.get("error_code") not in (-8005, -8020):
        return
    suspects = [
        "container `%s` (image %s)" % (c["name"], c["image"])
        for c in f.docker.get("containers") or []
        if c["state"] in _docker.LIVE_STATES and (c["privileged"] or any("davinci" in d for d in c["devices"]))
    ]
    held = "; %s may hold the cards" % ", ".join(suspects) if suspects else "; no running container has a card"
    yield Found(
        "%s%s" % (f.smi["error"], held),
        "an answer",
        "stop %s; if that does not help, reboot the host" % ", ".join(suspects) if suspects else "reboot the host",
    )


@check(
    "NPU-006",
    ERROR,
    "npu-smi fails",
    what="The tool ended with an error of its own.",
    fix="run `npu-smi info` on the host as root and look at dmesg",
    needs=("npu",),
)
def _smi_fails(f: Facts) -> Iterator[Found]:
    if f.smi.get("error_kind") == "tool" and f.smi.get("error_code") not in (-8005, -8020):
        meaning = f.smi.get("error_meaning")
        yield Found(
            "%s%s" % (f.smi["error"], " (%s)" % meaning if meaning else ""), "an answer", f.smi.get("error_fix")
        )


@check(
    "NPU-007",
    ERROR,
    "A chip is faulty",
    what="Health Alarm or Critical: the chip has a fault that interrupts or will interrupt service.",
    fix="read the fault with `npu-smi info -t health -i NPU -c CHIP`; reset the card or power-cycle the "
    "host, else exchange it",
    needs=("npu",),
)
def _health_bad(f: Facts) -> Iterator[Found]:
    yield from _health(f, {"Alarm", "Critical"})


@check(
    "NPU-008",
    WARNING,
    "A chip warns",
    what="Health Warning: the chip works and has a minor fault.",
    fix="read the fault with `npu-smi info -t health -i NPU -c CHIP`",
    needs=("npu",),
)
def _health_warning(f: Facts) -> Iterator[Found]:
    yield from _health(f, {"Warning"})


@check(
    "NPU-009",
    ERROR,
    "A chip's health is not known",
    what="Health UNKNOWN or a word that is not known: the chip does not answer its driver.",
    fix="look at dmesg; power-cycle the host",
    needs=("npu",),
)
def _health_unknown(f: Facts) -> Iterator[Found]:
    known = {"OK", "Warning", "Alarm", "Critical"}
    yield from _health(f, {d["health"] for d in f.devices} - known)


def _health(f: Facts, words: set[str]) -> Iterator[Found]:
    for word in sorted(words):
        for device in f.devices:
            if device["health"] != word:
                continue
            codes = device.get("error_codes") or []
            about = device.get("error_information")
            text = "%s (NPU %d chip %d) with health %s" % (cards([device]), device["npu_id"], device["chip_id"], word)
            if codes:
                text += ", error codes %s" % " ".join(codes)
            if about:
                text += ": %s" % " ".join(str(about).split())[:160]
            fix = "read the fault with `npu-smi info -t health -i %d -c %d`" % (device["npu_id"], device["chip_id"])
            yield Found(text, "OK", None if word not in ("Alarm", "Critical", "Warning") else _health_fix(word, fix))


def _health_fix(word: str, fix: str) -> str:
    return fix if word == "Warning" else fix + "; reset the card or power-cycle the host, else have it exchanged"


@check(
    "NPU-010",
    ERROR,
    "A chip does not answer",
    what="A chip without a heartbeat is printed with nothing but zeros.",
    fix="look at dmesg; power-cycle the host",
    needs=("npu",),
)
def _dead(f: Facts) -> Iterator[Found]:
    dead = [d for d in f.devices if d["hbm_total_mb"] == 0 and d["temperature_celsius"] == 0]
    if dead:
        yield Found("%s with all values zero" % cards(dead), "chips that answer")


@check(
    "NPU-011",
    ERROR,
    "A card is held by a foreign container",
    what="A container that is not ours uses a card or was given it; a card serves one container only.",
    fix="stop the container, or leave the host out (`--limit '!host'`) until it is done",
    needs=("npu", "docker"),
)
def _held_container(f: Facts) -> Iterator[Found]:
    for holder, held, memory in by_holder(f.devices, lambda h: h["kind"] == "container" and h["how"] != "privileged"):
        yield Found(
            "%s, held by %s%s" % (cards(held), holder_words(holder), _memory_words(memory)),
            "free cards",
            "`%s`, or leave the host out until it is done" % _stop_words(holder),
        )


def _stop_words(holder: Mapping[str, Any]) -> str:
    runtime = holder.get("runtime") or "docker"
    # crictl knows ids, not names; a Kubernetes container comes back unless its pod is deleted.
    if runtime == "containerd" and str(holder["name"]).count("/") == 2:
        space, pod, _name = str(holder["name"]).split("/")
        return "kubectl -n %s delete pod %s" % (space, pod)
    return str(containers.STOP.get(runtime, "docker stop %s") % holder["name"])


def _memory_words(memory_mb: int) -> str:
    return " with %d MB of HBM" % memory_mb if memory_mb else ""


@check(
    "NPU-012",
    ERROR,
    "A card is held by a foreign process",
    what="A process on the host that is not ours uses a card.",
    fix="stop the process or its unit, or leave the host out until it is done",
    needs=("npu",),
)
def _held_process(f: Facts) -> Iterator[Found]:
    for holder, held, memory in by_holder(f.devices, lambda h: h["kind"] != "container"):
        yield Found(
            "%s, held by %s%s" % (cards(held), holder_words(holder), _memory_words(memory)),
            "free cards",
            "`systemctl stop %s`" % holder["name"] if holder["kind"] == "unit" else "end process %s" % holder["pid"],
        )


@check(
    "NPU-013",
    ERROR,
    "A card's memory is in use and nobody is known to use it",
    what="More HBM is in use than an idle chip needs, and no process shows: it lives in another container, or "
    "a dead one left it.",
    fix="wait a minute and look again; `docker ps`, `fuser -v /dev/davinci*`; if it stays, reset the card or reboot",
    needs=("npu",),
)
def _memory_unowned(f: Facts) -> Iterator[Found]:
    used = [d for d in f.devices if (d["hbm_used_mb"] or 0) > _hardware.IDLE_HBM_MB and not holds(d)]
    if used:
        suspects = sorted({holder_words(h) for d in used for h in d["holders"]})
        yield Found(
            "%s with HBM in use and no known holder%s"
            % (cards(used), "; privileged, therefore suspected: %s" % ", ".join(suspects) if suspects else ""),
            "idle chips (up to %d MB in use)" % _hardware.IDLE_HBM_MB,
        )


@check(
    "NPU-014",
    WARNING,
    "A privileged container can take any card",
    what="A container started with --privileged sees every card, whatever its device list says.",
    fix="start it without --privileged, with the devices it needs",
    needs=("npu", "docker"),
)
def _privileged(f: Facts) -> Iterator[Found]:
    for holder, held, _memory in by_holder(f.devices, lambda h: h["how"] == "privileged"):
        yield Found("%s, which sees %d chips" % (holder_words(holder), len(held)), "containers with their own devices")


@check(
    "NPU-015",
    WARNING,
    "Parts of npu-smi's table could not be read",
    what="A line or a value of the table is not understood; the value counts as unknown.",
    fix="compare with `npu-smi info` on the host, and report the layout to the collection",
    needs=("npu",),
)
def _smi_warnings(f: Facts) -> Iterator[Found]:
    harmless = ("DrvMngGetConsoleLogLevel", "may not be completely installed")
    lines = [w for w in f.smi.get("warnings") or [] if not any(h in w for h in harmless)]
    if lines:
        more = "" if len(lines) == 1 else " (and %d more)" % (len(lines) - 1)
        yield Found("%s%s" % (lines[0], more), "lines that are understood")


@check(
    "NPU-016",
    WARNING,
    "It is not known who uses the cards",
    what="npu-smi printed no process table; only containers and open device nodes tell who holds a card.",
    fix="look with `fuser -v /dev/davinci*` on the host; a newer driver prints the table",
    needs=("npu",),
)
def _no_processes(f: Facts) -> Iterator[Found]:
    if f.devices and not f.smi.get("process_table"):
        yield Found("no process table", "one below npu-smi's table")


@check(
    "NPU-017",
    WARNING,
    "The chips are not alike",
    what="Chips of several types or memory sizes in one host: a replica is as fast and as large as its smallest chip.",
    fix="have the boards checked; keep replicas on chips of one type",
    needs=("npu",),
)
def _mixed(f: Facts) -> Iterator[Found]:
    kinds: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for device in f.devices:
        kinds.setdefault((device["name"], device["hbm_total_mb"]), []).append(device)
    if len(kinds) > 1:
        text = ", ".join("%s with %s MB on %s" % (k[0], k[1], cards(v)) for k, v in kinds.items())
        yield Found(text, "chips of one type")


@check(
    "NPU-018",
    WARNING,
    "A chip is hot",
    what="Near its limit a chip slows down, then stops.",
    fix="check fans and air inlet; see the temperatures with `npu-smi info -t temp -i NPU`",
    needs=("npu",),
)
def _hot(f: Facts) -> Iterator[Found]:
    hot = [d for d in f.devices if (d["temperature_celsius"] or 0) >= MAX_TEMPERATURE_CELSIUS]
    if hot:
        yield Found("%s at %d °C or more" % (cards(hot), MAX_TEMPERATURE_CELSIUS), "less")


# -- docker ---------------------------------------------------------------------------------------------------------


@check(
    "DKR-001",
    ERROR,
    "Docker is not installed",
    what="The engine runs in a docker container.",
    fix="install docker from the distribution's repository (docker-ce, docker.io or docker-engine) and start it",
    needs=("docker",),
)
def _docker_missing(f: Facts) -> Iterator[Found]:
    if not f.docker.get("installed"):
        yield Found("no program `docker`", "docker %s or later" % MIN_DOCKER, f.install("docker") + ", and start it")


@check(
    "DKR-002",
    ERROR,
    "The docker daemon does not answer",
    what="Docker is installed, and its daemon is down, hangs or refuses.",
    fix="`systemctl status docker`, `journalctl -u docker -n 50`, then `systemctl enable --now docker`",
    needs=("docker",),
)
def _docker_down(f: Facts) -> Iterator[Found]:
    if f.docker.get("installed") and not f.docker.get("running"):
        yield Found("%s" % (f.docker.get("error") or "no answer"), "a running daemon")


@check(
    "DKR-003",
    ERROR,
    "Docker could not list its containers or images",
    what="The daemon runs and does not answer everything: it hangs, or its store is damaged.",
    fix="`journalctl -u docker -n 100`; restart docker while nothing is served",
    needs=("docker",),
)
def _docker_partial(f: Facts) -> Iterator[Found]:
    if f.docker.get("running") and f.docker.get("error"):
        yield Found("%s" % f.docker["error"], "the list of containers and images")


@check(
    "DKR-004",
    WARNING,
    "Docker is old",
    what="The collection is tested with docker %s and later." % MIN_DOCKER,
    fix="upgrade docker while the host serves nothing",
    needs=("docker",),
)
def _docker_old(f: Facts) -> Iterator[Found]:
    version = f.docker.get("server_version")
    if f.docker.get("engine") == "docker" and version and compare(version, MIN_DOCKER) < 0:
        yield Found("docker %s" % version, "%s or later" % MIN_DOCKER)


@check(
    "DKR-005",
    ERROR,
    "podman stands in docker's place",
    what="The program `docker` is podman (podman-docker): restarts, labels and image ids differ.",
    fix="remove podman-docker and install docker",
    needs=("docker",),
)
def _podman(f: Facts) -> Iterator[Found]:
    if f.docker.get("engine") == "podman":
        yield Found("podman %s" % f.docker.get("server_version"), "docker")


@check(
    "DKR-006",
    WARNING,
    "Ascend Docker Runtime is the default runtime",
    what="With it, `--device` alone may show no card; our units set ASCEND_VISIBLE_DEVICES too. Other "
    "containers must as well.",
    fix="nothing for our units; for your own containers set ASCEND_VISIBLE_DEVICES, or make runc the default runtime",
    needs=("docker",),
)
def _ascend_runtime(f: Facts) -> Iterator[Found]:
    runtime = f.docker.get("default_runtime")
    if runtime and "ascend" in runtime:
        yield Found("default runtime `%s`" % runtime, "runc, or ASCEND_VISIBLE_DEVICES in every container")


@check(
    "DKR-007",
    WARNING,
    "Docker's storage driver is slow",
    what="devicemapper and vfs copy whole layers: loading an image of 20 GB takes many times its space and time.",
    fix="set `storage-driver: overlay2` in /etc/docker/daemon.json (existing images must be loaded again)",
    needs=("docker",),
)
def _storage_driver(f: Facts) -> Iterator[Found]:
    driver = f.docker.get("storage_driver")
    if driver in ("devicemapper", "vfs", "aufs"):
        yield Found("storage driver %s" % driver, "overlay2")


@check(
    "DKR-008",
    ERROR,
    "A file that containers mount is missing",
    what="A serving container mounts the driver's files from the host.",
    fix="install the driver package again (`--full --install-for-all`)",
    needs=("versions",),
)
def _mounts_missing(f: Facts) -> Iterator[Found]:
    mounts = f.node.get("mounts") or {}
    # hccn.conf is a finding of its own, and without the driver the others are only a consequence.
    missing = [p for p, kind in mounts.items() if kind == "missing" and p != "/etc/hccn.conf"]
    if missing and f.version("driver"):
        yield Found("no %s" % ", no ".join(missing), "what the driver package installs")


@check(
    "DKR-009",
    ERROR,
    "A folder stands where containers mount a file",
    what="Docker makes a folder where the source of a mount is missing; the real file cannot be installed "
    "there any more.",
    fix="remove the container that mounts it, remove the empty folder with rmdir, install the driver again",
    needs=("versions",),
)
def _mounts_wrong(f: Facts) -> Iterator[Found]:
    for path, kind in (f.node.get("mounts") or {}).items():
        wanted = _hardware.MOUNT_SOURCES.get(path)
        if wanted == "file" and kind == "directory":
            yield Found(
                "the folder %s" % path,
                "a file",
                "remove the container that mounts it, then `rmdir %s`, and put the real file there" % path,
            )


@check(
    "DKR-010",
    ERROR,
    "A foreign container has the name of ours",
    what="Our unit would fail with a name conflict, or replace somebody's container.",
    fix="rename the container with `docker rename`",
    needs=("docker",),
)
def _name_clash(f: Facts) -> Iterator[Found]:
    served = (f.release.get("serve") or {}).get("served_model_name")
    pattern = re.compile(r"^vllm-%s-\d+$" % re.escape(str(served)))
    for container in f.docker.get("containers") or []:
        if served and pattern.match(container["name"]) and not _is_managed(container):
            yield Found(
                "container `%s` (image %s)" % (container["name"], container["image"]),
                "a free name",
                "`docker rename %s %s-old`, or remove it" % (container["name"], container["name"]),
            )


def _is_managed(container: Mapping[str, Any]) -> bool:
    return str((container.get("labels") or {}).get(_docker.LABEL_MANAGED, "")).lower() == "true"


@check(
    "DKR-011",
    WARNING,
    "The image's tag belongs to another image",
    what="The release pins an image id, and the tag on the host is of another image.",
    fix="nothing: loading the release's archive moves the tag; containers of the other image keep running",
    needs=("docker",),
)
def _other_image(f: Facts) -> Iterator[Found]:
    for image in f.images:
        for loaded in f.docker.get("images") or []:
            if image.get("image_id") and image.get("tag") in loaded["tags"] and loaded["id"] != image["image_id"]:
                yield Found("%s is %s" % (image["tag"], loaded["id"][:19]), "%s" % str(image["image_id"])[:19])


@check(
    "DKR-012",
    WARNING,
    "A container of ours was killed for memory",
    what="The kernel's OOM killer ended an engine.",
    fix="look at `dmesg | grep -i oom`; give the host more memory, or serve fewer replicas",
    needs=("docker",),
)
def _oom(f: Facts) -> Iterator[Found]:
    killed = [c["name"] for c in f.docker.get("containers") or [] if c.get("oom_killed") and _is_managed(c)]
    if killed:
        yield Found("%s killed by the OOM killer" % ", ".join(killed), "enough memory")


# -- disk -----------------------------------------------------------------------------------------------------------


def _image_is_loaded(f: Facts) -> bool:
    tags = {t for i in f.docker.get("images") or [] for t in i["tags"]}
    return any(i.get("tag") in tags for i in f.images)


def _disk_needs(f: Facts) -> Iterator[tuple[str, str, int, int, Optional[str]]]:
    """(path, how it is called, bytes still needed, bytes free, mount) for every path with a requirement."""
    for disk in f.node.get("disk") or []:
        required = f.required_bytes.get(disk["path"])
        if required and disk["free_bytes"] is not None:
            missing = max(0, required - (disk.get("occupied_bytes") or 0))
            yield disk["path"], disk["path"], missing, disk["free_bytes"], disk["mount"]
    docker = f.docker
    required = f.required_bytes.get("docker")
    if required and docker.get("root_free_bytes") is not None and not _image_is_loaded(f):
        yield (
            "docker",
            "docker's folder %s" % docker["root_dir"],
            required,
            docker["root_free_bytes"],
            docker.get("root_mount"),
        )


@check(
    "DSK-001",
    ERROR,
    "Too little space for the artifacts",
    what="Image archive and weights must fit; what is there already counts.",
    fix="free space, mount a larger disk at the path, or set npu_preflight_artifacts_gib to what your release needs",
    needs=("disk",),
)
def _disk_artifacts(f: Facts) -> Iterator[Found]:
    for name, words, missing, free, _mount in _disk_needs(f):
        if name != "docker" and free < missing:
            yield Found("%s free at %s" % (gib(free), words), "%s" % gib(missing))


@check(
    "DSK-002",
    ERROR,
    "Too little space for the image",
    what="Docker unpacks the image into its own folder; an image that is loaded already needs none.",
    fix="`docker system df`, `docker image prune`; or move docker's folder (`data-root` in /etc/docker/daemon.json)",
    needs=("docker", "disk"),
)
def _disk_docker(f: Facts) -> Iterator[Found]:
    for name, words, missing, free, _mount in _disk_needs(f):
        if name == "docker" and free < missing:
            yield Found("%s free in %s" % (gib(free), words), "%s" % gib(missing))


@check(
    "DSK-003",
    ERROR,
    "Too little space for artifacts and image together",
    what="Both lie on one file system: each would fit alone, not both.",
    fix="free space, or give docker's folder a file system of its own",
    needs=("docker", "disk"),
)
def _disk_together(f: Facts) -> Iterator[Found]:
    groups: dict[str, list[tuple[str, int, int]]] = {}
    for _name, words, missing, free, mount in _disk_needs(f):
        groups.setdefault(str(mount), []).append((words, missing, free))
    for mount, needs in groups.items():
        free = min(n[2] for n in needs)
        total = sum(n[1] for n in needs)
        if len(needs) > 1 and free < total and all(n[1] <= n[2] for n in needs):
            yield Found(
                "%s free at %s" % (gib(free), mount), "%s for %s" % (gib(total), " and ".join(n[0] for n in needs))
            )


@check(
    "DSK-004",
    WARNING,
    "A disk is nearly full",
    what="Docker and the journal misbehave on a full disk.",
    fix="free space; `journalctl --vacuum-size=1G`, `docker system df`",
    needs=("disk",),
)
def _disk_full(f: Facts) -> Iterator[Found]:
    seen: dict[str, tuple[Optional[int], Optional[int]]] = {}
    for disk in f.node.get("disk") or []:
        seen[str(disk["mount"])] = (disk["free_bytes"], disk["total_bytes"])
    if f.docker.get("root_mount"):
        seen[str(f.docker["root_mount"])] = (f.docker.get("root_free_bytes"), f.docker.get("root_total_bytes"))
    for mount, (free, total) in seen.items():
        if free is not None and total and free < total * 0.05 and free < 50 * GIB:
            yield Found("less than 5 %% free at %s" % mount, "5 % or more")


@check(
    "DSK-005",
    WARNING,
    "The weights would lie on a slow file system",
    what="From a network file system the shards load slowly (`Timed out waiting for engines`); a tmpfs eats "
    "the memory.",
    fix="mount a local disk at the path, or raise ready_timeout_seconds in the release",
    needs=("disk",),
)
def _disk_kind(f: Facts) -> Iterator[Found]:
    slow = ("nfs", "nfs4", "cifs", "fuse.sshfs", "fuse.glusterfs", "ceph", "tmpfs", "ramfs")
    for disk in f.node.get("disk") or []:
        if disk["filesystem"] in slow:
            yield Found("%s on %s" % (disk["path"], disk["filesystem"]), "a local disk")


@check(
    "DSK-006",
    ERROR,
    "A disk cannot be measured",
    what="The file system does not answer: a dead network mount, or a path that cannot be read.",
    fix="`df PATH` on the host; unmount a dead mount with `umount -l`",
    needs=("disk",),
)
def _disk_unknown(f: Facts) -> Iterator[Found]:
    unknown = [d["path"] for d in f.node.get("disk") or [] if d["free_bytes"] is None]
    if unknown:
        yield Found("no answer for %s" % ", ".join(unknown), "a file system that answers")


@check(
    "DSK-007",
    ERROR,
    "A disk is mounted read-only",
    what="After an I/O error the kernel mounts a file system read-only: nothing can be stored.",
    fix="look at dmesg for the I/O error; repair the file system, then `mount -o remount,rw`",
    needs=("disk",),
)
def _disk_read_only(f: Facts) -> Iterator[Found]:
    wrong = sorted({str(d["mount"]) for d in f.node.get("disk") or [] if d.get("read_only")})
    if wrong:
        yield Found("%s read-only" % ", ".join(wrong), "a writable file system")


# -- network --------------------------------------------------------------------------------------------------------


@check(
    "NET-001",
    ERROR,
    "A port of the service is taken",
    what="Somebody else listens on a port that a replica needs; our own units do not count.",
    fix="stop what listens there, or set another serve.port in the release",
    needs=("network",),
)
def _port_taken(f: Facts) -> Iterator[Found]:
    for port in f.ports:
        for entry in f.node.get("ports") or []:
            if entry["port"] != port or entry.get("managed"):
                continue
            yield Found(
                "port %d taken by %s" % (port, _listener(entry)),
                "a free port",
                "stop %s, or set another serve.port in the release" % _listener(entry),
            )
            break


def _listener(entry: Mapping[str, Any]) -> str:
    if entry.get("container"):
        return "container `%s`" % entry["container"]
    if entry.get("unit"):
        return "systemd unit `%s`" % entry["unit"]
    return "process %s (%s)" % (entry["pid"], entry["process"]) if entry.get("pid") else "an unknown process"


@check(
    "NET-002",
    WARNING,
    "The parameter network is not configured",
    what="/etc/hccn.conf is missing. One host alone can serve without it; engines across hosts cannot.",
    fix="configure the cards' network: `hccn_tool -i N -ip -s address A netmask M` for each, which writes the file",
    needs=("network",),
)
def _hccn_missing(f: Facts) -> Iterator[Found]:
    if (f.node.get("hccn") or {}).get("kind") == "missing":
        yield Found("no /etc/hccn.conf", "the cards' addresses in it")


@check(
    "NET-003",
    WARNING,
    "Some cards have no address",
    what="/etc/hccn.conf names some of the cards only.",
    fix="`hccn_tool -i N -ip -s address A netmask M` for the cards that are left out",
    needs=("network", "npu"),
)
def _hccn_partial(f: Facts) -> Iterator[Found]:
    given = {a["index"] for a in (f.node.get("hccn") or {}).get("addresses") or []}
    left = [d["index"] for d in f.devices if d["index"] is not None and d["index"] not in given]
    if given and left:
        yield Found("no address for davinci%s" % numbers(left), "one for each of %d chips" % len(f.devices))


@check(
    "NET-004",
    WARNING,
    "HCCL's ports may be taken by others",
    what="The kernel gives ports of the range that HCCL listens on to outgoing connections: an engine then "
    "fails with EJ0003.",
    fix="`sysctl -w net.ipv4.ip_local_reserved_ports=61000-61255`, and the same line in /etc/sysctl.d/",
    needs=("system",),
)
def _hccl_ports(f: Facts) -> Iterator[Found]:
    words = str(f.tuning("net.ipv4.ip_local_port_range") or "").split()
    if len(words) != 2 or not all(w.isdigit() for w in words):
        return
    first, last = int(words[0]), int(words[1])
    replicas = max(1, len(f.ports))
    start = slots.FIRST_HCCL_PORT
    wanted = range(start, start + slots.HCCL_PORTS * replicas)
    reserved = _port_set(str(f.tuning("net.ipv4.ip_local_reserved_ports") or ""))
    exposed = [p for p in wanted if first <= p <= last and p not in reserved]
    if exposed:
        yield Found(
            "ports %s open to outgoing connections" % numbers(exposed),
            "them reserved",
            "`sysctl -w net.ipv4.ip_local_reserved_ports=%s` (beside what is reserved already)" % numbers(wanted),
        )


@check(
    "NET-005",
    WARNING,
    "A card's network port is down",
    what="The link of a card's own network port is down. One host serves without it; engines across hosts do not.",
    fix="check the optical module and the switch port; `hccn_tool -i N -optical -g`, `hccn_tool -i N -link_stat -g`",
    needs=("network", "npu"),
)
def _link_down(f: Facts) -> Iterator[Found]:
    links = (f.node.get("hccn") or {}).get("links") or []
    down = [link["index"] for link in links if link["status"] != "UP"]
    # With no link up at all the network is not in use.
    if down and len(down) < len(links):
        yield Found("the link of davinci%s down" % numbers(down), "links like those of the other cards")


def _port_set(text: str) -> set[int]:
    ports: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        ports.update(range(int(first), int(last or first) + 1))
    return ports
