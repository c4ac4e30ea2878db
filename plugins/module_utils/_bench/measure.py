# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure replicas of this host: the client runs in a container of its own, and never outlives who asked for it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base.files import read_text, remove, write_atomically
from .._base.locks import awaited_lock
from .._host.docker import Docker, DockerError
from . import engine, history, metrics, plan
from .client import ClientError, bench_argv, judge, parse_progress

#: The controller asks for the progress every few seconds; where it has not for so long, nobody waits for a result.
ABANDONED_SECONDS = 60.0
#: So long another benchmark of the same replica is waited for: one whose controller was killed ends within this time.
WAIT_SECONDS = 90.0
_WATCH_SECONDS = 1.0
#: A second look begins where so many times the first one's time is left.
_SPARE = 1.2


class Stopped(Exception):
    """The measurement was ended from outside; the message says by whom."""


@dataclass(frozen=True)
class Settings:
    """What a measurement needs beside its plan.

    run: the name of the run. seconds: deadline of one run of the client. budget: deadline of all of a replica together.
    docker_options: more options of `docker run`. wait: how long another benchmark of the replica is waited for. heard:
    a file that the controller touches while it follows; None where nobody follows.
    """

    host: str
    run: str
    seconds: float = 3600.0
    budget: Optional[float] = None
    api_key: str = ""
    docker_options: Sequence[str] = ()
    tolerances: Mapping[str, float] = field(default_factory=dict)
    folder: str = history.FOLDER
    wait: float = WAIT_SECONDS
    heard: Optional[str] = None


@dataclass
class Live:
    """How far the measurement of a replica is, for lines on the controller."""

    unit: str
    workload: str = ""
    stage: str = ""
    repeat: int = 0
    repeats: int = 0
    progress_file: str = ""
    began: float = field(default_factory=time.monotonic)
    finished: bool = False

    def report(self) -> dict[str, Any]:
        """As data. The progress bar is read from the file that the client writes it to."""
        done, total = parse_progress(_tail(self.progress_file)) or (0, None)
        return {
            "unit": self.unit,
            "workload": self.workload,
            "stage": self.stage if total is None else "measures",
            "repeat": self.repeat,
            "repeats": self.repeats,
            "done": done,
            "total": total,
            "seconds": int(time.monotonic() - self.began),
            "finished": self.finished,
        }


class Measuring:
    """Measures the runs of a plan for one or more replicas of this host."""

    def __init__(self, docker: Docker, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._docker = docker
        self._settings = settings
        self._now = now
        self._stopped = threading.Event()
        self._containers: set[str] = set()
        self._guard = threading.Lock()
        self._why = ""

    def stop(self, why: str) -> None:
        """End every container that runs, and let no further one begin."""
        with self._guard:
            self._why = self._why or why
            self._stopped.set()
            names = sorted(self._containers)
        for name in names:
            self._docker.remove_container(name)

    def watch(self, ended: threading.Event) -> None:
        """Until ``ended``, stop the measurement once the controller no longer follows it."""
        heard = self._settings.heard
        while heard and not ended.wait(_WATCH_SECONDS):
            try:
                silent = self._now() - os.stat(heard).st_mtime
            except OSError:
                continue  # it has not asked for the first time yet
            if silent > ABANDONED_SECONDS:
                self.stop(
                    "found that the controller has not asked for %d s; needed somebody who waits for the result"
                    % silent
                )
                return

    def replica(self, runs: Sequence[Mapping[str, Any]], live: Live) -> list[dict[str, Any]]:
        """The results of one replica, workload after workload. What goes wrong stands in the result's ``problem``."""
        os.makedirs(self._settings.folder, mode=0o755, exist_ok=True)
        results = []
        live.stage, live.workload = "waits for another benchmark", str(runs[0]["workload"])
        with awaited_lock(os.path.join(self._settings.folder, ".%s.lock" % live.unit), self._settings.wait) as held:
            until = None if self._settings.budget is None else time.monotonic() + self._settings.budget
            for run in runs:
                live.workload, live.repeats, live.repeat = str(run["workload"]), int(run["repeats"]), 0
                problem: Optional[str] = None
                if not held:
                    problem = (
                        "found that another benchmark measures %s; needed it alone. Fix: wait for that one to end"
                        % live.unit
                    )
                results.append(self._result(run, live, until, problem))
        live.finished = True
        return results

    def _result(
        self, run: Mapping[str, Any], live: Live, until: Optional[float], problem: Optional[str]
    ) -> dict[str, Any]:
        began = time.monotonic()
        repeats: list[dict[str, Any]] = []
        for number in range(1, int(run["repeats"]) + 1):
            if not problem:
                problem = self._repeat(run, live, number, until, repeats)
        numbers, spread = metrics.combine(repeats) if repeats and not problem else ({}, {})
        record: dict[str, Any] = {
            "schema": history.SCHEMA,
            "run": self._settings.run,
            "host": self._settings.host,
            **{
                name: run[name]
                for name in ("replica", "unit", "release", "workload", "kind", "conditions", "key", "client")
            },
            "indices": list(run["indices"]),
            "repeats": repeats,
            "metrics": numbers,
            "spread": spread,
            "seconds": round(time.monotonic() - began, 1),
            "finished": datetime.fromtimestamp(self._now(), timezone.utc).isoformat(timespec="seconds"),
            "problem": problem,
            "baseline": False,
        }
        record["comparisons"] = plan.judge(record, run, self._settings.tolerances)
        took = time.monotonic() - began
        if plan.is_wanted_again(record) and (until is None or until - time.monotonic() > _SPARE * took):
            self._once_more(record, run, live, until)
            record["seconds"] = round(time.monotonic() - began, 1)
        record["baseline"] = bool(run["becomes_baseline"]) and not record["problem"]
        history.write(record, self._settings.folder)
        return record

    def _once_more(self, record: dict[str, Any], run: Mapping[str, Any], live: Live, until: Optional[float]) -> None:
        """Measure what came too near to the release's floor a second time: the mean of all counts.

        Their spread is not taken for noise: a second result that is far below the floor must not hide itself.
        """
        repeats = record["repeats"]
        live.repeats = len(repeats) + 1
        record["problem"] = self._repeat(run, live, len(repeats) + 1, until, repeats)
        record["metrics"] = {} if record["problem"] else metrics.combine(repeats)[0]
        record["spread"] = {}
        record["comparisons"] = plan.judge(record, run, self._settings.tolerances)
        for comparison in record["comparisons"]:
            comparison["again"] = False

    def _repeat(
        self, run: Mapping[str, Any], live: Live, number: int, until: Optional[float], repeats: list[dict[str, Any]]
    ) -> Optional[str]:
        """Run the client and add its numbers; why there are none, or None."""
        live.repeat = number
        try:
            repeats.append(self._once(run, live, number, until))
        except (ClientError, Stopped) as exc:
            return str(exc)
        except (DockerError, OSError) as exc:
            return "found: %s; needed the client to run. Fix: see `docker ps` and `df` on the host" % exc
        return None

    def _once(self, run: Mapping[str, Any], live: Live, number: int, until: Optional[float]) -> dict[str, Any]:
        """One run of the client."""
        if self._stopped.is_set():
            raise Stopped(self._why)
        seconds = self._settings.seconds
        if until is not None:
            seconds = min(seconds, until - time.monotonic())
            if seconds <= 1:
                raise ClientError(
                    "found no time left for %s within %d s; needed its result. Fix: see whether the engine is slow"
                    % (run["workload"], self._settings.budget or 0)
                )
        folder = os.path.join(self._settings.folder, self._settings.run)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        stem = "%s-%d" % (history.file_stem(str(run["unit"]), str(run["workload"])), number)
        result_file, path = stem + history.CLIENT_RESULT, os.path.join(folder, stem)
        for suffix in (history.CLIENT_RESULT, history.CLIENT_LOG, history.CLIENT_PROGRESS):
            remove(path + suffix)
        live.stage, live.progress_file = "starts the client", path + history.CLIENT_PROGRESS
        argv = bench_argv(
            run["options"],
            model=str(run["served_model_name"]),
            port=int(run["port"]),
            tokenizer=str(run["weights"]),
            result_dir=folder,
            result_file=result_file,
        )
        name = "ascend-fleet-bench-%s-%s" % (run["served_model_name"], run["replica"])
        # What a killed run has left would have this name.
        self._docker.remove_container(name)
        options = [*engine.run_options([*run["binds"], "%s:%s" % (folder, folder)], self._settings.docker_options)]
        with tempfile.NamedTemporaryFile("w", prefix="ascend-fleet-", suffix=".env") as environment:
            if self._settings.api_key:
                environment.write("OPENAI_API_KEY=%s\n" % self._settings.api_key)
                environment.flush()
                options += ["--env-file", environment.name]
            done = self._attempt(name, options, run, argv, seconds, path)
        if self._stopped.is_set():
            raise Stopped(self._why)
        return judge(
            done.exit_status,
            read_text(path + history.CLIENT_RESULT),
            done.stdout,
            done.stderr,
            int(run["options"]["num-prompts"]),
            where=str(run["unit"]),
        )

    def _attempt(
        self,
        name: str,
        options: Sequence[str],
        run: Mapping[str, Any],
        argv: Sequence[str],
        seconds: float,
        path: str,
    ) -> Any:
        with self._guard:
            if self._stopped.is_set():
                raise Stopped(self._why)
            self._containers.add(name)
        try:
            done = self._docker.attempt(
                name,
                options,
                str(run["client"]["image_id"]),
                argv,
                timeout=seconds,
                stderr_path=path + history.CLIENT_PROGRESS,
            )
        finally:
            with self._guard:
                self._containers.discard(name)
        write_atomically(path + history.CLIENT_LOG, "%s\n%s" % (" ".join(argv), done.stdout))
        return done


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(0, handle.tell() - 4096))
            return handle.read().decode("utf-8", "replace")
    except OSError:
        return ""
