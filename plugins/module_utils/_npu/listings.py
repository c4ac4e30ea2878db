# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what people send of a host they cannot give access to: `ls /dev/davinci*` and `upgrade-tool … --version`.

On a host that can be reached the device nodes are read from the kernel and the firmware from npu-smi (``_node``).
"""

from __future__ import annotations

import re
from typing import Any, Optional

# `crw-rw----. 1 root root 510, 1 Jan  1 00:00 /dev/davinci1`, with the date or without it
_LONG = re.compile(r"([bcdlps-])([rwxsStT-]{9})[.+@]?\s+\d+\s+(\S+)\s+(\S+)\s+(?:(\d+),\s*(\d+)|\d+)\s+(?:.*\s)?(\S+)")
_NAME = re.compile(r"(?:/\S*/)?(davinci\d+|davinci_manager(?:_docker)?|devmm_svm|hisi_hdc)")
_INDEX = re.compile(r"davinci(\d{1,9})")

_RECORD = re.compile(r'\{"device_id":(\d{1,9}),\s*"component":"?([A-Za-z0-9_-]+)"?,\s*"version":"?([^"}\s]+)"?\s*\}')
_SAID = re.compile(r"Get component version\((\S+)\) succeed for deviceId\((\d{1,9})\),\s*componentType\((\d{1,9})\)\.?")


def parse_device_listing(text: str) -> dict[str, Any]:
    """Read `ls` or `ls -l` of the NPUs' device nodes.

    Returns ``nodes``, one mapping per node in printed order, with ``path``, ``name``, ``index`` (N of davinciN, or
    None) and, of a long listing, ``is_char``, ``mode`` (such as ``0660``), ``owner``, ``group``, ``major``, ``minor``
    (each None in a short one); and ``warnings``, every line or word that could not be read, quoted.
    """
    nodes: list[dict[str, Any]] = []
    warnings: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or re.fullmatch(r"total \d+", line):
            continue
        long = _LONG.fullmatch(line)
        if long:
            kind, rights, owner, group, major, minor, path = long.groups()
            node = _node(path)
            if node is None:
                warnings.append("no device node of an NPU: %s" % line)
                continue
            node.update(is_char=kind == "c", mode=_mode(rights), owner=owner, group=group)
            if kind in "bc" and major is not None:
                node.update(major=int(major), minor=int(minor))
            nodes.append(node)
            continue
        for word in line.split():
            node = _node(word)
            if node is None:
                warnings.append("cannot read: %s" % line)
                break
            nodes.append(node)
    return {"nodes": nodes, "warnings": warnings}


def _node(path: str) -> Optional[dict[str, Any]]:
    name = _NAME.fullmatch(path)
    if name is None:
        return None
    index = _INDEX.fullmatch(name.group(1))
    return {
        "path": path if path.startswith("/") else "/dev/" + path,
        "name": name.group(1),
        "index": int(index.group(1)) if index else None,
        "is_char": None,
        "mode": None,
        "owner": None,
        "group": None,
        "major": None,
        "minor": None,
    }


def _mode(rights: str) -> str:
    bits = sum(1 << (8 - n) for n, letter in enumerate(rights) if letter not in "-ST")
    special = sum(value for n, value in ((2, 4), (5, 2), (8, 1)) if rights[n] in "sStT")
    return "%d%03o" % (special, bits)


def parse_upgrade_tool(text: str) -> dict[str, Any]:
    """Read `upgrade-tool --device_index -1 --component -1 --version`: the firmware that every chip runs.

    Returns ``devices``, by device number the version of each component (``{0: {"nve": "7.1.0.7.220"}}``), and
    ``warnings``: every line that could not be read, and every device for which a record and the sentence above it do
    not agree (its component is then left out).
    """
    devices: dict[int, dict[str, str]] = {}
    warnings: list[str] = []
    said: Optional[tuple[int, str]] = None
    for raw in text.splitlines():
        line = raw.strip()
        if line in ("", "{", "}"):
            continue
        sentence, record = _SAID.fullmatch(line), _RECORD.fullmatch(line)
        if sentence:
            said = int(sentence.group(2)), sentence.group(1)
        elif record:
            number, component, version = int(record.group(1)), record.group(2), record.group(3)
            if said is not None and said != (number, version):
                warnings.append("does not agree with the line above it: %s" % line)
            elif devices.setdefault(number, {}).setdefault(component, version) != version:
                del devices[number][component]
                warnings.append("a second version of one component: %s" % line)
            said = None
        else:
            warnings.append("cannot read: %s" % line)
            said = None
    return {"devices": devices, "warnings": warnings}
