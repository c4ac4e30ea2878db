# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a package must not be installed on a host: all reasons at once. Pure: what is looked at was read before.

A finding is what was found, what is needed, and what to do. A reason keeps a host as it is; a warning is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._base.text import printable
from .._npu import version_files
from .._release import compatibility, packages
from .._release.inventory import Finding
from .compare import DRIVER, Versions, same

USER = "HwHiAiUser"
#: What a container must not have for a card to be free; one that is only privileged may never use it.
_HELD = ("npu-smi", "open", "device")


@dataclass
class Findings:
    """reasons: why the host is not changed. warnings: what is told."""

    reasons: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def holders(found: Findings, devices: Sequence[Mapping[str, Any]]) -> None:
    """Who holds cards beside our own replicas. Nobody else's container or process is stopped."""
    cards: dict[tuple[str, str, Any], list[Any]] = {}
    privileged: set[str] = set()
    for device in devices:
        for holder in device.get("holders") or []:
            if holder.get("managed"):
                continue
            if holder.get("how") in _HELD:
                key = (str(holder["kind"]), str(holder["name"]), holder.get("pid"))
                cards.setdefault(key, []).append(device.get("index"))
            elif holder.get("how") == "privileged":
                privileged.add(str(holder["name"]))
    held = {name for _kind, name, _pid in cards}
    for (kind, name, pid), indices in cards.items():
        what = "the %s %s%s, which holds %s" % (
            kind,
            name,
            " (pid %s)" % pid if pid else "",
            ", ".join("/dev/davinci%s" % n for n in indices),
        )
        fix = "stop it, or ask whose it is; it is not stopped for you. An engine that was started by hand: takeover.yml"
        found.reasons.append((what, "no process and no container of others on a card while it is flashed", fix))
    for name in sorted(privileged - held):
        found.warnings.append("the container %s is privileged and could open a card meanwhile" % name)


def kernels(found: Findings, about: Mapping[str, Any]) -> None:
    """Whether the driver's modules can be there for the running kernel and for the one of the next boot.

    about: ``running``, ``newest``, and of each of ``installed`` whether it has modules of the driver, and headers.
    """
    known = {str(k["version"]): k for k in about.get("installed") or []}
    running, newest = str(about.get("running") or ""), str(about.get("newest") or "")
    for version, words in ((running, "running"), (newest, "next")):
        if not version or (words == "next" and version == running):
            continue
        kernel = known.get(version, {})
        headers, module = kernel.get("headers"), kernel.get("has_driver_module")
        if headers:
            continue
        if headers is False and module is False:
            found.reasons.append(
                (
                    "the %s kernel %s without headers and without modules of the driver" % (words, version),
                    "what the package builds its modules with, or the host comes back without cards",
                    "install the headers of that kernel (kernel-devel, linux-headers), or boot one that has them",
                )
            )
        else:
            found.warnings.append(
                "no headers of the %s kernel %s were found: the package must bring modules that were built for it"
                % (words, version)
            )


def disk(found: Findings, disks: Sequence[Mapping[str, Any]], needed_bytes: int) -> None:
    """Room for the package and what it unpacks."""
    for entry in disks:
        free = entry.get("free_bytes")
        if free is not None and free < needed_bytes:
            found.reasons.append(
                (
                    "%.1f GB free below %s" % (free / 1e9, entry.get("path")),
                    "%.1f GB for a package and what it unpacks" % (needed_bytes / 1e9),
                    "remove what is not needed there, or set npu_driver_disk_gib",
                )
            )


def user(found: Findings, users: Mapping[str, Any], ids: Mapping[str, str]) -> None:
    """The user that the driver belongs to. ids: who has the id 1000, as ``uid`` and ``gid``; empty: nobody."""
    if USER not in users or users[USER]:
        return
    taken = " and ".join("%s 1000 is %s's" % (kind, name) for kind, name in sorted(ids.items()) if name)
    found.reasons.append(
        (
            "no user %s%s" % (USER, " (%s)" % taken if taken else ""),
            "the user and group that the installer needs; it makes them with the id 1000 where that is free",
            "make them with any free id: `groupadd %s && useradd -g %s -d /home/%s -m %s -s /bin/bash`" % ((USER,) * 4),
        )
    )


def releases(found: Findings, table: Mapping[str, Any], driver: str, known: Iterable[Mapping[str, Any]]) -> None:
    """Whether the releases that run here, or that a rollback goes back to, run on the wanted driver.

    known: of each its ``name``, its ``cann`` (empty: not known), and ``role`` in words.
    """
    for release in known:
        cann, words = str(release.get("cann") or ""), "%s, %s" % (release["name"], release["role"])
        if not cann:
            found.warnings.append("it is not known which CANN %s, has" % words)
            continue
        level = compatibility.driver_level(table, cann, driver)
        if level == compatibility.INCOMPATIBLE:
            found.reasons.append(
                (
                    "driver %s, which does not go with CANN %s of the release %s" % (driver, cann, words),
                    "a driver for what runs and for what a rollback goes back to: %s"
                    % (", ".join(compatibility.drivers_for(table, cann)) or "not known"),
                    "upgrade the release first and run site.yml or upgrade.yml until it is last good, or take another "
                    "driver",
                )
            )
        elif level == compatibility.UNKNOWN:
            found.warnings.append("it is not known whether driver %s goes with CANN %s of %s" % (driver, cann, words))


def package(
    found: Findings,
    kind: str,
    wanted: Mapping[str, Any],
    about: Optional[Mapping[str, Any]],
    *,
    version: str,
    generation: str,
    architecture: str,
) -> None:
    """Whether a package on the host is what the release says and what the host needs.

    wanted: its entry in the release. about: what was read from it; None: it is not there; with ``problem``: not a whole
    package.
    """
    name = str(wanted["path"]).rsplit("/", 1)[-1]
    if about is None:
        fix = "run again; see above what stood in the way of its download, or put it into npu_driver_folder"
        found.reasons.append(("no package %s" % name, "%s %s on the host before it begins" % (kind, version), fix))
        return
    if about.get("problem"):
        found.reasons.append((printable(str(about["problem"])), "a whole package", "see there"))
        return
    if about["sha256"] != wanted["sha256"]:
        fix = "fetch the right one; or correct sha256 in the release after comparing it with what the vendor names"
        found.reasons.append(("%s of sha256 %s" % (name, about["sha256"]), "%s" % wanted["sha256"], fix))
        return
    fix = "name the right package in %s.packages of the release" % kind
    if about.get("kind") and about["kind"] != kind:
        found.reasons.append(("the %s package %s" % (about["kind"], name), "a %s package" % kind, fix))
    if about.get("release_version") and not same(about["release_version"], version):
        found.reasons.append(
            ("%s of version %s" % (name, about["release_version"]), "%s, as the release says" % version, fix)
        )
    if about.get("generation") and about["generation"] != generation:
        what = "%s for %s (%s)" % (name, about["generation"], about.get("product"))
        found.reasons.append((what, "one for %s, which the host is" % generation, fix))
    if about.get("architecture") and about["architecture"] != architecture:
        found.reasons.append(
            ("%s for %s" % (name, about["architecture"]), "one for %s, which the host is" % architecture, fix)
        )
    unknown = [key for key in ("kind", "generation", "release_version") if not about.get(key)]
    unknown += ["architecture"] if kind == DRIVER and not about.get("architecture") else []
    if unknown:
        found.warnings.append(
            "%s does not say its %s itself: the release's sha256 is all that tells" % (name, ", ".join(unknown))
        )


def pair(found: Findings, driver: Mapping[str, Any], firmware: str) -> None:
    """Whether driver and firmware go together as they will be.

    driver: its ``version``, and the ``ranges`` of firmware that it accepts. firmware: the firmware's own version (7.x).
    """
    ranges = driver.get("ranges") or []
    if driver.get("version") and firmware and ranges and not version_files.in_ranges(firmware, ranges):
        found.reasons.append(
            (
                "firmware %s to run beside driver %s" % (firmware, driver["version"]),
                "firmware from %s, which that driver lists" % " or ".join("%s to %s" % tuple(b) for b in ranges),
                "name packages of driver and firmware of one version in the release",
            )
        )


def first_installation(found: Findings, versions: Mapping[str, Versions]) -> bool:
    """Whether the host has no driver, which is refused: it is another procedure."""
    if versions[DRIVER].installed:
        return False
    found.reasons.append(
        (
            "no driver installed",
            "a host that has a driver: this upgrades one, and does not install the first",
            "install it once by hand: driver first, then firmware (`--full --install-for-all --quiet`), reboot, then "
            "`playbooks/preflight.yml`",
        )
    )
    return True


def targets(
    found: Findings, release: Mapping[str, Any], versions: Mapping[str, Versions], *, generation: str, architecture: str
) -> list[dict[str, Any]]:
    """The packages that have to be installed, firmware first. A version without a package is a reason."""
    wanted = []
    for kind in packages.KINDS:
        version = packages.version(release, kind)
        if not version or same(versions[kind].shown, version):
            continue
        entry = packages.select(release, kind, generation, architecture)
        if entry is None:
            found.reasons.append(
                (
                    "%s %s, and no package for %s on %s in the release"
                    % (kind, versions[kind].shown or "not installed", generation, architecture),
                    "one of version %s" % version,
                    "add it under %s.packages, with its sha256" % kind,
                )
            )
            continue
        wanted.append({**entry, "kind": kind, "version": version})
    return wanted
