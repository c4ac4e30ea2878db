# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors as their hosts' variables describe them. For the controller alone."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ..module_utils._artifacts import mirrors
from ..module_utils._base.native import to_native_types

_VARIABLES = (
    "ansible_host",
    "artifact_mirror_certificate",
    "artifact_mirror_port",
    "artifact_mirror_root",
    "artifact_mirror_tracker_port",
    "artifact_mirror_tracker_url",
    "artifact_mirror_url",
)


def mirrors_of(names: Optional[Sequence[str]], hostvars: Mapping[str, Any]) -> list[mirrors.Mirror]:
    """Return the mirrors of these names; only the variables that describe them are looked at."""
    found = []
    for name in to_native_types(list(names or [])):
        own = hostvars[name]
        found.append(mirrors.mirror_of(name, {key: to_native_types(own[key]) for key in _VARIABLES if key in own}))
    return found
