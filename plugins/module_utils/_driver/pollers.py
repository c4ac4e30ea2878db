# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that ask npu-smi: stopped while cards are flashed, and started again as they were."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._host.systemd import Systemd

_ON = ("enabled", "enabled-runtime", "linked", "linked-runtime")


def look(systemd: Systemd, names: Sequence[str], known: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """How these units stand: ``name``, whether ``active`` and ``enabled``. SystemdError.

    known: how they stood when they were looked at first. What was noted then is not overwritten by what was stopped
    since. Units that are not there are left out.
    """
    noted = {str(one["name"]): dict(one) for one in known}
    shown = systemd.show([name for name in dict.fromkeys(names) if name not in noted])
    for name, about in shown.items():
        if about.get("LoadState") == "loaded":
            active = about.get("ActiveState") in ("active", "activating", "reloading")
            noted[name] = {"name": name, "active": active, "enabled": about.get("UnitFileState") in _ON}
    return list(noted.values())


def stop(systemd: Systemd, noted: Sequence[Mapping[str, Any]], *, check: bool = False) -> bool:
    """Stop and disable them; returns whether that was to be done. SystemdError."""
    now = systemd.show([str(one["name"]) for one in noted])
    active = [name for name, about in now.items() if about.get("ActiveState") not in ("inactive", "failed")]
    enabled = [name for name, about in now.items() if about.get("UnitFileState") in _ON]
    if active and not check:
        systemd.stop(active, timeout=120)
    if enabled and not check:
        systemd.disable(enabled)
    return bool(active or enabled)


def restore(systemd: Systemd, noted: Sequence[Mapping[str, Any]], units: Sequence[str], *, check: bool = False) -> bool:
    """Enable and start what was so, and have the serving units start with the host; returns whether that was due.

    The serving units themselves are started, and proven, by whoever puts them into traffic. SystemdError.
    """
    now = systemd.show([*(str(one["name"]) for one in noted), *units])
    enable = [str(one["name"]) for one in noted if one.get("enabled")] + [str(name) for name in units]
    enable = [n for n in enable if now[n].get("LoadState") == "loaded" and now[n].get("UnitFileState") not in _ON]
    start = [
        str(one["name"])
        for one in noted
        if one.get("active") and now[str(one["name"])].get("ActiveState") in ("inactive", "failed")
    ]
    if enable and not check:
        systemd.enable(enable)
    if start and not check:
        systemd.start(start, timeout=120)
    return bool(enable or start)
