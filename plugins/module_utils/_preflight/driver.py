# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of driver and firmware: installed, running, and what goes with the release's CANN."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional

from .._base.versions import Version
from .._npu import hardware as _hardware
from .._npu import version_files
from .._release import compatibility
from .check import ERROR, WARNING, Check, Found, check
from .facts import Facts
from .words import cards, same


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
            "%s%s" % (_wanted(f, "driver"), _other_known_drivers(f)),
            "upgrade the firmware, then the driver, to %s, and reboot" % _wanted(f, "driver"),
        )


def _other_known_drivers(f: Facts) -> str:
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
        yield Found(
            "driver %s, not listed for CANN %s" % (version, f.cann),
            "%s%s" % (_wanted(f, "driver"), _other_known_drivers(f)),
        )


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
    yield from advice_of(f, "firmware_driver")


@check(
    "DRV-017",
    ERROR,
    "Driver and firmware are being changed",
    what="driver.yml has begun to change driver or firmware of the host, and has not come to the end: the host is in "
    "maintenance, and its replicas must not be started.",
    fix="run driver.yml again with the same release, which goes on where it stopped",
    needs=("versions",),
)
def _driver_change(f: Facts) -> Iterator[Found]:
    change = f.node.get("driver_change")
    if change:
        words = "the change %s at the step %s" % (change["id"], change["step"]) if change["id"] else "a change"
        yield Found("%s%s" % (words, ": %s" % change["why"] if change["why"] else ""), "no change under way")


def advice_of(f: Facts, pair: str) -> Iterator[Found]:
    """What the version files of one pair (``firmware_driver``, ``cann_driver``) say against each other."""
    for entry in compatibility.advice(f.node.get("versions") or {}):
        if entry["pair"] == pair:
            yield Found(entry["found"], entry["needed"])


CHECKS: tuple[Check, ...] = (
    _driver_missing,
    _driver_unreadable,
    _driver_incompatible,
    _driver_compatible,
    _driver_unknown,
    _driver_live,
    _tool_version,
    _firmware_missing,
    _firmware_package,
    _firmware_range,
    _firmware_mixed,
    _firmware_live,
    _user_missing,
    _driver_incomplete,
    _firmware_incompatible,
    _firmware_lists_driver,
    _driver_change,
)
