# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether chips are free: an engine that has ended can hold its HBM for a while, and the next one would not start."""

from __future__ import annotations

from typing import Any, Collection, Mapping, Optional, Sequence

from .hardware import IDLE_HBM_MB

#: Containers that could open a chip, or were given its node, need not use it. These do.
_EVIDENCE = ("npu-smi", "open")


def busy_chips(
    devices: Sequence[Mapping[str, Any]], indices: Collection[int], *, idle_mb: int = IDLE_HBM_MB
) -> list[str]:
    """Those of the chips ``indices`` that are not free, each with who holds it.

    ``devices`` are those of npu_info. A chip that is not listed, or of which npu-smi tells no HBM, is not known to be
    free.
    """
    known = {d.get("index"): d for d in devices}
    found = []
    for index in sorted(indices):
        words = _busy(known.get(index), idle_mb)
        if words:
            found.append("/dev/davinci%d: %s" % (index, words))
    return found


def _busy(device: Optional[Mapping[str, Any]], idle_mb: int) -> Optional[str]:
    if device is None:
        return "npu-smi does not list it"
    used = device.get("hbm_used_mb")
    if used is None:
        return "npu-smi tells no HBM in use"
    if used <= idle_mb:
        return None
    holders = [h for h in device.get("holders") or [] if h.get("how") in _EVIDENCE]
    named = ", ".join(_name(h) for h in holders) or "no visible process"
    return "%d MB in use, held by %s" % (used, named)


def _name(holder: Mapping[str, Any]) -> str:
    words = "%s %s" % (holder.get("kind"), holder.get("name"))
    return "%s (pid %s)" % (words, holder["pid"]) if holder.get("pid") else words
