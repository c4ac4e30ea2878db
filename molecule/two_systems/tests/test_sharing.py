# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two staged hosts of different systems and a mirror over TLS: who gives what, by the mirror's log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.fleet_helpers import ROOT as HERE
from tests.fleet_helpers import fleet, playbook, playbook_command, recap, wait_on

GIVER, TAKER, MIRROR = "a2-1", "a2-2", "mirror-1"
ROOT = "/var/lib/ascend-fleet"
STAGE = "playbooks/stage.yml"
TAG = "vllm-ascend:qwen3_5-v0-a2"
SLOW = "tc qdisc replace dev eth0 root tbf rate %s burst 64kb latency 50ms"


@pytest.fixture(scope="module")
def inventory(request):
    """The inventory with its lock. molecule puts an inventory of its own before it, and the first one has the lock."""
    path = request.config.getoption("ansible_inventory")
    status, output = playbook(path, "playbooks/lock.yml")
    assert status == 0, output
    return path


@pytest.fixture(scope="module")
def addresses():
    return {host["name"]: host["address"] for host in json.loads(fleet("status", "--json"))["hosts"]}


@pytest.fixture
def slow_mirror():
    """A mirror whose card is the limit."""
    shell(MIRROR, SLOW % "8mbit")
    yield
    shell(MIRROR, "tc qdisc del dev eth0 root")


def shell(host, command):
    return fleet("exec", host, "--", "sh", "-c", command)


def archive(host):
    """The image archive of a host: its path, hash and size."""
    path, size = shell(host, "find %s/repositories -name '*.tar' -printf '%%p %%s\\n'" % ROOT).split()
    return path, shell(host, "sha256sum < " + path).split()[0], int(size)


def log_length():
    return len(mirror_log())


def mirror_log():
    return shell(MIRROR, "journalctl --quiet --output cat --identifier ascend_fleet_mirror").splitlines()


def given(begin, address, oid):
    """Bytes of an object that the mirror gave to an address since a line of its log, and by which programs."""
    line = r'^%s .*"GET /objects/../../%s HTTP/1.1" 20[06] (\d+) "[^"]*" "([^"/]+)' % (re.escape(address), oid)
    pattern = re.compile(line)
    found = [match for line in mirror_log()[begin:] if (match := pattern.search(line))]
    return sum(int(match[1]) for match in found), {match[2] for match in found}


def lose_archive():
    """TAKER has nothing of it any more, not even a file that it still gives to others."""
    shell(TAKER, "systemctl stop 'ascend-fleet-seed-*'; rm -rf %s/repositories" % ROOT)


def take_again(inventory, *options):
    """The host TAKER has lost its archive and stages again; what was said."""
    lose_archive()
    options = ("--limit", TAKER, "--tags", "artifacts", *options)
    status, output = playbook(inventory, STAGE, *options)
    assert status == 0, output
    assert recap(output)[TAKER]["changed"] == 1, output
    return " ".join(output.split())


def test_what_one_has_the_other_takes_from_it(inventory, addresses, slow_mirror):
    _path, oid, size = archive(GIVER)
    assert "ascend-fleet-seed-" in shell(GIVER, "systemctl list-units --no-legend 'ascend-fleet-seed-*'")
    begin = log_length()
    said = take_again(inventory)
    assert archive(TAKER)[1] == oid
    assert "was passed over" not in said
    came, programs = given(begin, addresses[TAKER], oid)
    print("the mirror gave %d of %d bytes" % (came, size))
    assert programs <= {"aria2"}
    assert came < size / 2
    inside = shell(TAKER, "systemctl show -p User,DynamicUser,CapabilityBoundingSet 'ascend-fleet-seed-*'")
    assert "DynamicUser=yes" in inside


def received(oid, size):
    """A command that succeeds when TAKER holds that many bytes of an object while it comes."""
    find = "find %s -path '*/.git/ascend-fleet/swarm/*/data/%s' -printf '%%b\\n' 2>/dev/null" % (ROOT, oid)
    return "%s | awk '{ blocks += $1 } END { exit blocks * 512 < %d }'" % (find, size)


def test_a_killed_run_leaves_its_pieces_to_the_next(inventory, addresses):
    """SIGKILL for controller and module; aria2 goes on in its unit, until the next run takes over."""
    _path, oid, size = archive(GIVER)
    shell(GIVER, "systemctl stop 'ascend-fleet-seed-*'")
    lose_archive()
    shell(MIRROR, SLOW % "40mbit")
    begin = log_length()
    options = ("--limit", TAKER, "--tags", "artifacts")
    command, env = playbook_command(inventory, STAGE, *options)
    process = subprocess.Popen(command, cwd=HERE, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        assert wait_on(TAKER, received(oid, size // 4), 120)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shell(TAKER, "pkill -9 -f AnsiballZ_[l]fs_artifact")
        shell(MIRROR, "tc qdisc del dev eth0 root")
    assert "ascend-fleet-swarm-" in shell(TAKER, "systemctl list-units --no-legend 'ascend-fleet-swarm-*'")
    status, output = playbook(inventory, STAGE, *options)
    assert status == 0, output
    assert archive(TAKER)[1] == oid
    came, _programs = given(begin, addresses[TAKER], oid)
    print("the mirror gave %d bytes for %d" % (came, size))
    assert 0.9 * size < came < 1.1 * size
    assert not shell(TAKER, "find %s -path '*/swarm/work*'" % ROOT)


def test_without_the_others_the_mirror_gives_everything(inventory, addresses):
    """Neither tracker nor giver nor aria2: the run says so, and the file is right."""
    _path, oid, size = archive(GIVER)
    shell(GIVER, "systemctl stop 'ascend-fleet-seed-*'")
    shell(MIRROR, "systemctl stop ascend-fleet-tracker")
    begin = log_length()
    take_again(inventory)
    came, programs = given(begin, addresses[TAKER], oid)
    assert (came >= size, programs) == (True, {"aria2"})
    shell(TAKER, "mv /usr/bin/aria2c /usr/bin/aria2c.away")
    try:
        begin = log_length()
        said = take_again(inventory, "-e", '{"model_artifacts_swarm_packages": []}')
    finally:
        shell(TAKER, "mv /usr/bin/aria2c.away /usr/bin/aria2c")
        shell(MIRROR, "systemctl start ascend-fleet-tracker")
    assert "nothing was shared with other hosts: found no aria2c" in said
    assert given(begin, addresses[TAKER], oid) == (size, {"Python-urllib"})
    assert archive(TAKER)[1] == oid


def test_a_mirror_that_cannot_prove_who_it_is_gives_nothing(inventory, addresses):
    _path, oid, _size = archive(GIVER)
    begin = log_length()
    said = take_again(inventory, "-e", "model_artifacts_sources_ca_path=/etc/ssl/certs/ca-certificates.crt")
    assert "was passed over: it does not answer" in said
    assert "certificate" in said
    assert given(begin, addresses[TAKER], oid) == (0, set())
    assert archive(TAKER)[1] == oid, "the origin gave it"


def test_an_image_that_docker_has_by_its_pinned_id_needs_no_archive(inventory, addresses):
    """Loaded by hand under a tag of its own, its archive never there: it gets the tag, and nothing is downloaded."""
    _path, oid, _size = archive(GIVER)
    shell(GIVER, "docker tag %s by-hand:1 && docker image rm %s" % (TAG, TAG))
    shell(GIVER, "systemctl stop 'ascend-fleet-seed-*'; rm -rf %s/repositories %s/images" % (ROOT, ROOT))
    before = shell(GIVER, "docker image inspect --format {{.Id}} by-hand:1")
    begin = log_length()
    for changed in (1, 0):
        status, output = playbook(inventory, STAGE, "--limit", GIVER)
        assert status == 0, output
        assert recap(output)[GIVER]["changed"] == changed, output
    assert shell(GIVER, "docker image inspect --format {{.Id}} %s" % TAG) == before
    assert given(begin, addresses[GIVER], oid) == (0, set())
    assert shell(GIVER, "find %s/repositories -name '*.tar' 2>/dev/null; true" % ROOT) == ""
