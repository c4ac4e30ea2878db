# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of driver and firmware in a release: ``driver.packages`` and ``firmware.packages``.

A release without them says which versions it needs, and nothing is installed by it.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from .._npu.hardware import GENERATIONS
from . import checks

#: In the order in which an upgrade installs them.
KINDS = ("firmware", "driver")
#: The key that holds the version of each.
VERSION_KEYS = {"firmware": "package_version", "driver": "version"}
ARCHITECTURES = ("any", "aarch64", "x86_64")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_RUN = re.compile(r"[^\x00-\x1f]+\.run\Z")


def _path(value: Any) -> Optional[str]:
    good = isinstance(value, str) and _RUN.match(value) and checks.relative(value) is None
    return None if good else "the path of a package in its repository or folder: relative, without `..`, ending in .run"


def read_packages(section: checks.Section, kind: str) -> None:
    """Take the packages of a kind, where there are any; mistakes are added to the release's.

    What a release without packages says stays as it was, so that its deployments keep their digest.
    """
    if "packages" not in section.value:
        return
    seen: dict[tuple[Any, Any], str] = {}
    for entry in section.sections("packages"):
        generation = entry.take("generation", checks.one_of(tuple(GENERATIONS)))
        architecture = entry.take("architecture", checks.one_of(ARCHITECTURES), "any")
        entry.take("repository", checks.repository, None)
        entry.take("revision", checks.text, "main")
        entry.take("path", _path)
        # Firmware is flashed: what it is must be known before it is on the host, so this one is never left open.
        entry.take("sha256", checks.matching(_SHA256, "64 hexadecimal digits: what is flashed is pinned"))
        entry.take("size_bytes", checks.integer(1), None)
        entry.close()
        for other in ARCHITECTURES if architecture == "any" else ("any", architecture):
            if generation is not None and (generation, other) in seen:
                needed = "one %s package per generation and architecture; %s is one already" % (
                    kind,
                    seen[(generation, other)],
                )
                entry.problem("generation", "%s, architecture %s" % (generation, architecture), needed)
                break
        seen[(generation, architecture)] = entry.path


def select(release: Mapping[str, Any], kind: str, generation: str, architecture: str) -> Optional[dict[str, Any]]:
    """The package of a kind for a host: for its architecture before one for ``any``. None where there is none."""
    same = [p for p in (release.get(kind) or {}).get("packages") or () if p["generation"] == generation]
    for wanted in (architecture, "any"):
        for package in same:
            if package.get("architecture", "any") == wanted:
                return dict(package)
    return None


def version(release: Mapping[str, Any], kind: str) -> str:
    """The version of a kind that a release needs; empty where it names none."""
    return str((release.get(kind) or {}).get(VERSION_KEYS[kind]) or "")
