# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long 1, 2, 4 and 8 hosts take to fetch the same file: each from the origin, and through a mirror.

The origin and the mirror are those of the simulated fleet (the mirror with the nginx that the role configures); the
hosts are network namespaces on the fleet's network that run the collection's own code. Every network card is limited
with `tc tbf`: the origin's to the thin line out of the site, all others to the site's network. Times are given as
multiples of one host that fetches from the origin, so that they mean the same on any machine.

usage: artifacts.py [--megabytes 20] [--line 50mbit] [--lan 1gbit] [--hosts 1,2,4,8] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLEET = os.environ.get("ASCEND_SIM_BENCH_FLEET", "bench")
NAMESPACE = "asbench"  # with the number of a host; 15 characters are the limit of an interface's name
REPOSITORY = "bench/file"
STORE = "/var/lib/ascend-fleet/mirror/store"
PROGRAM = """
import sys; sys.path.insert(0, %r)
from ansible_collections.ascend.fleet.plugins.module_utils._lfs_repository import Repository, Request
request = Request(repository=%r, revision='main', dest=%r, paths=('big.bin',), sources=%r, store=%r)
outcome = Repository(request).ensure()
assert [w.path for w in outcome.files] == ['big.bin'], outcome
assert outcome.source == (%r or outcome.source), (outcome.source, outcome.notes)
"""


def run(*argv: str, **options: Any) -> str:
    done = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(argv), (done.stderr or done.stdout).strip()[-2000:]))
    return done.stdout


def fleet(*words: str) -> str:
    return run(sys.executable, "tests/sim/fleet", "--name", FLEET, *words)


def limit(rate: str, device: str, *prefix: str) -> None:
    run(
        *prefix,
        "tc",
        "qdisc",
        "replace",
        "dev",
        device,
        "root",
        "tbf",
        "rate",
        rate,
        "burst",
        "256kb",
        "latency",
        "50ms",
    )


def pid_of(container: str) -> str:
    return run("docker", "inspect", "--format", "{{.State.Pid}}", "%s-%s" % (FLEET, container)).strip()


class Site:
    """The fleet's network with so many hosts, all limited; taken away again."""

    def __init__(self, count: int, line: str, lan: str) -> None:
        network = json.loads(run("docker", "network", "inspect", "ascend-sim-%s" % FLEET))[0]
        self.count = count
        base = network["IPAM"]["Config"][0]["Subnet"].rsplit(".", 1)[0]
        self.clear()
        for number in range(count):
            name = NAMESPACE + str(number)
            run("ip", "netns", "add", name)
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", name, "master", "br-" + network["Id"][:12], "up")
            run("ip", "-n", name, "addr", "add", "%s.%d/24" % (base, 200 + number), "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            limit(lan, "eth0", "ip", "netns", "exec", name)
        for container, rate in (("origin", line), ("mirror-1", lan)):
            limit(rate, "eth0", "nsenter", "--net", "--target", pid_of(container))

    def clear(self) -> None:
        for name in run("ip", "netns", "list").split():
            if name.startswith(NAMESPACE):
                run("ip", "netns", "del", name)

    def close(self) -> None:
        self.clear()
        for container in ("origin", "mirror-1"):
            subprocess.run(
                ["nsenter", "--net", "--target", pid_of(container), "tc", "qdisc", "del", "dev", "eth0", "root"],
                check=False,
                capture_output=True,
            )


def fetch(hosts: int, url: str, sources: tuple[str, ...]) -> None:
    """So many hosts fetch at the same time; all must succeed, and from where they should."""
    with tempfile.TemporaryDirectory(prefix="ascend-bench-") as folder:
        started = []
        for number in range(hosts):
            program = PROGRAM % (
                str(ROOT / ".collections"),
                url,
                "%s/%d" % (folder, number),
                sources,
                None,
                (*sources, "")[0],
            )
            argv = ["ip", "netns", "exec", NAMESPACE + str(number), sys.executable, "-c", program]
            started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in started:
            said, _none = process.communicate(timeout=900)
            if process.returncode != 0:
                sys.exit(said)


def fill_mirror(url: str) -> None:
    """The mirror downloads, from nothing, with the same code."""
    program = PROGRAM % ("/opt/bench", url, "/var/lib/ascend-fleet/mirror/bench", (), STORE, "")
    fleet("exec", "mirror-1", "--", "python3", "-c", program)


def prepare(megabytes: int) -> tuple[str, str]:
    """The fleet with its mirror, and the file at the origin; returns the URLs of both."""
    inventory = ROOT / ".sim" / FLEET / "inventory" / "hosts.yml"
    hosts = ("--host", "a2-1", "--host", "mirror-1:groups=artifact_mirrors")
    fleet("up", *hosts, "--inventory", str(inventory))
    variables = inventory.parent / "group_vars"
    if not variables.exists():
        variables.symlink_to(ROOT / "inventories" / "demo" / "group_vars")
    env = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections")
    )
    playbook = str(Path(sys.executable).parent / "ansible-playbook")
    run(playbook, "-i", str(inventory.parent), "playbooks/stage.yml", "--limit", "mirror-1,localhost", env=env)
    target = "/opt/bench/ansible_collections/ascend/fleet/plugins"
    fleet("exec", "mirror-1", "--", "mkdir", "-p", target)
    run("docker", "cp", str(ROOT / "plugins" / "module_utils"), "%s-mirror-1:%s/" % (FLEET, target))
    report = json.loads(fleet("status", "--json"))
    with tempfile.NamedTemporaryFile() as file:
        file.write(random.Random(megabytes).randbytes(megabytes * 1_000_000))
        file.flush()
        fleet("origin-add", REPOSITORY, "big.bin", file.name)
    address = next(host["address"] for host in report["hosts"] if host["name"] == "mirror-1")
    return "%s/%s.git" % (report["origin"]["url"], REPOSITORY), "http://%s:8008" % address


def measure(options: argparse.Namespace) -> dict[str, Any]:
    url, mirror = prepare(options.megabytes)
    counts = [int(number) for number in options.hosts.split(",")]
    site = Site(max(counts), options.line, options.lan)
    seconds: dict[str, dict[int, float]] = {"naive": {}, "mirror": {}}
    try:
        for count in counts:
            for way in seconds:
                began = time.monotonic()
                if way == "mirror":
                    fill_mirror(url)
                fetch(count, url, (mirror,) if way == "mirror" else ())
                seconds[way][count] = time.monotonic() - began
                fleet("exec", "mirror-1", "--", "rm", "-rf", "/var/lib/ascend-fleet/mirror/bench")
    finally:
        site.close()
        if not os.environ.get("ASCEND_SIM_KEEP"):
            fleet("down")
    one = seconds["naive"][counts[0]]
    return {
        "megabytes": options.megabytes, "line": options.line, "lan": options.lan, "seconds_of_one": round(one, 1),
        "ratios": {way: {str(n): round(s / one, 2) for n, s in found.items()} for way, found in seconds.items()},
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    counts = list(found["ratios"]["naive"])
    lines = ["| hosts | " + " | ".join(counts) + " |", "|---" * (len(counts) + 1) + "|"]
    names = {"naive": "each from the origin", "mirror": "through a mirror"}
    for way, ratios in found["ratios"].items():
        lines.append("| %s | " % names[way] + " | ".join("%.2f" % ratios[n] for n in counts) + " |")
    last = counts[-1]
    ratio = found["ratios"]["mirror"][last] / found["ratios"]["mirror"][counts[0]]
    lines += [
        "",
        "1.00 is one host from the origin: %s s for %s MB over %s; hosts and mirror at %s."
        % (found["seconds_of_one"], found["megabytes"], found["line"], found["lan"]),
        "Through the mirror %s hosts take %.2f times as long as one (goal: 1.5 at most)." % (last, ratio),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--line", default="50mbit")
    parser.add_argument("--lan", default="1gbit")
    parser.add_argument("--hosts", default="1,2,4,8")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for program in ("ip", "tc", "nsenter", "docker"):
        if shutil.which(program) is None:
            sys.exit(
                "artifacts.py: found no %s; needed for limited network cards. Install iproute2 and docker" % program
            )
    found = measure(options)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
