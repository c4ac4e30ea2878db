# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the load client."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from . import table
from .journal import BEGIN, END, OK, Journal, Request, read
from .watch import Watch

ROOT = Path(__file__).resolve().parents[3]
SHAPES = ("stream", "plain", "long stream", "picture")
AFTER_FAILURE = 0.5


def pair(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not (name and equals and url.startswith(("http://", "https://"))):
        raise argparse.ArgumentTypeError(f"found {text!r}; needed NAME=URL")
    return name, url


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="client.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="ask until SIGTERM, or for so many seconds")
    run.add_argument("--base-url", required=True, help="such as https://gateway:8000/v1")
    run.add_argument("--model", default="qwen3.5")
    run.add_argument("--key-file", type=Path, help="a file that holds the API key")
    run.add_argument("--ca", type=Path, help="certificate of the authority that signed the gateway's")
    run.add_argument("--log", type=Path, required=True)
    run.add_argument("--concurrency", type=int, default=6)
    run.add_argument("--pause", type=float, default=0.1, help="seconds between an answer and the next question")
    run.add_argument("--timeout", type=float, default=30.0, help="seconds without a byte that are a failure")
    run.add_argument("--seconds", type=float)
    run.add_argument("--replica", type=pair, action="append", default=[], metavar="NAME=HEALTH_URL")
    run.add_argument("--gateway", type=pair, action="append", default=[], metavar="NAME=METRICS_URL")
    run.add_argument("--look", type=float, default=0.5, help="seconds between two looks at the fleet")
    run.add_argument("--shapes", default=",".join(SHAPES), help=f"of {', '.join(SHAPES)}")
    run.add_argument("--picture", type=Path, default=ROOT / "playbooks/releases/files/tongyi_qwen.png")
    run.add_argument("--picture-says", default="TONGYI")
    run.add_argument("--unchecked", action="store_true", help="whatever is said is right: a model that knows nothing")
    run.add_argument("--tokens", type=int, default=300, help="the most that an answer may have")
    mark = commands.add_parser("mark", help="note that an event begins or ends")
    mark.add_argument("row")
    mark.add_argument("edge", choices=(BEGIN, END))
    mark.add_argument("--log", type=Path, required=True)
    mark.add_argument("--note", default="")
    show = commands.add_parser("table", help="print the table of a log")
    show.add_argument("--log", type=Path, required=True)
    show.add_argument("--json", type=Path, help="also write it here, as data")
    return top


class Asker(Protocol):
    def ask(self, shape: str, number: int) -> Request: ...


class Load:
    """So many workers, each asking one question after the other, and one that looks at the fleet."""

    def __init__(self, journal: Journal, shapes: tuple[str, ...], pause: float) -> None:
        self.journal, self.shapes, self.pause = journal, shapes, pause
        self.stopping = threading.Event()
        self.counts: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def work(self, client: Asker, place: int) -> None:
        turn = itertools.islice(itertools.cycle(self.shapes), place % len(self.shapes), None)
        while not self.stopping.is_set():
            with self._lock:
                number = next(self._numbers)
            request = client.ask(next(turn), number)
            self.journal.write(request)
            with self._lock:
                self.counts[request.outcome] = self.counts.get(request.outcome, 0) + 1
            self.stopping.wait(self.pause if request.outcome == OK else max(self.pause, AFTER_FAILURE))

    def look(self, watch: Watch, every: float) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            self.journal.write(watch.look())
            self.stopping.wait(max(0.05, every - (time.monotonic() - began)))
        watch.close()


def run(options: argparse.Namespace) -> int:
    from . import asking  # the client is needed only here: marks and tables are made without it

    shapes = tuple(options.shapes.split(","))
    unknown = sorted(set(shapes) - set(SHAPES))
    if unknown:
        print(f"--shapes: found {', '.join(unknown)}; known are {', '.join(SHAPES)}", file=sys.stderr)
        return 2
    key = options.key_file.read_text().strip() if options.key_file else "none"
    picture = options.picture if asking.PICTURE in shapes else None
    questions = asking.Questions(options.model, picture, options.picture_says, not options.unchecked, options.tokens)
    load = Load(Journal(options.log), shapes, options.pause)
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: a handler that sets an event while its own thread waits for it waits for its own lock.
        signal.signal(number, lambda *_: threading.Thread(target=load.stopping.set).start())
    threads = []
    for place in range(options.concurrency):
        client = asking.Client(options.base_url, key, options.ca, options.timeout, questions)
        threads.append(threading.Thread(target=load.work, args=(client, place), name=f"worker-{place}"))
    if options.replica or options.gateway:
        watch = Watch(dict(options.replica), dict(options.gateway), f"vllm-{options.model}")
        threads.append(threading.Thread(target=load.look, args=(watch, options.look), name="watch"))
    for thread in threads:
        thread.start()
    load.stopping.wait(options.seconds)
    load.stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps(load.counts, sort_keys=True))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.command == "mark":
        Journal(options.log).mark(options.row, options.edge, options.note)
        return 0
    if options.command == "table":
        with options.log.open(encoding="utf-8") as lines:
            found = table.rows(read(lines))
        if options.json:
            options.json.write_text(json.dumps(table.as_data(found), indent=2, ensure_ascii=False) + "\n")
        print(table.render(found), end="")
        for row in found:
            for words in row.errors:
                print(f"{row.event}: {words}")
        return 0
    return run(options)
