# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together from the variables of all hosts what a gateway is to be, and have it so in one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils._base.native import to_native_types
from ..module_utils._serving import gateway_plan
from ..module_utils._serving.settings import ServingError
from ..plugin_utils import _gateway
from ..plugin_utils._play_variables import PlayVariables, SettingsError, role_settings

_ROLES = ("vllm_serve", "vllm_gateway")
_PROGRAM = Path(__file__).resolve().parents[1] / "module_utils" / "_serving" / "gateway_state.py"


class ActionModule(ActionBase):
    """The action ``ascend.fleet.vllm_gateway``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, options = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "gateway": {"type": "str"},
                "served": {"type": "list", "elements": "str", "default": []},
                "gone": {"type": "list", "elements": "str", "default": []},
                "deployed_only": {"type": "bool", "default": False},
                "when_missing": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
            }
        )
        known = task_vars or {}
        taken = ("state", "when_missing", "gone", "deployed_only")
        arguments: dict[str, Any] = {name: options[name] for name in taken}
        if options["state"] == "present":
            gateway = str(options["gateway"] or known.get("inventory_hostname", ""))
            play = PlayVariables(known, self._task, self._loader, _ROLES)
            groups = to_native_types(dict(known.get("groups", {})))
            try:
                about = (options["served"] or [], options["gone"] or [])
                arguments.update(arguments_of(gateway, play.of, groups, self._loader, *about))
            except (ServingError, SettingsError, _gateway.SecretError, AnsibleError) as exc:
                return {**result, "failed": True, "msg": "%s: %s" % (gateway, exc)}
        result.update(
            self._execute_module(module_name="ascend.fleet.vllm_gateway", module_args=arguments, task_vars=known)
        )
        result.pop("invocation", None)
        return result


def arguments_of(
    gateway: str,
    variables_of: Callable[[str], Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    loader: Any,
    served: Sequence[str] = (),
    gone: Sequence[str] = (),
) -> dict[str, Any]:
    """The arguments of the module for the gateway of this name. Keys of clients are hashes in it."""
    settings = role_settings(variables_of(gateway), "vllm_gateway")
    local = settings["placement"] == "hosts"
    hosts = [gateway] if local else list(groups.get("npu_hosts", []))
    if not hosts:
        raise ServingError(
            "found no host in npu_hosts; needed one at least behind a gateway. Fix: put the NPU servers into atlas_a2 "
            "or atlas_a3"
        )
    parts = []
    for host in hosts:
        try:
            part = _gateway.part_of(host, variables_of(host), local=local, served=host in served)
            parts.append(replace(part, servers=(), known=True) if host in gone else part)
        except (SettingsError, AnsibleError) as exc:
            raise ServingError("the variables of %s cannot be used: %s" % (host, exc)) from exc
    wrong = gateway_plan.conflicts(parts)
    if wrong:
        raise ServingError("; ".join(wrong))
    keys_file = settings["api_keys_file"] or ""
    certificate = _gateway.read_certificate(settings["certificate"] or "", settings["certificate_key"] or "", loader)
    front = {name: settings[name] for name in _gateway.FRONT}
    front.update(has_keys=bool(keys_file), tls_min_version=settings["tls_min_version"] if certificate else "")
    return {
        "parts": [gateway_plan.part_data(part) for part in parts],
        "replica_keys": _gateway.replica_keys(parts),
        "front": front,
        "keys": _gateway.read_keys(keys_file, loader) if keys_file else {},
        "certificate": certificate,
        "floating": _floating(gateway, settings, list(groups.get("gateways", [])), variables_of),
        "program": _PROGRAM.read_text(encoding="utf-8"),
    }


def _floating(
    gateway: str,
    settings: Mapping[str, Any],
    gateways: Sequence[str],
    variables_of: Callable[[str], Mapping[str, Any]],
) -> dict[str, Any]:
    """What is known here of the address that one of the gateways has at any time; empty where none is wanted."""
    if not settings["floating_address"] or gateway not in gateways or settings["placement"] != "gateways":
        return {}
    addresses = {name: str(variables_of(name)["vllm_gateway_host_address"]) for name in gateways}
    return {
        "address": settings["floating_address"],
        "interface": settings["floating_interface"] or "",
        "router_id": settings["floating_router_id"],
        "own": addresses[gateway],
        "peers": [address for name, address in addresses.items() if name != gateway],
        "priority": max(1, 100 - gateways.index(gateway)),
    }
