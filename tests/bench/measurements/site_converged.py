# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `site.yml`, preflight and an upgrade cost the controller on hosts that are as they should be, per host.

All hosts are addresses of one simulated host that serves: everything they answer is real, and they share its answers.
Compared with `ssh HOST npu-smi info` for every host, 25 at once. Both sides open a connection to every host. What
counts is the processor time of the controller's processes: the host's own work is done on the same machine here, by
each host for itself in a real fleet.

ASCEND_BENCH_SITE_HOSTS: the numbers of hosts, "1,50,100" when left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ratios import Impossible, Ratio

TITLE = "site.yml, preflight.yml and upgrade.yml on hosts that are as they should be, per host"
ROOT = Path(__file__).resolve().parents[3]
FLEET = "bench-site"
HOST = "a2-1"
FORKS = 25  # as in ansible.cfg
COUNTS = tuple(int(n) for n in os.environ.get("ASCEND_BENCH_SITE_HOSTS", "1,50,100").split(","))
AIMS = {
    "site.yml": "aim: at most 1 s and 4 calls a host",
    "playbooks/preflight.yml": "aim: at most 2.5 × at 100 hosts",
    "playbooks/upgrade.yml": "aim: 1 call a host",  # to what they serve already
}
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
#: Counts what the controller asks of hosts: with pipelining, a module is one call of ssh.
SSH = '#!/bin/sh\nprintf . >>"$ASCEND_BENCH_CALLS"\nexec ssh "$@"\n'


def run(*argv: str, **more: str) -> str:
    """A command that must succeed; what it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    done = subprocess.run(
        argv, cwd=ROOT, env={**env, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError("%s: %s%s" % (" ".join(argv), done.stdout[-3000:], done.stderr[-1000:]))
    return done.stdout


def spent() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fleet(*words: str) -> str:
    """Call the simulator."""
    return run(sys.executable, "tests/sim/fleet", "--name", FLEET, *words)


class Bed:
    """One host that serves, under as many addresses as are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sim = ROOT / ".sim" / FLEET
        fleet("up", "--host=%s:generation=a2" % HOST, "--inventory", str(folder / "one" / "hosts.yml"))
        (folder / "ssh").write_text(SSH, encoding="utf-8")
        (folder / "ssh").chmod(0o755)
        status = json.loads(fleet("status", "--json"))
        self.address = next(str(host["address"]) for host in status["hosts"] if host["name"] == HOST)
        self.origin = str(status["origin"]["url"])
        self.key = (self.sim / "known_hosts").read_text(encoding="utf-8").split(None, 1)[1].splitlines()[0]
        self.names = self.give_addresses(max(COUNTS))

    def give_addresses(self, count: int) -> list[str]:
        """Further addresses of the host's network card, in its own network."""
        head = self.address.rsplit(".", 1)[0]
        addresses = ["%s.%d" % (head, 100 + n) for n in range(count)]
        words = "; ".join("ip address replace %s/24 dev eth0" % address for address in addresses)
        fleet("exec", HOST, "--", "sh", "-c", words)
        (self.folder / "known_hosts").write_text("".join("%s %s\n" % (a, self.key) for a in addresses), "utf-8")
        return addresses

    def inventory(self, count: int) -> str:
        """An inventory of so many hosts."""
        options = "-o UserKnownHostsFile=%s/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
        hosts = "".join("          h%03d: {ansible_host: %s}\n" % (n, a) for n, a in enumerate(self.names[:count]))
        text = (
            "all:\n  vars:\n    ansible_user: root\n"
            "    ansible_python_interpreter: /usr/bin/python3\n"
            "    ansible_ssh_private_key_file: %s/id_ed25519\n    ansible_ssh_common_args: '-F none %s'\n"
            "    artifact_origin: %s\n    artifact_swarm_from: 0\n"
            "  children:\n    npu_hosts:\n      children:\n        atlas_a2:\n"
            "          hosts:\n%s"
        ) % (self.sim, options % self.folder, self.origin, "".join("  " + x for x in hosts.splitlines(True)))
        place = self.folder / ("of-%d" % count)
        if not place.exists():
            place.mkdir()
            (place / "group_vars").symlink_to(ROOT / "inventories" / "demo" / "group_vars")
        (place / "hosts.yml").write_text(text, encoding="utf-8")
        return str(place / "hosts.yml")

    def play(self, name: str, count: int) -> tuple[float, float]:
        """Processor seconds and remote calls of one run of a playbook."""
        calls = self.folder / "calls"
        calls.write_text("")
        inventory = self.inventory(count)
        began = spent()
        run(
            str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, name,
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_SSH_EXECUTABLE=str(self.folder / "ssh"), ANSIBLE_SSH_CONTROL_PATH_DIR=str(self.folder / "cp"),
            ANSIBLE_NOCOLOR="1", ASCEND_BENCH_CALLS=str(calls),
        )  # fmt: skip
        self.hang_up()
        return spent() - began, len(calls.read_text()) / count

    def hang_up(self) -> None:
        """End the connections that ssh keeps, which have become children of this process, and wait for them."""
        for socket in (self.folder / "cp").iterdir():
            run("ssh", "-F", "none", "-o", "ControlPath=%s" % socket, "-O", "exit", "host")
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass

    def raw(self, count: int) -> float:
        """Processor seconds of `ssh HOST npu-smi info` for every host, 25 at once."""
        options = ["UserKnownHostsFile=%s/known_hosts" % self.folder, "IdentitiesOnly=yes", "BatchMode=yes"]
        words = [word for option in [*options, "ControlPath=none"] for word in ("-o", option)]
        key = str(self.sim / "id_ed25519")

        def ask(address: str) -> None:
            run("ssh", "-F", "none", "-i", key, *words, "root@" + address, "npu-smi info")

        began = spent()
        with ThreadPoolExecutor(FORKS) as pool:
            list(pool.map(ask, self.names[:count]))
        return spent() - began


def measure() -> list[Ratio]:
    """For each number of hosts: the raw loop, both playbooks, the raw loop again."""
    if os.geteuid() != 0:
        raise Impossible("the simulated fleet needs root")
    found = []
    with tempfile.TemporaryDirectory(prefix="ascend-bench-") as name:
        try:
            bed = Bed(Path(name))
            # ssh's connections go into the background: they shall end here, and count. Not before: the simulator starts
            # docker where none runs, which would be waited for.
            if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
                raise Impossible("prctl(PR_SET_CHILD_SUBREAPER): %s" % os.strerror(ctypes.get_errno()))
            for count in (1, max(COUNTS)):  # the first to run deploys; each address gets what is remembered by host
                bed.play("site.yml", count)
            for count in COUNTS:
                before = bed.raw(count)
                cost = {playbook: bed.play(playbook, count) for playbook in AIMS}
                raw = (before + bed.raw(count)) / 2
                for playbook, (seconds, calls) in cost.items():
                    what = "%s, %d hosts (%.2f s and %.1f calls a host)" % (playbook, count, seconds / count, calls)
                    than = "`ssh HOST npu-smi info`, 25 at once (%.2f s a host)" % (raw / count)
                    found.append(Ratio(what, than, seconds, raw, AIMS[playbook]))
        finally:
            fleet("down")
    return found
