# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of the scenario `driver` are ones that the collection accepts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._release import packages, schema

FILE = Path(__file__).resolve().parents[3] / "molecule" / "driver" / "releases.py"


def test_they_are_releases(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("driver_releases", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    base = module.write_release(tmp_path, module.BASE)
    assert schema.validate(yaml.safe_load(base.read_text()), name=module.BASE)["driver"] == {"version": "25.2.0"}
    entry = {"generation": "a2", "architecture": "any", "path": "f.run", "sha256": "a" * 64}
    path = module.write_release(tmp_path, "driver_new", "25.5.0", {"firmware": [entry], "driver": [entry]})
    found = schema.validate(yaml.safe_load(path.read_text()), name="driver_new")
    assert packages.version(found, "firmware") == packages.version(found, "driver") == "25.5.0"
    assert packages.select(found, "driver", "a2", "aarch64")["path"] == "f.run"
