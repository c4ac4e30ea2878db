# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store: what a mirror or a bundle holds of git-lfs repositories, as plain files.

``manifests/KEY.json`` says which files a request is, with their hashes; ``objects/AA/BB/HASH`` are their contents,
and where hosts share, ``pieces/AA/BB/HASH`` are the hashes of an object's pieces and ``shared`` lists the objects by
the names that a tracker knows.
Any web server that answers range requests serves it, and so does a folder.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import stat
import urllib.error
import urllib.request
from typing import BinaryIO, Callable, Iterable, Iterator, Optional, Protocol
from urllib.parse import urlsplit

from .._base.files import NO_LINK, remove, write_atomically
from . import torrent
from .deadline import Deadline
from .errors import ArtifactError

_CHUNK = 1024 * 1024
#: A server that sends nothing for so long is taken for dead.
_SILENCE_SECONDS = 60.0
_MANIFEST_MAX_BYTES = 64 * 1024 * 1024


class StoreError(Exception):
    """This store cannot give what is needed; another one, or the origin, may."""


class StoreUnreachable(StoreError):
    """It does not answer now; trying again can help."""


def manifest_path(key: str) -> str:
    """Where a store keeps the manifest of a request."""
    return "manifests/%s.json" % key


def object_path(oid: str) -> str:
    """Where a store keeps an object."""
    return "objects/%s/%s/%s" % (oid[:2], oid[2:4], oid)


def pieces_path(oid: str) -> str:
    """Where a store keeps the hashes of an object's pieces."""
    return "pieces/%s/%s/%s" % (oid[:2], oid[2:4], oid)


class Store(Protocol):
    """What a folder and a web server have in common."""

    name: str

    def manifest(self, key: str) -> str:
        """Return a manifest's text. StoreError when it has none."""

    def bring(self, oid: str, size: int, part: str) -> None:
        """Give ``part`` the content of an object, verified. StoreError when it cannot, OSError when it has no room."""


class FolderStore:
    """A store in a folder of this host: a bundle on a disk or a share, or the mirror that this host is itself."""

    def __init__(self, folder: str, deadline: Optional[Deadline] = None) -> None:
        self.name = folder
        self._folder = folder.rstrip("/")
        self._deadline = deadline

    def manifest(self, key: str) -> str:
        """Return a manifest's text."""
        try:
            with open(os.path.join(self._folder, manifest_path(key)), encoding="utf-8") as handle:
                return handle.read()
        except (OSError, UnicodeDecodeError) as exc:
            raise StoreError("it does not hold this: %s" % (getattr(exc, "strerror", None) or exc)) from exc

    def bring(self, oid: str, size: int, part: str) -> None:
        """Give ``part`` the content of an object: the same bytes under a second name where that is possible.

        Read once: a second name is hashed, a copy is hashed as it is written, behind the bytes that ``part`` has.
        """
        source = os.path.join(self._folder, object_path(oid))
        try:
            if os.path.getsize(source) != size:
                raise StoreError("its object %s is not complete" % oid)
        except OSError as exc:
            raise StoreError("it does not give object %s: %s" % (oid, exc.strerror)) from exc
        fresh = part + ".new"
        linked = link(source, fresh)
        try:
            actual = copy_and_hash(source, None if linked else part, self._check)
        except _ReadError as exc:
            remove(fresh)
            raise StoreError("it does not give object %s: %s" % (oid, exc)) from exc
        if actual != oid:
            remove(fresh if linked else part)
            raise StoreError("its object %s is damaged" % oid)
        if linked:
            os.replace(fresh, part)

    def _check(self, length: int) -> None:
        if self._deadline is not None:
            self._deadline.check("copying from %s" % self.name)


class HttpStore:
    """A store behind a web server."""

    def __init__(self, url: str, ca_path: Optional[str] = None, deadline: Optional[Deadline] = None) -> None:
        self.name = url
        self._url = url.rstrip("/")
        self._deadline = deadline
        handlers: list[urllib.request.BaseHandler] = [
            # A mirror stands within the site: the proxy that leads out of it is not for it.
            urllib.request.ProxyHandler({})
        ]
        if urlsplit(url).scheme == "https":
            folder = ca_path if ca_path and os.path.isdir(ca_path) else None
            context = ssl.create_default_context(cafile=None if folder else ca_path, capath=folder)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def _open(self, path: str, offset: int = 0, end: Optional[int] = None) -> http.client.HTTPResponse:
        wanted = "bytes=%d-%s" % (offset, "" if end is None else end - 1)
        headers = {"Range": wanted} if offset or end is not None else {}
        request = urllib.request.Request("%s/%s" % (self._url, path), headers=headers)  # noqa: S310 - http and https
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self._silence())
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code >= 500:
                raise StoreUnreachable(
                    "it answers %d for %s: a fault of its own, look at its log" % (exc.code, path)
                ) from exc
            raise StoreError("it answers %d for %s" % (exc.code, path)) from exc
        except (http.client.RemoteDisconnected, http.client.IncompleteRead) as exc:
            raise StoreUnreachable("it takes the connection and gives no answer for %s" % path) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise StoreUnreachable("it does not answer: %s" % (getattr(exc, "reason", None) or exc)) from exc
        if "html" in (answer.headers.get("Content-Type") or "").lower():
            found = answer.geturl()
            answer.close()
            raise StoreError(
                "it answers with a web page instead of %s%s: a captive portal, a proxy's or a login page, or no mirror "
                "of ours" % (path, "" if found == request.full_url else " (from %s)" % found)
            )
        return answer

    def _silence(self) -> float:
        """For how many seconds the server may send nothing."""
        self._check()
        return _SILENCE_SECONDS if self._deadline is None else min(_SILENCE_SECONDS, max(1.0, self._deadline.left()))

    def _check(self) -> None:
        if self._deadline is not None:
            self._deadline.check("downloading from %s" % self.name)

    def manifest(self, key: str) -> str:
        """Return a manifest's text."""
        try:
            with self._open(manifest_path(key)) as answer:
                data: bytes = answer.read(_MANIFEST_MAX_BYTES)
            return data.decode("utf-8")
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as exc:
            raise StoreUnreachable("its manifest broke off: %s" % exc) from exc

    def object_url(self, oid: str) -> str:
        """Return the URL of an object."""
        return "%s/%s" % (self._url, object_path(oid))

    def pieces(self, oid: str, size: int) -> Optional[bytes]:
        """Return the hashes of an object's pieces, or None when the store does not share it."""
        if size < torrent.SMALLEST:
            return None
        try:
            with self._open(pieces_path(oid)) as answer:
                found: bytes = answer.read(_MANIFEST_MAX_BYTES)
        except StoreUnreachable:
            raise
        except StoreError:
            return None
        except (OSError, http.client.HTTPException) as exc:
            raise StoreUnreachable("the connection broke: %s" % exc) from exc
        return found if torrent.is_whole(found, size) else None

    def bring(self, oid: str, size: int, part: str) -> None:
        """Complete ``part`` from the bytes it has; verified while it streams."""
        digest = hashlib.sha256()
        with open(part, "ab+") as handle:
            have = handle.seek(0, os.SEEK_END)
            if have > size:
                handle.truncate(0)
                have = 0
            handle.seek(0)
            for chunk in iter(lambda: handle.read(_CHUNK), b""):
                digest.update(chunk)
            if have < size:
                with self._open(object_path(oid), have) as answer:
                    if have and not _continues(answer, have):
                        # A server without ranges sends everything: start over.
                        handle.truncate(0)
                        digest, have = hashlib.sha256(), 0
                    self._receive(answer, handle.write, digest.update, size - have)
        if digest.hexdigest() != oid or os.path.getsize(part) != size:
            os.unlink(part)
            raise StoreError("its object %s has another content" % oid)

    def fill(self, oid: str, name: str, holes: Iterable[tuple[int, int]]) -> None:
        """Write stretches of an object, given by their beginnings and ends, at their places in a file."""
        with open(name, "r+b") as handle:
            for begin, end in holes:
                with self._open(object_path(oid), begin, end) as answer:
                    if not _continues(answer, begin):
                        raise StoreError("it does not answer range requests")
                    handle.seek(begin)
                    self._receive(answer, handle.write, lambda chunk: None, end - begin)

    def _receive(
        self,
        answer: http.client.HTTPResponse,
        write: Callable[[bytes], int],
        update: Callable[[bytes], None],
        left: int,
    ) -> None:
        while left > 0:
            try:
                # What has come, not a full chunk: a slow line shows, and a kill loses little.
                chunk: bytes = answer.read1(min(_CHUNK, left))
            except (OSError, http.client.HTTPException) as exc:
                raise StoreUnreachable("the connection broke: %s" % exc) from exc
            if not chunk:
                raise StoreUnreachable("the connection ended %d bytes too early" % left)
            write(chunk)
            update(chunk)
            self._check()
            left -= len(chunk)


def _continues(answer: http.client.HTTPResponse, offset: int) -> bool:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return answer.status == 206 and found is not None and int(found.group(1)) == offset


def open_store(
    source: str, ca_path: Optional[str] = None, deadline: Optional[Deadline] = None
) -> FolderStore | HttpStore:
    """Return the store behind a URL or in a folder."""
    if source.startswith(("http://", "https://")):
        return HttpStore(source, ca_path, deadline)
    if source.startswith("/"):
        return FolderStore(source, deadline)
    raise ArtifactError("the source is %r; needed is a URL with http or https, or an absolute path" % source)


# --- filling one ----------------------------------------------------------------------------------------------------


def is_published(store: str, key: str, manifest: str, objects: Iterable[tuple[str, int]], share: bool = False) -> bool:
    """Whether a store holds a manifest and its objects, by their size; with ``share`` their pieces' hashes too."""
    try:
        with open(os.path.join(store, manifest_path(key)), encoding="utf-8") as handle:
            if handle.read() != manifest:
                return False
        for oid, size in objects:
            if os.path.getsize(os.path.join(store, object_path(oid))) != size:
                return False
            if share and not is_shared(store, oid, size):
                return False
    except OSError:
        return False
    return True


def publish(
    store: str,
    key: str,
    manifest: str,
    objects: Iterable[tuple[str, int, str]],
    share: bool = False,
    count: Callable[[int], None] = lambda length: None,
) -> None:
    """Put objects (hash, size, file) into a store, and then the manifest that names them.

    With ``share`` also the hashes of their pieces; ``count`` is called with the number of bytes hashed.
    """
    for oid, size, name in objects:
        target = os.path.join(store, object_path(oid))
        _make_readable(store, os.path.dirname(target))
        same = os.path.exists(target) and os.path.samefile(target, name)
        # On another file system it is a copy, which got its name when it was verified.
        copied = (
            os.path.exists(target)
            and os.path.getsize(target) == size
            and os.stat(target).st_dev != os.stat(name).st_dev
        )
        if not same and not copied:
            _publish_object(name, target, oid)
        if share and not is_shared(store, oid, size):
            _share(store, oid, size, count)
    target = os.path.join(store, manifest_path(key))
    _make_readable(store, os.path.dirname(target))
    write_atomically(target, manifest, 0o644)


def is_shared(store: str, oid: str, size: int) -> bool:
    """Whether a store holds what makes an object's torrent, or the object is too small for one."""
    names = (pieces_path(oid), "shared")
    return size < torrent.SMALLEST or all(os.path.exists(os.path.join(store, name)) for name in names)


def _share(store: str, oid: str, size: int, count: Callable[[int], None]) -> None:
    """Add what makes an object's torrent. The tracker's list comes first: the other file says that both are there."""
    target = os.path.join(store, pieces_path(oid))
    pieces = torrent.hash_pieces(os.path.join(store, object_path(oid)), count)
    # Appended, as another run may add to it at the same time; the tracker reads neither empty nor torn lines.
    with open(os.path.join(store, "shared"), "ab", buffering=0) as listed:
        listed.write(b"\n%s\n" % torrent.info_hash(oid, size, pieces).encode())
        os.fchmod(listed.fileno(), 0o644)
    _make_readable(store, os.path.dirname(target))
    write_atomically(target, pieces, 0o644)


def _publish_object(name: str, target: str, oid: str) -> None:
    """Put a file into a store: under a second name, or as a copy that is verified before it gets its name."""
    fresh = target + ".new"
    if not link(name, fresh):
        try:
            actual = copy_and_hash(name, fresh)
        except _ReadError as exc:
            raise ArtifactError(
                "%s cannot be read: %s. Fix: look for errors of the disk, run again" % (name, exc)
            ) from exc
        if actual != oid:
            remove(fresh)
            raise ArtifactError(
                "the copy of %s in the store has another content: found sha256 %s, needed %s. Fix: run again with "
                "rehash; when it stays, look for errors of disk and memory" % (name, actual, oid)
            )
    os.chmod(fresh, 0o644)
    os.replace(fresh, target)
    remove(fresh)  # rename does nothing when both are names of one file already


def link(source: str, target: str) -> bool:
    """Give a file a second name, in place of what has it; False where the file system cannot."""
    remove(target)
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in NO_LINK:
            raise
        return False
    return True


class _ReadError(Exception):
    """The source of a copy cannot be read."""


def copy_and_hash(source: str, target: Optional[str], check: Callable[[int], None] = lambda length: None) -> str:
    """Return the SHA-256 of what was read: ``source``, or what ``target`` has and the rest of ``source`` behind it.

    ``target`` is completed and flushed to disk then; None only reads. ``check`` is called for every chunk. An error of
    the target is an OSError, one of the source a :class:`_ReadError`.
    """
    digest = hashlib.sha256()
    with _open_source(source) as reader:
        if target is None:
            for chunk in _chunks(reader):
                digest.update(chunk)
                check(len(chunk))
            return digest.hexdigest()
        with open(target, "ab+") as writer:
            writer.seek(0)
            for chunk in iter(lambda: writer.read(_CHUNK), b""):
                digest.update(chunk)
            reader.seek(writer.tell())
            for chunk in _chunks(reader):
                writer.write(chunk)
                digest.update(chunk)
                check(len(chunk))
            writer.flush()
            os.fsync(writer.fileno())
    return digest.hexdigest()


def _open_source(name: str) -> BinaryIO:
    try:
        return open(name, "rb")
    except OSError as exc:
        raise _ReadError(exc.strerror or str(exc)) from exc


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            chunk = reader.read(_CHUNK)
        except OSError as exc:
            raise _ReadError(exc.strerror or str(exc)) from exc
        if not chunk:
            return
        yield chunk


def _make_readable(store: str, folder: str) -> None:
    """Make a folder of the store that a web server's user may enter, whatever the umask is."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    while True:
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        if mode & 0o055 != 0o055:
            os.chmod(folder, mode | 0o055)  # noqa: S103 - what a web server hands out is public
        if len(folder) <= len(store.rstrip("/")):
            return
        folder = os.path.dirname(folder)
