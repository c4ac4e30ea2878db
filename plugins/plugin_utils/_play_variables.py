# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of every host of a play, as a task of the play sees them, for an action that runs once for all."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.template import Templar

from ..module_utils._base.native import to_native_types
from ..module_utils._release.variables import check_values

ROLES = Path(__file__).resolve().parents[2] / "roles"


class SettingsError(ValueError):
    """A host's variables are not what the roles accept; the message names each variable."""


class HostVariables(Mapping[str, Any]):
    """The variables of one host; a value is templated when it is asked for.

    The templar is shared by all hosts of a play: what Jinja prepares, it prepares once.
    """

    def __init__(self, variables: Mapping[str, Any], templar: Any) -> None:
        self._variables = variables
        self._templar = templar

    def __getitem__(self, name: str) -> Any:
        self._templar.available_variables = self._variables
        return to_native_types(self._templar.template(self._variables[name]))

    def registered(self, name: str) -> Any:
        """The result that a task has registered, None where none has: data, in which nothing is templated."""
        return to_native_types(self._variables.get(name))

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


class PlayVariables:
    """Finds the variables of any host of the play.

    ansible-core gives an action the variables of its own host alone; ``hostvars`` knows those of the others, without
    the defaults of roles. The variable manager behind it, asked with play and task, knows all of them. The defaults of
    ``roles`` that the play does not run come first: these roles may run in another play, with the same variables. So do
    what ``inner`` roles work out for themselves.
    """

    def __init__(
        self,
        task_vars: Mapping[str, Any],
        task: Any,
        loader: Any,
        roles: Sequence[str] = (),
        inner: Sequence[str] = (),
    ) -> None:
        hostvars = task_vars["hostvars"]
        self._manager = hostvars._variable_manager
        self._inventory = hostvars._inventory
        self._task = task
        self._templar = Templar(loader=loader, variables={})
        self._defaults = {**role_defaults(loader, roles), **role_defaults(loader, inner, "vars")}

    def of(self, host: str, more: Optional[Mapping[str, Any]] = None) -> HostVariables:
        """The variables of the host of this name, and ``more``."""
        known = self._manager.get_vars(play=self._task.get_play(), host=self._inventory.get_host(host), task=self._task)
        return HostVariables({**self._defaults, **known, **(more or {})}, self._templar)


def role_defaults(loader: Any, roles: Sequence[str], folder: str = "defaults") -> dict[str, Any]:
    """The defaults of these roles, as templates; those of another folder are what the roles keep to themselves."""
    found: dict[str, Any] = {}
    for role in roles:
        path = str(ROLES / role / folder / "main.yml")
        found.update(loader.load_from_file(path, trusted_as_template=True) or {})
    return found


def role_settings(variables: Mapping[str, Any], role: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """The role's options of these names (all where none is named), without the role's name, of the types it specifies.

    Raises SettingsError that lists everything wrong with them.
    """
    options = _specified(role)
    spec = {name: option for name, option in options.items() if not names or name[len(role) + 1 :] in names}
    given, wrong = {}, []
    for name in spec:
        try:
            given[name] = variables[name]
        except Exception as exc:  # whatever a template of the user's raises
            wrong.append("%s: %s" % (name, " ".join(str(exc).split())))
    wrong += [problem.text() for problem in check_values(given)]
    if wrong:
        raise SettingsError("; ".join(wrong))
    typed = ArgumentSpecValidator(spec).validate({k: v for k, v in given.items() if v is not None})
    if typed.error_messages:
        raise SettingsError("; ".join(typed.error_messages))
    return {name[len(role) + 1 :]: typed.validated_parameters.get(name) for name in spec}


@lru_cache(maxsize=8)
def _specified(role: str) -> dict[str, Any]:
    """The options of a role's argument specification."""
    path = ROLES / role / "meta" / "argument_specs.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    return found
