# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine underneath: its Debian packages, its package mirror, its Docker daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .shell import FleetError, output, read_json, run, say, step, try_again, wait_for, write_json
from .spec import CAP_SYS_RESOURCE, has_capability

# Debian package -> a file that shows that it is there.
PACKAGES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "debootstrap": "/usr/sbin/debootstrap",
    "docker.io": "/usr/bin/dockerd|/usr/sbin/dockerd",
    "git": "/usr/bin/git",
    "git-lfs": "/usr/bin/git-lfs",
    "iproute2": "/usr/sbin/ip|/sbin/ip|/usr/bin/ip",
    "iptables": "/usr/sbin/iptables|/sbin/iptables",
    "openssh-client": "/usr/bin/ssh",
    "openssl": "/usr/bin/openssl",
    "python3": "/usr/bin/python3",
    "python3-venv": "/usr/share/python-wheels|/usr/share/doc/python3-venv",
    "rsync": "/usr/bin/rsync",
    "zstd": "/usr/bin/zstd",
}
OS_RELEASE = Path("/etc/os-release")
LABEL = "ascend.fleet.sim"
ROOT_LABEL = LABEL + ".root"

# Another apt on this machine is waited for, and a mirror that stumbles is asked again.
APT_GET = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")

DOCKER_SOCKET = Path("/var/run/docker.sock")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 1024


def cache_home() -> Path:
    chosen = os.environ.get("ASCEND_SIM_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / "ascend-fleet-sim"


def repository_root() -> Path:
    return Path(__file__).resolve().parents[3]


def missing_packages(exists: Any = os.path.exists) -> list[str]:
    return [name for name, files in PACKAGES.items() if not any(exists(path) for path in files.split("|"))]


def require_root() -> None:
    if os.geteuid() != 0:
        raise FleetError(
            "the simulated fleet needs root (found uid %d): it starts containers and makes root filesystems"
            % os.geteuid(),
            "run it again as root, for example with sudo",
        )


def install_packages(log: Path) -> None:
    missing = missing_packages()
    if not missing:
        return
    fix = "install them yourself: apt-get install %s" % " ".join(missing)
    if not Path("/usr/bin/apt-get").exists():
        raise FleetError("missing on this machine, which has no apt-get: %s" % ", ".join(missing), fix)
    environment = {"DEBIAN_FRONTEND": "noninteractive"}

    def install(packages: Sequence[str], fix: str) -> None:
        update_lists(log, fix)
        install = [*APT_GET, "install", "-y", "--no-install-recommends", *packages]
        run(install, log=log, env=environment, timeout=1800, fix=fix)

    with step("installing Debian packages: %s" % " ".join(missing)):
        try_again("installing Debian packages", lambda: install(missing, fix))
        if not Path("/usr/bin/docker").exists():  # a package of its own in later releases
            try_again("installing docker-cli", lambda: install(["docker-cli"], "apt-get install docker-cli"))


def update_lists(log: Path, fix: str) -> None:
    run([*APT_GET, "update"], log=log, env={"DEBIAN_FRONTEND": "noninteractive"}, fix=fix)


# ---------------------------------------------------------------- package mirror


@dataclass(frozen=True)
class Mirror:
    """The distribution's own repositories as this machine's apt knows them."""

    codename: str
    keyring: str | None
    main: str
    sources: tuple[str, ...]

    def sources_for(self, codename: str) -> str:
        return "".join(line.replace(self.codename, codename) + "\n" for line in self.sources)


def parse_targets(text: str, codename: str) -> tuple[str, tuple[str, ...]]:
    """The main repository and all source lines of one release, from `apt-get indextargets`.

    One line a target: repository URI | suite as asked for | component | origin.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for line in text.splitlines():
        uri, release, component, origin = (*line.split("|"), "", "", "", "")[:4]
        if origin not in ("Debian", "Ubuntu") or release.split("-")[0].split("/")[0] != codename:
            continue
        components = found.setdefault((uri.rstrip("/"), release), [])
        if component not in components:
            components.append(component)
    main = next((uri for uri, release in found if release == codename), "")
    lines = tuple("deb %s %s %s" % (uri, release, " ".join(names)) for (uri, release), names in found.items())
    return main, lines


def os_codename() -> str:
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", OS_RELEASE.read_text(), re.MULTILINE)
    if not match:
        raise FleetError("no VERSION_CODENAME in %s" % OS_RELEASE, "run on Debian 12 or a later Debian or Ubuntu")
    return match.group(1)


def find_mirror(log: Path) -> Mirror:
    codename = os_codename()
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"

    def ask() -> tuple[str, tuple[str, ...]]:
        return parse_targets(output(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]), codename)

    main, lines = ask()
    if not main:
        fix = "make apt-get update work on this machine"
        try_again("reading the package lists", lambda: update_lists(log, fix))
        main, lines = ask()
    if not main:
        raise FleetError(
            "apt knows no repository of %s on this machine" % codename, "see /etc/apt/sources.list, then apt-get update"
        )
    keyrings = ("debian-archive-keyring.gpg", "ubuntu-archive-keyring.gpg")
    paths = [Path("/usr/share/keyrings") / name for name in keyrings]
    return Mirror(codename, next((str(path) for path in paths if path.exists()), None), main, lines)


# ---------------------------------------------------------------- Docker


class Docker:
    """The docker command line, the distribution's own before any other on PATH."""

    def __init__(self) -> None:
        self.binary = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"

    def __call__(self, *words: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        return run([self.binary, *words], **options)

    def text(self, *words: str | os.PathLike[str], **options: Any) -> str:
        return self(*words, **options).stdout.decode(errors="replace").strip()

    def answers(self) -> bool:
        try:
            done = self("version", "--format", "{{.Server.Version}}", check=False, timeout=20)
        except FleetError:
            return False
        return done.returncode == 0

    def inspect(self, kind: str, *names: str) -> list[dict[str, Any]]:
        if not names:
            return []
        done = self(kind, "inspect", *names, check=False)
        try:
            value = json.loads(done.stdout or b"[]")
        except ValueError:
            return []
        return list(value)

    def names(self, kind: str, *filters: str) -> list[str]:
        words = [word for text in filters for word in ("--filter", text)]
        listing = {"container": ["ps", "--all"], "network": ["network", "ls"], "volume": ["volume", "ls"]}[kind]
        form = "{{.Names}}" if kind == "container" else "{{.Name}}"
        return self.text(*listing, *words, "--format", form).split()


class Daemon:
    """dockerd as we start it ourselves where none answers, and stop it again; never one that was there before."""

    def __init__(self, docker: Docker, cache: Path) -> None:
        self.docker = docker
        self.home = cache / "dockerd"
        self.state = self.home / "state.json"
        self.log = self.home / "dockerd.log"

    def _pid(self) -> int | None:
        """The pid of the daemon we started, if that very process still lives."""
        state = read_json(self.state)
        pid = state.get("pid")
        if isinstance(pid, int) and process_start(pid) == state.get("start"):
            return pid
        return None

    @property
    def ours(self) -> bool:
        return self._pid() is not None

    def ensure(self) -> None:
        if self.docker.answers():
            return
        fix = "see %s" % self.log
        pid = self._pid()
        if pid is None and accepts(DOCKER_SOCKET):  # one that is not ours, on a machine that is busy
            wait_for("dockerd answers", self.docker.answers, 60, "see why `docker version` does not answer")
        elif pid is None:
            places = ("/usr/sbin/dockerd", "/usr/bin/dockerd")
            program = next((path for path in places if Path(path).exists()), "dockerd")
            self.home.mkdir(parents=True, exist_ok=True)
            # A pid file of a dead daemon would be believed when its number has been given to another process.
            for leftover in (self.home / "dockerd.pid", self.home / "exec" / "containerd" / "containerd.pid"):
                leftover.unlink(missing_ok=True)
            remember = {
                "iptables": save_rules(),
                "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
                "docker0": Path("/sys/class/net/docker0").exists(),
                "inotify": INOTIFY.read_text().strip(),
            }
            before = read_json(self.state)
            if "iptables" in before:  # a daemon of ours that died: what was there before it counts
                remember = {key: before[key] for key in remember}
            # Every host's systemd takes some instances: with the kernel's 128 the twentieth host does not boot.
            if int(INOTIFY.read_text()) < INOTIFY_INSTANCES:
                INOTIFY.write_text("%d\n" % INOTIFY_INSTANCES)
            with step("starting dockerd"):
                with self.log.open("ab") as sink:
                    process = subprocess.Popen(
                        [
                            program,
                            "--data-root", str(self.home / "data"),
                            "--exec-root", str(self.home / "exec"),
                            "--pidfile", str(self.home / "dockerd.pid"),
                        ],
                        stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
                    )  # fmt: skip
                write_json(self.state, {"pid": process.pid, "start": process_start(process.pid), **remember})

                def up() -> bool:
                    if process.poll() is not None:
                        tail = self.log.read_text(errors="replace").splitlines()[-5:]
                        raise FleetError("dockerd ended at once:\n  %s" % "\n  ".join(tail), fix)
                    return self.docker.answers()

                wait_for("dockerd answers", up, 60, fix)
        else:
            wait_for("dockerd (pid %d) answers" % pid, self.docker.answers, 60, fix)

    def stop(self) -> None:
        pid = self._pid()
        state = read_json(self.state)
        if pid is None:
            if state:
                self._restore(state)
                self.state.unlink(missing_ok=True)
            return
        with step("stopping dockerd (pid %d), which was started here" % pid):
            os.kill(pid, signal.SIGTERM)
            wait_for("dockerd has ended", lambda: process_start(pid) != state["start"] or reap(pid), 60)
            self._restore(state)
            self.state.unlink(missing_ok=True)

    def _restore(self, state: dict[str, Any]) -> None:
        """dockerd leaves a mount, its bridge, its firewall chains and forwarding behind; we do not."""
        for line in Path("/proc/self/mounts").read_text().splitlines():
            where = line.split()[1]
            if where.startswith("%s/" % self.home):
                run(["umount", where], check=False)
        if not state.get("docker0") and Path("/sys/class/net/docker0").exists():
            run(["ip", "link", "delete", "docker0"], check=False)
        before = state.get("iptables")
        now = save_rules()
        if isinstance(before, str) and now is not None and foreign_rules(now) == foreign_rules(before):
            run(["iptables-restore"], input_bytes=(before or flushed(now)).encode(), check=False)
        if state.get("ip_forward") == "0":
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0\n")
        if state.get("inotify"):
            INOTIFY.write_text("%s\n" % state["inotify"])


def accepts(path: Path) -> bool:
    """Whether a process listens at a socket, however long it takes to answer."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def process_start(pid: int) -> str | None:
    """When a process began, in the kernel's own ticks: with the pid it names one process for good. Zombies are gone."""
    try:
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def save_rules() -> str | None:
    try:
        return output(["iptables-save"])
    except FleetError:
        return None


def foreign_rules(saved: str) -> list[str]:
    """The firewall rules that are not Docker's, without counters: they must be the same before and after."""
    rules = [line for line in saved.splitlines() if line.startswith("-A")]
    return [
        line for line in rules
        if "DOCKER" not in line and "docker0" not in line and not re.search(r"\bbr-[0-9a-f]{12}\b", line)
        and not re.search(r"-A POSTROUTING -s [0-9./]+ ! -o ", line)
    ]  # fmt: skip


def flushed(saved: str) -> str:
    """Empty tables in place of the saved ones, where there were none before."""
    lines: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*") or line == "COMMIT":
            lines.append(line)
        elif line.startswith(":") and line.split()[1] != "-":
            lines.append("%s ACCEPT [0:0]" % line.split()[0])
    return "\n".join(lines) + "\n"


def used_networks(docker: Docker) -> list[str]:
    found = [word for line in output(["ip", "-4", "route"]).splitlines() for word in line.split()[:1] if "/" in word]
    networks = docker.text("network", "ls", "--quiet").split()
    for network in docker.inspect("network", *networks):
        for entry in (network.get("IPAM") or {}).get("Config") or []:
            found.append(str(entry.get("Subnet", "")))
    return found


def can_raise_limits() -> bool:
    return has_capability(Path("/proc/self/status").read_text(), CAP_SYS_RESOURCE)


def parallel(jobs: Iterable[tuple[str, Any]]) -> None:
    """Run functions side by side; the first error is raised when all have ended."""
    errors: list[BaseException] = []

    def guarded(function: Any) -> None:
        try:
            function()
        except BaseException as error:  # handed to the caller below, when the other jobs have ended
            errors.append(error)
            say("failed: %s" % (str(error).splitlines() or [type(error).__name__])[0])

    threads = [threading.Thread(target=guarded, args=(function,), name=name, daemon=True) for name, function in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    if errors:
        raise errors[0]


def abandoned(docker: Docker, kind: str) -> list[str]:
    """The containers, or the networks, of fleets whose checkout has been removed: nobody can use them."""
    found = []
    for entry in docker.inspect(kind, *docker.names(kind, "label=" + LABEL)):
        labels = (entry["Config"] if kind == "container" else entry).get("Labels") or {}
        if ROOT_LABEL in labels and not Path(labels[ROOT_LABEL]).is_dir():
            found.append(str(entry["Name"]).lstrip("/"))
    return found


def names_of(items: Sequence[Any]) -> str:
    return ", ".join(str(item) for item in items) or "none"


def note_daemon(daemon: Daemon, docker: Docker) -> None:
    say("Docker %s (%s)" % (
        docker.text("version", "--format", "{{.Server.Version}}"),
        "started here" if daemon.ours else "was running already",
    ))  # fmt: skip
