# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check inventory, release and variables on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

import yaml
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..module_utils._release import inventory, variables
from ..plugin_utils import _fleet_check, _gateway, _host_variables, _locks, _site_checks

COLLECTION = Path(__file__).resolve().parents[2]


def stale_copy(playbook_dir: str, loaded: Path = COLLECTION) -> Optional[inventory.Mistake]:
    """The mistake of running a checkout's playbook with the plugins and roles of another copy of the collection."""
    for folder in (Path(playbook_dir), Path(playbook_dir).parent):
        try:
            about = yaml.safe_load((folder / "galaxy.yml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if not isinstance(about, dict) or (about.get("namespace"), about.get("name")) != ("ascend", "fleet"):
            continue
        if folder.resolve() == loaded.resolve():
            return None
        return inventory.Mistake(
            (),
            "the playbook of %s with the plugins of %s" % (folder.resolve(), loaded.resolve()),
            "both of one copy",
            "run from the checkout's folder, where its ansible.cfg is found, with ANSIBLE_COLLECTIONS_PATH and "
            "ANSIBLE_CONFIG unset; or run the installed copy as `ansible-playbook ascend.fleet.site`",
        )
    return None


class ActionModule(ActionBase):
    """The action ``ascend.fleet.fleet_validate``: no connection."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(
            argument_spec={
                "role": {"type": "str", "choices": list(inventory.ROLES)},
                "releases": {"type": "bool", "default": True},
            }
        )
        task_vars = task_vars or {}
        if arguments["role"]:
            result.update(self._role(arguments["role"], task_vars))
        else:
            result.update(self._fleet(task_vars, with_releases=arguments["releases"]))
        return result

    def _fleet(self, task_vars: Mapping[str, Any], *, with_releases: bool) -> dict[str, Any]:
        groups = to_native_types(dict(task_vars.get("groups", {})))
        npu_hosts = groups.get("npu_hosts", [])
        reader = _host_variables.Reader(task_vars.get("hostvars"), self._templar, self._loader)
        others = (name for group in inventory.OTHER_GROUPS for name in groups.get(group, []))
        hosts = [reader.host(name) for name in dict.fromkeys([*npu_hosts, *others])]
        mistakes = inventory.validate_fleet(groups, hosts)
        stale = stale_copy(str(task_vars.get("playbook_dir", "")))
        if stale:
            mistakes.append(stale)
        known = _locks.variables_of(task_vars, self._templar.template)
        npu = [host for host in hosts if host.name in npu_hosts]
        releases, errors = _fleet_check.check_releases(npu if with_releases else [], known)
        # A lock that is made anew in this run may be damaged, or be that of another state of the release.
        if not boolean(self._templar.template(task_vars.get("fleet_relock") or False), strict=False):
            errors.update(_locks.check(releases.values(), known))
        mistakes += _fleet_check.check_layouts(npu, releases)
        mistakes += inventory.group_by_host([(h.name, found) for h in hosts for found in _site_checks.mistakes(h)])
        mistakes += _gateway.check_gateways(groups, hosts, releases, self._loader)
        if mistakes or errors:
            # The message alone: Ansible prints a failed task's whole result, and saying all of it twice hides it.
            count = len(mistakes) + len(errors)
            words = "The fleet's description has %d mistake(s):\n%s" % (count, inventory.report(mistakes, errors))
            return {"failed": True, "msg": words}
        return {"hosts": npu_hosts, "releases": sorted(releases)}

    def _role(self, role: str, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        host = str(task_vars.get("inventory_hostname", ""))
        values = {
            name: to_native_types(self._templar.template(task_vars[name]))
            for name, rule in variables.RULES.items()
            if name.startswith(role + "_") and name in task_vars and not rule.is_data
        }
        problems = inventory.role_problems(role, host, values, to_native_types(dict(task_vars.get("groups", {}))))
        if problems:
            lines = ["%d. %s. Fix: correct it" % (n, problem.text()) for n, problem in enumerate(problems, 1)]
            return {"failed": True, "msg": "%s: %d mistake(s):\n%s" % (host, len(problems), "\n".join(lines))}
        return {}
