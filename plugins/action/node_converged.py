# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together from the variables of the roles what they would ask of a host, and ask it in one call."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..module_utils._serving.container import SECRET
from ..plugin_utils._gateway import gateway_addresses
from ..plugin_utils._play_variables import HostVariables, SettingsError, role_defaults, role_settings

_ROLES = ("model_artifacts", "vllm_image", "vllm_serve")
#: What says which artifacts there are to be, and where.
_ARTIFACTS = ("release", "generation", "architecture", "root", "origin", "refresh", "rehash")
#: What the plans of the artifacts and of the replicas read of a node.
_NODE = ("architecture", "devices", "topology", "mounts", "npu_smi", "programs", "docker", "proxies")
#: The settings of vllm_serve that the plan of the replicas knows, but for the key.
_PLANNED = (
    "profile", "replicas", "first_port", "skip_unhealthy", "options", "environment", "data_root", "media_path",
    "docker_options", "stop_seconds", "chip_wait_seconds", "watchdog",
    "watchdog_port", "access", "access_from",
)  # fmt: skip
#: What each role takes from the roles before it, which did not run here, unless somebody has set it.
_FROM_ROLES = ("vllm_image_entry", "vllm_image_archive", "vllm_serve_image", "vllm_serve_weights")


class Unknown(Exception):
    """The question cannot be put; the message says why."""


class ActionModule(ActionBase):
    """The action ``ascend.fleet.node_converged``: no options."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        known = task_vars or {}
        try:
            variables = {**role_defaults(self._loader, _ROLES), **known}
            templar = self._templar.copy_with_new_env(available_variables=variables)
            arguments = arguments_of(HostVariables(variables, templar), known)
        except (Unknown, SettingsError) as exc:
            # The roles put the same question and say in their own words what is wrong.
            return {**result, "changed": False, "converged": False, "reasons": [str(exc)]}
        result.update(
            self._execute_module(module_name="ascend.fleet.node_converged", module_args=arguments, task_vars=known)
        )
        result.pop("invocation", None)
        return result


def arguments_of(variables: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the module. ``known`` are the variables without the defaults of the roles.

    Raises Unknown where somebody has set what the roles hand to each other, or asks for work that nobody can call done.
    """
    chosen = [name for name in _FROM_ROLES if name in known]
    if chosen:
        raise Unknown("%s is set, so what is wanted is known to the roles alone" % chosen[0])
    artifacts = role_settings(variables, "model_artifacts", _ARTIFACTS)
    if artifacts["refresh"] or artifacts["rehash"]:
        raise Unknown("model_artifacts_refresh or model_artifacts_rehash asks for work in any case")
    image = role_settings(variables, "vllm_image", ("root", "verify", "verify_threads"))
    serving = role_settings(variables, "vllm_serve", (*_PLANNED, "api_key"))
    settings = {name: serving[name] for name in _PLANNED if serving[name] not in (None, "")}
    environment = {str(k): str(v) for k, v in (settings.get("environment") or {}).items()}
    settings["environment"] = {k: v for k, v in environment.items() if not SECRET.search(k)}
    gateways = to_native_types(list((known.get("groups") or {}).get("gateways") or []))
    settings["access_gateways"] = gateway_addresses(gateways, known.get("hostvars") or {})
    return {
        "release": artifacts["release"],
        "serve_release": variables["vllm_serve_release"] if "vllm_serve_release" in known else None,
        "artifacts": {name: artifacts[name] or "" for name in ("generation", "architecture", "root", "origin")},
        "images": {
            "records": "%s/images" % image["root"],
            "verify": image["verify"],
            "threads": image["verify_threads"],
        },
        "node": _node(variables),
        "settings": settings,
        "api_key": serving["api_key"] or "",
        "secrets": {k: v for k, v in environment.items() if SECRET.search(k)},
    }


def _node(variables: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    """What npu_preflight has read of the host in this run; None where it has read nothing, so that the module does."""
    try:
        node = variables["npu_preflight_node"]
    except (AnsibleError, KeyError):
        return None
    return {name: node.get(name) for name in _NODE}
