# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check inventory, release and variables on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import yaml
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..module_utils._npu.hardware import GENERATIONS
from ..module_utils._release import inventory
from ..module_utils._release.lock import LockError
from ..module_utils._release.problems import ReleaseError
from ..plugin_utils import _locks, _releases

ROLES = Path(__file__).resolve().parents[2] / "roles"


def role_variables() -> dict[str, list[str]]:
    """The variables that each role of the collection accepts, from its argument specification."""
    found = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        found[path.parents[1].name] = sorted({name for spec in specs.values() for name in spec.get("options", {})})
    return found


def stale_copy(playbook_dir: str, loaded: Path = ROLES.parent) -> Optional[inventory.Mistake]:
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
    """The action ``ascend.fleet.fleet_validate``: no argument, no connection."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        task_vars = task_vars or {}
        groups = to_native_types(dict(task_vars.get("groups", {})))
        hosts = groups.get("npu_hosts", [])
        hostvars = task_vars.get("hostvars", {})
        # Raw values: a template is evaluated by the host that uses it, not here.
        variables = {host: dict(hostvars.raw_get(host)) for host in hosts}
        wanted = set(inventory.FLEET_VARIABLES)
        roles = role_variables()
        prefixes = (*(role + "_" for role in roles), "fleet_", "artifact_")
        variables = {
            host: {
                k: to_native_types(v)
                for k, v in own.items()
                if k in wanted or k.startswith(prefixes) or k in inventory.REMOVED_VARIABLES
            }
            for host, own in variables.items()
        }
        mistakes = inventory.validate_fleet(groups, variables, generations=sorted(GENERATIONS), role_variables=roles)
        releases: dict[str, set[str]] = {}
        for own in variables.values():
            name, generation = own.get("fleet_release"), own.get("npu_generation")
            if isinstance(name, str) and name and "{{" not in name:
                releases.setdefault(name, set()).add(str(generation))
        errors = {}
        stale = stale_copy(str(task_vars.get("playbook_dir", "")))
        if stale:
            mistakes.append(stale)
        known = _locks.variables_of(task_vars, self._templar.template)
        # A lock that is made anew in this run may be damaged, or be that of another state of the release.
        renew = boolean(self._templar.template(task_vars.get("fleet_relock") or False), strict=False)
        for name, generations in sorted(releases.items()):
            try:
                release = _releases.by_name(name, known)
                if not renew:
                    _locks.load_for(release, known)
            except (ReleaseError, LockError) as exc:
                errors[name] = str(exc)
                continue
            missing = (generations & set(GENERATIONS)) - {image["generation"] for image in release["images"]}
            if missing:
                errors[name] = (
                    "found no image for the generation %s, which the inventory has; needed one for each. "
                    "Fix: add it to the release, or take those hosts out" % ", ".join(sorted(missing))
                )
        if mistakes or errors:
            # The message alone: Ansible prints a failed task's whole result, and saying all of it twice hides it.
            count = len(mistakes) + len(errors)
            result.update(
                failed=True,
                msg="The fleet's description has %d mistake(s):\n%s" % (count, inventory.report(mistakes, errors)),
            )
        else:
            result.update(hosts=hosts, releases=sorted(releases))
        return result
