# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Torrents: what is written is read back by a decoder of the tests' own."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import torrent

KIB, MIB, GIB = 1024, 1024**2, 1024**3
CONTENT = random.Random(5).randbytes(700_000)
OID = hashlib.sha256(CONTENT).hexdigest()


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One bencoded value (BEP 3) and where the next begins."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        at, found = at + 1, []
        while data[at : at + 1] != b"e":
            value, at = decode(data, at)
            found.append(value)
        if kind == b"l":
            return found, at + 1
        keys = found[::2]
        assert keys == sorted(keys), "keys stand in order, else two clients compute two names"
        return dict(zip(keys, found[1::2], strict=True)), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(CONTENT)
    return str(tmp_path / "file")


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, 256 * KIB),
        (512 * MIB, 256 * KIB),
        (512 * MIB + 1, 512 * KIB),
        (5 * GIB, 4 * MIB),
        (20 * GIB, 16 * MIB),
        (900 * GIB, 16 * MIB),
    ],
)
def test_pieces_are_few_but_never_huge(size: int, length: int) -> None:
    assert torrent.piece_length(size) == length


def test_pieces_are_hashed_one_by_one(file: str) -> None:
    pieces = torrent.hash_pieces(file)
    step = 256 * KIB
    assert pieces == b"".join(hashlib.sha1(CONTENT[at : at + step]).digest() for at in range(0, len(CONTENT), step))
    assert torrent.is_whole(pieces, len(CONTENT))
    assert not torrent.is_whole(pieces[:-20], len(CONTENT))
    assert not torrent.is_whole(pieces[:-1], len(CONTENT))


def test_a_torrent_says_what_and_where(file: str) -> None:
    pieces = torrent.hash_pieces(file)
    trackers = ["http://192.0.2.5:6969/announce", "http://192.0.2.6:6969/announce"]
    seeds = ["http://192.0.2.5:8008/objects/x"]
    data = torrent.torrent(OID, len(CONTENT), pieces, trackers=trackers, seeds=seeds)
    found, end = decode(data)
    assert end == len(data)
    assert found[b"announce"] == trackers[0].encode()
    assert found[b"announce-list"] == [[t.encode()] for t in trackers]
    assert found[b"url-list"] == [seeds[0].encode()]
    assert found[b"info"] == {
        b"length": len(CONTENT), b"name": OID.encode(), b"piece length": 256 * KIB, b"pieces": pieces,
    }  # fmt: skip
    begin = data.index(b"4:info") + 6
    info = data[begin : decode(data, begin)[1]]
    assert torrent.info_hash(OID, len(CONTENT), pieces) == hashlib.sha1(info).hexdigest()
    bare, _end = decode(torrent.torrent(OID, len(CONTENT), pieces, trackers=[], seeds=[]))
    assert list(bare) == [b"info"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda data: data, []),
        (lambda data: data[:600_000], [(512 * KIB, 700_000)]),
        (lambda data: data[:300_000] + bytes(400_000), [(256 * KIB, 700_000)]),
        (lambda data: bytes(10) + data[10:], [(0, 256 * KIB)]),
        (lambda data: b"x" + data[1 : 512 * KIB], [(0, 256 * KIB), (512 * KIB, 700_000)]),
        (lambda data: b"", [(0, 700_000)]),
    ],
    ids=["whole", "cut", "wrong-end", "wrong-beginning", "two-holes", "empty"],
)
def test_the_holes_of_an_unfinished_file_are_found(file: str, change: Any, wrong: list[tuple[int, int]]) -> None:
    pieces = torrent.hash_pieces(file)
    Path(file).write_bytes(change(CONTENT))
    assert torrent.holes(file, pieces, len(CONTENT)) == wrong
