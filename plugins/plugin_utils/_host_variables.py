# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the inventory's hosts, evaluated with Ansible's own templates. For the controller alone."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional

from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader

from ..module_utils._base.native import to_native_types
from ..module_utils._release.inventory import RESULTS, ROLES, Host
from ..module_utils._release.problems import Problem
from ..module_utils._release.variables import RULES
from ._play_variables import role_defaults

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # it is not part of Ansible's public interface: without it, messages name no file
    Origin = None

#: Lookups that only read what the controller has at hand. Others may create files, run programs or ask a server.
_HARMLESS_LOOKUPS = ("env", "vars", "dict", "list", "items", "sequence", "ascend.fleet.release")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What Ansible itself puts among a host's variables.
_MAGIC = frozenset(("group_names", "groups", "inventory_dir", "inventory_file", "inventory_hostname", "playbook_dir"))
#: What is known only once a host was asked, or while a task runs.
_AT_RUN_TIME = frozenset(("ansible_facts", "hostvars", "item", *RESULTS))


class NotEvaluated(Exception):
    """A lookup that may have side effects or needs a server was asked for."""


class Reader:
    """Reads hosts through an action's variables, templates and loader."""

    def __init__(self, hostvars: Any, templar: Any, loader: Any) -> None:
        self._hostvars = hostvars
        self._templar = templar
        self._loader = loader
        #: What a variable of the inventory may refer to without setting it.
        self._defaults = role_defaults(loader, ROLES)

    def host(self, name: str) -> Host:
        """The host ``name``, with every variable of ours that it sets."""
        raw = dict(self._hostvars.raw_get(name))
        raw.setdefault("inventory_hostname", name)
        variables = {**self._defaults, **raw, "hostvars": self._hostvars}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        variables.update(lookup=self._lookup(templar, wantlist=False), query=self._lookup(templar, wantlist=True))
        variables["q"] = variables["query"]
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        places: dict[str, str] = {}
        own = {k: v for k, v in raw.items() if not str(k).startswith("ansible_") and k not in _MAGIC}
        for variable in RULES.keys() & own.keys():
            try:
                values[variable] = to_native_types(templar.template(own[variable]))
            except AnsibleError as exc:
                if not _is_undecided(exc, variable, raw):
                    said = " ".join(str(exc).split())
                    problems.append(Problem(variable, "a template that fails: %s" % said, "a template with a value"))
        for variable, value in own.items():
            place = _place(variable, value)
            if place:
                places[to_native_types(variable)] = place
        return Host(
            name=name,
            values=values,
            names=frozenset(to_native_types(list(own))),
            used=frozenset(word for value in own.values() for word in _names_in(value)),
            problems=problems,
            address=_address(name, raw, templar),
            places=places,
        )

    def _lookup(self, templar: Any, *, wantlist: bool) -> Callable[..., Any]:
        def lookup(plugin: str, *terms: Any, **options: Any) -> Any:
            short = str(plugin).removeprefix("ansible.builtin.")
            if short not in _HARMLESS_LOOKUPS:
                raise NotEvaluated(short)
            as_list = options.pop("wantlist", wantlist)
            options.pop("errors", None)
            instance = lookup_loader.get(str(plugin), loader=self._loader, templar=templar)
            found = instance.run(list(terms), variables=templar.available_variables, **options)
            return found if as_list else found[0] if len(found) == 1 else ",".join(str(f) for f in found)

        return lookup


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _leaves(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _leaves(entry)


def _names_in(value: Any) -> Iterator[str]:
    """Every word in the templates of a value that may be a variable's name."""
    for text in _leaves(value):
        if "{{" in text or "{%" in text:
            yield from _IDENTIFIER.findall(text)


def _is_undecided(error: BaseException, variable: str, raw: Mapping[str, Any]) -> bool:
    """Whether a template failed only because it cannot be evaluated here."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, NotEvaluated):
            return True
        cause = cause.__cause__
    seen: set[str] = set()
    ahead: Iterable[str] = [variable]
    while ahead:
        seen.update(ahead)
        ahead = {word for name in ahead for word in _names_in(raw.get(name))} - seen
        if _AT_RUN_TIME.intersection(ahead):
            return True
    return False


def _place(variable: Any, value: Any) -> Optional[str]:
    """Where a variable is set: file and line, or the option of the command line."""
    origin = Origin.get_tag(value) or Origin.get_tag(variable) if Origin else None
    if origin is None:
        return None
    if not origin.path:
        return str(origin.description)
    shown = origin.path.removeprefix(os.path.join(os.getcwd(), ""))
    return "%s:%d" % (shown, origin.line_num) if origin.line_num else shown


def _address(name: str, raw: Mapping[str, Any], templar: Any) -> Optional[tuple[str, str, str]]:
    try:
        known = {
            key: str(to_native_types(templar.template(raw[key])))
            for key in ("ansible_connection", "ansible_host", "ansible_port")
            if raw.get(key) is not None
        }
    except AnsibleError:
        return None  # Ansible itself says so when it connects
    connection = known.get("ansible_connection", "ssh").rpartition(".")[2]
    if connection == "local":
        return (connection, "this machine", "none")
    if connection == "smart":
        connection = "ssh"
    return connection, known.get("ansible_host", name).lower(), known.get("ansible_port", "22")
