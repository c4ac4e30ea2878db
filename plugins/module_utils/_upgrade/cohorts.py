# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The new release in traffic beside the old one, over the same minutes: good, bad, or inconclusive.

Compared are hosts of one generation. The share of failed requests, restarts and stalls decide. Times and preemptions
are shown, and decide where the release sets a limit for them. A measurement that failed, or too few requests, are no
bad sign: they make the bake inconclusive, and nothing is rolled back for that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from . import exposition, samples

GOOD, BAD, INCONCLUSIVE = "good", "bad", "inconclusive"
NEW, OLD = "new", "old"
#: Two samples that lie less than this share of the wanted time apart do not tell of it.
_LEAST_SHARE = 0.5
_P95 = 0.95
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Host:
    """A host and its two samples; None where a sample is missing, and ``problem`` says why."""

    name: str
    generation: str
    before: Optional[Mapping[str, Any]] = None
    after: Optional[Mapping[str, Any]] = None
    problem: str = ""


@dataclass(frozen=True)
class Request:
    """How a bake is judged.

    minutes: how long it was to last; 0: nothing is judged. extended: whether it was extended already. canary: whether
    the new hosts are the canary. promote: whether an operator says that an inconclusive one goes on. limits: the part
    ``bake`` of a release's section ``upgrade``, whole.
    """

    limits: Mapping[str, Any]
    minutes: float
    extended: bool = False
    canary: bool = False
    promote: bool = False


@dataclass
class Verdict:
    """What came out.

    reasons: why it is not good, a line each. notes: what else is worth knowing. problems: what could not be measured.
    figures: one for each cohort. few: too few requests are the only reason. go_on: whether the upgrade goes on.
    extend_minutes: how much longer to bake; 0: not at all. question: what an operator is asked where it stops.
    """

    verdict: str = GOOD
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    few: bool = False
    go_on: bool = True
    extend_minutes: float = 0.0
    question: str = ""

    def as_data(self) -> dict[str, Any]:
        """For the result of a task."""
        return {
            name: getattr(self, name)
            for name in ("verdict", "go_on", "reasons", "notes", "problems", "figures", "extend_minutes", "question")
        }


@dataclass
class _Gateways:
    """What all gateways have counted, by host and replica. ``whole``: nothing of it is missing."""

    counts: Mapping[tuple[str, Optional[int]], Mapping[str, int]]
    whole: bool = True


@dataclass
class _Cohort:
    """The hosts of one generation that run one of the two releases, and what they did."""

    generation: str
    word: str
    hosts: list[str] = field(default_factory=list)
    replicas: list[samples.Counted] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def figures(self, gateways: _Gateways) -> dict[str, Any]:
        """Its numbers together."""
        read = [r for r in self.replicas if not r.problem]
        tally = [_tally(r, gateways.counts.get((r.host, r.replica)), gateways.whole) for r in read]
        numbers = {name: int(sum(t[name] for t in tally)) for name in _TALLIED}
        preemptions = [r.preemptions for r in read if r.preemptions is not None]
        found: dict[str, Any] = {
            "generation": self.generation,
            "cohort": self.word,
            "hosts": sorted(self.hosts),
            "replicas": len(self.replicas),
            "unread": len(self.problems),
            "minutes": round(max((r.seconds for r in read), default=0.0) / 60, 2),
            **numbers,
            "error_share": numbers["failed"] / numbers["requests"] if numbers["requests"] else None,
            "restarts": sum(r.restarts for r in self.replicas),
            "stalled": [r.name for r in self.replicas if r.stalled],
            "preemptions": int(sum(preemptions)) if preemptions else None,
        }
        for name in samples.HISTOGRAMS:
            together = exposition.together([r.histograms[name] for r in read if name in r.histograms])
            found[name + "_observations"] = int(exposition.observations(together))
            found[name + "_p95_seconds"] = exposition.quantile(together, _P95)
        return found


_TALLIED = ("requests", "failed", "answers_5xx", "broken", "engine_errors", "engine_aborts", "client_aborts", "refused")


def _tally(replica: samples.Counted, gateway: Optional[Mapping[str, int]], whole: bool) -> dict[str, float]:
    """The requests of a replica, and those of them that failed.

    Gateway and engine see the same failure each in its own way: the larger of the two counts is taken. A client that
    leaves is an abort for the engine; as many as the gateway has seen leave are none of the release's. Where a part of
    that is not known (``whole``), aborts do not count.
    """
    told: Mapping[str, int] = gateway or {}
    errors, aborts = (replica.finished.get(reason, 0.0) for reason in (samples.ERROR, samples.ABORT))
    client_aborts = told.get("client_aborts", 0)
    ended = sum(replica.finished.values())
    # A connection that is reset within an answer counts as both.
    broken = max(told.get("response_errors", 0), told.get("server_aborts", 0))
    at_gateway = told.get("answers_5xx", 0) + broken
    in_engine = max(errors, replica.answers_5xx or 0.0) + (max(0.0, aborts - client_aborts) if whole else 0.0)
    failed = max(float(at_gateway), in_engine)
    # An answer whose stream breaks counted when it began; one that never began did not.
    seen = told.get("answers", 0) + told.get("answers_5xx", 0)
    return {
        "requests": max(float(seen), ended, failed),
        "failed": failed,
        "answers_5xx": max(float(told.get("answers_5xx", 0)), replica.answers_5xx or 0.0),
        "broken": broken,
        "engine_errors": errors,
        "engine_aborts": aborts,
        "client_aborts": client_aborts,
        "refused": told.get("refused", 0),
    }


def judge(new: Sequence[Host], old: Sequence[Host], gateways: Sequence[Host], request: Request) -> Verdict:
    """Judge the hosts of the new release beside those of the old one.

    gateways: hosts with a gateway, whose samples are looked at for what they counted of each replica; hosts of the
    cohorts that have one of their own need not be among them.
    """
    if request.minutes <= 0:
        return Verdict(notes=["nothing was judged: fleet_bake_minutes is 0"])
    found = Verdict()
    counted = _gateways(gateways, [*new, *old], found)
    generations = list(dict.fromkeys(h.generation for h in new))
    if not new:
        found.problems.append("found no host that runs the new release; needed one")
    bad: list[str] = []
    unclear: list[str] = []
    few: list[str] = []
    for generation in generations:
        own = _cohort(generation, NEW, new, request)
        other = _cohort(generation, OLD, old, request)
        figures = own.figures(counted)
        beside = other.figures(counted) if other.hosts else None
        found.figures += [figures] + ([beside] if beside else [])
        found.problems += own.problems
        # One of many hosts of the old release that was not read leaves the others to compare with.
        found.notes += other.problems
        if other.hosts and not [r for r in other.replicas if not r.problem]:
            unclear.append("%s: no host of the old release could be read" % generation)
        bad += _deaths(own)
        _judge_share(figures, beside, request, bad, unclear, few, found.notes)
        _judge_times(figures, beside, request, bad, found.notes)
    unclear += ["it could not be measured: %s" % p for p in found.problems]
    _decide(found, bad, unclear, few, request)
    return found


def _cohort(generation: str, word: str, hosts: Sequence[Host], request: Request) -> _Cohort:
    found = _Cohort(generation, word)
    for host in hosts:
        if host.generation != generation:
            continue
        found.hosts.append(host.name)
        problem, before, after = _pair(host)
        problem = problem or _too_near(before, after, request.minutes)
        if problem:
            found.problems.append("%s: %s" % (host.name, problem))
            continue
        replicas = samples.replicas_between(host.name, before, after)
        found.replicas += replicas
        found.problems += ["%s: %s" % (r.name, r.problem) for r in replicas if r.problem]
        if not replicas:
            found.problems.append("%s: no replica is deployed" % host.name)
    return found


def _pair(host: Host) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Why a host has not both samples, or nothing; and the two."""
    before, after = host.before or {}, host.after or {}
    missing = [word for word, sample in (("first", before), ("second", after)) if "replicas" not in sample]
    problem = host.problem or ("the %s sample is missing" % missing[0] if missing else "")
    return problem, before, after


def _too_near(before: Mapping[str, Any], after: Mapping[str, Any], minutes: float) -> str:
    """Why two samples do not tell of so many minutes; empty where they do."""
    seconds = float(after["at"]) - float(before["at"])
    if seconds >= _LEAST_SHARE * 60 * minutes:
        return ""
    words = "its samples lie %d s apart, needed %d s; its clock was set, or they are of another bake"
    return words % (seconds, 60 * minutes)


def _gateways(gateways: Sequence[Host], cohorts: Sequence[Host], found: Verdict) -> _Gateways:
    """Put together what gateways have counted. One that could not be read is a problem."""
    answers = []
    problems = []
    whole = True
    members = {h.name for h in cohorts}
    for host in [*(h for h in gateways if h.name not in members), *cohorts]:
        lacking, before, after = _pair(host)
        if lacking:
            # The figures of the cohorts name their own hosts that were not read.
            problems += [] if host.name in members else ["gateway %s: %s" % (host.name, lacking)]
            continue
        own = (before.get("gateway"), after.get("gateway"))
        if own == (None, None):
            continue
        said = next((str(g["problem"]) for g in own if g and g.get("problem")), "")
        if said or None in own:
            problems.append("gateway %s: %s" % (host.name, said or "it was there in one of the two samples"))
            continue
        counts, fresh = samples.gateway_between(before, after)
        answers.append(counts)
        if fresh:
            whole = False
            words = "gateway %s: it was reloaded or restarted, and what it counted before that is not known"
            found.notes.append(words % host.name)
    found.problems += problems
    # Where no gateway counts, which of the aborts are clients that left is not known either.
    return _Gateways(samples.by_replica(answers), bool(answers) and whole and not problems)


# - rules -


def _deaths(own: _Cohort) -> list[str]:
    found = []
    for replica in own.replicas:
        if replica.down:
            found.append("%s: its engine does not run" % replica.name)
        elif replica.restarts:
            times = "once" if replica.restarts == 1 else "%d times" % replica.restarts
            found.append("%s: its engine was restarted %s" % (replica.name, times))
        if replica.stalled:
            found.append("%s: its engine stalls: %s" % (replica.name, replica.stalled))
    return found


def _judge_share(
    new: Mapping[str, Any],
    old: Optional[Mapping[str, Any]],
    request: Request,
    bad: list[str],
    unclear: list[str],
    few: list[str],
    notes: list[str],
) -> None:
    """The share of failed requests: below a limit, and not more than so much above the old release's."""
    limits, where = request.limits, str(new["generation"])
    least = int(limits["min_requests"])
    if new["requests"] < least:
        said = "%s: the new release had %s, needed %d" % (where, _requests(new), least)
        few.append(said)
        if new["failed"]:
            unclear.append("%s: of few requests %d failed" % (where, new["failed"]))
        return
    share = float(new["error_share"])
    said = "%s: %d of %s of the new release failed (%s)" % (where, new["failed"], _requests(new), percent(share))
    highest = float(limits["error_share"])
    if old is None or old["requests"] < least:
        words = "no host of the old release" if old is None else "%s of the old release" % _requests(old)
        notes.append("%s: nothing to compare with: %s; the limit alone decides" % (where, words))
        if share >= highest:
            bad.append("%s; needed less than %s" % (said, percent(highest)))
        return
    other, margin = float(old["error_share"]), float(limits["error_share_above_old"])
    beside = "the old release had %s in the same time" % percent(other)
    if share > other + margin + _ROUNDING:
        bad.append("%s; %s, needed at most %s more" % (said, beside, percent(margin)))
    elif share >= highest and other < highest:
        bad.append("%s; needed less than %s, and %s" % (said, percent(highest), beside))
    elif share >= highest:
        unclear.append("%s; %s: both fail, so it is not the new one alone" % (said, beside))


def _judge_times(
    new: Mapping[str, Any], old: Optional[Mapping[str, Any]], request: Request, bad: list[str], notes: list[str]
) -> None:
    """Times and preemptions, where the release sets a limit."""
    limits, where = request.limits, new["generation"]
    for name, key, title in (("ttft", "ttft_p95", "TTFT p95"), ("inter_token", "inter_token_p95", "inter-token p95")):
        limit = limits.get(key)
        if limit is None:
            continue
        fewest = min(c[name + "_observations"] if c else 0 for c in (new, old))
        if not old or fewest < limits["min_requests"] or not old[name + "_p95_seconds"]:
            notes.append("%s: %s was not judged: %d observations, needed %d" % (
                where, title, fewest, limits["min_requests"],
            ))  # fmt: skip
            continue
        own, other = (float(c[name + "_p95_seconds"]) for c in (new, old))
        if own > float(limit) * other:
            bad.append("%s: %s is %s, and %s with the old release; needed at most %g times that" % (
                where, title, seconds_text(own), seconds_text(other), limit,
            ))  # fmt: skip
    limit = limits.get("preemptions_per_request")
    if limit is not None and new["preemptions"] is not None and new["requests"] >= limits["min_requests"]:
        rate = new["preemptions"] / new["requests"]
        if rate > float(limit):
            bad.append("%s: %.2f preemptions per request; needed at most %g" % (where, rate, limit))


def _decide(found: Verdict, bad: list[str], unclear: list[str], few: list[str], request: Request) -> None:
    """The verdict, and what to do."""
    if bad:
        found.verdict, found.reasons, found.go_on = BAD, bad, False
        found.notes += [*few, *unclear]
        return
    if not few and not unclear:
        return
    found.verdict, found.reasons = INCONCLUSIVE, [*few, *unclear]
    found.few = not unclear
    left = max(0.0, float(request.limits["longest_minutes"]) - request.minutes)
    if request.promote:
        found.notes.append("it goes on, because fleet_promote says so")
    elif not request.extended and left > 0:
        found.go_on, found.extend_minutes = False, left
    elif found.few and not request.canary:
        found.notes.append("it goes on: few requests, no bad sign, and the canary was good")
    else:
        found.go_on = False
        found.question = (
            "Is the new release good? The bake does not tell: %s. Fix: look at the figures, then go on with "
            "-e fleet_promote=true, or take it back with rollback.yml" % "; ".join(found.reasons)
        )


# - words -


def percent(share: float) -> str:
    """Such as ``0.5 %``."""
    return "%.3g %%" % (100 * share)


def seconds_text(seconds: float) -> str:
    """Such as ``85 ms`` or ``2.4 s``."""
    return "%.0f ms" % (1000 * seconds) if seconds < 1 else "%.1f s" % seconds


def _requests(figures: Mapping[str, Any]) -> str:
    count = figures["requests"]
    return "%d request%s" % (count, "" if count == 1 else "s")
