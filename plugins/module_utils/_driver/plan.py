# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of driver and firmware of a host: what is installed, runs and is wanted, and what has to be done."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Sequence

from .._artifacts import plan as artifact_plan
from .._npu.hardware import generation_of_pci
from .._release import packages
from .._upgrade.state import GOOD
from . import checks, record
from .compare import DRIVER, FIRMWARE, Versions, same, snapshot, versions_of

#: A package and what it unpacks, in bytes, where the site says nothing.
DISK_BYTES = 2 << 30


def wanted_packages(release: Mapping[str, Any], generation: str, architecture: str) -> list[dict[str, Any]]:
    """The release's packages for a host, with their kind, firmware first."""
    found = ((kind, packages.select(release, kind, generation, architecture)) for kind in packages.KINDS)
    return [{**entry, "kind": kind} for kind, entry in found if entry is not None]


def on_host(entry: Mapping[str, Any], *, folder: str, root: str) -> str:
    """Where a package lies on the host; empty where nobody says."""
    if folder:
        return os.path.join(folder, str(entry["path"]).rsplit("/", 1)[-1])
    if not entry.get("repository"):
        return ""
    request = artifact_plan.package_request(entry, root=root)
    return os.path.join(str(request["dest"]), str(entry["path"]))


def fetches(
    release: Mapping[str, Any],
    *,
    generation: str,
    architecture: str,
    folder: str,
    root: str,
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """``requests`` of lfs_artifact for the packages of a host, and ``packages`` with the ``file`` that each becomes."""
    entries = wanted_packages(release, generation, architecture)
    requests = [
        artifact_plan.with_options(artifact_plan.package_request(e, root=root, origin=origin), options or {})
        for e in entries
        if e.get("repository") and not folder
    ]
    return {
        "requests": requests,
        "packages": [{**e, "file": on_host(e, folder=folder, root=root)} for e in entries],
    }


def plan(
    about: Mapping[str, Any],
    release: Mapping[str, Any],
    *,
    generation: str,
    table: Mapping[str, Any],
    disk_bytes: int = DISK_BYTES,
    bmc: str = "",
    staged: bool = True,
) -> dict[str, Any]:
    """The plan of a host, as data. about: as npu_driver_info returns it.

    ``converged``: nothing is to be done. ``installs``: the packages in their order. ``reasons``: why the host must
    not be changed, as lists of what was found, needed and the fix. staged: whether packages must be on the host by now.
    """
    node = about["node"]
    architecture = str(node.get("architecture") or "")
    generation = generation or generation_of_pci(list(node.get("pci") or [])) or ""
    versions = versions_of(node)
    wanted = {kind: packages.version(release, kind) for kind in packages.KINDS}
    change = about["state"]["change"]
    goes_on = bool(change) and dict(change["wanted"]) == wanted
    found = checks.Findings()
    installs: list[dict[str, Any]] = []
    first = not goes_on and checks.first_installation(found, versions)
    if goes_on:
        installs = list(change["installs"])
    elif not first:
        installs = checks.targets(found, release, versions, generation=generation, architecture=architecture)
    is_there = all(
        versions[kind].in_force and same(versions[kind].shown, wanted[kind]) for kind in wanted if wanted[kind]
    )
    converged = change is None and not installs and not found.reasons and is_there
    if not converged and not first:
        _check(found, about, installs, table, wanted, goes_on, disk_bytes, generation=generation, staged=staged)
    files = {str(p["path"]): p.get("file") or "" for p in about["packages"]}
    return {
        "converged": converged,
        "goes_on": goes_on,
        "step": change["step"] if change else "",
        "why": change["why"] if change else "",
        "generation": generation,
        "architecture": architecture,
        "wanted": wanted,
        "found": {kind: versions[kind].shown for kind in wanted},
        "versions": {kind: _described(one) for kind, one in versions.items()},
        "installs": [{**i, "file": i.get("file") or files.get(str(i["path"]), "")} for i in installs],
        "reboot": not converged,
        "before": change["before"] if change else snapshot(node),
        "bmc": about.get("bmc") or bmc or (change["bmc"] if change else ""),
        "reasons": [list(reason) for reason in found.reasons],
        "refusal": "\n".join("found %s; needed %s. Fix: %s" % reason for reason in found.reasons),
        "warnings": found.warnings,
        "history": about["state"]["history"],
    }


def _check(
    found: checks.Findings,
    about: Mapping[str, Any],
    installs: Sequence[Mapping[str, Any]],
    table: Mapping[str, Any],
    wanted: Mapping[str, str],
    goes_on: bool,
    disk_bytes: int,
    *,
    generation: str,
    staged: bool,
) -> None:
    node = about["node"]
    if not goes_on:
        # Before the host is touched. Where a change goes on, what was found then has passed already.
        error = (node.get("npu_smi") or {}).get("error")
        if error:
            found.warnings.append("npu-smi says: %s" % error)
        if not node.get("devices"):
            found.reasons.append(
                (
                    "no chip in npu-smi%s" % (", which says: %s" % error if error else ""),
                    "a host whose cards are seen, to compare it with afterwards",
                    "repair the host first (reboot it where a driver waits for that), see `playbooks/preflight.yml`",
                )
            )
        docker = node.get("docker") or {}
        if docker.get("error") or not docker.get("running"):
            found.reasons.append(
                (
                    "docker that does not answer: %s" % (docker.get("error") or "it is stopped"),
                    "its containers, to see who holds a card",
                    "`systemctl start docker`",
                )
            )
        checks.holders(found, node.get("devices") or [])
        checks.disk(found, node.get("disk") or [], disk_bytes)
        checks.user(found, node.get("users") or {}, about.get("ids") or {})
        checks.kernels(found, node.get("kernels") or {})
        if wanted[DRIVER]:
            checks.releases(found, table, wanted[DRIVER], about.get("releases") or [])
    if goes_on and about["state"]["change"]["step"] not in (record.PREPARING, record.INSTALLING):
        return
    read = {str(p["path"]): p for p in about["packages"]}
    for install in installs:
        if not staged and str(install["path"]) not in read:
            continue
        checks.package(
            found,
            str(install["kind"]),
            install,
            read.get(str(install["path"])),
            version=str(install["version"]),
            generation=generation,
            architecture=str(node.get("architecture") or ""),
        )
    new = {str(i["kind"]): read.get(str(i["path"])) or {} for i in installs}
    files = node.get("versions") or {}
    driver, old = new.get(DRIVER) or {}, files.get(DRIVER) or {}
    firmware = (new.get(FIRMWARE) or {}).get("version") or (files.get(FIRMWARE) or {}).get("version") or ""
    ranges = driver.get("firmware_ranges") if driver else old.get("compatible_version_fw")
    checks.pair(found, {"version": driver.get("version") or old.get("version"), "ranges": ranges}, str(firmware))


def _described(one: Versions) -> dict[str, Any]:
    return {"installed": one.installed, "package": one.package, "runs": list(one.runs), "in_force": one.in_force}


def minutes(history: Sequence[Mapping[str, Any]]) -> Optional[float]:
    """How many minutes the replicas of a host were out in its last good change; None where there was none."""
    for entry in reversed(history):
        seconds = [about.get("out_seconds") for about in (entry.get("replicas") or {}).values()]
        known = [float(s) for s in seconds if isinstance(s, (int, float)) and not isinstance(s, bool)]
        if entry.get("outcome") == GOOD and known:
            return round(max(known) / 60, 1)
    return None
