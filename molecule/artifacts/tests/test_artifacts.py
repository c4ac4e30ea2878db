# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of downloads that are killed, mirrored, damaged, cramped, carried and outdated.

The origin's log is the judge. In this order each test finds what it can use again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.fleet_helpers import ROOT, derived_archive, fleet, playbook, recap

HOST, MIRROR = "a2-1", "a3-1"
ARTIFACTS = "/var/lib/ascend-fleet"
WEIGHTS = ARTIFACTS + "/models/Qwen-AI--Qwen3.5-27B"
STAGE, DECOMMISSION = "playbooks/stage.yml", "playbooks/decommission.yml"
HOST_ALONE = ("--limit", HOST + ",localhost")
ARTIFACTS_OF_HOST = (*HOST_ALONE, "--tags", "artifacts")
CONFIRMED = ("-e", "decommission_confirm=true")
NEITHER_SERVICE_NOR_FILES = (*CONFIRMED, "-e", "decommission_artifacts=true", "-e", "decommission_images=true")
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


def play(inventory, name, *options):
    status, output = playbook(inventory, name, *options)
    assert status == 0, output
    return output


def stage(inventory, *options):
    return play(inventory, STAGE, *options)


def changes(output):
    """How many tasks changed something, by host."""
    return {host: numbers["changed"] for host, numbers in recap(output).items()}


def unchanged(output):
    return set(changes(output).values()) == {0}


def objects_since(count):
    """Which objects the origin gave to whom."""
    return [
        (address, path.rpartition("/")[2]) for address, path, _s, _b in requests_since(count) if "/storage/" in path
    ]


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory):
    """Options that make one host a mirror, and two."""
    folder = tmp_path_factory.mktemp("mirrors")
    options = []
    for hosts in ((MIRROR,), (MIRROR, HOST)):
        name = folder / ("%d.yml" % len(hosts))
        name.write_text(yaml.safe_dump({"artifact_mirrors": {"hosts": {host: {} for host in hosts}}}, sort_keys=False))
        options.append(("-i", str(name)))
    return options


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
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository\n"
        "from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request\n"
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


def test_mirrors_download_once_for_all(inventory, addresses, mirrors):
    one, both = mirrors
    for host in (HOST, MIRROR):
        shell(host, "cd %s && rm -rf models repositories mirror || true" % ARTIFACTS)
    # Of the mirror alone: the hosts would wait for its answer in vain.
    stage(inventory, *one, "--check", "--diff", "--limit", MIRROR + ",localhost", "--tags", "artifacts")
    # What the release leaves open is asked of the origin by several mirrors; of what is counted nothing is.
    play(inventory, "playbooks/lock.yml")
    began = log_length()
    stage(inventory, *both)
    given = objects_since(began)
    assert {address for address, _path, _status, _bytes in requests_since(began)} == {addresses[MIRROR]}
    assert len(given) == len(set(given)) > 4, "each object once"
    # These mirrors are NPU hosts as well: their own files are names of what they serve.
    shared = "%s/models/Qwen-AI--Qwen3.5-27B/model-00001-of-00004.safetensors"
    names = [shared % (ARTIFACTS + middle) for middle in ("", "/mirror")]
    for host in (HOST, MIRROR):
        assert len(set(shell(host, "stat -c %%i %s %s" % tuple(names)).split())) == 1


def test_nothing_is_asked_and_nothing_read_the_second_time(inventory, mirrors):
    # A read moves an access time that is older than the file's own; setting it is no change to the content.
    files = "find %s -type f -size +500k -not -path '*/images/*'" % ARTIFACTS
    shell(HOST, "%s -exec touch -a -d 2001-01-01 {} +" % files)
    began = log_length()
    output = stage(inventory, *mirrors[1])
    assert unchanged(output), output
    assert requests_since(began) == []
    times = shell(HOST, "%s -exec stat -c '%%x %%n' {} +" % files).splitlines()
    assert len(times) > 4
    assert [line for line in times if not line.startswith("2001-01-01")] == []
    shell(HOST, "cat %s/model-00001-of-00004.safetensors > /dev/null" % WEIGHTS)
    assert not shell(HOST, "stat -c %%x %s/model-00001-of-00004.safetensors" % WEIGHTS).startswith("2001"), "no proof"


def test_a_flipped_bit_is_found_and_only_that_object_comes_again(inventory, addresses, mirrors):
    """From the origin, as the mirror has gone."""
    one, both = mirrors
    play(inventory, DECOMMISSION, *both, *CONFIRMED, "--tags", "artifacts")
    for host in (HOST, MIRROR):
        shell(host, "! systemctl is-active ascend-fleet-mirror && test -d %s/mirror/store/objects" % ARTIFACTS)
        shell(host, "rm -rf %s/mirror" % ARTIFACTS)
    name = WEIGHTS + "/model-00002-of-00004.safetensors"
    before = shell(HOST, "sha256sum < " + name)
    flip = (
        "import sys; f = open(sys.argv[1], 'r+b'); f.seek(9999); b = f.read(1)[0] ^ 1; "
        "f.seek(9999); f.write(bytes([b])); f.close()"
    )
    fleet("exec", HOST, "--", "python3", "-c", flip, name)
    assert shell(HOST, "sha256sum < " + name) != before
    began = log_length()
    output = stage(inventory, *one, *ARTIFACTS_OF_HOST)
    assert "was passed over: it does not answer" in " ".join(output.split())
    assert shell(HOST, "sha256sum < " + name) == before
    assert objects_since(began) == [(addresses[HOST], before.split()[0])]


def test_a_full_disk_is_foreseen(inventory):
    shell(HOST, "rm -rf %s/models %s/repositories" % (ARTIFACTS, ARTIFACTS))
    fleet("break", HOST, "disk-full", "5")
    began = log_length()
    try:
        status, output = playbook(inventory, STAGE, *ARTIFACTS_OF_HOST)
    finally:
        fleet("mend", HOST)
    assert status != 0
    assert "not enough room at %s" % ARTIFACTS in " ".join(output.split()), output
    assert objects_since(began) == []


@contextlib.contextmanager
def no_route(inventory, hosts):
    """A network namespace on the fleet's own network, without a route out of it; hosts have none either."""
    about = json.loads(fleet("status", "--json"))
    look = ["docker", "network", "inspect", about["network"]]
    [described] = json.loads(subprocess.run(look, capture_output=True, text=True, check=True).stdout)
    name = "gap-%s" % described["Id"][:6]
    outside, inside = name + "-0", name + "-1"
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
        for host in hosts:
            shell(host, "ip route del default")
        # Stopped from within it would start itself again.
        stop = ["docker", "stop", "--time", "1", about["origin"]["container"]]
        subprocess.run(stop, check=True, capture_output=True)
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", outside], check=False, capture_output=True)
        for host in hosts:
            shell(host, "ip route replace default via %s" % gateway)
        fleet("up", "--inventory", "%s/hosts.yml" % inventory)


@pytest.fixture(scope="module")
def bundle(inventory, tmp_path_factory):
    """A bundle, made twice: the second time nothing was left to do."""
    folder = tmp_path_factory.mktemp("carried") / "bundle"
    play(inventory, "playbooks/bundle.yml", "-e", "fleet_bundle=%s" % folder)
    output = play(inventory, "playbooks/bundle.yml", "-e", "fleet_bundle=%s" % folder)
    assert unchanged(output), output
    check = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert check.returncode == 0
    return folder


def test_a_bundle_brings_the_service_without_a_route(inventory, addresses, bundle, tmp_path):
    """From preflight to smoke test with nothing but what the bundle holds: Python packages, collection, artifacts."""
    play(inventory, DECOMMISSION, *NEITHER_SERVICE_NOR_FILES)
    began = log_length()
    venv = tmp_path / "venv"
    env = {"PATH": "%s/bin:/usr/sbin:/usr/bin:/sbin:/bin" % venv, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    env.update(ANSIBLE_COLLECTIONS_PATH=str(venv / "collections"), ANSIBLE_NOCOLOR="1")
    site = "ansible-playbook ascend.fleet.site -i %s/hosts.yml -e fleet_bundle=%s" % (Path(inventory).resolve(), bundle)

    def carried_out(step):
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
        return done.stdout

    with no_route(inventory, addresses) as enter:
        assert "default" not in carried_out("ip route")
        carried_out("%s -m venv %s" % (sys.executable, venv))
        carried_out("pip install --quiet --no-index --find-links python -r python/requirements.txt")
        tarball = next((bundle / "collections").iterdir()).relative_to(bundle)
        carried_out("ansible-galaxy collection install --offline -p %s/collections %s" % (venv, tarball))
        first, second = carried_out(site), carried_out(site)
    for host in addresses:
        assert changes(first)[host], first
        assert "ok: [%s]" % host in first.partition("Ask every replica the questions")[2], first
    assert unchanged(second), second
    assert not set(addresses.values()) & {address for address, _path, _status, _bytes in requests_since(began)}


@pytest.fixture
def newer_releases(inventory, origin, tmp_path):
    """Two releases beside the inventory whose image archives and weights are newer revisions of what is served."""
    base = yaml.safe_load((ROOT / "playbooks/releases/qwen3_5_27b_v0.yml").read_text())
    entry = next(image for image in base["images"] if image["generation"] == "a2")
    others = [image for image in base["images"] if image is not entry]
    repositories = [part["repository"].split("/", 3)[3].removesuffix(".git") for part in (entry, base["model"])]
    releases = Path(inventory) / "releases"
    releases.mkdir(exist_ok=True)
    (releases / "files").symlink_to(ROOT / "playbooks/releases/files")
    names = []
    try:
        for number in (2, 3):
            name, tag, path = "newer_%d" % number, "vllm-ascend:newer-%d" % number, "vllm-image/newer-%d.tar" % number
            archive = derived_archive(origin["archives"][entry["path"]]["path"], tmp_path / (name + ".tar"), tag)
            image = json.loads(fleet("origin-add", repositories[0], path, str(archive)))
            (tmp_path / "NOTES.md").write_text("revision %d\n" % number)
            model = json.loads(fleet("origin-add", repositories[1], "NOTES.md", str(tmp_path / "NOTES.md"), "--plain"))
            release = dict(
                base,
                release=name,
                images=[dict(entry, revision=image["commit"], path=path, tag=tag), *others],
                model=dict(base["model"], revision=model["commit"]),
            )
            (releases / (name + ".yml")).write_text(yaml.safe_dump(release))
            suffixes = (
                ("models/Qwen-AI--Qwen3.5-27B", model),
                ("repositories/" + repositories[0].replace("/", "--"), image),
            )
            folders = {"%s@%.12s" % (folder, added["commit"]) for folder, added in suffixes}
            names.append(folders | {tag.partition(":")[2]})
        yield names
    finally:
        play(inventory, DECOMMISSION, *HOST_ALONE, *NEITHER_SERVICE_NOR_FILES)
        shell(HOST, "docker image rm vllm-ascend:newer-2 vllm-ascend:newer-3 || true")
        shutil.rmtree(releases)


def kept():
    """Revisions of weights and archives on the host, and its images."""
    found = shell(
        HOST,
        "cd %s && ls -d models/* repositories/* 2>/dev/null; docker image ls --format {{.Tag}} vllm-ascend" % ARTIFACTS,
    )
    return set(found.split())


def containers():
    return shell(HOST, "docker ps --no-trunc --quiet | sort")


def test_old_revisions_go_and_what_is_in_use_stays(inventory, newer_releases):
    if not containers():  # otherwise the bundle has brought the service
        play(inventory, "site.yml", *HOST_ALONE)
    served, (second, third) = containers(), newer_releases
    first = {"models/Qwen-AI--Qwen3.5-27B", "repositories/Eco-Tech--Qwen3.5-397B-A17B-w8a8-mtp", "qwen3_5-v0-a2"}
    assert kept() == first
    archives = {name for name in first | second | third if name.startswith("repositories")}
    one = ("-e", "model_artifacts_keep=1", "-e", "vllm_image_keep=1")
    # One of each, and beside it what is served: an archive is not, once its image is loaded.
    stage(inventory, *HOST_ALONE, "-e", "fleet_release=newer_2", *one)
    assert kept() == first - archives | second
    assert containers() == served
    # Two of each: what is served when they are counted, and what will be. The one between has to go.
    play(inventory, "site.yml", *HOST_ALONE, "-e", "fleet_release=newer_3")
    assert kept() == first - archives | second & archives | third
    served = containers()
    # One of each, and beside it what a rollback goes back to.
    stage(inventory, *HOST_ALONE, "-e", "fleet_release=newer_3", *one)
    assert kept() == third | first - archives
    assert containers() == served


def asked_of_mirror():
    """Addresses of those that a mirror on the host MIRROR has given an object to."""
    lines = shell(MIRROR, "journalctl --quiet --output cat --identifier ascend_fleet_mirror").splitlines()
    return [line.split()[0] for line in lines if '"GET /objects/' in line and " 200 " in line]


def test_a_mirror_is_filled_from_a_bundle_and_leaves_nothing(inventory, addresses, bundle, mirrors):
    one, both = mirrors
    shell(HOST, "rm -rf %s/models %s/repositories" % (ARTIFACTS, ARTIFACTS))
    began, before = log_length(), len(asked_of_mirror())
    stage(inventory, *one, "-e", "fleet_bundle=%s" % bundle, "--tags", "artifacts")
    assert requests_since(began) == []
    asked = asked_of_mirror()[before:]
    assert len(asked) > 4
    assert set(asked) == {addresses[HOST]}
    output = play(inventory, DECOMMISSION, *both, *NEITHER_SERVICE_NOR_FILES)
    assert changes(output)[MIRROR], output
    for host in (HOST, MIRROR):
        shell(host, "! test -e %s && ! test -e /etc/ascend-fleet && ! systemctl cat ascend-fleet-mirror" % ARTIFACTS)
    shell(MIRROR, "! ss --listening --tcp --numeric | grep :8008")
    output = play(inventory, DECOMMISSION, *both, *NEITHER_SERVICE_NOR_FILES)
    assert unchanged(output), output
