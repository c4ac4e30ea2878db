# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet under constant load: the client that asks, what it notices, and the events that are marked in its log."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.fleet_helpers import ROOT, fleet, playbook_command

sys.path.insert(0, str(ROOT / "tests" / "load"))

from serving_load import table
from serving_load.asking import PLAIN, Client, Questions
from serving_load.journal import BEGIN, END, Journal, Request, Sample, read
from serving_load.watch import Watch

MODEL = "qwen3.5"
FOLDER = ROOT / ".cache" / "serving"
CLIENT = ROOT / "tests" / "load" / "client.py"
#: Port of a replica's API, and of a gateway's metrics.
FIRST_PORT, METRICS_PORT = 8010, 8405


def folder_of(inventory: str) -> Path:
    """The folder of an inventory that is named as a file or as a folder."""
    path = Path(inventory)
    return path if path.is_dir() else path.parent


def addresses(inventory: Path) -> dict[str, str]:
    """Address of every host of the inventory that the simulator wrote."""
    found: dict[str, str] = {}

    def walk(group: Mapping[str, Any]) -> None:
        for name, variables in (group.get("hosts") or {}).items():
            if variables and "ansible_host" in variables:
                found[name] = variables["ansible_host"]
        for child in (group.get("children") or {}).values():
            walk(child or {})

    walk(yaml.safe_load((inventory / "hosts.yml").read_text())["all"])
    return found


def own_address(peer: str) -> str:
    """The address of this machine from which a host is asked; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((peer, 9))
        return str(one.getsockname()[0])


class Play:
    """A playbook that runs, with everything it starts; its output goes to a file."""

    def __init__(self, log: Path, command: tuple[list[str], dict[str, str]]) -> None:
        self._log = log
        argv, env = command
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def reaches(self, probe: Callable[[], bool], timeout: float = 120) -> None:
        """Wait until something is so, which must be before the playbook ends."""
        until = time.monotonic() + timeout
        while not probe():
            assert self._process.poll() is None, self.output[-6000:]
            assert time.monotonic() < until, self.output[-6000:]
            time.sleep(0.2)

    def wait(self, timeout: float) -> int:
        """Its exit status."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Load:
    """A fleet under load: its replicas and gateways, the client, and what it notices.

    ``client`` are further options of the client. Its log, the table and the playbooks' output lie in ``folder``, from
    which those of an earlier run go.
    """

    def __init__(
        self,
        inventory: str,
        replicas: Mapping[str, int],
        gateways: tuple[str, ...],
        base_url: str,
        client: Sequence[str],
        folder: Path,
    ) -> None:
        self.inventory = folder_of(inventory)
        self.addresses = addresses(self.inventory)
        self.count = sum(replicas.values())
        self.base_url, self.folder = base_url, folder
        self._options = list(client)
        self.health = {
            f"{host}:{replica}": f"http://{self.addresses[host]}:{FIRST_PORT + replica}/health"
            for host, number in replicas.items()
            for replica in range(number)
        }
        self.metrics = {name: f"http://{self.addresses[name]}:{METRICS_PORT}/metrics" for name in gateways}
        self.watch = Watch(self.health, self.metrics, f"vllm-{MODEL}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.log = folder / "load.jsonl"
        self.journal = Journal(self.log)
        self._process: subprocess.Popen[bytes] | None = None

    # -- the client

    @contextmanager
    def under_load(self, timeout: float = 90) -> Iterator[None]:
        """Let the client ask from when all replicas are in service to the last event; then the table is printed."""
        self.settle(self.count, timeout)
        self.start(timeout)
        try:
            yield
        finally:
            print("\n" + self.stop())

    def start(self, timeout: float = 20) -> None:
        """Let the client ask until it is stopped; return when it has an answer."""
        command = [sys.executable, str(CLIENT), "run", "--base-url", self.base_url, "--log", str(self.log)]
        command += self._options
        command += [word for name, url in self.health.items() for word in ("--replica", f"{name}={url}")]
        command += [word for name, url in self.metrics.items() for word in ("--gateway", f"{name}={url}")]
        with (self.folder / "client.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.wait("the client has an answer", lambda: '"ok"' in self.log.read_text(), timeout)

    def stop(self) -> str:
        """End the client; the table of everything it has noticed, which is also written down."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(40)
            finally:
                self._process.kill()
        found = self.rows()
        text = table.render(found)
        errors = [f"{row.event}: {words}" for row in found for words in row.errors]
        (self.folder / "table.md").write_text("\n".join([text, *errors]) + "\n")
        return text

    def rows(self) -> list[table.Row]:
        with self.log.open(encoding="utf-8") as lines:
            return table.rows(read(lines))

    def row(self, event: str) -> table.Row:
        return next(row for row in reversed(self.rows()) if row.event == event)

    def requests(self, since: float) -> list[Request]:
        """Those that ended after a moment."""
        with self.log.open(encoding="utf-8") as lines:
            return [entry for entry in read(lines) if isinstance(entry, Request) and entry.end >= since]

    # -- events

    @contextmanager
    def event(
        self,
        name: str,
        settled: int | Collection[int] | None = None,
        timeout: float = 90,
        without: Collection[str] = (),
        note: Callable[[], str] = str,
    ) -> Iterator[None]:
        """Mark an event in the log. It ends when so many replicas (all) are in service, and none is starting.

        settled: how many, or the numbers that are right
        without: replicas that are not there
        note: what the table says of the state after it; asked when the replicas are in service
        """
        self.journal.mark(name, BEGIN)
        words = ""
        try:
            yield
            self.settle(self.count if settled is None else settled, timeout, without)
            words = note()
        finally:
            self.journal.mark(name, END, words)

    def settle(self, wanted: int | Collection[int], timeout: float = 90, without: Collection[str] = ()) -> None:
        """Wait until so many replicas are in service at every gateway, and those that are not drained are healthy.

        A gateway notices a dead replica only after a while: what it says alone is no sign that nothing happens.
        """
        numbers = {wanted} if isinstance(wanted, int) else set(wanted)

        def settled() -> bool:
            sample = self.look()
            drained = {
                name for servers in sample.gateways.values() for name, state in (servers or {}).items()
                if state in ("DRAIN", "MAINT")
            }  # fmt: skip
            excused = drained.union(without)
            healthy = all(answers or name in excused for name, answers in sample.healthy.items())
            return healthy and self.counted(sample) in numbers

        self.wait(f"{sorted(numbers)} replicas are in service at every gateway", settled, timeout)
        time.sleep(1)  # what was asked meanwhile is answered within the event

    def look(self) -> Sample:
        return self.watch.look()

    @staticmethod
    def counted(sample: Sample) -> int | None:
        """How many are in service at the gateway with the fewest; None when not every gateway answers."""
        return None if None in sample.gateways.values() else table.in_service(sample)

    def wait(self, what: str, probe: Callable[[], bool], timeout: float) -> None:
        until = time.monotonic() + timeout
        while not probe():
            assert time.monotonic() < until, f"not so after {timeout:g} s: {what}; {self.look()}"
            time.sleep(0.3)

    # -- the operator

    def play(self, name: str, *options: str, timeout: float = 600, status: Collection[int] = (0,)) -> str:
        """Run a playbook to its end, a good one unless another ``status`` is told; what it printed."""
        with self.playing(name, *options, timeout=timeout, status=status) as play:
            pass
        return play.output

    @contextmanager
    def playing(self, name: str, *options: str, timeout: float = 600, status: Collection[int] = (0,)) -> Iterator[Play]:
        """A playbook that runs meanwhile; it is let come to its end, and ends with one of these statuses."""
        play = Play(self._log_of(name), playbook_command(str(self.inventory / "hosts.yml"), name, *options))
        try:
            yield play
            found = play.wait(timeout)
        finally:
            play.kill()
        assert found in status, f"status {found}: {play.output[-6000:]}"

    def kill_play_when(self, probe: Callable[[], bool], name: str, *options: str, timeout: float = 600) -> None:
        """Start a playbook, and kill it with everything it started when something is so."""
        play = Play(self._log_of(name), playbook_command(str(self.inventory / "hosts.yml"), name, *options))
        try:
            play.reaches(probe, timeout)
        finally:
            play.kill()

    def _log_of(self, name: str) -> Path:
        number = len(list(self.folder.glob("play-*.log"))) + 1
        return self.folder / f"play-{number:02d}-{Path(name).stem}.log"

    def on(self, host: str, command: str) -> str:
        """What a shell command prints on a host."""
        return fleet("exec", host, "--", "sh", "-c", command)


class Serving(Load):
    """The fleet of the scenario `serving`: a floating address with TLS, keys, and variables that tests change."""

    def __init__(
        self,
        inventory: str,
        replicas: Mapping[str, int],
        gateways: tuple[str, ...],
        concurrency: int,
        output: Path = FOLDER,
    ) -> None:
        folder = folder_of(inventory)
        variables = yaml.safe_load((folder / "hosts.yml").read_text())["all"]["vars"]
        self.floating = variables["sim_spare_address"].partition("/")[0]
        self.site, self.concurrency = folder / "site", concurrency
        self.ca = self.site / "certificate.pem"
        self.key_file = output / "key"
        options = ["--ca", str(self.ca), "--key-file", str(self.key_file)]
        options += ["--concurrency", str(concurrency), "--timeout", "15"]
        super().__init__(inventory, replicas, gateways, f"https://{self.floating}:8000/v1", options, output)
        self.own_address = own_address(self.addresses[gateways[0]])

    def start(self, timeout: float = 20) -> None:
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self.keys()["load"])
        super().start(timeout)

    def keys(self) -> dict[str, str]:
        found: dict[str, str] = yaml.safe_load((self.site / "keys.yml").read_text())
        return found

    def reset(self) -> None:
        """The site's files as they were before an earlier run of the events."""
        for path in (self.inventory / "group_vars").glob("*/changed.yml"):
            path.unlink()
        self.set_keys({"load": self.keys()["load"]})

    def set_keys(self, keys: Mapping[str, str]) -> None:
        (self.site / "keys.yml").write_text(yaml.safe_dump(dict(keys)))

    def ask(self, key: str) -> Request:
        """One question with a key of its own, through the floating address."""
        client = Client(self.base_url, key, self.ca, 15.0, Questions(MODEL, None, "", checked=True))
        try:
            return client.ask(PLAIN, 1)
        finally:
            client.close()

    def settings(self, group: str, values: Mapping[str, Any]) -> None:
        """Set variables of a group of the inventory, in place of those that were set here before."""
        path = self.inventory / "group_vars" / group / "changed.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(values)))
