# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `playbooks/preflight.yml` costs, as a multiple of asking every host for `npu-smi info` over ssh and no more.

The hosts are addresses of the loopback network, all answered by one sshd of this measurement's own. Both sides make a
new connection to every host (no connection is shared between them or kept from before) and call the same simulated
npu-smi. What the preflight reads besides (docker, disks, processes, ports) is this machine's own.

ASCEND_BENCH_HOSTS: how many hosts, 50 when left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ratios import Impossible, Ratio

TITLE = "preflight of many hosts over ssh"
ROOT = Path(__file__).resolve().parents[3]
SILICON = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"
BIN = Path(sys.executable).parent
PYTHON = "/usr/bin/python3"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
HOSTS = int(os.environ.get("ASCEND_BENCH_HOSTS", "50"))
FORKS = 25  # as in ansible.cfg
SSHD = """\
Port {port}
ListenAddress 0.0.0.0
AllowUsers root@127.0.0.0/8
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 500
UseDNS no
PrintMotd no
PrintLastLog no
SetEnv ASCEND_SIM_ROOT={folder}/host ASCEND_SIM_PROC={folder}/host/proc PATH={folder}/host/bin:{path}
"""
INVENTORY = """\
all:
  vars:
    ansible_connection: ssh
    ansible_user: root
    ansible_port: {port}
    ansible_python_interpreter: {python}
    ansible_ssh_private_key_file: {folder}/user_key
    ansible_ssh_common_args: >-
      -F none -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes
    fleet_release: qwen3_5_27b_v0
  children:
    npu_hosts:
      children:
        atlas_a2:
          vars: {{npu_generation: a2}}
          hosts:
{hosts}
"""


@dataclass(frozen=True)
class Bed:
    """The hosts, while they answer."""

    folder: Path
    port: int
    hosts: list[str]

    def ssh(self, host: str) -> list[str]:
        """A connection of its own to a host, for one command."""
        known = f"UserKnownHostsFile={self.folder}/known_hosts"
        options = [known, "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "ControlPath=none", "BatchMode=yes"]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", "-i", f"{self.folder}/user_key", *words, "-p", str(self.port), f"root@{host}"]


def addresses(count: int) -> list[str]:
    """127.1.0.1, 127.1.0.2, …"""
    return ["127.1.%d.%d" % divmod(n, 250) for n in range(1, count + 1)]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def bed(count: int) -> Iterator[Bed]:
    """One sshd that answers as ``count`` hosts, with everything it needs in a folder that is gone afterwards."""
    program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if os.geteuid() != 0 or program is None or shutil.which("ssh") is None or not Path(PYTHON).exists():
        raise Impossible("needs root, %s, ssh and sshd (Debian: openssh-client, openssh-server)" % PYTHON)
    with tempfile.TemporaryDirectory(prefix="ascend-bench-") as name:
        folder = Path(name)
        for key in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(folder / key)]
            subprocess.run(command, check=True)
        port, hosts = free_port(), addresses(count)
        public = (folder / "host_key.pub").read_text(encoding="utf-8").rsplit(" ", 1)[0]
        (folder / "known_hosts").write_text("".join(f"[{h}]:{port} {public}\n" for h in hosts), encoding="utf-8")
        (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder, path=PATH), encoding="utf-8")
        lines = "\n".join(f"            host-{n:03}: {{ansible_host: {h}}}" for n, h in enumerate(hosts, 1))
        text = INVENTORY.format(port=port, python=PYTHON, folder=folder, hosts=lines)
        (folder / "hosts.yml").write_text(text, encoding="utf-8")
        (folder / "host" / "bin").mkdir(parents=True)
        (folder / "host" / "proc").mkdir()
        for tool in ("npu-smi", "lspci", "hccn_tool", "ascend-sim"):
            give(folder / "host" / "bin" / tool)
        env = {**os.environ, "ASCEND_SIM_ROOT": f"{folder}/host", "ASCEND_SIM_PROC": f"{folder}/host/proc"}
        install = [f"{folder}/host/bin/ascend-sim", "install", "--generation", "a2", "--architecture", "x86_64"]
        subprocess.run([sys.executable, *install, "--driver", "25.2.0"], env=env, check=True, capture_output=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        daemon = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_for(port, daemon)
            yield Bed(folder, port, hosts)
        finally:
            # Connections that ansible keeps open end with their sessions; then the listener, by its own number.
            for path in (folder / "cp").glob("*") if (folder / "cp").is_dir() else ():
                subprocess.run(
                    ["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "host"],
                    capture_output=True,
                    check=False,
                )
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)


def give(path: Path) -> None:
    """The simulated tool under one of its names.

    The real tools are compiled programs. Python's are compiled at every start, unless they are a module: hence two
    lines that import one. The system's own Python runs them, whatever a login shell puts on PATH.
    """
    library = path.parents[1] / "lib"
    library.mkdir(exist_ok=True)
    for code in SILICON.parent.glob("*.py"):
        shutil.copy(code, library / code.name)
    path.write_text(
        "#!%s -S\nimport sys\nsys.path.insert(0, %r)\nimport %s as tool\nsys.exit(tool.main())\n"
        % (PYTHON, str(library), "ascend_sim" if path.name == "ascend-sim" else "sim_tools"),
        encoding="utf-8",
    )
    path.chmod(0o755)


def wait_for(port: int, daemon: subprocess.Popen[bytes]) -> None:
    """Until the sshd answers."""
    for _attempt in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.1)
    raise Impossible("the sshd of the measurement does not start")


def ask(bed: Bed, host: str) -> None:
    """`ssh HOST npu-smi info`."""
    done = subprocess.run([*bed.ssh(host), "npu-smi info"], capture_output=True, text=True, check=False)
    if done.returncode or "910B" not in done.stdout:
        raise RuntimeError("ssh %s npu-smi info: %s%s" % (host, done.stdout[-300:], done.stderr[-300:]))


def raw(bed: Bed, forks: int) -> float:
    """Seconds of asking every host, ``forks`` at a time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(forks) as pool:
        list(pool.map(lambda host: ask(bed, host), bed.hosts))
    return time.perf_counter() - began


def preflight(bed: Bed) -> float:
    """Seconds of the whole playbook, from the shell's point of view."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    env.update(
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        ANSIBLE_SSH_CONTROL_PATH_DIR=str(bed.folder / "cp"),
        ANSIBLE_NOCOLOR="1",
    )
    command = [str(BIN / "ansible-playbook"), "-i", str(bed.folder / "hosts.yml"), "playbooks/preflight.yml"]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    # The hosts are no NPU servers but for their npu-smi: that they are found wanting (2) is right.
    if done.returncode not in (0, 2) or "not checked" in done.stdout or f"{len(bed.hosts)} hosts" not in done.stdout:
        raise RuntimeError("the preflight broke: %s%s" % (done.stdout[-2000:], done.stderr[-500:]))
    return seconds


def measure() -> list[Ratio]:
    """The loop, the loop with as many at once as ansible has, the preflight, both loops again."""
    with bed(HOSTS) as hosts:
        raw(Bed(hosts.folder, hosts.port, hosts.hosts[:2]), 1)  # what is read for the first time is read once
        one_by_one, at_once = raw(hosts, 1), raw(hosts, FORKS)
        checked = preflight(hosts)
        # Before and after: what else the machine does meanwhile is on both sides.
        at_once, one_by_one = (at_once + raw(hosts, FORKS)) / 2, (one_by_one + raw(hosts, 1)) / 2
    what = "preflight of %d hosts, everything read and checked" % HOSTS
    return [
        Ratio(what, "`for HOST: ssh HOST npu-smi info`, one after the other", checked, one_by_one, "aim: at most 3 ×"),
        Ratio(what, "the same with %d at once" % FORKS, checked, at_once),
    ]
