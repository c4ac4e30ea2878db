# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of npu-smi and of the NPUs: health, holders, memory."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from .._host import containers
from .._host import docker as _docker
from .._npu import hardware as _hardware
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import by_holder, cards, holder_words, holds

MAX_TEMPERATURE_CELSIUS = 90


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
    fix="read the fault with `npu-smi info -t health -i NPU -c CHIP`; drain and stop every replica of the host, then "
    "reset the card or power-cycle the host (%s); if the fault stays, have the card exchanged" % _hardware.RESET_SCOPE,
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
            if word in ("Alarm", "Critical"):
                fix += "; %s; if the fault stays, have the card exchanged" % _reset(f, "or power-cycle the host")
            left_out = f.is_left_out(device)
            if left_out:
                text += ", left out of every replica"
            advice = fix if word in ("Alarm", "Critical", "Warning") else None
            yield Found(text, "OK", advice, WARNING if left_out else None)


def _reset(f: Facts, otherwise: str) -> str:
    """The advice to reset: it may take other NPUs of the host along, so nothing may be served meanwhile."""
    units = sorted(u["name"] for u in (f.node.get("systemd") or {}).get("units") or [] if u.get("active") == "active")
    stop = " (`systemctl stop %s`)" % " ".join(units) if units else ""
    why = " (%s)" % _hardware.RESET_SCOPE if f.generation != "a3" else ""
    return "drain and stop every replica of the host%s, then reset the card %s%s" % (stop, otherwise, why)


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
    for left_out in (False, True):
        group = [d for d in dead if f.is_left_out(d) is left_out]
        if group:
            words = ", left out of every replica" if left_out else ""
            found = "%s with all values zero%s" % (cards(group), words)
            yield Found(found, "chips that answer", severity=WARNING if left_out else None)


@check(
    "NPU-011",
    ERROR,
    "A card is held by a foreign container",
    what="A container that is not ours uses a card or was given it; a card serves one container only.",
    fix="stop the container, or leave the host out (`--limit '!host'`) until it is done",
    needs=("npu", "docker"),
)
def _held_container(f: Facts) -> Iterator[Found]:
    known = f.by_hand_names  # a finding of their own
    for holder, held, memory in by_holder(
        f.devices, lambda h: h["kind"] == "container" and h["how"] != "privileged" and h["name"] not in known
    ):
        unlike = f.unlike_the_guide(holder["name"])
        yield Found(
            "%s, held by %s%s%s" % (cards(held), holder_words(holder), _memory_words(memory), unlike),
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
    fix="wait a minute and look again; `docker ps`, `fuser -v /dev/davinci*`; if it stays, drain and stop every "
    "replica of the host, then reset the card or reboot (%s)" % _hardware.RESET_SCOPE,
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
            "wait a minute and look again; `docker ps`, `fuser -v /dev/davinci*`; if it stays, %s"
            % _reset(f, "or reboot"),
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
    known = f.by_hand_names
    for holder, held, _memory in by_holder(f.devices, lambda h: h["how"] == "privileged" and h["name"] not in known):
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


@check(
    "NPU-019",
    ERROR,
    "The replicas cannot be laid out",
    what="The planner that later writes the units finds no layout for this host: the settings need more chips than it "
    "has, or contradict each other.",
    fix="correct vllm_serve_replicas, vllm_serve_options (tensor-parallel-size) or the release's serve.options",
)
def _no_layout(f: Facts) -> Iterator[Found]:
    error = str((f.plan or {}).get("error") or "")
    if error:
        # The planner says "found X; needed Y. Fix: Z", as every message of the collection does.
        what, _semicolon, rest = error.partition("; needed ")
        needed, _dot, fix = rest.partition(". Fix: ")
        yield Found(what[len("found ") :] if what.startswith("found ") else what, needed or "a layout", fix or None)


CHECKS: tuple[Check, ...] = (
    _smi_missing,
    _smi_directory,
    _smi_hung,
    _smi_table,
    _smi_held,
    _smi_fails,
    _health_bad,
    _health_warning,
    _health_unknown,
    _dead,
    _held_container,
    _held_process,
    _memory_unowned,
    _privileged,
    _smi_warnings,
    _no_processes,
    _mixed,
    _hot,
    _no_layout,
)
