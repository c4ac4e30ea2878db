# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: write and read PNG files, draw text with the bitmap font, and read it back."""

from __future__ import annotations

import functools
import math
import os
import struct
import zlib
from collections import Counter
from dataclasses import dataclass

CELL_WIDTH = 6
CELL_HEIGHT = 10
GLYPH_WIDTH = 5
GLYPH_HEIGHT = 8
SIGNATURE = b"\x89PNG\r\n\x1a\n"
FONT_FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "font", "glyphs.txt")

Color = tuple[int, int, int]
Bitmap = list[list[bool]]


class UnreadablePicture(ValueError):
    """The bytes are not a picture that can be read."""


@dataclass(frozen=True)
class Picture:
    """Pixels by row; ``pixels`` is empty where only the size is known (JPEG)."""

    width: int
    height: int
    pixels: list[list[Color]]


@functools.lru_cache(maxsize=1)
def font() -> dict[str, tuple[str, ...]]:
    glyphs: dict[str, tuple[str, ...]] = {" ": ("." * GLYPH_WIDTH,) * GLYPH_HEIGHT}
    with open(FONT_FILE, encoding="utf-8") as stream:
        lines = stream.read().split("\n")
    for number, line in enumerate(lines):
        if line.startswith("glyph "):
            glyphs[line[6]] = tuple(lines[number + 1 : number + 1 + GLYPH_HEIGHT])
    return glyphs


# ------------------------------------------------------------------------------------------------------------ writing


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(pixels: list[list[Color]], palette: list[Color]) -> bytes:
    """A PNG with a palette of at most 256 colours."""
    index = {color: number for number, color in enumerate(palette)}
    rows = b"".join(b"\x00" + bytes(index[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 3, 0, 0, 0)
    colors = b"".join(bytes(color) for color in palette)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"PLTE", colors)
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def draw_text(
    text: str, scale: int = 8, margin: int = 2, ink: Color = (97, 92, 237), paper: Color = (255, 255, 255)
) -> bytes:
    """The PNG of some lines of text; ``scale`` pixels to a dot of the font."""
    lines = text.split("\n")
    columns = max(len(line) for line in lines) * CELL_WIDTH - 1 + 2 * margin
    rows = len(lines) * CELL_HEIGHT + 2 * margin
    dots = [[False] * columns for _ in range(rows)]
    for number, line in enumerate(lines):
        for place, char in enumerate(line):
            if char not in font():
                raise ValueError(f"no glyph for {char!r}")
            for y, row in enumerate(font()[char]):
                for x, dot in enumerate(row):
                    dots[margin + number * CELL_HEIGHT + y][margin + place * CELL_WIDTH + x] = dot == "#"
    pixels = [[ink if dot else paper for dot in row for _ in range(scale)] for row in dots for _ in range(scale)]
    return encode_png(pixels, [paper, ink])


# ------------------------------------------------------------------------------------------------------------ reading


def _unfilter(data: bytes, height: int, stride: int, step: int) -> list[bytearray]:
    rows: list[bytearray] = []
    previous = bytearray(stride)
    for number in range(height):
        start = number * (stride + 1)
        kind = data[start]
        line = bytearray(data[start + 1 : start + 1 + stride])
        if len(line) != stride:
            raise UnreadablePicture("the picture is truncated")
        if kind == 1:
            for i in range(step, stride):
                line[i] = (line[i] + line[i - step]) & 255
        elif kind == 2:
            for i in range(stride):
                line[i] = (line[i] + previous[i]) & 255
        elif kind == 3:
            for i in range(stride):
                left = line[i - step] if i >= step else 0
                line[i] = (line[i] + (left + previous[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                left = line[i - step] if i >= step else 0
                corner = previous[i - step] if i >= step else 0
                guess = left + previous[i] - corner
                distances = (abs(guess - left), abs(guess - previous[i]), abs(guess - corner))
                nearest = (left, previous[i], corner)[distances.index(min(distances))]
                line[i] = (line[i] + nearest) & 255
        elif kind != 0:
            raise UnreadablePicture(f"unknown filter {kind}")
        rows.append(line)
        previous = line
    return rows


def _samples(row: bytearray, depth: int, count: int) -> list[int]:
    """The samples of a row, scaled to 8 bits except for palette indices."""
    if depth == 8:
        return list(row[:count])
    if depth == 16:
        return [row[2 * i] for i in range(count)]
    per_byte = 8 // depth
    mask = (1 << depth) - 1
    return [(row[i // per_byte] >> (8 - depth * (i % per_byte + 1))) & mask for i in range(count)]


def decode_png(data: bytes) -> Picture:
    """Every colour type and depth of PNG without interlacing; transparency is laid on white."""
    if not data.startswith(SIGNATURE):
        raise UnreadablePicture("not a PNG file")
    place = len(SIGNATURE)
    width = height = depth = color = interlace = 0
    palette: list[Color] = []
    alpha_of_palette = b""
    compressed = b""
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
        elif kind == b"PLTE":
            palette = [(body[i], body[i + 1], body[i + 2]) for i in range(0, len(body) - 2, 3)]
        elif kind == b"tRNS":
            alpha_of_palette = body
        elif kind == b"IDAT":
            compressed += body
        elif kind == b"IEND":
            break
        place += 12 + size
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 0)
    if not width or not height or not channels or interlace:
        raise UnreadablePicture("cannot read this kind of PNG file")
    try:
        raw = zlib.decompress(compressed)
    except zlib.error as error:
        raise UnreadablePicture(f"the picture is damaged: {error}") from error
    bits = channels * depth
    stride = (width * bits + 7) // 8
    rows = _unfilter(raw, height, stride, max(1, bits // 8))
    full = (1 << depth) - 1 if depth < 8 else 255

    def on_white(value: int, alpha: int) -> int:
        return (value * alpha + 255 * (255 - alpha)) // 255

    pixels: list[list[Color]] = []
    for row in rows:
        values = _samples(row, depth, width * channels)
        line: list[Color] = []
        for i in range(0, width * channels, channels):
            if color == 3:
                if values[i] >= len(palette):
                    raise UnreadablePicture("a colour is not in the palette")
                base = palette[values[i]]
                alpha = alpha_of_palette[values[i]] if values[i] < len(alpha_of_palette) else 255
            elif channels < 3:
                gray = values[i] * 255 // full
                base = (gray, gray, gray)
                alpha = values[i + 1] if channels == 2 else 255
            else:
                base = (values[i], values[i + 1], values[i + 2])
                alpha = values[i + 3] if channels == 4 else 255
            if alpha == 255:
                line.append(base)
            else:
                line.append((on_white(base[0], alpha), on_white(base[1], alpha), on_white(base[2], alpha)))
        pixels.append(line)
    return Picture(width, height, pixels)


def jpeg_size(data: bytes) -> Picture:
    """Width and height of a JPEG; its pixels are not decoded."""
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            place += 1
            continue
        marker = data[place + 1]
        if marker in (0xC0, 0xC1, 0xC2, 0xC3):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return Picture(width, height, [])
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD9:
            place += 2 if marker != 0xFF else 1
            continue
        place += 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
    raise UnreadablePicture("the picture is truncated")


def read_picture(data: bytes) -> Picture:
    return jpeg_size(data) if data.startswith(b"\xff\xd8") else decode_png(data)


# ------------------------------------------------------------------------------------------------------- what it shows


def _ink(picture: Picture) -> Bitmap:
    paper = Counter(pixel for row in picture.pixels for pixel in row).most_common(1)[0][0]
    return [[sum(abs(a - b) for a, b in zip(pixel, paper)) > 96 for pixel in row] for row in picture.pixels]


def _runs(lines: list[list[bool]]) -> set[int]:
    """Lengths of the runs of ink, one line at a time."""
    found: set[int] = set()
    for line in lines:
        length = 0
        for dot in [*line, False]:
            if dot:
                length += 1
            elif length:
                found.add(length)
                length = 0
    return found


def _match(dots: Bitmap, top: int, left: int) -> list[str] | None:
    """The lines of text whose first cell's corner is at (left, top), or None where one cell is no glyph."""
    by_shape = {shape: char for char, shape in font().items()}
    height, width = len(dots), len(dots[0])
    lines = []
    for y in range(top, height, CELL_HEIGHT):
        text = ""
        for x in range(left, width, CELL_WIDTH):
            cell = [
                [0 <= yy < height and 0 <= xx < width and dots[yy][xx] for xx in range(x, x + CELL_WIDTH)]
                for yy in range(y, y + CELL_HEIGHT)
            ]
            if any(row[GLYPH_WIDTH] for row in cell) or any(any(row) for row in cell[GLYPH_HEIGHT:]):
                return None
            shape = tuple("".join("#" if dot else "." for dot in row[:GLYPH_WIDTH]) for row in cell[:GLYPH_HEIGHT])
            if shape not in by_shape:
                return None
            text += by_shape[shape]
        lines.append(text.strip())
    return lines


def read_text(picture: Picture) -> str | None:
    """The text of a picture drawn with the font, at any scale; None where there is none."""
    if not picture.pixels:
        return None
    ink = _ink(picture)
    rows = [number for number, row in enumerate(ink) if any(row)]
    if not rows:
        return None
    columns = [number for number in range(picture.width) if any(ink[y][number] for y in rows)]
    area = [row[columns[0] : columns[-1] + 1] for row in ink[rows[0] : rows[-1] + 1]]
    scale = math.gcd(*_runs(area), *_runs([list(column) for column in zip(*area)]))
    for step in [number for number in range(scale, 0, -1) if scale % number == 0]:
        dots = [row[step // 2 :: step] for row in area[step // 2 :: step]]
        for top in range(0, -GLYPH_HEIGHT, -1):
            for left in range(0, -GLYPH_WIDTH, -1):
                lines = _match(dots, top, left)
                if lines is not None and any(lines):
                    return "\n".join(lines).strip()
    return None


COLORS: dict[str, Color] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 40),
    "orange": (245, 140, 30),
    "purple": (130, 60, 200),
    "pink": (245, 150, 190),
    "brown": (130, 80, 40),
    "cyan": (50, 200, 220),
}


def main_color(picture: Picture) -> str:
    """The name of the most frequent colour."""
    pixel = Counter(pixel for row in picture.pixels for pixel in row).most_common(1)[0][0]
    return min(COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLORS[name], pixel)))


def describe(picture: Picture) -> str:
    """What can be said of a picture that holds no text."""
    size = f"{picture.width}×{picture.height} pixels"
    if not picture.pixels:
        return f"The picture is {size}; it shows no readable text."
    return f"The picture is {size}, mostly {main_color(picture)}; it shows no readable text."
