# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known wrong about a fleet before any host is touched: groups, addresses, names and values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Collection, Mapping, Optional, Sequence

from .._npu.hardware import GENERATIONS
from .names import closest, misspelt
from .problems import Problem, quote
from .variables import RULES, check_values

#: Groups whose hosts need not be NPU servers.
OTHER_GROUPS = ("artifact_mirrors", "gateways", "monitoring")
#: Every group that the playbooks know.
GROUPS = ("npu_hosts", *("atlas_" + generation for generation in GENERATIONS), *OTHER_GROUPS)
ROLES = (
    "artifact_fetch", "artifact_mirror", "fleet_monitoring", "model_artifacts", "npu_driver", "npu_preflight",
    "vllm_bench", "vllm_gateway", "vllm_image", "vllm_serve", "vllm_smoke",
)  # fmt: skip
#: Names that begin so are ours: a variable that no rule knows is a mistake there, however far it is from others.
PREFIXES = ("fleet_", *(role + "_" for role in ROLES))
#: What roles leave in a host's variables: no mistake of the inventory when a second playbook validates it again.
RESULTS = frozenset(
    {"vllm_traffic_result", *(role + ending for role in ROLES for ending in ("_result", "_node", "_findings"))}
)

#: Variables that were renamed or removed, and what to do instead. Removal notes stay here for ever.
REMOVED_VARIABLES: dict[str, str] = {}


@dataclass(frozen=True)
class Mistake:
    """One mistake: which hosts it concerns (empty: the whole inventory), what was found, what is needed, what to do."""

    hosts: tuple[str, ...]
    found: str
    needed: str
    fix: str

    def text(self) -> str:
        """One paragraph for people."""
        where = ", ".join(self.hosts) if self.hosts else "inventory"
        return "%s: found %s; needed %s. Fix: %s" % (where, self.found, self.needed, self.fix)


@dataclass(frozen=True)
class Host:
    """A host of the inventory, as far as it is known without a connection."""

    name: str
    #: Variables of ours that are set, evaluated; those that only the host itself can tell are left out.
    values: Mapping[str, Any] = field(default_factory=dict)
    #: The names of all of its variables, except those that Ansible itself defines.
    names: Collection[str] = ()
    #: The names that templates of its variables use: the operator's own, however close to ours.
    used: Collection[str] = ()
    #: Templates that fail.
    problems: Sequence[Problem] = ()
    #: What identifies the machine: connection, address and port. None where that is not known.
    address: Optional[tuple[str, str, str]] = None
    #: Where variables are set: file and line.
    places: Mapping[str, str] = field(default_factory=dict)


#: Found, needed, fix.
Finding = tuple[str, str, str]


def group_by_host(findings: Sequence[tuple[str, Finding]]) -> list[Mistake]:
    """Merge findings that differ by host only, in the order of their first appearance."""
    merged: dict[Finding, list[str]] = {}
    for host, finding in findings:
        merged.setdefault(finding, []).append(host)
    return [Mistake(tuple(dict.fromkeys(hosts)), *finding) for finding, hosts in merged.items()]


def validate_fleet(groups: Mapping[str, Sequence[str]], hosts: Sequence[Host]) -> list[Mistake]:
    """Return every mistake of an inventory that needs no release; an empty list means that none was found.

    ``groups`` maps group names to host names; ``hosts`` are those of ``npu_hosts``, ``artifact_mirrors`` and
    ``gateways``. Nothing is
    read from disk or network.
    """
    npu_hosts = list(groups.get("npu_hosts", ()))
    mistakes = _group_mistakes(groups)
    if not npu_hosts:
        mistakes.append(
            Mistake(
                (),
                "no host in the group npu_hosts (groups: %s)"
                % (", ".join(sorted(g for g in groups if g not in ("all", "ungrouped"))) or "none"),
                "at least one NPU server in npu_hosts, through its children atlas_a2 or atlas_a3",
                "copy inventories/atlas_a2, atlas_a3 or mixed and pass it with -i; "
                "for the simulated fleet run `make demo`",
            )
        )
    if not npu_hosts and groups.get("gateways"):
        found = "the gateways %s without an NPU host" % ", ".join(groups["gateways"])
        fix = "put the NPU servers into atlas_a2 or atlas_a3, or remove the group gateways"
        mistakes.append(Mistake((), found, "NPU hosts behind the gateways", fix))
    mistakes += _address_mistakes(hosts)
    known = {*RULES, *RESULTS}
    # What roles keep to themselves begins with an underscore.
    wrong = misspelt({name for host in hosts for name in host.names if not name.startswith("_")}, known)
    findings: list[tuple[str, Finding]] = []
    mistakes += _canary_mistakes(npu_hosts, hosts)
    for host in hosts:
        if host.name in npu_hosts:
            findings += [(host.name, finding) for finding in _generation_mistakes(host, groups)]
        findings += [(host.name, finding) for finding in _name_mistakes(host, known, wrong)]
        problems = [*host.problems, *check_values(host.values), *_pair_problems(host, groups)]
        findings += [(host.name, finding_of(problem, host)) for problem in problems]
    return mistakes + group_by_host(findings)


def finding_of(problem: Problem, host: Host, fix: str = "") -> Finding:
    """A problem with a variable, with the place where the variable is set."""
    name = problem.path.partition(".")[0].partition("[")[0]
    place = host.places.get(name)
    found = "%s: %s%s" % (problem.path, problem.found, " (%s)" % place if place else "")
    return found, problem.needed, fix or "correct %s" % name


def role_problems(
    role: str, name: str, values: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> list[Problem]:
    """What is wrong with a role's own variables on a host, as the role would use them.

    values: of the variables that have a rule, with the role's defaults; others are left out
    """
    own = {variable: value for variable, value in values.items() if variable.startswith(role + "_")}
    host = Host(name=name, values=own, names=frozenset(own))
    # The role runs on this host: it is a mirror where the role is artifact_mirror, in whichever group it stands.
    pairs = _pair_problems(host, {**groups, "artifact_mirrors": [name]})
    return check_values(own) + [problem for problem in pairs if problem.path.startswith(role + "_")]


def _group_mistakes(groups: Mapping[str, Sequence[str]]) -> list[Mistake]:
    out = []
    for group in sorted(set(groups) - {"all", "ungrouped", *GROUPS}):
        right = closest(group, GROUPS)
        if right and right not in groups:
            out.append(Mistake((), "the group %s" % group, "the group %s" % right, "rename the group"))
    return out


def _address_mistakes(hosts: Sequence[Host]) -> list[Mistake]:
    named: dict[tuple[str, str, str], list[str]] = {}
    for host in hosts:
        if host.address:
            named.setdefault(host.address, []).append(host.name)
    return [
        Mistake(
            tuple(names),
            "one machine under %d names (connection %s, address %s, port %s)" % (len(names), *address),
            "one name for each machine",
            "correct ansible_host or ansible_port, or remove all names but one",
        )
        for address, names in named.items()
        if len(names) > 1
    ]


def unknown_canary(canary: Sequence[str], npu_hosts: Sequence[str]) -> Optional[Mistake]:
    """The mistake of a canary that is no NPU host of the fleet; None where every one is."""
    unknown = [name for name in canary if name not in npu_hosts]
    if not unknown:
        return None
    found = "fleet_canary: %s, which %s not in npu_hosts" % (", ".join(unknown), "is" if len(unknown) == 1 else "are")
    return Mistake((), found, "hosts of the group npu_hosts", "correct fleet_canary")


def _canary_mistakes(npu_hosts: Sequence[str], hosts: Sequence[Host]) -> list[Mistake]:
    given = [
        host.values["fleet_canary"] for host in hosts if isinstance(host.values.get("fleet_canary"), (list, tuple))
    ]
    found = [unknown_canary([str(name) for name in names], npu_hosts) for names in given]
    return list(dict.fromkeys(mistake for mistake in found if mistake))


def _generation_mistakes(host: Host, groups: Mapping[str, Sequence[str]]) -> list[Finding]:
    out: list[Finding] = []
    among = [g for g in GENERATIONS if host.name in groups.get("atlas_" + g, ())]
    unknown = "npu_generation" in host.names and "npu_generation" not in host.values
    generation = host.values.get("npu_generation")
    if len(among) > 1:
        found = "the host in the groups %s" % " and ".join("atlas_" + g for g in among)
        out.append((found, "one generation per host", "leave it in the group of its own generation only"))
    elif generation is None and not unknown:
        found = "npu_generation not set" + (" although it is in atlas_%s" % among[0] if among else "")
        fix = "put the host into atlas_a2 or atlas_a3, whose group_vars set npu_generation (see inventories/mixed)"
        out.append((found, "npu_generation: %s" % " or ".join(GENERATIONS), fix))
    elif among and generation in GENERATIONS and generation != among[0]:
        found = "npu_generation: %s on a host of atlas_%s" % (generation, among[0])
        out.append((found, "npu_generation: %s" % among[0], "move the host to the group of its generation"))
    if "fleet_release" not in host.names or host.values.get("fleet_release", "") is None:
        fix = "set fleet_release in group_vars/all.yml of the inventory"
        out.append(("fleet_release not set", "the name of a release, such as qwen3_5_27b_v0", fix))
    return out


def _name_mistakes(host: Host, known: Collection[str], wrong: Mapping[str, str]) -> list[Finding]:
    ignored = host.values.get("fleet_ignore_variables")
    ignored = ignored if isinstance(ignored, (list, tuple)) else ()
    out: list[Finding] = []
    for name in sorted(set(host.names) - set(known)):
        if name in ignored:
            continue
        place = " (%s)" % host.places[name] if name in host.places else ""
        if name in REMOVED_VARIABLES:
            out.append(("the removed variable %s%s" % (name, place), "its successor", REMOVED_VARIABLES[name]))
        elif name in wrong and (name.startswith(PREFIXES) or name not in host.used):
            fix = "rename or remove it, or keep it with fleet_ignore_variables: [%s]. Did you mean `%s`?"
            found = "the unknown variable %s%s" % (name, place)
            out.append((found, "a variable of this collection", fix % (name, wrong[name])))
        elif name.startswith(PREFIXES):
            fix = "correct it, remove it, or keep it with fleet_ignore_variables: [%s]" % name
            found = "the unknown variable %s%s" % (name, place)
            out.append((found, "a variable that a role of this collection knows", fix))
    return out


def _pair_problems(host: Host, groups: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Values that contradict each other."""
    values = host.values
    out: list[Problem] = []
    pair = ("artifact_mirror_certificate", "artifact_mirror_key")
    undecided = [name for name in pair if name in host.names and name not in values]
    missing = [name for name in pair if not values.get(name)]
    if host.name in groups.get("artifact_mirrors", ()) and len(missing) == 1 and not undecided:
        out.append(Problem(missing[0], "nothing", "%s and %s, or neither" % pair))
    out += _traffic_problems(host)
    tls = ("vllm_gateway_certificate", "vllm_gateway_certificate_key")
    missing = [name for name in tls if not values.get(name)]
    if len(missing) == 1 and not [name for name in tls if name in host.names and name not in values]:
        out.append(Problem(missing[0], "nothing", "%s and %s, or neither" % tls))
    if values.get("vllm_gateway_placement") == "gateways" and not groups.get("gateways"):
        out.append(Problem("vllm_gateway_placement", '"gateways"', "a host in the group gateways, or hosts, or none"))
    if values.get("vllm_serve_profile", values.get("fleet_profile")) == "guide":
        for name in ("model_artifacts_root", "vllm_serve_data_root"):
            folder = values.get(name)
            if folder and not str(folder).startswith("/data/"):
                needed = "a folder under /data, the only one of the host's that the guide mounts for data"
                out.append(Problem(name, quote(folder), needed))
    return out


def _traffic_problems(host: Host) -> list[Problem]:
    """Who takes replicas out of traffic must be there."""
    values, tasks = host.values, "vllm_gateway_traffic_tasks"
    driver = values.get("vllm_gateway_traffic")
    if driver == "external" and not values.get(tasks) and (tasks not in host.names or tasks in values):
        return [Problem(tasks, "nothing", "a task file, since vllm_gateway_traffic is external")]
    if driver == "haproxy" and values.get("vllm_gateway_placement") == "none":
        return [Problem("vllm_gateway_traffic", "haproxy", "external or none, since vllm_gateway_placement is none")]
    return []


def report(mistakes: Sequence[Mistake], release_errors: Optional[Mapping[str, str]] = None) -> str:
    """All mistakes as one text, numbered; ``release_errors`` maps a release's name to the words of its validation."""
    lines = [m.text() for m in mistakes]
    # What is wrong within a release is numbered too: it stands further in.
    errors = (release_errors or {}).items()
    lines += ["release %s: %s" % (name, words.replace("\n", "\n   ")) for name, words in errors]
    return "\n".join("%d. %s" % (n, line) for n, line in enumerate(lines, 1))
