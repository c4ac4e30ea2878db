# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of downloads that are killed, damaged, cramped, mirrored and carried; the origin's log is the judge."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet_helpers import FLEET, ROOT, fleet, playbook, recap

HOST, MIRROR = "a2-1", "a3-1"
ARTIFACTS = "/var/lib/ascend-fleet"
WEIGHTS = ARTIFACTS + "/models/Qwen3.5-27B"
STAGE = "playbooks/stage.yml"
CHUNK = 1024 * 1024  # what may come twice after a kill


@pytest.fixture(scope="module")
def inventory(request):
    return request.config.getoption("ansible_inventory")


@pytest.fixture(scope="module")
def origin():
    return json.loads(fleet("status", "--json"))["origin"]


@pytest.fixture(scope="module")
def addresses():
    return {host["name"]: host["address"] for host in json.loads(fleet("status", "--json"))["hosts"]}


def shell(host, command):
    return fleet("exec", host, "--", "sh", "-c", command)


def requests_since(count):
    """What the origin has answered since a line of its log: address, path, status, bytes."""
    lines = fleet("origin-log").splitlines()[count:]
    words = [line.split() for line in lines]
    return [(w[1], w[3], int(w[4]), int(w[5])) for w in words if w[1] != "127.0.0.1"]


def log_length():
    return len(fleet("origin-log").splitlines())


def stage(inventory, *options):
    status, output = playbook(inventory, STAGE, *options)
    assert status == 0, output
    return output


def descendants(pid):
    """A process and everything it started, in whatever session."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def on_disk(dest, oid, size):
    whole = dest / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
    if whole.exists():
        return size
    pieces = [p for folder in ("incomplete", "tmp") for p in (dest / ".git/lfs" / folder).glob(oid + "*")]
    return max((p.stat().st_size for p in pieces if p.exists()), default=0)


def test_killed_at_ten_points_it_brings_the_right_bytes_and_hardly_any_twice(origin, tmp_path):
    """git, git-lfs and the module, killed with SIGKILL at ten seeded points of one download."""
    content = random.Random(4).randbytes(24_000_000)  # noqa: S311 - repeatable, not secret
    (tmp_path / "big.bin").write_bytes(content)
    added = json.loads(fleet("origin-add", "test/killed", "big.bin", str(tmp_path / "big.bin")))
    url = origin["url"] + "/test/killed.git"
    dest = tmp_path / "dest"
    program = (
        "import sys; sys.path.insert(0, %r); import conftest\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._lfs_repository import Repository, Request\n"
        "outcome = Repository(Request(repository=%r, revision='main', dest=%r, paths=('big.bin',))).ensure()\n"
        "print(outcome.resumed_bytes)\n" % (str(ROOT / "tests"), url, str(dest))
    )
    oid = added["oid"].removeprefix("sha256:")
    begin = log_length()
    fleet("origin-limit", "4m")
    points = random.Random(20260401).sample(range(500_000, 22_000_000), 10)  # noqa: S311
    try:
        for point in sorted(points):
            process = subprocess.Popen(
                [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            deadline = time.monotonic() + 60
            while on_disk(dest, oid, len(content)) < point:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            for pid in descendants(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
    finally:
        fleet("origin-limit", "none")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((dest / "big.bin").read_bytes()).hexdigest() == oid
    sent = [entry for entry in requests_since(begin) if entry[1].endswith("/storage/" + oid) and entry[3]]
    assert [status for _address, _path, status, _bytes in sent] == [200] + [206] * (len(sent) - 1)
    twice = sum(entry[3] for entry in sent) - len(content)
    print("killed 10 times, %d of %d bytes came twice" % (twice, len(content)))
    assert 0 <= twice <= 10 * CHUNK
    assert int(done.stdout) > 0


def test_nothing_is_asked_and_nothing_read_the_second_time(inventory):
    stage(inventory)
    # A read moves an access time that is older than the file's own; setting it is no change to the content.
    files = "find %s -type f -size +500k -not -path '*/images/*'" % ARTIFACTS
    shell(HOST, "%s -exec touch -a -d 2001-01-01 {} +" % files)
    began = log_length()
    output = stage(inventory)
    assert {host: numbers["changed"] for host, numbers in recap(output).items()} == dict.fromkeys(recap(output), 0)
    assert requests_since(began) == []
    times = shell(HOST, "%s -exec stat -c '%%x %%n' {} +" % files).splitlines()
    assert len(times) > 4
    assert [line for line in times if not line.startswith("2001-01-01")] == []
    shell(HOST, "cat %s/model-00001-of-00004.safetensors > /dev/null" % WEIGHTS)
    assert not shell(HOST, "stat -c %%x %s/model-00001-of-00004.safetensors" % WEIGHTS).startswith("2001"), "no proof"


def test_a_flipped_bit_is_found_and_only_that_object_comes_again(inventory, addresses):
    name = WEIGHTS + "/model-00002-of-00004.safetensors"
    before = shell(HOST, "sha256sum < " + name)
    flip = (
        "import sys; f = open(sys.argv[1], 'r+b'); f.seek(9999); b = f.read(1)[0] ^ 1; "
        "f.seek(9999); f.write(bytes([b])); f.close()"
    )
    fleet("exec", HOST, "--", "python3", "-c", flip, name)
    assert shell(HOST, "sha256sum < " + name) != before
    began = log_length()
    stage(inventory, "--limit", HOST + ",localhost")
    assert shell(HOST, "sha256sum < " + name) == before
    objects = [entry for entry in requests_since(began) if "/storage/" in entry[1]]
    assert [(address, path.rpartition("/")[2]) for address, path, _status, _bytes in objects] == [
        (addresses[HOST], before.split()[0])
    ]


def test_a_full_disk_is_foreseen(inventory):
    shell(HOST, "rm -rf %s/models %s/repositories" % (ARTIFACTS, ARTIFACTS))
    fleet("break", HOST, "disk-full", "100")
    began = log_length()
    try:
        status, output = playbook(inventory, STAGE, "--limit", HOST + ",localhost")
    finally:
        fleet("mend", HOST)
    assert status != 0
    assert "not enough room at %s" % ARTIFACTS in " ".join(output.split()), output
    assert [entry for entry in requests_since(began) if "/storage/" in entry[1]] == []
    stage(inventory, "--limit", HOST + ",localhost")


def test_a_mirror_downloads_once_for_all_and_may_fail(inventory, addresses, tmp_path):
    mirrors = tmp_path / "mirrors.yml"
    mirrors.write_text("artifact_mirrors: {hosts: {%s: {}}}\n" % MIRROR)
    for host in (HOST, MIRROR):
        shell(host, "rm -rf %s/models %s/repositories %s/mirror" % (ARTIFACTS, ARTIFACTS, ARTIFACTS))
    stage(inventory, "-i", str(mirrors), "--check", "--diff")
    began = log_length()
    stage(inventory, "-i", str(mirrors))
    objects = [(address, path) for address, path, _status, _bytes in requests_since(began) if "/storage/" in path]
    assert {address for address, _path in objects} == {addresses[MIRROR]}
    assert len(objects) == len(set(objects)), "each object once"
    # The mirror is an NPU host as well: its own files are names of what it serves.
    shared = "%s/models/Qwen3.5-27B/model-00001-of-00004.safetensors"
    one, other = (shared % (ARTIFACTS + middle) for middle in ("", "/mirror"))
    assert shell(MIRROR, "stat -c %%i %s" % one) == shell(MIRROR, "stat -c %%i %s" % other)
    assert requests_since(began)[-1][0] == addresses[MIRROR]
    output = stage(inventory, "-i", str(mirrors))
    assert {host: numbers["changed"] for host, numbers in recap(output).items()} == dict.fromkeys(recap(output), 0)
    # It dies, and a host that lacks something goes to the origin.
    shell(MIRROR, "systemctl stop ascend-fleet-mirror")
    shell(HOST, "rm -rf %s" % WEIGHTS)
    began = log_length()
    output = stage(inventory, "-i", str(mirrors), "--limit", HOST + ",localhost")
    assert "was passed over: it does not answer" in " ".join(output.split())
    assert {address for address, path, _status, _bytes in requests_since(began) if "/storage/" in path} == {
        addresses[HOST]
    }
    shell(MIRROR, "rm -rf %s/mirror; systemctl disable ascend-fleet-mirror" % ARTIFACTS)


@pytest.fixture
def no_route(addresses):
    """A network namespace on the fleet's own network, without a route out of it; hosts have none either."""
    name, outside, inside = "%s-gap" % FLEET, "%.8s-g0" % FLEET, "%.8s-g1" % FLEET
    described = json.loads(
        subprocess.run(
            ["docker", "network", "inspect", "ascend-sim-%s" % FLEET], capture_output=True, text=True, check=True
        ).stdout
    )[0]
    subnet = described["IPAM"]["Config"][0]["Subnet"]
    gateway, address = subnet.replace(".0/24", ".1"), subnet.replace(".0/24", ".251/24")
    commands = [
        "ip netns add %s" % name,
        "ip link add %s type veth peer name %s" % (outside, inside),
        "ip link set %s master br-%s up" % (outside, described["Id"][:12]),
        "ip link set %s netns %s" % (inside, name),
        "ip -n %s addr add %s dev %s" % (name, address, inside),
        "ip -n %s link set %s up" % (name, inside),
        "ip -n %s link set lo up" % name,
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        for host in addresses:
            shell(host, "ip route del default")
        fleet("exec", "origin", "--", "nginx", "-c", "/etc/nginx/origin.conf", "-s", "stop")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", outside], check=False, capture_output=True)
        for host in addresses:
            shell(host, "ip route replace default via %s" % gateway)
        fleet("up")


def test_a_bundle_deploys_without_a_route(inventory, tmp_path, request):
    bundle = tmp_path / "bundle"
    status, output = playbook(inventory, "playbooks/bundle.yml", "-e", "fleet_bundle=%s" % bundle)
    assert status == 0, output
    status, output = playbook(inventory, "playbooks/bundle.yml", "-e", "fleet_bundle=%s" % bundle)
    assert (status, recap(output)["localhost"]["changed"]) == (0, 0), output
    check = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=bundle, check=False)
    assert check.returncode == 0
    for host in (HOST, MIRROR):
        shell(host, "rm -rf %s/models %s/repositories" % (ARTIFACTS, ARTIFACTS))
    enter = request.getfixturevalue("no_route")
    routes = subprocess.run([*enter, "ip", "route"], capture_output=True, text=True, check=True).stdout
    assert "default" not in routes
    # From here on nothing but what lies in the bundle: Python packages, collection, artifacts.
    venv = tmp_path / "venv"
    env = {"PATH": "%s/bin:/usr/sbin:/usr/bin:/sbin:/bin" % venv, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    env.update(ANSIBLE_COLLECTIONS_PATH=str(venv / "collections"), ANSIBLE_NOCOLOR="1")
    steps = (
        "%s -m venv %s" % (sys.executable, venv),
        "pip install --quiet --no-index --find-links python -r python/requirements.txt",
        "ansible-galaxy collection install --offline -p %s/collections collections/ascend-fleet-0.1.0.tar.gz" % venv,
        "ansible-playbook ascend.fleet.stage -i %s -e fleet_bundle=%s" % (Path(inventory).resolve(), bundle),
    )
    for step in steps:
        done = subprocess.run(
            [*enter, "env", *step.split()],
            cwd=bundle,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    numbers = recap(done.stdout)
    assert all(numbers[host]["changed"] for host in (HOST, MIRROR)), done.stdout
    status, output = playbook(inventory, STAGE, "-e", "fleet_bundle=%s" % bundle)
    assert status == 0, output
    assert {host: n["changed"] for host, n in recap(output).items()} == dict.fromkeys(recap(output), 0), output
