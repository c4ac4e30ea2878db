# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Torrents of a store's objects: one object, one file, named by its SHA-256.

Everything but the hashes of the pieces follows from an object's hash and size, so that is all a store has to keep of a
torrent: every host makes the same one from it (BEP 3, web seeds by BEP 19: https://www.bittorrent.org/beps/).
"""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Sequence

#: Smaller objects come over HTTP before a swarm would have formed.
SMALLEST = 1024 * 1024
_MOST_PIECES = 2048
_SHORTEST_PIECE = 256 * 1024
_LONGEST_PIECE = 16 * 1024 * 1024
_HASH = 20


def piece_length(size: int) -> int:
    """Return the bytes of a piece: a power of two, such that an object has no more than some two thousand."""
    length = _SHORTEST_PIECE
    while length < _LONGEST_PIECE and length * _MOST_PIECES < size:
        length *= 2
    return length


def hash_pieces(name: str, count: Callable[[int], None] = lambda length: None) -> bytes:
    """Return the SHA-1 hashes of a file's pieces, one behind the other, 20 bytes each. OSError as open() raises it.

    ``count`` is called with the bytes of every piece.
    """
    found = []
    with open(name, "rb") as handle:
        length = piece_length(handle.seek(0, 2))
        handle.seek(0)
        for piece in iter(lambda: handle.read(length), b""):
            found.append(_sha1(piece))
            count(len(piece))
    return b"".join(found)


def is_whole(pieces: bytes, size: int) -> bool:
    """Whether there are as many hashes as an object of this size has pieces."""
    return len(pieces) == _HASH * -(-size // piece_length(size))


def holes(name: str, pieces: bytes, size: int) -> list[tuple[int, int]]:
    """Return the stretches of an unfinished file that are not right, as beginnings and ends, in order."""
    length = piece_length(size)
    found: list[tuple[int, int]] = []
    with open(name, "rb") as handle:
        for number in range(len(pieces) // _HASH):
            if _sha1(handle.read(length)) != pieces[number * _HASH : (number + 1) * _HASH]:
                begin, end = number * length, min((number + 1) * length, size)
                if found and found[-1][1] == begin:
                    begin = found.pop()[0]
                found.append((begin, end))
    return found


def info_hash(oid: str, size: int, pieces: bytes) -> str:
    """Return the hexadecimal name under which peers and trackers know an object."""
    return _sha1(_bencode(_info(oid, size, pieces))).hex()


def torrent(oid: str, size: int, pieces: bytes, *, trackers: Sequence[str], seeds: Sequence[str]) -> bytes:
    """Return the torrent of an object, with the announce URLs of trackers and the object's URLs at web servers."""
    content: dict[str, Any] = {"info": _info(oid, size, pieces)}
    if trackers:
        content["announce"] = trackers[0]
        # Each a tier of its own: all hosts ask the same one, and the next one only when that is down.
        content["announce-list"] = [[tracker] for tracker in trackers]
    if seeds:
        content["url-list"] = list(seeds)
    return _bencode(content)


def _info(oid: str, size: int, pieces: bytes) -> dict[str, Any]:
    return {"length": size, "name": oid, "piece length": piece_length(size), "pieces": pieces}


def _bencode(value: Any) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, dict):
        return b"d%se" % b"".join(_bencode(key) + _bencode(value[key]) for key in sorted(value))
    return b"l%se" % b"".join(_bencode(entry) for entry in value)


def _sha1(data: bytes) -> bytes:
    # What BitTorrent finds transfer errors with; what is trusted is the object's SHA-256.
    return hashlib.sha1(data, usedforsecurity=False).digest()
