# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects from other hosts that bring the same: BitTorrent by aria2, with the mirrors' web servers as seeds.

aria2 talks to whoever connects, so it runs in a transient systemd unit that may do nothing else: a user that exists
only while it runs, no capability, and one folder. What it brought is root's before it is verified.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Sequence

from ansible_collections.ascend.fleet.plugins.module_utils import _command, _torrent

_INSIDE = "/run/ascend-fleet"
_DOES = {"swarm": "fetch", "seed": "give other hosts"}
#: So long without a byte from anybody, and the rest comes over HTTP.
_SILENCE_SECONDS = 60
_SANDBOX = (
    "DynamicUser=yes", "CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes",
    "PrivateTmp=yes", "PrivateDevices=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
    "ProtectControlGroups=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", "RestrictNamespaces=yes",
    "LockPersonality=yes", "MemoryDenyWriteExecute=yes", "SystemCallArchitectures=native", "Nice=10",
)  # fmt: skip
_COMMON = (
    # Peers come from the site's trackers and from each other; nothing is said to the world or to the whole network.
    "--no-conf=true", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
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
    """What one folder of :mod:`_lfs_repository` shares with other hosts; ``place`` is for it alone."""

    def __init__(self, place: str, settings: Settings, run: Callable[..., _command.Completed] = _command.run) -> None:
        self._place = place
        self._data = os.path.join(place, "work", "data")
        self._settings = settings
        self._run = run
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

    def received(self, oid: str) -> int:
        """How many bytes of an object an unfinished transfer holds, wherever in the file."""
        try:
            status = os.lstat(os.path.join(self._data, oid))
        except OSError:
            return 0
        return min(status.st_size, status.st_blocks * 512)

    def bring(self, objects: Sequence[Shared], begun: Mapping[str, str], timeout: float) -> tuple[dict[str, str], str]:
        """Bring objects; return the files of those that are whole, by hash, and why others are not.

        ``begun`` names files with the beginnings of some; they are used up. A file that is returned is root's, and
        not yet verified by its SHA-256. What is unfinished stays, for another call or for :meth:`salvage`.
        """
        self._stop("swarm")
        self._make_folders()
        lines = []
        for shared in objects:
            with open(self._work("pieces", shared.oid), "wb") as handle:
                handle.write(shared.pieces)
            lines += self._describe(shared, "data")
            if shared.oid in begun and not os.path.exists(os.path.join(self._data, shared.oid)):
                os.replace(begun[shared.oid], os.path.join(self._data, shared.oid))
                os.chmod(os.path.join(self._data, shared.oid), 0o666)  # noqa: S103 - in a folder of root's
            elif shared.oid in begun:
                os.unlink(begun[shared.oid])
        self._write_list("list", lines)
        done = self._run(
            [
                *self._unit("swarm"), "--wait", "--pipe", "--property=BindPaths=%s:%s" % (self._work(), _INSIDE),
                *self._ca_property(), shutil.which("aria2c") or "aria2c", *_COMMON, *self._options("list"),
                "--check-integrity=true", "--auto-save-interval=5", "--seed-time=0",
                "--bt-stop-timeout=%d" % _SILENCE_SECONDS, "--stream-piece-selector=random",
                "--connect-timeout=10", "--timeout=30", "--max-tries=3", "--retry-wait=1",
            ],
            timeout=timeout,
        )  # fmt: skip
        self._stop("swarm")
        found = {}
        for shared in objects:
            name = os.path.join(self._data, shared.oid)
            if not os.path.exists(name + ".aria2") and _take_over(name) and os.path.getsize(name) == shared.size:
                found[shared.oid] = name
        return found, "" if len(found) == len(objects) else _last_words(done)

    def salvage(self, oid: str, size: int, part: str) -> None:
        """Turn what an unfinished transfer has of an object into a beginning from which HTTP can go on."""
        name = os.path.join(self._data, oid)
        try:
            with open(self._work("pieces", oid), "rb") as handle:
                pieces = handle.read()
            right = _torrent.intact_bytes(name, pieces, size) if _take_over(name) else 0
            if right > (os.path.getsize(part) if os.path.exists(part) else 0):
                os.truncate(name, right)
                os.replace(name, part)
        except FileNotFoundError:
            return

    def clean(self) -> None:
        """Remove everything unfinished."""
        if os.path.exists(self._place):
            self._stop("swarm")
            shutil.rmtree(self._work(), ignore_errors=True)

    def seed(self, objects: Sequence[Shared], folder: str, place_of: Callable[[str], str]) -> None:
        """Give whole objects below ``folder`` to others for a while; ``place_of`` says in which of its folders."""
        self._stop("seed")
        if self._settings.seed_minutes <= 0 or not objects:
            return
        self._make_folders()
        self._write_list("seeds", [line for s in objects for line in self._describe(s, "objects/" + place_of(s.oid))])
        self._run(
            [
                *self._unit("seed"),
                "--property=BindReadOnlyPaths=%s:%s" % (self._work(), _INSIDE),
                "--property=BindReadOnlyPaths=%s:%s/objects" % (folder, _INSIDE),
                *self._ca_property(), shutil.which("aria2c") or "aria2c", *_COMMON, *self._options("seeds"),
                "--bt-seed-unverified=true",  # verified just now
                "--max-concurrent-downloads=%d" % len(objects),
                "--seed-ratio=0.0", "--seed-time=%d" % self._settings.seed_minutes,
            ],
            timeout=60,
        )  # fmt: skip

    # --- the unit -----------------------------------------------------------------------------------------------------

    def _unit(self, kind: str) -> list[str]:
        name = "ascend-fleet-%s-%s" % (kind, self._name)
        properties = ["--property=" + setting for setting in _SANDBOX]
        return [
            "systemd-run", "--unit=" + name, "--description=ascend.fleet: %s artifacts" % _DOES[kind], "--collect",
            "--quiet", "--service-type=exec", *properties,
        ]  # fmt: skip

    def _stop(self, kind: str) -> None:
        """End a unit that an interrupted run has left; there is none most of the time."""
        if shutil.which("systemctl"):
            self._run(["systemctl", "stop", "ascend-fleet-%s-%s.service" % (kind, self._name)], timeout=60)

    def _options(self, input_file: str) -> list[str]:
        options = ["--input-file=%s/%s" % (_INSIDE, input_file), "--listen-port=" + self._settings.ports]
        if self._settings.ca_path:
            options.append("--ca-certificate=%s/ca.pem" % _INSIDE)
        return options

    def _ca_property(self) -> list[str]:
        ca_path = self._settings.ca_path
        return ["--property=BindReadOnlyPaths=%s:%s/ca.pem" % (ca_path, _INSIDE)] if ca_path else []

    # --- its folder ---------------------------------------------------------------------------------------------------

    def _work(self, *names: str) -> str:
        return os.path.join(self._place, "work", *names)

    def _make_folders(self) -> None:
        os.makedirs(self._place, mode=0o700, exist_ok=True)
        os.chmod(self._place, 0o700)  # others must not reach the folder in which anybody may write
        for name in ("torrents", "pieces", "data", "objects"):
            os.makedirs(self._work(name), exist_ok=True)
            os.chmod(self._work(name), 0o777 if name == "data" else 0o755)  # whatever the umask is
        os.chmod(self._work(), 0o755)  # noqa: S103
        if self._settings.ca_path:
            with open(self._work("ca.pem"), "ab"):
                pass  # what the certificate authority's file is mounted over

    def _describe(self, shared: Shared, folder: str) -> list[str]:
        """The lines of an object in aria2's input file; its torrent is written."""
        torrent = _torrent.torrent(
            shared.oid, shared.size, shared.pieces, trackers=self._settings.trackers, seeds=shared.seeds
        )
        self._write(os.path.join("torrents", shared.oid + ".torrent"), torrent)
        return ["%s/torrents/%s.torrent" % (_INSIDE, shared.oid), "  dir=%s/%s" % (_INSIDE, folder)]

    def _write_list(self, name: str, lines: Sequence[str]) -> None:
        self._write(name, "".join(line + "\n" for line in lines).encode())

    def _write(self, name: str, content: bytes) -> None:
        full = self._work(name)
        with open(full, "wb") as handle:
            handle.write(content)
        os.chmod(full, 0o644)


def _take_over(name: str) -> bool:
    """Make a file that aria2 wrote root's; say whether it is one. To be called when aria2 has ended."""
    try:
        status = os.lstat(name)
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False  # not what aria2 makes: who does must not get another file's rights changed
    os.chown(name, 0, 0)
    os.chmod(name, 0o644)
    return True


def _last_words(done: _command.Completed) -> str:
    said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line or "errorCode" in line]
    ended = "did not end in time" if done.timed_out else "ended with status %s" % done.exit_status
    return "aria2c %s%s" % (ended, ": " + said[-1][-300:] if said else "")
