# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which workloads are measured: those of a release, or the quick ones."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .client import PERCENTILES, WARM_UPS, Client

FULL, QUICK = "full", "quick"
KINDS = (FULL, QUICK)
QUICK_LATENCY, QUICK_LOAD = "quick_latency", "quick_load"
#: At most so long the quick workloads of a replica may take together.
QUICK_SECONDS = 240
_QUICK_PROMPTS = 16
_QUICK_INPUT, _QUICK_LATENCY_OUTPUT, _QUICK_LOAD_OUTPUT = 1024, 128, 256
#: So many times the concurrency are asked at the load point: the first of them meet an empty engine.
_QUICK_WAVES = 2
_DEFAULT_CONCURRENCY = 50


class WorkloadError(ValueError):
    """What was asked for cannot be measured; the message says what there is."""


def concurrency_of(release: Mapping[str, Any]) -> int:
    """The concurrency that a release is measured with: the highest of its workloads."""
    found = [int(w["options"]["max-concurrency"]) for w in _workloads(release) if w["options"].get("max-concurrency")]
    limit = (release["serve"].get("options") or {}).get("max-num-seqs")
    return max(found) if found else min(_DEFAULT_CONCURRENCY, int(limit or _DEFAULT_CONCURRENCY))


def quick_workloads(release: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One point of latency and one of load, short enough for a gate between two releases."""
    return [
        _quick(QUICK_LATENCY, "One request at a time, 128 tokens out", 1, _QUICK_PROMPTS, _QUICK_LATENCY_OUTPUT),
        _quick(
            QUICK_LOAD,
            "The release's concurrency, 256 tokens out",
            concurrency_of(release),
            _QUICK_WAVES * concurrency_of(release),
            _QUICK_LOAD_OUTPUT,
        ),
    ]


def _quick(name: str, description: str, concurrency: int, prompts: int, output: int) -> dict[str, Any]:
    options = {
        "backend": "vllm",
        "dataset-name": "random",
        "random-input-len": _QUICK_INPUT,
        "random-output-len": output,
        "random-range-ratio": 0,
        "num-prompts": prompts,
        "max-concurrency": concurrency,
        "seed": 0,
        "temperature": 0,
        "ignore-eos": True,
        WARM_UPS: concurrency,
    }
    return {"name": name, "description": description, "options": options, "baseline": {}}


def choose(release: Mapping[str, Any], kind: str, names: Optional[Sequence[str]]) -> list[dict[str, Any]]:
    """The workloads of this kind, or those of them that are named; WorkloadError where one is not known."""
    there = quick_workloads(release) if kind == QUICK else [dict(w) for w in _workloads(release)]
    if not there:
        raise WorkloadError(
            "found no workload in the release %s; needed one. Fix: add benchmark.workloads to the release, or measure "
            "with "
            "vllm_bench_kind: quick, which needs none" % release["release"]
        )
    if names is None:
        return there
    by_name = {str(w["name"]): w for w in there}
    unknown = [str(name) for name in names if str(name) not in by_name]
    if unknown or not names:
        raise WorkloadError(
            "found the workload %s; needed some of %s. Fix: correct vllm_bench_workloads"
            % (", ".join(unknown) or "(none)", ", ".join(by_name))
        )
    return [by_name[str(name)] for name in dict.fromkeys(names)]


def options_for(
    workload: Mapping[str, Any], client: Client, *, warm_ups: int = 0, percentiles: Sequence[int] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The options of a workload for a client, and what this client cannot do.

    Warm-ups and percentiles are left out where the client does not know them: they only add to a result. An option of
    the workload itself that the client does not know is a mistake: WorkloadError.
    """
    options = dict(workload["options"])
    notes = []
    if warm_ups and WARM_UPS not in options:
        options[WARM_UPS] = warm_ups
    if percentiles:
        options.setdefault(PERCENTILES, ",".join(str(p) for p in percentiles))
    for name in (WARM_UPS, PERCENTILES):
        if (
            name in options
            and name not in client.options
            and name not in (workload["options"] if name != WARM_UPS else {})
        ):
            del options[name]
            notes.append("the client %s has no --%s: %s is measured without" % (client.version, name, workload["name"]))
    missing = client.missing(options)
    if missing:
        raise WorkloadError(
            "found the option %s in the workload %s; needed options of the client %s. Fix: correct the release, or "
            "measure "
            "with a client that has them: vllm_bench_client_image"
            % (", ".join("--" + name for name in missing), workload["name"], client.version)
        )
    return options, notes


def _workloads(release: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((release.get("benchmark") or {}).get("workloads") or [])
