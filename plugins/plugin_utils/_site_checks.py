# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own checks, applied to a node: findings in the form of the preflight's. For the controller alone."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, Optional, Sequence

from ..module_utils._base.versions import Version
from ..module_utils._preflight.report import SITE
from ..module_utils._release.inventory import Finding, Host
from ..module_utils._release.site_checks import EMPTY, as_word, comparisons
from ..module_utils._release.variables import check_values
from . import _queries

VARIABLE, QUERY = "npu_preflight_site_checks", "fleet_query"
#: What an expression may begin with.
ROOTS = ("node", "release", "host")
#: Parts of a node by what must have been read for them. What was not read is null and never an empty list.
_PARTS: dict[str, tuple[str, ...]] = {
    "npu": ("npu_smi", "devices", "processes", "device_nodes", "pci", "topology"),
    "versions": ("versions", "mounts"),
    "docker": ("docker", "proxies"),
    "disk": ("disk",),
    "network": ("ports", "hccn"),
    "systemd": ("systemd", "watchdog"),
    "system": ("memory", "shm", "tuning", "kernels", "pending", "virtual_machine", "services", "users", "programs"),
}
_LONGEST = 200


def known_part(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node without what could not be read: null stands there, and not the empty value that it has then."""
    found = dict(node)
    gathered = set(node.get("gathered") or [])
    for subset, names in _PARTS.items():
        if subset not in gathered:
            found.update(dict.fromkeys(names))
    if (node.get("npu_smi") or {}).get("error"):
        found.update(devices=None, processes=None)
    docker = found.get("docker")
    if docker and (docker.get("error") or not docker.get("running")):
        found["docker"] = {**docker, "containers": None, "images": None, "registry_mirrors": None}
    if (found.get("systemd") or {}).get("error"):
        found["systemd"] = {**found["systemd"], "units": None}
    return found


def about_host(name: str, groups: Sequence[str], generation: Optional[str]) -> dict[str, Any]:
    """What expressions know as ``host``."""
    return {"name": name, "groups": list(groups), "generation": generation}


def entries(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The checks as entries of a catalogue, each ID once."""
    found: dict[str, dict[str, str]] = {}
    for check in checks:
        found.setdefault(
            str(check["id"]),
            {
                "id": str(check["id"]),
                "severity": str(check.get("severity") or "error"),
                "area": SITE,
                "title": str(check["title"]),
                "what": str(check["query"]),
                "fix": str(check["fix"]),
            },
        )
    return [found[identity] for identity in sorted(found)]


def mistakes(host: Host) -> list[Finding]:
    """What is wrong with the expressions of a host, each with the column; their shape was judged before."""
    values = {name: host.values[name] for name in (VARIABLE, QUERY) if host.values.get(name)}
    values = {name: value for name, value in values.items() if not check_values({name: value})}
    if not values:
        return []
    try:
        _queries.need_library(" and ".join(values))
    except _queries.QueryError as exc:
        sentence = re.match(r"found (.*); needed (.*?)\. Fix: (.*)\Z", str(exc), re.DOTALL)
        return [(sentence[1], "jmespath, %s" % sentence[2], sentence[3])] if sentence else [(str(exc), "jmespath", "")]
    place = " (%s)" % host.places[VARIABLE] if VARIABLE in host.places else ""
    found: list[Finding] = []
    for index, check in enumerate(values.get(VARIABLE) or []):
        where = "%s[%d].query" % (VARIABLE, index)
        needed = "a JMESPath expression over node, release and host"
        found += _mistake(str(check["query"]), where, place, needed, "the expression of %s" % check["id"], ROOTS)
    if QUERY in values:
        found += _mistake(str(values[QUERY]), QUERY, "", "a JMESPath expression", "it", ())
    return found


def _mistake(expression: str, where: str, place: str, needed: str, what: str, roots: Sequence[str]) -> list[Finding]:
    mistake = _queries.mistake_in(expression, roots)
    if mistake is None:
        return []
    pointer = mistake.pointer(expression).replace("\n", "\n     ")
    is_so = "%s, column %d: %s%s" % (where, mistake.column, mistake.words, place)
    return [(is_so, needed, "correct %s:\n     %s" % (what, pointer))]


def findings(
    checks: Sequence[Mapping[str, Any]],
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    host: Mapping[str, Any],
    ignore: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """What the checks find on one host. QueryError where the library is missing or an expression is none."""
    if not checks:
        return []
    data = {"node": known_part(node), "release": dict(release), "host": dict(host)}
    result = []
    for check in checks:
        _queries.checked(str(check["query"]), "the query of %s" % check["id"], ROOTS)
        try:
            value = _queries.select(str(check["query"]), data)
            wrong = why_not(check["expect"], value)
        except _queries.QueryError as exc:
            value, wrong = None, "data that the expression cannot read (%s)" % exc
        if wrong is None:
            continue
        given = "" if wrong.startswith(("data that", "nothing (null)")) else str(check.get("found") or "")
        is_so = given.replace("{value}", words_of(value)) if given else wrong
        needed = str(check.get("needed") or "") or needed_words(check["expect"])
        result.append(
            {
                "id": str(check["id"]),
                "severity": str(check.get("severity") or "error"),
                "area": SITE,
                "title": str(check["title"]),
                "message": "%s: found %s; needed %s" % (check["title"], is_so, needed),
                "found": is_so,
                "needed": needed,
                "fix": str(check["fix"]),
                "ignored": check["id"] in ignore,
            }
        )
    return result


def words_of(value: Any) -> str:
    """A value in a message."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, (list, tuple)) and value and all(isinstance(v, (str, int, float)) for v in value):
        text = ", ".join(str(v) for v in value)
    else:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def needed_words(expect: Any) -> str:
    """An expectation in a message."""
    word = as_word(expect)
    if word:
        return "nothing" if word == EMPTY else "at least one"
    words = {
        "equals": "%s",
        "in": "one of %s",
        "min": "at least %s",
        "max": "at most %s",
        "version": "a version %s",
        "pattern": "what matches %s",
    }
    return " and ".join(words[name] % words_of(expect[name]) for name in words if name in expect)


def why_not(expect: Any, value: Any) -> Optional[str]:
    """What was found where a value is not as expected; None where it is.

    Null is as expected only where null is (``equals``, ``in``): it is also what unknown data and misspelt names give.
    The entries of a list are held against ``in``, ``min``, ``max``, ``version`` and ``pattern`` one by one.
    """
    word = as_word(expect)
    if value is None and not _takes_null(expect):
        return "nothing (null): the data is not there or not known, or a name in the expression is misspelt"
    if word:
        is_empty = value in ("", [], {})
        return None if is_empty is (word == EMPTY) else words_of(value) if word == EMPTY else "nothing"
    if "equals" in expect:
        return None if _same(value, expect["equals"]) else words_of(value)
    each = value if isinstance(value, list) else [value]
    if not each:
        return "an empty list, of which nothing can be compared"
    odd = [v for v in each if not _holds(expect, v)]
    return words_of(odd if isinstance(value, list) else value) if odd else None


def _takes_null(expect: Any) -> bool:
    return isinstance(expect, Mapping) and (
        ("equals" in expect and expect["equals"] is None) or None in (expect.get("in") or [])
    )


def _same(one: Any, other: Any) -> bool:
    """Equal, where true is not 1."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _holds(expect: Mapping[str, Any], value: Any) -> bool:
    if "in" in expect:
        return any(_same(value, wanted) for wanted in expect["in"])
    if "pattern" in expect:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise _queries.QueryError("%s is no text" % words_of(value))
        return re.search(r"\A(?:%s)\Z" % expect["pattern"], str(value)) is not None
    if "version" in expect:
        return _in_range(expect["version"], value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _queries.QueryError("%s is no number" % words_of(value))
    return bool(expect.get("min", value) <= value <= expect.get("max", value))


def _in_range(wanted: str, value: Any) -> bool:
    version = Version.parse(value)
    if version is None:
        raise _queries.QueryError("%s is no version" % words_of(value))
    for sign, text in comparisons(wanted):
        if sign in ("==", "!="):
            if version.matches(text) is (sign == "!="):
                return False
            continue
        other = Version(text)
        good = {">=": version >= other, ">": version > other, "<=": version <= other, "<": version < other}
        if not good[sign]:
            return False
    return True
