# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving units that this collection has written on a host, read from their own files."""

from __future__ import annotations

import glob
import os
import re
from typing import Any, Mapping, Optional

from .._base import files
from .unit_file import MARK

UNIT_DIR = "/etc/systemd/system"
#: The name of a unit of ours.
UNIT_NAME = re.compile(r"vllm-.+@\d+\.service\Z")


class UnitsError(Exception):
    """A step failed; the message says which, what was found and what to do."""


def parse_unit(text: str) -> Optional[dict[str, str]]:
    """What a unit of ours says about itself; None when it is not ours."""
    if not text.startswith(MARK):
        return None
    found: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[X-AscendFleet]"
        elif inside:
            key, equals, value = line.partition("=")
            if equals:
                found[key.strip()] = value.strip()
    return found


def exec_start(text: str) -> str:
    """The command of a unit, on one line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("ExecStart="):
            return re.sub(r"\s+", " ", line)
    return ""


def describe(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """A deployed replica in the words of this collection."""
    port = metadata.get("Port", "")
    return {
        "name": name,
        "replica": int(metadata["Replica"]) if metadata.get("Replica", "").isdigit() else None,
        "served_model_name": metadata.get("ServedModelName"),
        "release": metadata.get("Release"),
        "port": int(port) if port.isdigit() else None,
        "url": "http://127.0.0.1:%s" % port if port.isdigit() else None,
        "container_name": metadata.get("Container"),
        "config_hash": metadata.get("Config"),
        "image": metadata.get("Image"),
        "weights": metadata.get("Weights"),
        "indices": [int(i) for i in metadata.get("Devices", "").split(",") if i.isdigit()],
        "directory": metadata.get("Directory"),
    }


def read_text(path: str) -> Optional[str]:
    """A file's text; None when there is no such file."""
    try:
        return files.read_text(path, "surrogateescape")
    except OSError as exc:
        raise UnitsError("found %s unreadable: %s; needed to read it. Fix: run as root" % (path, exc.strerror)) from exc


def deployed(unit_dir: str = UNIT_DIR) -> list[dict[str, Any]]:
    """Every unit of ours on this host, in the order of model and replica."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(unit_dir), "vllm-*@*.service")):
        name = os.path.basename(path)
        metadata = parse_unit(read_text(path) or "") if UNIT_NAME.match(name) and not os.path.islink(path) else None
        if metadata is not None:
            found.append(describe(name, metadata))
    return sorted(found, key=lambda u: (str(u["served_model_name"]), u["replica"] is None, u["replica"] or 0))
