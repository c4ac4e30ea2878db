# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong input, as an operator gives it to the playbooks: what is said, and that nothing is left half-done."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.fleet_helpers import ROOT, fleet, playbook

GUIDE = yaml.safe_load((ROOT / "playbooks/releases/qwen3_5_27b_v0.yml").read_text(encoding="utf-8"))
HOST = "a2-1"


@pytest.fixture
def inventory(request, tmp_path):
    """A copy of the fleet's inventory, beside which a release of one's own can lie."""
    source = request.config.getoption("ansible_inventory")
    folder = tmp_path / "inventory"
    (folder / "releases" / "files").mkdir(parents=True)
    (folder / "group_vars").mkdir()
    for path in ("hosts.yml", "group_vars/all.yml", "group_vars/atlas_a2.yml", "group_vars/atlas_a3.yml"):
        (folder / path).write_text((ROOT / source / path).read_text())
    picture = GUIDE["smoke"]["questions"][1]["picture"]
    (folder / "releases" / picture).write_bytes((ROOT / "playbooks/releases" / picture).read_bytes())
    return folder


def own_release(folder, change):
    """The guide's release under another name, with ``change`` made to it."""
    data = json.loads(json.dumps(GUIDE))
    data["release"] = "mine"
    change(data)
    (folder / "releases" / "mine.yml").write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False))


def artifacts():
    """What a failed download must not change: everything under the artifacts' root, but for the lock."""
    return fleet(
        "exec",
        HOST,
        "--",
        "sh",
        "-c",
        "find /var/lib/ascend-fleet -type f ! -path '*/.git/*' 2>/dev/null | sort; docker images -q",
    )


def refused(inventory, name, *options, words, limit=True):
    """Run a playbook that must fail with these words, and with no traceback."""
    status, output = playbook(str(inventory), name, *options, *(["--limit", f"{HOST},localhost"] if limit else []))
    assert status not in (0, 250), output
    assert "Traceback" not in output, output
    flat = re.sub(r"\s+", " ", output)
    for word in words:
        assert word in flat, f"{word!r} is missing:\n{output}"
    return output


def test_an_unknown_release(inventory):
    refused(
        inventory,
        "site.yml",
        "-e",
        "fleet_release=qwen3_5_27b_v9",
        words=["qwen3_5_27b_v9", "qwen3_5_27b_v0", "searched"],
    )


def test_a_release_with_wrong_types_lists_all_its_mistakes(inventory):
    def change(data):
        data["driver"]["version"] = ["25.2.0"]
        data["serve"]["port"] = "eighty"
        data["serve"]["options"]["tensor-paralel-size"] = 4
        del data["model"]["repository"]

    own_release(inventory, change)
    words = ["driver.version", "serve.port", "tensor-paralel-size", "tensor-parallel-size", "model.repository"]
    refused(inventory, "site.yml", "-e", "fleet_release=mine", words=words)


def test_wrong_variables_are_all_named_before_a_host_is_touched(inventory):
    with (inventory / "group_vars" / "all.yml").open("a") as file:
        file.write("vllm_serv_api_key: s3cret\nvllm_serve_replicas: 9\nmodel_artifacts_root: '{{ nowhere }}/x'\n")
    before = artifacts()
    words = [
        "Did you mean `vllm_serve_api_key`?",
        "needed 36 for 9 replicas of 4",
        "'nowhere' is undefined",
        "group_vars/all.yml:",
        "fleet_profile",
    ]
    output = refused(inventory, "site.yml", "-e", "fleet_profile=root", words=words)
    assert "Check the NPU hosts" not in output
    assert "s3cret" not in output
    assert artifacts() == before


def test_an_inventory_without_npu_hosts(tmp_path):
    empty = tmp_path / "hosts.yml"
    empty.write_text("servers:\n  hosts:\n    h1:\n")
    refused(empty, "site.yml", words=["npu_hosts", "atlas_a2", "make demo"], limit=False)


def test_a_host_without_docker(inventory):
    fleet(
        "exec",
        HOST,
        "--",
        "sh",
        "-c",
        "mv /usr/bin/docker /usr/bin/docker.away && systemctl stop docker.socket docker.service",
    )
    try:
        refused(inventory, "site.yml", words=["DKR-001", HOST, "install"])
    finally:
        fleet(
            "exec", HOST, "--", "sh", "-c", "mv /usr/bin/docker.away /usr/bin/docker && systemctl start docker.service"
        )


def test_an_unreachable_origin(inventory):
    fleet("exec", HOST, "--", "rm", "-rf", "/var/lib/ascend-fleet")
    before = artifacts()
    refused(
        inventory,
        "playbooks/stage.yml",
        "-e",
        "artifact_origin=http://127.0.0.1:9",
        words=["127.0.0.1:9", "artifact_origin"],
    )
    assert artifacts() == before


def test_a_path_that_the_repository_does_not_have(inventory):
    own_release(
        inventory, lambda data: data["images"][0].update(path="vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v1.tar")
    )
    before = artifacts()
    words = ["Vllm-ascend-Qwen3_5-A2-Ubuntu-v1.tar", "Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar"]
    refused(inventory, "playbooks/stage.yml", "-e", "fleet_release=mine", words=words)
    assert artifacts() == before


def test_an_archive_of_the_wrong_architecture(inventory):
    own_release(
        inventory, lambda data: data["images"][0].update(path="vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0-arm64.tar")
    )
    loaded = fleet("exec", HOST, "--", "docker", "images", "-q")
    refused(inventory, "playbooks/stage.yml", "-e", "fleet_release=mine", words=["arm64", "x86_64"])
    assert fleet("exec", HOST, "--", "docker", "images", "-q") == loaded


def test_a_port_that_is_taken(inventory):
    fleet("break", HOST, "port-taken", "8011")
    try:
        refused(inventory, "site.yml", words=["NET-001", "8011", HOST])
    finally:
        fleet("mend", HOST)


ANSWER = (
    "import http.server as h\n"
    "class H(h.BaseHTTPRequestHandler):\n"
    "    def do_POST(self): self.send_response(200); self.end_headers(); self.wfile.write(b'<html>a proxy</html>')\n"
    "    do_GET = do_POST\n"
    "h.HTTPServer(('', 8010), H).serve_forever()\n"
)


def test_stopped_replicas_and_a_stranger_on_their_port(inventory):
    """The smoke test says how to start what is stopped, and quotes what somebody else says in its place."""
    status, output = playbook(str(inventory), "site.yml", "--limit", f"{HOST},localhost")
    assert status == 0, output
    fleet("exec", HOST, "--", "systemctl", "stop", "vllm-qwen3.5@0", "vllm-qwen3.5@1")
    words = ["connection refused", "8010", "8011", "systemctl start vllm-qwen3.5@0.service", "site.yml", HOST]
    output = refused(inventory, "playbooks/smoke.yml", words=words)
    fleet("exec", HOST, "--", "systemd-run", "--quiet", "--unit=someone-elses-server", "python3", "-c", ANSWER)
    try:
        probe = "import socket,time\nwhile socket.socket().connect_ex(('127.0.0.1',8010)): time.sleep(.1)"
        fleet("exec", HOST, "--", "timeout", "20", "python3", "-c", probe)
        words = ["no JSON", "<html>a proxy</html>", "8010", "ss -ltnp", HOST]
        refused(inventory, "playbooks/smoke.yml", words=words)
        refused(inventory, "site.yml", words=["NET-001", "8010", "someone-elses-server", HOST])
    finally:
        fleet("exec", HOST, "--", "systemctl", "stop", "someone-elses-server")


def test_the_fleet_still_converges_afterwards(inventory):
    status, output = playbook(str(inventory), "site.yml", "--limit", f"{HOST},localhost")
    assert status == 0, output
