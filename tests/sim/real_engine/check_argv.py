#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the command lines that the collection renders before vLLM's own code, without an engine and without a device.

  check_argv.py [--release FILE ...] [--engine NAME ...]

Every release file (default: those that the collection ships) is rendered as the role would render it, with each
profile, and given to

  cpu-0.32      the engine that the scenario runs, on the processor: parser and configuration
  ascend-0.16   vLLM 0.16.0 with vllm-ascend 0.16.0rc1, the guide's line of versions: parser only, for the released 0.16
                does not know the model
  ascend-0.18   vLLM 0.18.0 with vllm-ascend 0.18.0, the first that knows it: parser and configuration, NPUPlatform's

Two levels: ``parse`` is the argument parser alone, ``config`` is AsyncEngineArgs.create_engine_config(), that is
everything ``vllm serve`` does before it starts the engine, with the true shape of Qwen3.5-27B. Each engine also gets
counterexamples, made from the same command line by one mistake, and must refuse them: a check that accepts everything
would prove nothing.

Exit status 0: as expected; 1: not; 3: this machine cannot have the environment (see build_env.py).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LEVELS = ("parse", "config")


@dataclass(frozen=True)
class Engine:
    """A vLLM that is asked; ``reaches`` is the last level that its version can pass for the model at all."""

    name: str
    parser: str | None  # folder of build_env.PARSERS that goes before the environment
    reaches: str


ENGINES = (
    Engine("cpu-0.32", None, "config"),
    Engine("ascend-0.16", "0.16", "parse"),
    Engine("ascend-0.18", "0.18", "config"),
)


@dataclass(frozen=True)
class Case:
    """One command line; ``refused`` names the level that must refuse it, None: it must pass."""

    name: str
    argv: tuple[str, ...]
    refused: str | None = None


def with_option(argv: Sequence[str], option: str, value: str | None) -> tuple[str, ...]:
    """``argv`` with the option's value replaced, or with the option added at the end."""
    words = list(argv)
    flag = "--" + option
    if flag in words and value is not None:
        words[words.index(flag) + 1] = value
        return tuple(words)
    return (*words, flag) if value is None else (*words, flag, value)


def counterexamples(name: str, argv: Sequence[str]) -> list[Case]:
    """The same command line with one mistake each."""
    mistakes: tuple[tuple[str, str, str | None, str], ...] = (
        ("mistyped option", "max-model-length", "32768", "parse"),
        ("text for a number", "tensor-parallel-size", "four", "parse"),
        ("heads that do not divide", "tensor-parallel-size", "16", "config"),
        ("utilisation over 1", "gpu-memory-utilization", "1.4", "config"),
        ("longer than the model", "max-model-len", "300000", "config"),
        ("broken JSON", "compilation-config", '{"cudagraph_mode": FULL_DECODE_ONLY}', "config"),
    )
    return [Case("%s, %s" % (name, what), with_option(argv, o, v), level) for what, o, v, level in mistakes]


def judge(case: Case, engine: Engine, answer: Mapping[str, Any]) -> str | None:
    """What is wrong with an engine's answer, or None. ``answer``: {ok, level, error}.

    ``level`` is the level that refused, or the last one passed. A refusal may come earlier than the case names, never
    later; an engine that only reaches ``parse`` is not asked about the configuration.
    """
    passed = LEVELS.index(answer["level"]) - (0 if answer["ok"] else 1)  # index of the last level passed, -1: none
    if case.refused is None:
        if passed >= LEVELS.index(engine.reaches):
            return None
        return "refused at level %s: %s" % (answer["level"], answer.get("error"))
    if LEVELS.index(case.refused) > LEVELS.index(engine.reaches):
        return None
    if not answer["ok"] and LEVELS.index(answer["level"]) <= LEVELS.index(case.refused):
        return None
    return "accepted, where level %s should have refused it" % case.refused


def inside() -> int:
    """The half that runs in the environment: argument vectors (JSON on standard input) in, one JSON line each out."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print is not an answer
    import vllm
    from vllm import platforms
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    def ask(argv: Sequence[str]) -> dict[str, Any]:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                parser = FlexibleArgumentParser(prog="vllm")
                commands = parser.add_subparsers(dest="subparser")
                for command in serve.cmd_init():
                    command.subparser_init(commands)
                parsed = parser.parse_args(["serve", *argv])
                serve.validate_parsed_serve_args(parsed)
        except SystemExit:
            lines = [line for line in said.getvalue().splitlines() if "error:" in line]
            return {"ok": False, "level": "parse", "error": lines[-1] if lines else said.getvalue()[-300:]}
        except Exception as exc:
            return {"ok": False, "level": "parse", "error": "%s: %s" % (type(exc).__name__, exc)}
        if getattr(parsed, "model_tag", None) is not None:
            parsed.model = parsed.model_tag
        try:
            config = AsyncEngineArgs.from_cli_args(parsed).create_engine_config()
        except Exception as exc:
            return {"ok": False, "level": "config", "error": "%s: %s" % (type(exc).__name__, exc)}
        return {
            "ok": True,
            "level": "config",
            "max_model_len": config.model_config.max_model_len,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "data_parallel_size": config.parallel_config.data_parallel_size,
            "cudagraph_mode": getattr(config.compilation_config.cudagraph_mode, "name", None),
            "async_scheduling": config.scheduler_config.async_scheduling,
        }

    for argv in json.load(sys.stdin):
        answer = ask(argv)
        answer.update(vllm=vllm.__version__, platform=type(platforms.current_platform).__module__)
        answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        answers.flush()
    return 0


def ask_engine(engine: Engine, cases: Sequence[Case], environment: Path, parsers: Path | None) -> list[dict[str, Any]]:
    """The engine's answers, one for each case."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    env.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_CPU_KVCACHE_SPACE="1")
    if engine.parser is not None and parsers is not None:
        env["PYTHONPATH"] = "%s:%s" % (HERE / "stand_ins", parsers / engine.parser)
    done = subprocess.run(
        [str(environment / "bin" / "python"), str(Path(__file__).resolve()), "--inside"],
        input=json.dumps([list(case.argv) for case in cases]),
        capture_output=True,
        text=True,
        env=env,
        timeout=600,
        cwd="/",
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or len(answers) != len(cases):
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise RuntimeError("%s: %d answers for %d cases:\n%s" % (engine.name, len(answers), len(cases), tail))
    return answers


def shape_folder(root: Path, environment: Path) -> Path:
    """The configuration of the model at true size, made once."""
    program = HERE / "make_tiny.py"
    target = root / "real-engine" / ("shape-" + hashlib.sha256(program.read_bytes()).hexdigest()[:16])
    if not (target / "config.json").exists():
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
        argv = [str(environment / "bin" / "python"), str(program), "--shape", str(target)]
        subprocess.run(argv, check=True, env=env, stdout=subprocess.DEVNULL)
    return target


def rendered(path: Path, model: Path) -> list[Case]:
    """A release's command lines as the collection renders them: with the guide's profile, and with the default one."""
    # The checkout as the collection, whatever is installed.
    sys.path.insert(0, str(ROOT / ".collections"))
    from ansible_collections.ascend.fleet.plugins.module_utils._serving.argv import serve_argv
    from ansible_collections.ascend.fleet.plugins.plugin_utils import _releases

    release = _releases.load(path)
    profiles: dict[str, dict[str, Any]] = {"guide": {}, "least_privilege": {"allowed-local-media-path": str(model)}}
    cases = []
    for profile, overrides in profiles.items():
        argv = serve_argv(release["serve"], str(model), options=overrides)
        cases.append(Case("%s, %s" % (release["release"], profile), tuple(argv[2:])))
    return [*cases, *counterexamples(release["release"], cases[0].argv)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", type=Path, action="append", metavar="FILE", help="default: the shipped releases")
    parser.add_argument("--engine", action="append", choices=[e.name for e in ENGINES], help="default: all")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        return inside()
    sys.path.insert(0, str(HERE))
    import build_env

    engines = [e for e in ENGINES if not options.engine or e.name in options.engine]
    root = build_env.cache_root(os.environ)
    try:
        environment = build_env.ensure(root, os.environ)
        needed = any(e.parser for e in engines)
        parsers = build_env.ensure_parsers(root, os.environ, environment) if needed else None
    except build_env.CannotBuild as exc:
        print("skipped: %s" % exc, file=sys.stderr)
        return int(build_env.SKIP)
    except build_env.BuildFailed as exc:
        print("failed: %s" % exc, file=sys.stderr)
        return 1
    model = shape_folder(root, environment)
    files = options.release or sorted((ROOT / "playbooks" / "releases").glob("*.yml"))
    cases = [case for file in files for case in rendered(file, model)]
    wrong = 0
    for engine in engines:
        for case, answer in zip(cases, ask_engine(engine, cases, environment, parsers)):
            if case.refused and LEVELS.index(case.refused) > LEVELS.index(engine.reaches):
                continue
            problem = judge(case, engine, answer)
            wrong += problem is not None
            if problem is None and case.refused is None:
                notes = {k: v for k, v in answer.items() if k not in ("ok", "level", "error", "vllm", "platform")}
                passed = "parse" if engine.reaches == "parse" else "config"
                told = ", ".join("%s=%s" % pair for pair in notes.items()) if passed == "config" else ""
                problem_text = "passes level %s%s" % (passed, " (%s)" % told if told else "")
            elif problem is None:
                problem_text = "refused at level %s, as it must be" % answer["level"]
            else:
                problem_text = problem
            mark = "ok  " if problem is None else "FAIL"
            print("%s %-11s %s: %s" % (mark, engine.name, case.name, problem_text), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
