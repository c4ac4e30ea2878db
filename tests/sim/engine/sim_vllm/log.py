# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines as vLLM writes them: prefix of the process, level, time, source line; progress bars as tqdm draws them."""

from __future__ import annotations

import os
import sys
import time


class Log:
    """The log of one process of the engine."""

    def __init__(self, process: str) -> None:
        self.process = process

    @property
    def prefix(self) -> str:
        return f"({self.process} pid={os.getpid()}) " if self.process else ""

    def write(self, text: str) -> None:
        """Whole lines in one call, so that processes do not mix theirs."""
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]

    def line(self, level: str, source: str, message: str) -> None:
        stamp = time.strftime("%m-%d %H:%M:%S")
        self.write("".join(f"{self.prefix}{level} {stamp} [{source}] {part}\n" for part in message.split("\n")))

    def info(self, source: str, message: str) -> None:
        self.line("INFO", source, message)

    def warning(self, source: str, message: str) -> None:
        self.line("WARNING", source, message)

    def error(self, source: str, message: str) -> None:
        self.line("ERROR", source, message)

    def uvicorn(self, message: str) -> None:
        self.write(f"{self.prefix}INFO:     {message}\n")

    def traceback(self, frames: list[tuple[str, int, str, str]], error: str) -> None:
        text = [f"{self.prefix}Traceback (most recent call last):"]
        for file, number, function, code in frames:
            text.append(f'{self.prefix}  File "{file}", line {number}, in {function}')
            text.append(f"{self.prefix}    {code}")
        text += [f"{self.prefix}{line}" for line in error.split("\n")]
        self.write("\n".join(text) + "\n")

    def logged_traceback(self, source: str, first: str, frames: list[tuple[str, int, str, str]], error: str) -> None:
        text = [first, "Traceback (most recent call last):"] if first else ["Traceback (most recent call last):"]
        for file, number, function, code in frames:
            text += [f'  File "{file}", line {number}, in {function}', f"    {code}"]
        self.error(source, "\n".join([*text, *error.split("\n")]))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def shard_progress(done: int, total: int, elapsed: float) -> str:
    """One step of ``Loading safetensors checkpoint shards``: a carriage return in front, a line break behind."""
    percent = 100 * done // total if total else 100
    if done == 0:
        timing = f"{clock(elapsed)}<?, ?it/s"
    else:
        each = elapsed / done
        rate = f"{each:.2f}s/it" if each >= 1 else f"{1 / each if each else 999:.2f}it/s"
        timing = f"{clock(elapsed)}<{clock(each * (total - done))}, {rate:>9}"
    return f"\rLoading safetensors checkpoint shards: {percent:3d}% Completed | {done}/{total} [{timing}]\n"


BLOCKS = " ▏▎▍▌▋▊▉█"


def bar(fraction: float, width: int = 10) -> str:
    eighths = int(fraction * width * 8)
    text = "█" * (eighths // 8)
    if len(text) < width:
        text += BLOCKS[eighths % 8] + " " * (width - len(text) - 1)
    return text


def capture_progress(done: int, total: int, elapsed: float) -> str:
    """One step of the graph capture: no line break, the next step overwrites it."""
    timing = f"{clock(elapsed)}<?, ?it/s"
    if done:
        each = elapsed / done
        rate = f"{each:.2f}s/it" if each >= 1 else f"{1 / each if each else 999:.2f}it/s"
        timing = f"{clock(elapsed)}<{clock(each * (total - done))}, {rate:>9}"
    percent = 100 * done // total
    return f"\rCapturing CUDA graphs (decode, FULL): {percent:3d}%|{bar(done / total)}| {done}/{total} [{timing}]"
