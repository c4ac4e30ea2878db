# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects from other hosts that bring the same: BitTorrent by aria2, with the mirrors' web servers as seeds.

aria2 answers every host that connects, so it runs in a transient systemd unit with a user that exists only while it
runs, no capability, and one folder in which it may write. Its files become root's before they are verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from typing import Callable, Iterable, Mapping, Optional, Sequence

from .._base import command
from .._base.files import remove, write_atomically
from .._host.systemd import NoSystemd, Systemd, SystemdError
from . import torrent

_INSIDE = "/run/ascend-fleet"
#: What a unit does, and the folder that it sees.
_KINDS = {"swarm": ("fetch artifacts", "work"), "seed": ("give artifacts to other hosts", "given")}
#: After this time without a byte from any peer, the rest comes over HTTP.
_SILENCE_SECONDS = 60
_SANDBOX = (
    "DynamicUser=yes", "CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes",
    "PrivateTmp=yes", "PrivateDevices=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
    "ProtectControlGroups=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", "RestrictNamespaces=yes",
    "LockPersonality=yes", "MemoryDenyWriteExecute=yes", "SystemCallArchitectures=native", "Nice=10",
    # It has to be gone before its files are touched, however it handles signals.
    "TimeoutStopSec=15",
    # Mirrors stand within the site: the proxy that leads out of it is not for them.
    "UnsetEnvironment=http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY",
)  # fmt: skip
_COMMON = (
    # Peers come from the site's trackers and from each other; nothing is said to the world or to the whole network.
    "--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
    "--bt-tracker-connect-timeout=5", "--bt-tracker-timeout=10",
    "--allow-overwrite=true", "--auto-file-renaming=false", "--file-allocation=none", "--no-netrc=true",
    "--summary-interval=0", "--show-console-readout=false", "--console-log-level=warn", "--enable-color=false",
)  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """An object that may come from peers: the hashes of its pieces, and its URLs at web servers."""

    oid: str
    size: int
    pieces: bytes
    seeds: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """How to share. ``ports`` as aria2 takes them, ``seed_minutes`` 0 for giving nothing away afterwards."""

    trackers: tuple[str, ...] = ()
    ports: str = "6881-6889"
    seed_minutes: int = 30
    ca_path: Optional[str] = None


class Swarm:
    """What one folder shares with other hosts; ``place`` is a folder for this alone."""

    def __init__(self, place: str, settings: Settings, run: Callable[..., command.Completed] = command.run) -> None:
        self._place = place
        self._settings = settings
        self._run = run
        self._systemd = Systemd(run, timeout=60)
        self._name = hashlib.sha256(place.encode()).hexdigest()[:12]

    def obstacle(self) -> Optional[str]:
        """Say why nothing can be shared here, or None."""
        if not shutil.which("aria2c"):
            return "found no aria2c; needed is the package aria2"
        if os.geteuid() != 0 or not shutil.which("systemd-run"):
            return "needed are root and systemd, to run aria2c with no rights"
        if self._settings.ca_path and os.path.isdir(self._settings.ca_path):
            return "aria2c needs the certificate authority in a file; found the folder %s" % self._settings.ca_path
        return None

    # --- what an unfinished transfer holds ----------------------------------------------------------------------------

    def received(self, oid: str) -> int:
        """How many bytes of an object an unfinished transfer holds, wherever in the file."""
        try:
            status = os.lstat(self._data(oid))
        except OSError:
            return 0
        return min(status.st_size, status.st_blocks * 512)

    def received_together(self) -> int:
        """How many bytes all unfinished transfers hold."""
        try:
            return sum(self.received(name) for name in os.listdir(self._data()))
        except OSError:
            return 0

    def unfinished(self, oid: str) -> Optional[tuple[str, bytes]]:
        """Return the file of an unfinished transfer, after its writer has ended, and the hashes of its pieces."""
        if not os.path.lexists(self._data(oid)) or not self._stop("swarm") or not _take_over(self._data(oid), 0o644):
            return None
        remove(self._data(oid + ".aria2"))
        try:
            with open(self._path("work", "pieces", oid), "rb") as handle:
                return self._data(oid), handle.read()
        except FileNotFoundError:
            return None

    def salvage(self, oid: str, size: int, part: str) -> None:
        """Turn what an unfinished transfer has into a beginning (``part``), unless there is a longer one."""
        found = self.unfinished(oid)
        if found is None:
            return
        name, pieces = found
        wrong = torrent.holes(name, pieces, size)
        right = wrong[0][0] if wrong else size
        if right > (os.path.getsize(part) if os.path.exists(part) else 0):
            os.truncate(name, right)
            os.replace(name, part)
        else:
            remove(name)

    def clean(self) -> None:
        """Remove everything unfinished, unless it may still be written."""
        if os.path.exists(self._path("work")) and self._stop("swarm"):
            shutil.rmtree(self._path("work"), ignore_errors=True)

    def end(self) -> bool:
        """End all transfers of this folder, in both directions; return whether they are known to have ended."""
        ended = [self._stop(kind) for kind in _KINDS] if os.path.exists(self._place) else []
        return all(ended)

    # --- taking and giving --------------------------------------------------------------------------------------------

    def bring(self, objects: Sequence[Shared], begun: Mapping[str, str], timeout: float) -> tuple[dict[str, str], str]:
        """Bring objects; return the files of those that are whole, by hash, and why others are not.

        ``begun`` names files with the beginnings of some; they are used up. A file that is returned is root's, and
        not yet verified by its SHA-256. What is unfinished stays for another call, :meth:`unfinished` or
        :meth:`salvage`.
        """
        if not self._stop("swarm"):
            return {}, "an aria2c of an earlier run does not end"
        self._make_folders("work", ("torrents", "pieces", "data"))
        os.chmod(self._data(), 0o777)  # noqa: S103 - within a folder that is root's alone
        for shared in objects:
            self._write("work", os.path.join("pieces", shared.oid), shared.pieces)
            self._take_begun(shared.oid, begun.get(shared.oid))
        self._write_list("work", [(shared, "data") for shared in objects])
        done = self._run(
            [
                *self._unit("swarm"), "--wait", "--pipe", *self._aria2(),
                "--check-integrity=true", "--auto-save-interval=5", "--seed-time=0",
                "--bt-stop-timeout=%d" % _SILENCE_SECONDS, "--stream-piece-selector=random",
                # That timeout is what ends it: a web server that is started again costs nothing.
                "--connect-timeout=10", "--timeout=30", "--max-tries=0", "--retry-wait=2",
            ],
            timeout=timeout,
        )  # fmt: skip
        if not self._stop("swarm"):
            return {}, "aria2c does not end"
        found = {}
        for shared in objects:
            name = self._data(shared.oid)
            whole = not os.path.lexists(name + ".aria2") and _take_over(name, 0o644)
            if whole and os.path.getsize(name) == shared.size:
                found[shared.oid] = name
        return found, "" if len(found) == len(objects) else _last_words(done)

    def seed(self, objects: Sequence[Shared], folder: str, place_of: Callable[[str], str]) -> str:
        """Give whole objects below ``folder`` to others for a while; ``place_of`` says in which of its folders.

        Returns why that is not possible, or nothing.
        """
        if not self._stop("seed"):
            return "an aria2c of an earlier run does not end"
        if self._settings.seed_minutes <= 0 or not objects:
            return ""
        self._make_folders("given", ("torrents", "objects"))
        for shared in objects:
            place = os.path.join(folder, place_of(shared.oid))
            while len(place) >= len(folder):  # whatever the umask is, as aria2 is not root
                os.chmod(place, 0o755)  # noqa: S103
                place = os.path.dirname(place)
        self._write_list("given", [(shared, "objects/" + place_of(shared.oid)) for shared in objects])
        done = self._run(
            [
                *self._unit("seed"), "--property=BindReadOnlyPaths=%s:%s/objects" % (folder, _INSIDE), *self._aria2(),
                "--bt-seed-unverified=true",  # verified just now
                "--max-concurrent-downloads=%d" % len(objects),
                "--seed-ratio=0.0", "--seed-time=%d" % self._settings.seed_minutes,
            ],
            timeout=60,
        )  # fmt: skip
        return "" if done.ok else _last_words(done)

    def _take_begun(self, oid: str, part: Optional[str]) -> None:
        """Let aria2 go on from whichever has more: a file with a beginning, or its own."""
        name = self._data(oid)
        if part is not None and os.path.getsize(part) > self.received(oid):
            remove(name + ".aria2")
            os.replace(part, name)
        elif part is not None:
            remove(part)
        if os.path.lexists(name) and not _take_over(name, 0o666):
            remove(name)

    # --- the unit -----------------------------------------------------------------------------------------------------

    def _unit(self, kind: str) -> list[str]:
        does, folder = _KINDS[kind]
        bind = "BindPaths" if kind == "swarm" else "BindReadOnlyPaths"
        settings = [*_SANDBOX, "%s=%s:%s" % (bind, self._path(folder), _INSIDE)]
        if self._settings.ca_path:
            settings.append("BindReadOnlyPaths=%s:%s/ca.pem" % (self._settings.ca_path, _INSIDE))
        return [
            "systemd-run", "--unit=ascend-fleet-%s-%s-%d" % (kind, self._name, os.getpid()), "--collect", "--quiet",
            "--description=ascend.fleet: " + does, *("--property=" + setting for setting in settings),
        ]  # fmt: skip

    def _aria2(self) -> list[str]:
        words = [shutil.which("aria2c") or "aria2c", *_COMMON, "--input-file=%s/list" % _INSIDE]
        words.append("--listen-port=" + self._settings.ports)
        if self._settings.ca_path:
            words.append("--ca-certificate=%s/ca.pem" % _INSIDE)
        return words

    def _stop(self, kind: str) -> bool:
        """End the units of an earlier run, which there rarely are; return whether they are known to have ended.

        The state decides, not the answer of the stop: a stop that passes its deadline goes on within systemd.
        """
        units = ["ascend-fleet-%s-%s-*.service" % (kind, self._name)]
        try:
            with contextlib.suppress(SystemdError):
                self._systemd.stop(units)
            found = self._systemd.matching(units, ("ActiveState",))
        except NoSystemd:
            return True  # nothing can have started a unit
        except SystemdError:
            return False
        return all(unit.get("ActiveState") in ("inactive", "failed") for unit in found.values())

    # --- its folder ---------------------------------------------------------------------------------------------------

    def _path(self, *names: str) -> str:
        return os.path.join(self._place, *names)

    def _data(self, *names: str) -> str:
        return self._path("work", "data", *names)

    def _make_folders(self, top: str, names: Iterable[str]) -> None:
        os.makedirs(self._place, mode=0o700, exist_ok=True)
        os.chmod(self._place, 0o700)  # others must not reach the folder in which aria2's user may write
        for name in ("", *names):
            os.makedirs(self._path(top, name), exist_ok=True)
            os.chmod(self._path(top, name), 0o755)  # noqa: S103 - whatever the umask is
        if self._settings.ca_path:
            self._write(top, "ca.pem", b"")  # what the authority's file is mounted over

    def _write_list(self, top: str, objects: Iterable[tuple[Shared, str]]) -> None:
        """Write the torrents of objects, and aria2's input file that says into which folder each belongs."""
        lines = []
        for shared, folder in objects:
            content = torrent.torrent(
                shared.oid, shared.size, shared.pieces, trackers=self._settings.trackers, seeds=shared.seeds
            )
            name = os.path.join("torrents", shared.oid + ".torrent")
            self._write(top, name, content)
            lines += ["%s/%s" % (_INSIDE, name), "  dir=%s/%s" % (_INSIDE, folder)]
        self._write(top, "list", "".join(line + "\n" for line in lines).encode())

    def _write(self, top: str, name: str, content: bytes) -> None:
        write_atomically(self._path(top, name), content, 0o644, durable=False)  # made anew by each run


def _take_over(name: str, mode: int) -> bool:
    """Make a file that aria2 wrote root's; say whether it is one. To be called when aria2 has ended."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return False  # not what aria2 makes: who does must not get another file's rights changed
        os.fchown(fd, 0, 0)
        os.fchmod(fd, mode)
        return True
    finally:
        os.close(fd)


def _last_words(done: command.Completed) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    said = [line for line in lines if "ERROR" in line or "errorCode" in line] or lines
    ended = "did not end in time" if done.timed_out else "ended with status %s" % done.exit_status
    return "aria2c %s%s" % (ended, ": " + said[-1][-300:] if said else "")
