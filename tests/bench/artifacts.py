# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long 1, 2, 4 and 8 hosts take to fetch the same file: from the origin, through a mirror, and from each other.

All are machines of a simulated fleet and run the collection's own code; mirror and tracker are those that the role
configures. Every network card is limited with `tc tbf`: the origin's to the thin line out of the site, all others to
the site's network. Times are given as multiples of one host that fetches from the origin, so that they mean the same
on any machine.

usage: artifacts.py [--megabytes 24] [--line 10mbit] [--lan 100mbit] [--hosts 1,2,4,8] [--json FILE]
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
REPOSITORY = "bench/file"
STORE = "/var/lib/ascend-fleet/mirror/store"
WAYS = {"naive": "each from the origin", "mirror": "through a mirror", "swarm": "from a mirror and each other"}
PROGRAM = """
import sys; sys.path.insert(0, "/opt/bench")
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import repository, swarm
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request
request = Request(
    repository={url!r}, revision="main", dest={dest!r}, paths=("big.bin",), sources={sources!r}, store={store!r},
    share=bool({store!r}), swarm=swarm.Settings(trackers={trackers!r}, seed_minutes=0))
outcome = repository.Repository(request).ensure()
assert [w.path for w in outcome.files] == ["big.bin"], outcome
assert outcome.source == ({sources!r} or ({url!r},))[0], (outcome.source, outcome.notes)
assert outcome.shared == bool({trackers!r}), outcome.notes
"""


def run(*argv: str, **options: Any) -> str:
    done = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(argv), (done.stderr or done.stdout).strip()[-2000:]))
    return done.stdout


def fleet(*words: str) -> str:
    return run(sys.executable, "tests/sim/fleet", "--name", FLEET, *words)


def container(machine: str) -> str:
    """What docker calls a machine of the fleet."""
    about = json.loads(fleet("status", "--json"))
    if machine == "origin":
        return str(about["origin"]["container"])
    return next(str(host["container"]) for host in about["hosts"] if host["name"] == machine)


def limit(rate: str, machine: str) -> None:
    """Limit what a machine of the fleet sends."""
    pid = run("docker", "inspect", "--format", "{{.State.Pid}}", container(machine)).strip()
    inside = ["nsenter", "--net", "--target", pid]
    run(*inside, *("tc qdisc replace dev eth0 root tbf burst 64kb latency 50ms rate %s" % rate).split())


def start(machine: str, **values: Any) -> subprocess.Popen[str]:
    """Let a machine fetch."""
    argv = ["docker", "exec", container(machine), "python3", "-c", PROGRAM.format(**values)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(started: list[subprocess.Popen[str]]) -> None:
    for process in started:
        said, _none = process.communicate(timeout=1800)
        if process.returncode != 0:
            sys.exit(said)


def fetch(way: str, hosts: list[str], url: str, mirror: str) -> float:
    """So many hosts fetch at the same time, and the mirror before them; the seconds. All must succeed."""
    began = time.monotonic()
    if way != "naive":
        folder = "/var/lib/ascend-fleet/mirror/bench"
        finish([start("mirror-1", url=url, dest=folder, sources=(), store=STORE, trackers=())])
        if way == "swarm":
            fleet("exec", "mirror-1", "--", "systemctl", "reload", "ascend-fleet-tracker")
    sources = () if way == "naive" else ("http://%s:8008" % mirror,)
    trackers = ("http://%s:6969/announce" % mirror,) if way == "swarm" else ()
    values = {"url": url, "dest": "/var/lib/bench", "sources": sources, "store": None, "trackers": trackers}
    finish([start(host, **values) for host in hosts])
    seconds = time.monotonic() - began
    for host in hosts:
        fleet("exec", host, "--", "rm", "-rf", "/var/lib/bench")
    fleet("exec", "mirror-1", "--", "sh", "-c", "rm -rf /var/lib/ascend-fleet/mirror/bench %s/*" % STORE)
    return seconds


def prepare(megabytes: int, names: list[str]) -> tuple[str, str]:
    """The fleet with its mirror, and the file at the origin; returns the file's URL and the mirror's address."""
    inventory = ROOT / ".sim" / FLEET / "inventory" / "hosts.yml"
    hosts = [*("--host=%s:generation=a2" % name for name in names), "--host=mirror-1:groups=artifact_mirrors"]
    fleet("up", *hosts, "--inventory", str(inventory))
    variables = inventory.parent / "group_vars"
    if not variables.exists():
        variables.symlink_to(ROOT / "inventories" / "demo" / "group_vars")
    env = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections")
    )
    playbook = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory.parent)]
    run(*playbook, "playbooks/stage.yml", "--limit=mirror-1,localhost", "--extra-vars=artifact_swarm_from=1", env=env)
    target = "/opt/bench/ansible_collections/ascend/fleet/plugins"
    for name in [*names, "mirror-1"]:
        fleet("exec", name, "--", "mkdir", "-p", target)
        run("docker", "cp", str(ROOT / "plugins" / "module_utils"), "%s:%s/" % (container(name), target))
    fleet("exec", "mirror-1", "--", "sh", "-c", "rm -rf %s/*" % STORE)
    report = json.loads(fleet("status", "--json"))
    with tempfile.NamedTemporaryFile() as file:
        file.write(random.Random(megabytes).randbytes(megabytes * 1_000_000))
        file.flush()
        fleet("origin-add", REPOSITORY, "big.bin", file.name)
    address = next(host["address"] for host in report["hosts"] if host["name"] == "mirror-1")
    return "%s/%s.git" % (report["origin"]["url"], REPOSITORY), address


def measure(options: argparse.Namespace) -> dict[str, Any]:
    counts = [int(number) for number in options.hosts.split(",")]
    names = ["host-%d" % number for number in range(1, max(counts) + 1)]
    seconds: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    try:
        url, mirror = prepare(options.megabytes, names)
        limit(options.line, "origin")
        for name in [*names, "mirror-1"]:
            limit(options.lan, name)
        for count in counts:
            for way in WAYS:
                seconds[way][count] = fetch(way, names[:count], url, mirror)
                print("%d %s: %.1f s" % (count, WAYS[way], seconds[way][count]), file=sys.stderr, flush=True)
    finally:
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
    for way, ratios in found["ratios"].items():
        lines.append("| %s | " % WAYS[way] + " | ".join("%.2f" % ratios[n] for n in counts) + " |")
    lines += [
        "",
        "1.00 is one host from the origin: %s s for %s MB over %s; hosts and mirror at %s."
        % (found["seconds_of_one"], found["megabytes"], found["line"], found["lan"]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=24)
    parser.add_argument("--line", default="10mbit")
    parser.add_argument("--lan", default="100mbit")
    parser.add_argument("--hosts", default="1,2,4,8")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for program in ("tc", "nsenter"):
        if shutil.which(program) is None:
            sys.exit("artifacts.py: found no %s; needed for limited network cards. Install iproute2" % program)
    found = measure(options)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
