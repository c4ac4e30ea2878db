# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host before and after: its versions, chips, device nodes, topology and the chips' network.

``snapshot`` takes what must be as before out of what npu_info returns; ``problems`` says what is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._base.versions import Version

DRIVER, FIRMWARE = "driver", "firmware"


@dataclass(frozen=True)
class Versions:
    """Of driver or firmware: the installed one, those that run, and for firmware the version of its package.

    runs: of a firmware one for each that any card reports; empty where nothing could be read.
    """

    installed: str = ""
    package: str = ""
    runs: tuple[str, ...] = ()

    @property
    def in_force(self) -> bool:
        """Whether what runs is what is installed, on every card."""
        return bool(self.installed and self.runs) and all(same(self.installed, one) for one in self.runs)

    @property
    def shown(self) -> str:
        """What a release compares: the package's version."""
        return self.package or self.installed


def same(left: Any, right: Any) -> bool:
    """Whether two texts are one version, however they are written."""
    one, two = Version.parse(str(left or "")), Version.parse(str(right or ""))
    return str(left) == str(right) if one is None or two is None else one.same_release(two)


def versions_of(node: Mapping[str, Any]) -> dict[str, Versions]:
    """The versions of driver and firmware on a node, as npu_info returns it."""
    files = node.get("versions") or {}
    driver, firmware = files.get(DRIVER) or {}, files.get(FIRMWARE) or {}
    devices = node.get("devices") or []
    live = (node.get("npu_smi") or {}).get("driver_version")
    boards = {str(d["board_driver_version"]) for d in devices if d.get("board_driver_version")}
    flashed = {str(d["board_firmware_version"]) for d in devices if d.get("board_firmware_version")}
    return {
        DRIVER: Versions(
            str(driver.get("version") or ""), "", tuple(sorted(boards or ({str(live)} if live else set())))
        ),
        FIRMWARE: Versions(
            str(firmware.get("version") or ""), str(firmware.get("package_version") or ""), tuple(sorted(flashed))
        ),
    }


def snapshot(node: Mapping[str, Any]) -> dict[str, Any]:
    """What must be as before, as data."""
    devices = node.get("devices") or []
    hccn = node.get("hccn") or {}
    topology = node.get("topology") or {}
    return {
        "chips": [
            {key: d.get(key) for key in ("index", "npu_id", "chip_id", "bus_id", "health", "serial_number")}
            for d in devices
        ],
        "nodes": sorted(str(n["name"]) for n in node.get("device_nodes") or []),
        "links": topology.get("links"),
        "addresses": {str(a["index"]): a["address"] for a in hccn.get("addresses") or []},
        "up": sorted(link["index"] for link in hccn.get("links") or [] if link.get("status") == "UP"),
        "pci": sorted(str(f["address"]) for f in node.get("pci") or []),
    }


@dataclass
class Verdict:
    """problems: why the host must not serve. notes: what is told. again: another reboot may put it right."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    again: bool = False

    @property
    def good(self) -> bool:
        """Whether the host is as wanted."""
        return not self.problems


def judge(before: Mapping[str, Any], node: Mapping[str, Any], wanted: Mapping[str, str]) -> Verdict:
    """Whether a host that has come back is wholly on the wanted versions, and otherwise as before.

    before: a ``snapshot``. wanted: the versions by kind; empty is no demand.
    """
    found = Verdict()
    _versions(found, versions_of(node), wanted, node)
    after = snapshot(node)
    if before:
        _chips(found, before, after)
        _nodes(found, before["nodes"], after["nodes"])
        _network(found, before, after)
    return found


def _versions(
    found: Verdict, versions: Mapping[str, Versions], wanted: Mapping[str, str], node: Mapping[str, Any]
) -> None:
    error = (node.get("npu_smi") or {}).get("error")
    if error:
        found.problems.append("found that npu-smi says: %s; needed its table. Look at dmesg and `npu-smi info`" % error)
        found.again = True
    for kind in (DRIVER, FIRMWARE):
        one, target = versions[kind], wanted.get(kind) or ""
        if target and not same(one.shown, target):
            found.problems.append(
                "found %s %s installed; needed %s. Look at /var/log/ascend_seclog/ascend_install.log"
                % (kind, one.shown or "of no version", target)
            )
        elif not error and not one.in_force and (target or one.installed):
            runs = ", ".join(one.runs) or "of an unknown version"
            found.problems.append(
                "found %s %s running, and %s installed; needed the same of both. Power-cycle the host from its BMC: a "
                "warm reboot may not restart the cards" % (kind, runs, one.installed or "nothing")
            )
            found.again = True


def _chips(found: Verdict, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    then = {(c["npu_id"], c["chip_id"]): c for c in before["chips"]}
    now = {(c["npu_id"], c["chip_id"]): c for c in after["chips"]}
    lost = [then[key] for key in then if key not in now]
    if len(now) != len(then):
        found.problems.append(
            "found %d chips; needed %d as before%s. Look at `lspci -d 19e5:`, dmesg and the BMC's events"
            % (len(now), len(then), " (missing: %s)" % ", ".join(map(_chip, lost)) if lost else "")
        )
    elif lost:
        found.problems.append("found other chips than before: %s are gone" % ", ".join(map(_chip, lost)))
    for key in sorted(set(then) & set(now)):
        if then[key]["index"] != now[key]["index"]:
            found.problems.append(
                "found %s as /dev/davinci%s; needed /dev/davinci%s as before: replicas know chips by that number"
                % (_chip(now[key]), now[key]["index"], then[key]["index"])
            )
        health = now[key]["health"]
        if health != "OK" and then[key]["health"] == "OK":
            found.problems.append(
                "found %s with health %s; needed OK as before. Look at `npu-smi info -t health`"
                % (_chip(now[key]), health)
            )
        elif health != "OK":
            found.notes.append("%s has health %s, as before" % (_chip(now[key]), health))
    gone = sorted(set(before.get("pci") or ()) - set(after.get("pci") or ()))
    if gone:
        found.problems.append("found no PCI function %s; needed all as before" % ", ".join(gone))


def _chip(chip: Mapping[str, Any]) -> str:
    return "NPU %s chip %s" % (chip.get("npu_id"), chip.get("chip_id"))


def _nodes(found: Verdict, before: Sequence[str], after: Sequence[str]) -> None:
    missing, more = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    if missing:
        found.problems.append("found no /dev/%s; needed the device nodes as before" % ", /dev/".join(missing))
    if more:
        found.notes.append("new device nodes: /dev/%s" % ", /dev/".join(more))


def _network(found: Verdict, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    if before.get("links") and after.get("links") is None:
        found.problems.append("found no topology in `npu-smi info -t topo`; needed the one of before")
    elif before.get("links") and after["links"] != before["links"]:
        found.problems.append("found another topology than before; needed the same. Compare `npu-smi info -t topo`")
    addresses: Mapping[str, Optional[str]] = before.get("addresses") or {}
    other = sorted(n for n, address in addresses.items() if (after.get("addresses") or {}).get(n) != address)
    if other:
        found.problems.append(
            "found another address in /etc/hccn.conf for davinci%s; needed those of before. Put the file back from a "
            "backup, and reboot" % ", ".join(other)
        )
    down = sorted(set(before.get("up") or ()) - set(after.get("up") or ()))
    if down:
        found.problems.append(
            "found the network ports of davinci%s not up; needed them up as before. Look at `hccn_tool -i N -link -g`"
            % ", ".join(map(str, down))
        )
