# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator accepts: units, devices, privileges, files, and answers, asked from outside Ansible."""

from __future__ import annotations

import functools
import json

import pytest

CHIPS = {"a2": 8, "a3": 16}
MODEL = "qwen3.5"


@functools.cache
def containers(node):
    """The fleet's containers as `docker inspect` shows them, by unit."""
    ids = node.host.check_output("docker ps -q --filter label=ascend.fleet.managed=true").split()
    found = json.loads(node.host.check_output("docker inspect " + " ".join(ids))) if ids else []
    return {c["Config"]["Labels"]["ascend.fleet.unit"]: c for c in found}


def replicas(node):
    """How many replicas of four chips the host has room for."""
    return CHIPS[node.variables["npu_generation"]] // 4


def units(node):
    return [f"vllm-{MODEL}@{n}.service" for n in range(replicas(node))]


def ask(node, port, path, body=None):
    """One HTTP request on the host itself; the answer as data."""
    command = f"curl --silent --show-error --fail --max-time 60 http://localhost:{port}{path}"
    if body is not None:
        command += f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    return json.loads(node.host.check_output(command.replace("%", "%%")))


def test_every_replica_runs_and_starts_at_boot(node):
    for unit in units(node):
        service = node.host.service(unit)
        assert service.is_running, unit
        assert service.is_enabled, unit
    assert sorted(containers(node)) == units(node)


def test_the_chips_are_divided_without_overlap(node):
    held = [d["PathOnHost"] for c in containers(node).values() for d in c["HostConfig"]["Devices"]]
    cards = [d for d in held if d.removeprefix("/dev/davinci").isdigit()]
    assert sorted(cards) == sorted(f"/dev/davinci{n}" for n in range(CHIPS[node.variables["npu_generation"]]))


def test_least_privilege(node):
    for unit, c in containers(node).items():
        assert not c["HostConfig"]["Privileged"], unit
        assert "no-new-privileges" in " ".join(c["HostConfig"]["SecurityOpt"] or []), unit
        writable = [m["Source"] for m in c["Mounts"] if m["RW"]]
        assert all(path.startswith("/var/lib/ascend-fleet/") for path in writable), (unit, writable)
        assert c["HostConfig"]["ShmSize"] == 100 * 1024**3, unit
        assert c["Config"]["WorkingDir"] == "/", unit


def test_configuration_is_not_for_everybody(node):
    folder = node.host.file("/etc/ascend-fleet")
    assert folder.is_directory
    assert folder.mode & 0o022 == 0, oct(folder.mode)
    loose = node.host.check_output("find /etc/ascend-fleet -type f -perm /077")
    assert loose == ""


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_every_port_listens(node, path):
    for n in range(replicas(node)):
        status = node.host.check_output(
            "curl --silent --output /dev/null --write-out '%%{http_code}' --max-time 30 http://localhost:%s%s",
            str(8010 + n),
            path,
        )
        assert status == "200"


def test_the_guides_text_question(node):
    for n in range(replicas(node)):
        body = {"model": MODEL, "prompt": "介绍一下你自己,用中文回答", "max_tokens": 200, "temperature": 0}
        answer = ask(node, 8010 + n, "/v1/completions", body)
        assert answer["choices"][0]["text"].strip()
        assert answer["usage"]["completion_tokens"] > 0


def test_npu_smi_shows_the_engines(node):
    table = node.host.check_output("npu-smi info")
    rows = [
        line
        for line in table.splitlines()
        if "vllm" in line.lower() or "python" in line.lower() or "engine" in line.lower()
    ]
    assert len(rows) >= CHIPS[node.variables["npu_generation"]]


def test_the_journal_tells_the_start(node):
    for unit in units(node):
        assert "Application startup complete." in node.host.check_output(f"journalctl --no-pager -o cat -u {unit}")


def test_weights_and_image_are_kept_once(node):
    """Every large file of the artifacts has one copy on disk: the object store and the work tree share it."""
    single = node.host.check_output(
        "find /var/lib/ascend-fleet -path '*/.git/*' -prune -o -type f -size +1M -links 1 -print"
    )
    assert single == ""
