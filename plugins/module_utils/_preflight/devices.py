# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the devices: PCI functions, chips of npu-smi and device nodes must be the same chips."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping

from .._npu import hardware as _hardware
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import cards, numbers


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
    what="What stands on the PCI bus is not what the inventory's group says. A2 and A3 are supported; the 310P of "
    "Atlas 300I is not.",
    fix="move the host to the group of its generation (atlas_a2, atlas_a3)",
    needs=("npu",),
)
def _generation(f: Facts) -> Iterator[Found]:
    ids = sorted({p["id"] for p in f.node.get("pci") or []})
    if f.hardware and ids and f.hardware["pci_id"] not in ids:
        found = ", ".join("%s (%s)" % (i, _hardware.PCI_IDS.get(i, "unknown")) for i in ids)
        fix = None
        if "19e5:d500" in ids:
            fix = "take the host out of npu_hosts: Atlas 300I (310P) is not supported, only A2 and A3 are"
        yield Found(found, "%s (%s)" % (f.hardware["pci_id"], f.hardware["title"]), fix)


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
        left_out = all(f.is_left_out(d) for d in missing)
        words = ", of chips that are left out of every replica" if left_out else ""
        needed = "one device node per chip (%d)" % len(f.devices)
        yield Found("no %s%s" % (_paths(missing), words), needed, severity=WARNING if left_out else None)
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


CHECKS: tuple[Check, ...] = (
    _no_pci,
    _generation,
    _pci_count,
    _chip_count,
    _node_missing,
    _node_surplus,
    _managers,
    _not_char,
    _node_mode,
    _unbound,
    _shared_index,
    _pci_mismatch,
)
