# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known wrong about a fleet before any host is touched: inventory, release, variables."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._base.progress import MODES

#: Fleet-wide variables and what each may be.
FLEET_VARIABLES = {
    "artifact_origin": "the base URL of a mirror",
    "artifact_swarm_from": "from how many NPU hosts on they share, 0 for never",
    "fleet_bundle": "the folder of a bundle on the controller",
    "fleet_lock_path": "the absolute path of a folder on the controller for the locks of releases",
    "fleet_profile": "least_privilege or guide",
    "fleet_progress": "auto, always or never",
    "fleet_release": "the name of a release",
    "fleet_relock": "true to renew the locks of releases",
    "npu_generation": "a2 or a3",
}

#: Variables that were renamed or removed, and what to do instead. Removal notes stay here for ever.
REMOVED_VARIABLES: dict[str, str] = {}

#: What roles leave behind in a host's variables: no mistake of the inventory when a second playbook validates it again.
RESULTS = ("_result", "_node", "_findings")

#: Variables that are one of a few words.
CHOICES = {"fleet_profile": ("least_privilege", "guide"), "fleet_progress": MODES}


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


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _group(mistakes: Sequence[tuple[str, str, str, str]]) -> list[Mistake]:
    """Merge mistakes that differ only by host, keeping the order of their first appearance."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for host, found, needed, fix in mistakes:
        merged.setdefault((found, needed, fix), []).append(host)
    return [Mistake(tuple(hosts), *key) for key, hosts in merged.items()]


def _closest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return " Did you mean `%s`?" % near[0] if near else ""


def validate_fleet(
    groups: Mapping[str, Sequence[str]],
    variables: Mapping[str, Mapping[str, Any]],
    *,
    generations: Sequence[str],
    role_variables: Mapping[str, Sequence[str]],
) -> list[Mistake]:
    """Return every mistake of an inventory; an empty list means that none was found.

    ``groups`` maps group names to host names, ``variables`` maps the hosts of ``npu_hosts`` to their untemplated
    variables (templates are left alone: they are the host's business at run time), ``role_variables`` maps role names
    to the variables that role accepts. Nothing is read from disk or network.
    """
    hosts = list(groups.get("npu_hosts", ()))
    if not hosts:
        return [
            Mistake(
                (),
                "no host in the group npu_hosts (groups: %s)"
                % (", ".join(sorted(g for g in groups if g not in ("all", "ungrouped"))) or "none"),
                "at least one NPU server in npu_hosts, through its children atlas_a2 or atlas_a3",
                "copy inventories/atlas_a2, atlas_a3 or mixed and pass it with -i; "
                "for the simulated fleet run `make demo`",
            )
        ]
    mistakes: list[tuple[str, str, str, str]] = []
    for host in hosts:
        own = variables.get(host, {})
        mistakes += [(host, *m) for m in _host_mistakes(host, groups, own, generations, role_variables)]
    return _group(mistakes)


def _host_mistakes(
    host: str,
    groups: Mapping[str, Sequence[str]],
    own: Mapping[str, Any],
    generations: Sequence[str],
    role_variables: Mapping[str, Sequence[str]],
) -> list[tuple[str, str, str]]:
    out: list[tuple[str, str, str]] = []
    both = [g for g in generations if host in groups.get("atlas_" + g, ())]
    generation = own.get("npu_generation")
    if len(both) > 1:
        found = "the host in the groups %s" % " and ".join("atlas_" + g for g in both)
        out.append((found, "one generation per host", "leave it in the group of its own generation only"))
    elif generation is None:
        found = "npu_generation not set" + (" although it is in atlas_%s" % both[0] if both else "")
        fix = "put the host into atlas_a2 or atlas_a3, whose group_vars set npu_generation (see inventories/mixed)"
        out.append((found, "npu_generation: %s" % " or ".join(generations), fix))
    elif not _is_template(generation) and generation not in generations:
        fix = "set npu_generation in the group_vars of atlas_a2 or atlas_a3"
        out.append(("npu_generation: %s" % generation, " or ".join(generations), fix))
    elif both and not _is_template(generation) and generation != both[0]:
        found = "npu_generation: %s on a host of atlas_%s" % (generation, both[0])
        out.append((found, "npu_generation: %s" % both[0], "move the host to the group of its generation"))
    if not own.get("fleet_release"):
        fix = "set fleet_release in group_vars/all.yml of the inventory"
        out.append(("fleet_release not set", "the name of a release, such as qwen3_5_27b_v0", fix))
    for name, choices in CHOICES.items():
        value = own.get(name)
        if value is not None and not _is_template(value) and value not in choices:
            needed = " or ".join((", ".join(choices[:-1]), choices[-1]))
            out.append(("%s: %s" % (name, value), needed, "set %s to one of them or remove it" % name))
    origin = own.get("artifact_origin")
    if origin and not _is_template(origin):
        parts = urlsplit(str(origin))
        if parts.scheme not in ("http", "https", "file", "ssh") or parts.username or parts.password:
            # The value may hold a secret: it is not repeated.
            needed = "a base URL such as https://mirror.example.com, without user name or password"
            fix = "correct artifact_origin; tokens go into model_artifacts_token_file"
            out.append(("an artifact_origin that is no such URL", needed, fix))
    least = own.get("artifact_swarm_from", 0)
    if not _is_template(least) and not str(least).isdigit():
        fix = "set artifact_swarm_from to such a number or remove it"
        out.append(("artifact_swarm_from: %s" % least, "a number of NPU hosts, or 0 for never", fix))
    out += _variable_mistakes(own, role_variables)
    return out


def _variable_mistakes(
    own: Mapping[str, Any], role_variables: Mapping[str, Sequence[str]]
) -> list[tuple[str, str, str]]:
    out: list[tuple[str, str, str]] = []
    known = sorted(set(FLEET_VARIABLES).union(*role_variables.values()) if role_variables else FLEET_VARIABLES)
    prefixes = (*(role + "_" for role in role_variables), "fleet_", "artifact_")
    results = {role + ending for role in role_variables for ending in RESULTS}
    for name in sorted(own):
        if name in REMOVED_VARIABLES:
            out.append(("the removed variable %s" % name, "its successor", REMOVED_VARIABLES[name]))
        elif name.startswith(prefixes) and name not in known and name not in results:
            fix = "correct or remove it.%s" % _closest(name, known)
            out.append(("the unknown variable %s" % name, "a variable that a role of this collection knows", fix))
    return out


def report(mistakes: Sequence[Mistake], release_errors: Optional[Mapping[str, str]] = None) -> str:
    """All mistakes as one text, numbered; ``release_errors`` maps a release's name to the words of its validation."""
    lines = [m.text() for m in mistakes]
    # What is wrong within a release is numbered too: it stands further in.
    errors = (release_errors or {}).items()
    lines += ["release %s: %s" % (name, words.replace("\n", "\n   ")) for name, words in errors]
    return "\n".join("%d. %s" % (n, line) for n, line in enumerate(lines, 1))
