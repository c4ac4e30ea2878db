# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the operating system: Python, programs, systemd, memory, clock, kernel settings."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from .._base.versions import compare
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import gib

MIN_PYTHON = "3.9"
# From the binding of vllm-ascend; not tried on hardware.
PROCESSORS_PER_CHIP = 5
MIN_PLAUSIBLE_CLOCK = 1735689600  # 2025-01-01: a clock before this makes every certificate invalid


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
        yield Found("state `%s`%s" % (systemd.get("state"), _reason_suffix(systemd)), "a running systemd")


def _reason_suffix(part: Mapping[str, Any]) -> str:
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
    "A replica's unit has failed",
    what="A serving unit that has used up its starts stays down, and its replica does not serve.",
    fix="read `journalctl -u UNIT -n 200`, mend the cause, then `systemctl reset-failed UNIT` and run site.yml",
    needs=("systemd",),
)
def _failed_units(f: Facts) -> Iterator[Found]:
    for unit in (f.node.get("systemd") or {}).get("units") or []:
        if unit.get("active") != "failed":
            continue
        replica = re.search(r"@(\d+)\.service$", unit["name"])
        restarts = unit.get("restarts")
        yield Found(
            "%s failed%s%s"
            % (
                unit["name"],
                " (replica %s)" % replica.group(1) if replica else "",
                " after %d restarts" % restarts if restarts else "",
            ),
            "an active or a stopped unit",
            "read `journalctl -u {0} -n 200`, mend the cause, then `systemctl reset-failed {0}` and run "
            "site.yml".format(unit["name"]),
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


@check(
    "SYS-017",
    WARNING,
    "The next boot's kernel has no driver",
    what="A newer kernel than the running one is installed, and the Ascend driver has no module for it: after the next "
    "reboot there are no cards.",
    fix="before any reboot install the kernel's headers and the driver again for that kernel, or keep the running "
    "kernel as the default of the boot loader (`grubby --set-default`, GRUB_DEFAULT)",
    needs=("system",),
)
def _next_kernel(f: Facts) -> Iterator[Found]:
    kernels = f.node.get("kernels") or {}
    newest, running = kernels.get("newest"), kernels.get("running")
    for kernel in kernels.get("installed") or []:
        # Not known (null) is not told here: what could not be read is a problem of its own.
        if kernel["version"] == newest and newest != running and kernel.get("has_driver_module") is False:
            yield Found("kernel %s without the module, %s running" % (newest, running), "a driver module for it")


@check(
    "SYS-018",
    WARNING,
    "An upgrade takes effect at the next restart",
    what="The installed kernel or docker is not the one that runs: a reboot or a restart of docker changes it under "
    "the service.",
    fix="drain and stop every replica of the host, then restart docker or reboot, and run site.yml",
    needs=("system",),
)
def _pending(f: Facts) -> Iterator[Found]:
    for entry in f.node.get("pending") or []:
        if entry["installed"]:
            versions = (entry["package"], entry["running"], entry["installed"])
            yield Found("%s %s running, %s installed" % versions, "the same of both")
        else:  # of some packages only the name is known
            yield Found("an upgrade of %s that waits for a restart" % entry["package"], "the installed one running")


@check(
    "SYS-019",
    WARNING,
    "Few processors for the chips",
    what="On aarch64 vllm-ascend binds its workers to processors where there are 5 or more for each chip; below, it "
    "leaves the binding out without an error, and throughput varies.",
    fix="give the host more processors, or serve on fewer chips",
    needs=("system", "npu"),
)
def _processors(f: Facts) -> Iterator[Found]:
    processors = (f.node.get("tuning") or {}).get("processors")
    if not processors or not f.devices or f.node.get("architecture") != "aarch64":
        return
    if processors < PROCESSORS_PER_CHIP * len(f.devices):
        yield Found(
            "%d processors for %d chips" % (processors, len(f.devices)),
            "%d for each chip (%d)" % (PROCESSORS_PER_CHIP, PROCESSORS_PER_CHIP * len(f.devices)),
        )


@check(
    "SYS-020",
    WARNING,
    "The host is a virtual machine",
    what="NPUs that are passed through to a virtual machine may be unavailable to containers, and npu-smi answers "
    "differently there. Serving in one is not tried.",
    fix="serve on bare metal, or see that `npu-smi info` shows every chip in the machine and in a container",
    needs=("system", "npu"),
)
def _virtual_machine(f: Facts) -> Iterator[Found]:
    kind = f.node.get("virtual_machine")
    if kind:
        yield Found("a virtual machine (%s)" % kind, "bare metal")


@check(
    "SYS-021",
    WARNING,
    "An engine stalls",
    what="The watchdog on the host sees a replica that gives no tokens, though its server may answer `/health`.",
    fix="look at the evidence, then `systemctl restart UNIT`; `vllm_serve_watchdog: restart` does that by itself where "
    "it is safe",
    needs=("systemd",),
)
def _stalled(f: Facts) -> Iterator[Found]:
    for replica in (f.node.get("watchdog") or {}).get("replicas") or []:
        if replica["state"] == "stalled":
            yield Found(
                "%s: %s, since %s" % (replica["unit"], replica["reason"], replica["since"]),
                "tokens",
                "look at %s, then `systemctl restart %s`" % (replica["evidence"] or "its journal", replica["unit"]),
            )


@check(
    "SYS-022",
    WARNING,
    "irqbalance runs under bound workers",
    what="On aarch64 vllm-ascend binds the interrupts of its chips, which needs a privileged container (profile "
    "guide), and irqbalance moves them again. Without privileges nothing is bound, and irqbalance does no harm.",
    fix="`systemctl disable --now irqbalance`",
    needs=("system",),
)
def _irqbalance(f: Facts) -> Iterator[Found]:
    bound = f.node.get("architecture") == "aarch64" and (f.plan or {}).get("profile") == "guide"
    if bound and (f.node.get("services") or {}).get("irqbalance") == "active":
        yield Found("irqbalance active", "it stopped")


CHECKS: tuple[Check, ...] = (
    _not_root,
    _no_image,
    _python,
    _programs,
    _no_systemd,
    _systemd_state,
    _failed_units,
    _memory,
    _clock,
    _reboot_required,
    _numa_balancing,
    _swappiness,
    _governor,
    _pid_max,
    _overcommit,
    _problems,
    _next_kernel,
    _pending,
    _processors,
    _virtual_machine,
    _stalled,
    _irqbalance,
)
