# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the engine really looks at pictures."""

from __future__ import annotations

import string
import struct
import sys
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "sim" / "engine"))

from sim_vllm import answers, picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    return picture.SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("scale", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "text",
    ["TONGYI Qwen", string.ascii_uppercase, string.ascii_lowercase, string.digits, "two lines\nof text", "a.", "."],
)
def test_text_is_read_back(text: str, scale: int) -> None:
    assert picture.read_text(picture.read_picture(picture.draw_text(text, scale=scale))) == text


def test_the_picture_of_the_smoke_question() -> None:
    data = (ROOT / "playbooks" / "releases" / "files" / "tongyi_qwen.png").read_bytes()
    assert len(data) < 4096
    assert picture.read_text(picture.read_picture(data)) == "TONGYI Qwen"
    assert "TONGYI Qwen" in answers.answer("What is the text in the illustrate?", [picture.read_picture(data)])


def test_another_text_gives_another_answer() -> None:
    shown = picture.read_picture(picture.draw_text("Hello"))
    said = answers.answer("What is the text in the illustrate?", [shown])
    assert "Hello" in said
    assert "wen" not in said


def test_a_picture_without_text_is_described() -> None:
    data = picture.encode_png([[(220, 30, 30)] * 40] * 30, [(220, 30, 30)])
    said = answers.answer("What is the text in the illustrate?", [picture.read_picture(data)])
    assert "40×30" in said
    assert "red" in said
    assert "no readable text" in said


@pytest.mark.parametrize(
    ("depth", "color", "row", "expected"),
    [
        (8, 0, b"\x00\x80", [(0, 0, 0), (128, 128, 128)]),
        (8, 2, b"\x01\x02\x03\x0a\x0b\x0c", [(1, 2, 3), (10, 11, 12)]),
        (8, 3, b"\x01\x00", [(9, 8, 7), (1, 1, 1)]),
        (8, 4, b"\x40\xff\x40\x00", [(64, 64, 64), (255, 255, 255)]),
        (8, 6, b"\x01\x02\x03\xff\x01\x02\x03\x00", [(1, 2, 3), (255, 255, 255)]),
        (1, 0, b"\x40", [(0, 0, 0), (255, 255, 255)]),
        (4, 3, b"\x10", [(9, 8, 7), (1, 1, 1)]),
        (16, 0, b"\x00\x00\x80\x00", [(0, 0, 0), (128, 128, 128)]),
    ],
)
def test_colour_types(depth: int, color: int, row: bytes, expected: list[tuple[int, int, int]]) -> None:
    palette = chunk(b"PLTE", bytes((1, 1, 1, 9, 8, 7))) if color == 3 else b""
    found = picture.read_picture(png(2, 1, depth, color, [b"\x00" + row], palette))
    assert found.pixels == [expected]


@pytest.mark.parametrize(
    ("kind", "second"),
    [(1, bytes((10, 5))), (2, bytes((9, 13))), (3, bytes((10, 9))), (4, bytes((9, 5)))],
)
def test_filters(kind: int, second: bytes) -> None:
    """Rows (1, 2) and (10, 15), the second one filtered in each way."""
    found = picture.read_picture(png(2, 2, 8, 0, [b"\x00\x01\x02", bytes((kind,)) + second]))
    assert [[pixel[0] for pixel in row] for row in found.pixels] == [[1, 2], [10, 15]]


@pytest.mark.parametrize("data", [b"", b"no picture", picture.SIGNATURE, picture.draw_text("cut")[:60]])
def test_unreadable(data: bytes) -> None:
    with pytest.raises(picture.UnreadablePicture):
        picture.read_picture(data)


def test_the_size_of_a_jpeg() -> None:
    data = b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xc0\x00\x11\x08\x04\x00\x03\x00" + bytes(20)
    found = picture.read_picture(data)
    assert (found.width, found.height, found.pixels) == (768, 1024, [])
