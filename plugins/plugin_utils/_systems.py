# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package names and paths by operating system, in layers: systems/*.yml, the general ones first.

``default``, then ``family-debian`` or ``family-rpm``, then the systems it says it is like, then itself (``kylin``,
then ``kylin-rpm``), then its version from the short to the whole (``ubuntu-22``, ``ubuntu-22.04``). A file says only
what differs from the layers above it. A system is what ``/etc/os-release`` says, as ``npu_info`` returns it in
``node.os``; it is read from the host, never from the inventory.

Debian's values are tried on simulated hosts; those of openEuler, Kylin, UOS and BCLinux are inferred from what these
systems document, and were not seen on a host.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import yaml

FOLDER = Path(__file__).resolve().parent / "systems"

_DEBIAN = frozenset(("debian", "ubuntu", "deepin"))
_RPM = frozenset(
    (
        "openeuler", "kylin", "uos", "anolis", "ctyunos", "bclinux", "hce", "euleros", "opencloudos", "tencentos",
        "centos", "rhel", "rocky", "almalinux", "fedora",
    )
)  # fmt: skip


def family(system: Mapping[str, Any]) -> Optional[str]:
    """``debian``, ``rpm``, or None where neither the system's own words nor its name tell."""
    # What it says of itself comes first: Kylin and UOS have editions of both families.
    for name in (*(str(n).lower() for n in system.get("like") or []), str(system.get("id") or "").lower()):
        if name in _DEBIAN:
            return "debian"
        if name in _RPM:
            return "rpm"
    return None


def layers(system: Mapping[str, Any]) -> list[str]:
    """The names of the layers of a system, whether there is such a file or not, the general ones first."""
    name, version = str(system.get("id") or "").lower(), str(system.get("version_id") or "").lower()
    out = ["default"]
    kin = family(system)
    if kin:
        out.append("family-" + kin)
    out += [str(n).lower() for n in system.get("like") or []]
    if name:
        out += [name, name + "-" + kin] if kin else [name]
        parts = [p for p in version.split(".") if p]
        out += [name + "-" + ".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return list(dict.fromkeys(out))


@lru_cache(maxsize=64)
def _layer(name: str) -> dict[str, Any]:
    path = FOLDER / (name + ".yml")
    if path.parent != FOLDER or not path.is_file():  # an os-release is the host's, and may say anything
        return {}
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return found


def values(system: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is known of a system: of mappings the keys are merged, of the rest the last layer counts."""
    out: dict[str, Any] = {}
    for name in layers(system):
        for key, value in _layer(name).items():
            out[key] = {**out.get(key, {}), **value} if isinstance(value, dict) else value
    return out


def packages(system: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """The packages that hold what is ``wanted``, by our own names; a name that is not ours is a package's already."""
    known = values(system)["packages"]
    return list(dict.fromkeys(p for name in wanted for p in known.get(name, [name])))
