# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the code that hosts run, with nothing but a standard library: target_smoke.py, under any Python from 3.9 on.

It imports every file of plugins/module_utils, compiles every module, reads every captured output, collects a node from
a tree of files whose commands are the simulated silicon, and computes its findings. It is neither pytest nor unittest,
because a host has neither; the unit tests say what is right, this says that it runs.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import subprocess
import sys
import tempfile
import types
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "tests", "unit", "fixtures", "npu_smi")
PACKAGE = "ansible_collections.ascend.fleet.plugins.module_utils."


def package(name: str, path: str = "") -> None:
    """A package of the collection's name that lies in this checkout."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = [path] if path else []
    sys.modules[name] = module


def text(*names: str) -> str:
    """A file of the captured outputs."""
    with open(os.path.join(DATA, *names), encoding="utf-8") as stream:
        return stream.read()


def check(holds: bool, words: str) -> None:
    """An error unless it holds."""
    if not holds:
        raise SystemExit("Python %s: %s" % (sys.version.split()[0], words))


def read_captures() -> int:
    """Every captured table gives what is expected of it, every other output is read or refused."""
    smi = importlib.import_module(PACKAGE + "_npu.smi")
    errors = importlib.import_module(PACKAGE + "_npu.errors")
    sub = importlib.import_module(PACKAGE + "_npu.smi_commands")
    info = importlib.import_module(PACKAGE + "_npu.version_files")
    count = 0
    for name in sorted(os.listdir(os.path.join(DATA, "expected"))):
        wanted: Any = json.loads(text("expected", name))
        try:
            found = smi.parse_info(text("info", name[:-5] + ".txt"))
        except errors.NpuSmiError as exc:
            check(wanted.get("error") == exc.kind, name + ": " + str(exc))
        else:
            right = dict(wanted["result"])
            least = right.pop("min_warnings")
            assert len(found["warnings"]) >= least, name
            assert {k: found[k] for k in right} == right, name
        count += 1
    for name in sorted(os.listdir(os.path.join(DATA, "sub"))):
        for command in ("info -t board", "info -m", "info -t topo"):
            try:
                sub.parse_command(text("sub", name), command)
            except errors.NpuSmiError as exc:
                check(bool(str(exc)), name)
        count += 1
    for name in sorted(os.listdir(os.path.join(DATA, "files"))):
        assert info.parse_version_info(text("files", name)) is not None
        count += 1
    return count


def collect_a_node() -> dict[str, Any]:
    """A node from a tree of files, its findings, and what JSON makes of both."""
    node_of = importlib.import_module(PACKAGE + "_node.collect")
    host = importlib.import_module(PACKAGE + "_node.host")
    findings = importlib.import_module(PACKAGE + "_preflight.findings")
    command = importlib.import_module(PACKAGE + "_base.command")
    with tempfile.TemporaryDirectory() as root:
        program = os.path.join(ROOT, "tests", "sim", "silicon", "ascend_sim.py")
        os.makedirs(os.path.join(root, "proc"))
        for name in ("npu-smi", "lspci", "ascend-sim"):
            path = os.path.join(root, "usr", "local", "sbin", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(program, path)
        env = dict(os.environ, ASCEND_SIM_ROOT=root, ASCEND_SIM_PROC=os.path.join(root, "proc"))
        sim = [sys.executable, os.path.join(root, "usr/local/sbin/ascend-sim"), "install", "--generation", "a3"]
        subprocess.run([*sim, "--architecture", "aarch64", "--driver", "25.2.0"], env=env, check=True, timeout=60)

        def run(argv: Any, **more: Any) -> Any:
            tool = os.path.join(root, str(argv[0]).lstrip("/"))
            if not os.path.exists(tool):
                return command.Completed(tuple(argv), 127, "", "%s: not found" % argv[0], False)
            return command.run([sys.executable, tool, *argv[1:]], timeout=more["timeout"], env=env)

        node: dict[str, Any] = node_of.collect(host.Host(root=root, run=run, timeout=60))
    assert len(node["devices"]) == 16, node["npu_smi"]
    assert [d["index"] for d in node["devices"]] == list(range(16))
    assert node["versions"]["driver"]["version"] == "25.2.0"
    assert [link["status"] for link in node["hccn"]["links"]] == ["UP"] * 16, node["problems"]
    assert all(link["ip"]["address"] and link["tls"] and link["health"] for link in node["hccn"]["links"])
    found = findings.findings(node, {"driver": {"version": "25.2.0"}}, generation="a3")
    assert "DKR-001" in {f["id"] for f in found}
    assert "DEV-004" not in {f["id"] for f in found}
    json.dumps([node, found])
    return node


def main() -> None:
    """Do all of it; an exception is the failure."""
    parent = ""
    for part in ("ansible_collections", "ascend", "fleet"):
        parent = (parent + "." if parent else "") + part
        package(parent, ROOT if part == "fleet" else "")
    imported = 0
    home = os.path.join(ROOT, "plugins", "module_utils")
    for wing in sorted(n for n in os.listdir(home) if not n.startswith("__")):
        for name in sorted(n for n in os.listdir(os.path.join(home, wing)) if n.endswith(".py")):
            importlib.import_module(PACKAGE + "%s.%s" % (wing, name[:-3]))
            imported += 1
    modules = os.path.join(ROOT, "plugins", "modules")
    for name in sorted(n for n in os.listdir(modules) if n.endswith(".py")):
        with open(os.path.join(modules, name), encoding="utf-8") as stream:
            compile(stream.read(), name, "exec")
    captures = read_captures()
    node = collect_a_node()
    print(
        "Python %s: %d files imported, %d captures read, a node of %d chips collected"
        % (sys.version.split()[0], imported, captures, len(node["devices"]))
    )


if __name__ == "__main__":
    main()
