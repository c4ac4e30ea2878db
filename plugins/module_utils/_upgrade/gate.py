# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the switch to another release may not begin: all reasons at once, over all hosts. Pure: nobody is asked here.

What the preflight finds is taken from it. What the waves and the capacity say is handed in as words.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._release.inventory import Finding, group_by_host

#: Of the parts of a release what its lock decides.
_IMAGE = ("generation", "architecture", "repository", "revision", "path", "commit", "sha256", "image_id")
_MODEL = ("repository", "revision", "include", "exclude", "commit", "files")
_RECORD = "run site.yml once with the release that serves there now: it records that, and restarts nothing"
#: What becomes of a replica that runs.
_REPLACED = ("replace", "remove")


@dataclass(frozen=True)
class Staged:
    """What the roles that bring artifacts and image have left on a host. Empty is what they did not say."""

    weights: str = ""
    weights_commit: str = ""
    #: Docker's own ID, and the one that a lock knows the image by.
    image_id: str = ""
    config_digest: str = ""


@dataclass(frozen=True)
class Host:
    """What the gate must know of a host of the play. Null is unknown.

    absent: why it cannot be looked at. findings: of the preflight, as its report has them. state, kept, lease:
    as fleet_state_info returns them. lease_problem: why the lease of the host was not given. release: the new one with
    its lock, as this host's variables have it; release_problem: why there is none.
    """

    name: str
    generation: str = ""
    absent: str = ""
    findings: Sequence[Mapping[str, Any]] = ()
    converged: bool = False
    plan: Optional[Mapping[str, Any]] = None
    staged: Staged = field(default_factory=Staged)
    release: Optional[Mapping[str, Any]] = None
    release_problem: str = ""
    state: Optional[Mapping[str, Any]] = None
    kept: Optional[Sequence[str]] = None
    lease: Optional[Mapping[str, Any]] = None
    lease_problem: str = ""


@dataclass(frozen=True)
class Request:
    """Whose change it is. holder: ``alice@controller``; change: its ID. staged: whether hosts must be staged by now."""

    release: str
    change: str = ""
    holder: str = ""
    staged: bool = True


@dataclass
class Answer:
    """reasons: why the switch may not begin, a paragraph each. changing, as_wanted: hosts. nothing_to_do: all are."""

    reasons: list[str] = field(default_factory=list)
    changing: list[str] = field(default_factory=list)
    as_wanted: list[str] = field(default_factory=list)
    nothing_to_do: bool = False

    def text(self) -> str:
        """The reasons for people, numbered."""
        lines = ["%d. %s" % (number, reason) for number, reason in enumerate(self.reasons, 1)]
        head = "found %d reason(s) not to begin; no service was touched:" % len(lines)
        return "\n".join([head, *lines])


def judge(
    hosts: Sequence[Host], request: Request, *, fleet: Optional[Mapping[str, str]] = None, more: Sequence[str] = ()
) -> Answer:
    """All reasons. hosts: of the play, without those under maintenance.

    fleet: the generation of every host of the fleet that is not under maintenance. more: reasons of others, in words.
    """
    found = Answer()
    found.changing = [h.name for h in hosts if not h.converged and not h.absent]
    found.as_wanted = [h.name for h in hosts if h.converged and not h.absent]
    found.nothing_to_do = bool(hosts) and len(found.as_wanted) == len(hosts)
    if found.nothing_to_do:
        return found
    findings: list[tuple[str, Finding]] = []
    if not hosts:
        needed, fix = "one host at least that is not under maintenance", "correct --limit or fleet_maintenance"
        found.reasons.append("found no host in the play; needed %s. Fix: %s" % (needed, fix))
    findings += _missing_images(hosts, fleet or {h.name: h.generation for h in hosts}, request)
    for host in hosts:
        findings += [(host.name, finding) for finding in _of_host(host, request)]
    found.reasons += [mistake.text() for mistake in group_by_host(findings)]
    found.reasons += _differing_locks(hosts, request)
    found.reasons += list(more)
    return found


def _of_host(host: Host, request: Request) -> list[Finding]:
    """The reasons of one host."""
    out: list[Finding] = [_of_preflight(f) for f in host.findings if f["severity"] == "error" and not f["ignored"]]
    if host.absent:
        fix = "remove the cause and run again, or set fleet_maintenance for the host: then it is left alone and named"
        return out or [(host.absent, "every host of the play, so that nobody is forgotten", fix)]
    out += held(host, request)
    if host.converged:
        return out
    if host.release_problem:
        out.append((host.release_problem, "the release %s with its lock" % request.release, "correct release and lock"))
    if request.staged:
        out += _unstaged(host, request)
    if host.state is None:
        fix = "run again; see the message of fleet_state_info above"
        out.append(("that its state was not read", "what runs there and what a rollback goes back to", fix))
    elif not host.state.get("last_good") and _replaces(host):
        out.append(
            (
                "no deployment that is recorded as good, so that nothing is there to go back to",
                "a last good deployment on every host whose replicas are replaced",
                _RECORD,
            )
        )
    elif _replaces(host) and host.kept is not None and host.state["last_good"]["digest"] not in host.kept:
        found = "that the deployment %s, which is last good, is not kept there" % host.state["last_good"]["digest"][:16]
        out.append((found, "what a rollback goes back to", _RECORD))
    return out


def _of_preflight(finding: Mapping[str, Any]) -> Finding:
    fix = str(finding["fix"]).rstrip(".")
    return "%s %s: %s" % (finding["id"], finding["title"], finding["found"]), str(finding["needed"]), fix


def held(host: Host, request: Request) -> list[Finding]:
    """Somebody else's change."""
    needed = "nobody else's change under way"
    if host.lease_problem:
        return [(_without_found(host.lease_problem), needed, "see there")]
    lease = host.lease
    if not lease or lease.get("change") == request.change:
        return []
    owner = "%s@%s" % (lease.get("holder"), lease.get("controller"))
    if owner == request.holder and request.holder:
        return []
    what = " (%s)" % lease["what"] if lease.get("what") else ""
    found = "that %s holds the fleet for %s%s since %s, last renewed %s" % (
        owner,
        lease.get("change"),
        what,
        lease.get("since"),
        lease.get("renewed"),
    )
    fix = "wait until it has ended, or ask them; a lease that is not renewed any more is taken over by name with "
    return [(found, needed, fix + "-e fleet_lease_take_over=%s" % owner)]


def _without_found(words: str) -> str:
    return words[len("found ") :] if words.startswith("found ") else words


def _replaces(host: Host) -> bool:
    """Whether its plan stops anything that runs."""
    return any(r.get("action") in _REPLACED for r in (host.plan or {}).get("replicas") or ())


def _unstaged(host: Host, request: Request) -> list[Finding]:
    """What is not there yet, or is of another lock."""
    fix = "run the playbook again, or stage.yml before; see above what stood in the way"
    missing = [
        words
        for words, there in (
            ("weights", host.staged.weights),
            ("image", host.staged.image_id),
            ("plan of its replicas", host.plan),
        )
        if not there
    ]
    if missing:
        needed = "%s on every host before the first switch" % request.release
        return [("no %s of %s" % (", no ".join(missing), request.release), needed, fix)]
    release = host.release or {}
    out: list[Finding] = []
    commit = (release.get("model") or {}).get("commit")
    if commit and host.staged.weights_commit and host.staged.weights_commit != commit:
        found = "weights of commit %s" % host.staged.weights_commit
        out.append((found, "%s, as the lock of %s says" % (commit, request.release), fix))
    ids = {image.get("image_id") for image in _images(release, host.generation)} - {None, ""}
    own = {host.staged.image_id, host.staged.config_digest} - {""}
    if ids and not ids & own:
        found = "the image %s" % (host.staged.config_digest or host.staged.image_id)
        out.append((found, "%s, as the lock of %s says" % (" or ".join(sorted(map(str, ids))), request.release), fix))
    return out


def _images(release: Mapping[str, Any], generation: str) -> list[Mapping[str, Any]]:
    return [image for image in release.get("images") or () if image.get("generation") == generation]


def _missing_images(hosts: Sequence[Host], fleet: Mapping[str, str], request: Request) -> list[tuple[str, Finding]]:
    """Hosts of a generation for which the new release has no image."""
    release = next((h.release for h in hosts if h.release), None)
    if release is None:
        return []
    known = sorted({str(image.get("generation")) for image in release.get("images") or ()})
    fix = "add it under images in the release, or take those hosts out of the fleet"
    return [
        (name, ("no image for the generation %s in %s" % (generation, request.release), "one; it has %s" % known, fix))
        for name, generation in fleet.items()
        if generation and generation not in known
    ]


def lock_digest(release: Mapping[str, Any]) -> str:
    """What identifies everything that the lock of a release decides: 64 hexadecimal digits.

    release: with its lock, as the lookup ascend.fleet.release returns it.
    """
    images = [{key: image.get(key) for key in _IMAGE} for image in release.get("images") or ()]
    model = {key: (release.get("model") or {}).get(key) for key in _MODEL}
    whole = {"images": sorted(images, key=lambda i: json.dumps(i, sort_keys=True)), "model": model}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _differing_locks(hosts: Sequence[Host], request: Request) -> list[str]:
    """One lock holds for all hosts."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        if host.release and not host.absent:
            found.setdefault(lock_digest(host.release), []).append(host.name)
    if len(found) < 2:
        return []
    said = "; ".join("%s on %s" % (digest[:16], ", ".join(names)) for digest, names in found.items())
    return [
        "found %d states of the lock of %s: %s; needed one for all hosts. Fix: keep one release file and one lock for "
        "all inventories (fleet_lock_path), or lock anew with -e fleet_relock=true"
        % (len(found), request.release, said)
    ]


# - gateways -


def gateway_problems(samples: Mapping[str, Optional[Mapping[str, Any]]]) -> list[str]:
    """Gateways that do not answer. samples: of every host that has one, what vllm_metrics_info said; None: nothing."""
    findings: list[tuple[str, Finding]] = []
    for name, sample in samples.items():
        gateway = (sample or {}).get("gateway")
        if sample is None:
            found = "that the gateway was not reached"
        elif not gateway:
            found = "no gateway installed"
        elif gateway.get("problem"):
            found = "a gateway that does not answer: %s" % gateway["problem"]
        else:
            continue
        needed = "every gateway, so that replicas can be taken out of traffic"
        fix = "bring it back with gateway.yml, or take the host out of the group gateways"
        findings.append((name, (found, needed, fix)))
    return [mistake.text() for mistake in group_by_host(findings)]


# - capacity -


def out_together(hosts: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Optional[int]]]:
    """Host and number of the replicas that are out together at the worst moment of a wave.

    hosts: name and plan of each. Of a host that is the step that takes out the most.
    """
    found: list[tuple[str, Optional[int]]] = []
    for name, plan in hosts:
        serving = {r["replica"] for r in plan.get("replicas") or () if r.get("in_service")}
        steps = [sorted(serving & set(step.get("out") or ())) for step in plan.get("steps") or ()]
        found += [(name, number) for number in max(steps, key=len, default=[])]
    return found
