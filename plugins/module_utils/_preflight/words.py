# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the findings: chips, sizes, holders of cards."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, Optional

from .._base.versions import Version

GIB = 1024**3


def same(left: Any, right: Any) -> bool:
    """Whether two versions are one release, whatever their spelling and build number."""
    one, two = Version.parse(left), Version.parse(right)
    return str(left) == str(right) if one is None or two is None else one.same_release(two)


def numbers(values: Iterable[int]) -> str:
    """``0-3,5`` of 0, 1, 2, 3, 5."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ",".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts)


def cards(devices: Iterable[Mapping[str, Any]]) -> str:
    """Chips by their device nodes, ``davinci0-3``; by NPU and chip where a chip has none."""
    listed = list(devices)
    known = [d["index"] for d in listed if d["index"] is not None]
    words = ["davinci" + numbers(known)] if known else []
    words += ["NPU %s chip %s" % (d["npu_id"], d["chip_id"]) for d in listed if d["index"] is None]
    return ", ".join(words)


def gib(size: Optional[int]) -> str:
    """A size in GiB, rounded so that hosts alike read alike."""
    if size is None:
        return "an unknown size"
    return "%.0f GiB" % (size / GIB) if size >= 10 * GIB else "%.0f MiB" % (size / 1024**2)


def holder_words(holder: Mapping[str, Any]) -> str:
    """A holder with all that helps to find it."""
    if holder["kind"] == "container":
        runtime = holder.get("runtime") or "docker"
        return "%scontainer `%s`%s" % (
            "" if runtime == "docker" else runtime + " ",
            holder["name"],
            " (image %s)" % holder["image"] if holder["image"] else "",
        )
    if holder["kind"] == "unit":
        return "systemd unit `%s`" % holder["name"]
    return "process %s%s" % (holder["pid"], " (%s)" % holder["name"] if holder["name"] else "")


def by_holder(
    devices: Iterable[Mapping[str, Any]], wanted: Callable[[Mapping[str, Any]], bool]
) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]], int]]:
    """Foreign holders with the chips they hold and their memory in MB, one entry per holder."""
    groups: dict[str, tuple[Mapping[str, Any], list[Mapping[str, Any]], list[int]]] = {}
    for device in devices:
        for holder in device["holders"]:
            if not holder["managed"] and wanted(holder):
                entry = groups.setdefault(holder_words(holder), (holder, [], []))
                entry[1].append(device)
                entry[2].append(holder["memory_mb"] or 0)
    return [(holder, held, sum(memory)) for holder, held, memory in groups.values()]


def holds(device: Mapping[str, Any]) -> bool:
    """Whether a chip is seen to be in use. A container that merely has access to it is not enough."""
    return any(h["how"] != "privileged" or h["managed"] for h in device["holders"])
