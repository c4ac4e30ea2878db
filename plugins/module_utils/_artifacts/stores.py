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
import shutil
import ssl
import stat
import urllib.error
import urllib.request
from typing import Callable, Iterable, Optional
from urllib.parse import urlsplit

from .._base.files import NO_LINK, remove, write_atomically
from . import lfs, torrent

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


class FolderStore:
    """A store in a folder of this host: a bundle on a disk or a share, or the mirror that this host is itself."""

    def __init__(self, folder: str) -> None:
        self.name = folder
        self._folder = folder.rstrip("/")

    def manifest(self, key: str) -> str:
        """Return a manifest's text."""
        try:
            with open(os.path.join(self._folder, manifest_path(key)), encoding="utf-8") as handle:
                return handle.read()
        except (OSError, UnicodeDecodeError) as exc:
            raise StoreError("it does not hold this: %s" % (getattr(exc, "strerror", None) or exc)) from exc

    def bring(self, oid: str, size: int, part: str, count: Callable[[int], None] = lambda length: None) -> None:
        """Give ``part`` the content of an object: the same bytes under a second name where that is possible."""
        source = os.path.join(self._folder, object_path(oid))
        try:
            if os.path.getsize(source) != size:
                raise StoreError("its object %s is not complete" % oid)
            digest = hashlib.sha256()
            with open(source, "rb") as handle:
                for chunk in iter(lambda: handle.read(_CHUNK), b""):
                    digest.update(chunk)
                    count(len(chunk))
        except OSError as exc:
            raise StoreError("it does not give object %s: %s" % (oid, exc.strerror)) from exc
        if digest.hexdigest() != oid:
            raise StoreError("its object %s is damaged" % oid)
        link_or_copy(source, part)


class HttpStore:
    """A store behind a web server."""

    def __init__(self, url: str, ca_path: Optional[str] = None) -> None:
        self.name = url
        self._url = url.rstrip("/")
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
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=_SILENCE_SECONDS)
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code >= 500:
                raise StoreUnreachable("it answers %d for %s" % (exc.code, path)) from exc
            raise StoreError("it answers %d for %s" % (exc.code, path)) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise StoreUnreachable("it does not answer: %s" % (getattr(exc, "reason", None) or exc)) from exc
        return answer

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

    def bring(self, oid: str, size: int, part: str, count: Callable[[int], None] = lambda length: None) -> None:
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
                        # A server without ranges sends everything: so be it.
                        handle.truncate(0)
                        digest, have = hashlib.sha256(), 0
                    self._receive(answer, handle.write, digest.update, count, size - have)
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
                    self._receive(answer, handle.write, lambda chunk: None, lambda length: None, end - begin)

    def _receive(
        self,
        answer: http.client.HTTPResponse,
        write: Callable[[bytes], int],
        update: Callable[[bytes], None],
        count: Callable[[int], None],
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
            count(len(chunk))
            left -= len(chunk)


def _continues(answer: http.client.HTTPResponse, offset: int) -> bool:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return answer.status == 206 and found is not None and int(found.group(1)) == offset


def open_store(source: str, ca_path: Optional[str] = None) -> FolderStore | HttpStore:
    """Return the store behind a URL or in a folder."""
    if source.startswith(("http://", "https://")):
        return HttpStore(source, ca_path)
    if source.startswith("/"):
        return FolderStore(source)
    raise lfs.ArtifactError("the source is %r; needed is a URL with http or https, or an absolute path" % source)


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

    With ``share`` also the hashes of their pieces; ``count`` is told how many bytes were hashed.
    """
    for oid, size, name in objects:
        target = os.path.join(store, object_path(oid))
        _make_readable(store, os.path.dirname(target))
        same = os.path.exists(target) and os.path.samefile(target, name)
        # On another file system it is a copy, made and hashed before.
        copied = (
            os.path.exists(target)
            and os.path.getsize(target) == size
            and os.stat(target).st_dev != os.stat(name).st_dev
        )
        if not same and not copied:
            link_or_copy(name, target)
            os.chmod(target, 0o644)
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


def link_or_copy(source: str, target: str) -> None:
    """Give a file a second name; where the file system cannot, copy it."""
    fresh = target + ".new"
    remove(fresh)
    try:
        os.link(source, fresh)
    except OSError as exc:
        if exc.errno not in NO_LINK:
            raise
        shutil.copyfile(source, fresh)
    os.replace(fresh, target)
    remove(fresh)  # rename does nothing when both are names of one file already


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
