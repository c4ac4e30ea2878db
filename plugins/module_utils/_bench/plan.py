# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark will do on a host: which client measures what on which replica, how long, and against what.

Check mode shows the same plan that a run executes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._release import upgrade
from . import compare, conditions, history
from .client import PERCENTILES, WARM_UPS, Client
from .workloads import FULL, QUICK, QUICK_SECONDS, WorkloadError, options_for

#: Loading the client and making its prompts, where nothing was measured yet.
_START_SECONDS = 45.0


class PlanError(ValueError):
    """Nothing can be measured; ``problems`` holds every reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Wanted:
    """What the operator asks for.

    replicas: numbers, None for all. at_once: whether all replicas of the host are measured at the same time.
    in_traffic: whether they stay in traffic. renew: whether results become the new baselines. missing: whether those
    are left out of which every result has an earlier one to be compared with.
    """

    host: str
    kind: str = FULL
    workloads: Sequence[Mapping[str, Any]] = ()
    replicas: Optional[Sequence[int]] = None
    repeats: int = 1
    at_once: bool = False
    in_traffic: bool = False
    renew: bool = False
    missing: bool = False
    warm_ups: int = 0
    percentiles: Sequence[int] = ()
    tolerances: Mapping[str, float] = field(default_factory=dict)


def select(deployed: Sequence[Mapping[str, Any]], replicas: Optional[Sequence[int]]) -> list[Mapping[str, Any]]:
    """The deployed units of these numbers; PlanError where one is not there."""
    known = [u for u in deployed if u["replica"] is not None and u["url"]]
    if not known:
        raise PlanError(["found no replica on this host; needed one. Fix: run site.yml, which deploys them"])
    numbers = {u["replica"] for u in known}
    missing = sorted(set(replicas or ()) - numbers)
    if missing:
        words = "found no replica %s on this host, but %s; needed the number of a deployed replica. Fix: correct "
        words += "vllm_bench_replicas"
        raise PlanError([words % (", ".join(map(str, missing)), ", ".join(str(n) for n in sorted(numbers)))])
    return [u for u in known if replicas is None or u["replica"] in replicas]


def plan(
    wanted: Wanted,
    engines: Sequence[Mapping[str, Any]],
    clients: Mapping[str, Client],
    records: Sequence[Mapping[str, Any]],
    release: Mapping[str, Any],
) -> dict[str, Any]:
    """The plan as data: ``groups`` of replicas that are measured together, ``runs``, ``seconds`` and ``notes``.

    engines: the chosen replicas as ``engine.read`` describes them, with ``client_image``. clients: by image. records:
    the host's history. Raises PlanError with everything that is wrong.
    """
    problems: list[str] = []
    notes: list[str] = []
    runs: list[dict[str, Any]] = []
    for engine in engines:
        client = clients.get(str(engine["client_image"]))
        if client is None:  # check mode does not run an image to ask for its client
            notes.append("the client of the image %s was not asked yet" % engine["client_image"])
            client = Client(str(engine["client_image"]), "unknown", _every_option(wanted))
        for workload in wanted.workloads:
            try:
                runs.append(_run(wanted, engine, workload, client, records, release, notes))
            except WorkloadError as exc:
                problems.append(str(exc))
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
    if wanted.missing:
        runs = [run for run in runs if not _is_known(run["replica"], runs)]
    numbers = [engine["replica"] for engine in engines if any(r["replica"] == engine["replica"] for r in runs)]
    groups = [numbers] if wanted.at_once else [[number] for number in numbers]
    seconds: Optional[float] = 0.0
    for group in groups:
        own = [_seconds_of([r for r in runs if r["replica"] == number]) for number in group]
        known = [s for s in own if s is not None]
        seconds = None if seconds is None or len(known) < len(own) else seconds + max(known, default=0.0)
    if wanted.kind == QUICK and seconds is not None:
        seconds = min(seconds, QUICK_SECONDS * len(groups))
    return {
        "host": wanted.host,
        "kind": wanted.kind,
        "groups": groups,
        "runs": runs,
        "seconds": seconds,
        "budget": QUICK_SECONDS if wanted.kind == QUICK else None,
        "notes": list(dict.fromkeys(notes)),
        "units": {str(engine["replica"]): engine["unit"] for engine in engines},
    }


def _is_known(replica: Any, runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every result of a replica has one to be compared with."""
    own = [run["references"] for run in runs if run["replica"] == replica]
    return all(any(r["reference"] is not None for r in references) for references in own)


def _every_option(wanted: Wanted) -> frozenset[str]:
    return frozenset({WARM_UPS, PERCENTILES}.union(*(w["options"] for w in wanted.workloads)))


def _seconds_of(runs: Sequence[Mapping[str, Any]]) -> Optional[float]:
    known = [r["seconds"] for r in runs if r["seconds"] is not None]
    return sum(known) if len(known) == len(runs) else None


def _run(
    wanted: Wanted,
    engine: Mapping[str, Any],
    workload: Mapping[str, Any],
    client: Client,
    records: Sequence[Mapping[str, Any]],
    release: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    options, own_notes = options_for(workload, client, warm_ups=wanted.warm_ups, percentiles=wanted.percentiles)
    notes += own_notes
    load = conditions.ALONE
    if wanted.in_traffic:
        load = conditions.IN_TRAFFIC
    elif wanted.at_once:
        load = conditions.AT_ONCE
    measured: dict[str, Any] = {
        "image_id": engine["image_id"],
        "chip": engine["chip"],
        "tensor_parallel_size": engine["tensor_parallel_size"],
        "serve_options": engine["serve_options"],
        "environment": engine["environment"],
        "workload": workload["name"],
        "workload_options": conditions.workload_options(options),
        "client_version": client.version,
        "load": load,
    }
    names = conditions.QUICK_KEY if wanted.kind == QUICK else conditions.FULL_KEY
    key = conditions.key(measured, names)
    unit, name = str(engine["unit"]), str(workload["name"])
    references = _references(wanted, unit, key, measured, workload, records, release)
    has_baseline = history.baseline(records, unit, key) is not None
    return {
        "replica": engine["replica"],
        "unit": unit,
        "port": engine["port"],
        "served_model_name": engine["served_model_name"],
        "weights": engine["weights"],
        "indices": list(engine["indices"]),
        "release": engine["release"],
        "binds": list(engine["binds"]),
        "workload": name,
        "description": workload.get("description") or "",
        "kind": wanted.kind,
        "options": options,
        "repeats": wanted.repeats,
        "client": {"image_id": client.image_id, "version": client.version},
        "conditions": measured,
        "key": key,
        "becomes_baseline": wanted.kind == FULL and (wanted.renew or not has_baseline),
        "references": references,
        "floors": upgrade.limits(release, "bench") if wanted.kind == QUICK else None,
        "seconds": _expected(wanted, unit, workload, records),
        "against": against(references),
    }


def _expected(
    wanted: Wanted, unit: str, workload: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> Optional[float]:
    known = history.expected_seconds(records, unit, str(workload["name"]), wanted.repeats)
    told = (workload.get("baseline") or {}).get("duration")
    if known is None and told is not None:
        return (float(told) + _START_SECONDS) * wanted.repeats
    return known


def _references(
    wanted: Wanted,
    unit: str,
    key: str,
    measured: Mapping[str, Any],
    workload: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    release: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What a result is compared with: each with ``source``, ``names`` of the conditions, and the reference or None."""
    if wanted.kind == QUICK and wanted.renew:
        return [_reference("its last quick result", None, list(conditions.QUICK_KEY))]
    if wanted.kind == QUICK:
        former = history.last_quick(records, unit, str(workload["name"]), measured)
        other = former or history.last_quick(records, unit, str(workload["name"]))
        return [_reference("its last quick result", other, list(conditions.QUICK_KEY))]
    former = history.baseline(records, unit, key)
    if former is None:
        # Nothing under these conditions: the last one under others is shown beside it.
        others = [r for r in records if r["unit"] == unit and r["workload"] == workload["name"] and r["baseline"]]
        former = others[-1] if others else None
    found = [_reference("its own baseline", former, list(conditions.FULL_KEY))]
    if workload.get("baseline"):
        found.append(
            {
                "source": "the table of the release %s" % release["release"],
                "names": list(conditions.FULL_KEY),
                "run": None,
                "reference": {
                    "metrics": dict(workload["baseline"]),
                    "spread": {},
                    "conditions": release_conditions(release, workload, measured),
                },
            }
        )
    return found


def _reference(source: str, record: Optional[Mapping[str, Any]], names: list[str]) -> dict[str, Any]:
    kept = None
    if record is not None:
        kept = {name: record[name] for name in ("metrics", "spread", "conditions")}
    return {"source": source, "names": names, "run": record and record["run"], "reference": kept}


def release_conditions(
    release: Mapping[str, Any], workload: Mapping[str, Any], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The conditions of a release's table, as far as the release tells them. It does not name the chip.

    The image is told by its ID, or where that is open by the version of vLLM in it, which is also the client's.
    """
    images = [i for i in release["images"] if i.get("image_id")]
    found: dict[str, Any] = {
        "tensor_parallel_size": int((release["serve"].get("options") or {}).get("tensor-parallel-size") or 1),
        "serve_options": conditions.release_options(release["serve"].get("options") or {}),
        "environment": {str(k): str(v) for k, v in (release["serve"].get("environment") or {}).items()},
        "workload": workload["name"],
        "workload_options": conditions.workload_options(workload["options"]),
        "load": conditions.ALONE,
    }
    ids = [i["image_id"] for i in images]
    if ids:
        found["image_id"] = measured.get("image_id") if measured.get("image_id") in ids else ids[0]
    versions = [v for v in ((i.get("components") or {}).get("vllm") for i in release["images"]) if v]
    if versions:
        own = measured.get("client_version")
        found["client_version"] = own if own in versions else versions[0]
    # What the engine was given beside the release's variables does not make another engine of it.
    own_environment = measured.get("environment") or {}
    for name, value in own_environment.items():
        if name not in found["environment"] and name in _OURS:
            found["environment"][name] = value
    return found


#: Variables that this collection gives every engine.
_OURS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS")


def against(references: Sequence[Mapping[str, Any]]) -> str:
    """What a result will be compared with, in words, for check mode."""
    known = [r for r in references if r["reference"] is not None]
    if not known:
        return "nothing yet, later results with this one"
    return ", ".join(r["source"] + (" (run %s)" % r["run"] if r["run"] else "") for r in known)


def is_wanted_again(record: Mapping[str, Any]) -> bool:
    """Whether a result is so near to the release's floor that it is to be measured once more."""
    return not record.get("problem") and any(c["again"] for c in record["comparisons"])


def judge(record: Mapping[str, Any], run: Mapping[str, Any], tolerances: Mapping[str, float]) -> list[dict[str, Any]]:
    """A result beside everything that its run is compared with."""
    return [
        compare.compare(
            record,
            r["reference"],
            source=r["source"],
            names=r["names"],
            tolerances=tolerances,
            floors=run.get("floors"),
        )
        for r in run["references"]
    ]
