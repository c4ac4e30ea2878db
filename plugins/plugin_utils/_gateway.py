# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is to be, from the variables of all hosts and secrets on the controller. For the controller alone."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import Any, Mapping, Optional, Sequence

import yaml
from ansible.errors import AnsibleError

from ..module_utils._base.native import to_native_types
from ..module_utils._npu.slots import nominal_node
from ..module_utils._release import inventory
from ..module_utils._release.ports import GATEWAY_PORT
from ..module_utils._release.value_checks import as_whole
from ..module_utils._release.value_checks import key as check_key
from ..module_utils._release.variables import check_values
from ..module_utils._serving import gateway_plan
from ..module_utils._serving.gateway_plan import HostPart, Server
from ..module_utils._serving.settings import ServingError, Settings
from ._play_variables import role_settings

#: What decides where a host's replicas listen, and for whom.
_SERVING = (
    "profile", "replicas", "first_port", "skip_unhealthy", "options", "environment", "release", "api_key", "watchdog",
    "watchdog_port",
)  # fmt: skip
#: What the role's variables say of the front, by the names that the module knows.
FRONT = (
    "address", "paths", "max_body_mb", "queue_seconds", "answer_seconds", "slowstart_seconds", "metrics_address",
)  # fmt: skip
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
#: A shorter key could be guessed through the gateway.
KEY_LENGTH = 16
_VAULT = b"$ANSIBLE_VAULT"


class SecretError(ValueError):
    """A file with secrets on the controller cannot be used; the message never repeats its content."""


def part_of(host: str, variables: Mapping[str, Any], *, local: bool = False, served: bool = False) -> HostPart:
    """What an NPU host contributes.

    What the role vllm_serve has brought about in this run comes first, then what a run that left the host alone has
    seen, then what gateway.yml has read of it. Of any other host the plan is told, and that it is not known. local: for
    a gateway on the host itself. served: the host serves as planned, although the role has not said so yet.
    """
    serving = role_settings(variables, "vllm_serve", _SERVING)
    own = role_settings(variables, "vllm_gateway", ("port", "host_address"))
    release = serving.pop("release")
    api_key = serving.pop("api_key") or ""
    settings = Settings.of(serving)
    address = _local(release) if local else own["host_address"]
    model = release["serve"]["served_model_name"]
    planned, sound = _planned(host, address, variables, release, settings)
    listed = _listed(variables, model)
    if listed is not None and not served:
        limits = {server.replica: server.maxconn for server in planned}
        limit = max(limits.values(), default=0)
        agent = gateway_plan.agent_port(settings)
        planned = tuple(
            Server(host, r["replica"], address, r["port"], limits.get(r["replica"], limit), agent) for r in listed
        )
    known = listed is not None or (served and sound)
    return HostPart(host, model, int(own["port"]), api_key, planned, known)


def gateway_addresses(gateways: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Where the hosts of the group gateways ask from: what the variables of each say of its address."""
    found = []
    for name in gateways:
        variables = hostvars[name]
        known = (variables.get(variable) for variable in ("vllm_gateway_host_address", "ansible_host"))
        found.append(str(to_native_types(next((value for value in known if value), name))))
    return found


def _local(release: Mapping[str, Any]) -> str:
    host = str(release["serve"].get("host") or "")
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound


def _planned(
    host: str, address: str, variables: Mapping[str, Any], release: Mapping[str, Any], settings: Settings
) -> tuple[tuple[Server, ...], bool]:
    """The servers that the planner lays out for the host's own chips, or else for a healthy host of its generation."""
    node = _registered(variables, "__vllm_serve_about", "node") or _registered(
        variables, "__npu_preflight_about", "node"
    )
    if node:
        try:
            return gateway_plan.host_servers(host, address, node, release, settings), True
        except ValueError:
            pass  # chips that cannot be planned with are a finding of the preflight
    try:
        nominal = nominal_node(str(variables["npu_generation"]))
        return gateway_plan.host_servers(host, address, nominal, release, settings), False
    except (ValueError, KeyError) as exc:
        raise ServingError("%s: %s" % (host, exc)) from exc


def _listed(variables: Mapping[str, Any], model: str) -> Optional[list[dict[str, Any]]]:
    """The replicas of the model that the host is known to have; None where nobody has looked, or it has none yet."""
    for name in ("vllm_serve_result", "__site_state", "__vllm_gateway_replicas"):
        found = _registered(variables, name, "replicas")
        mine = [r for r in found or [] if r.get("served_model_name") == model and r.get("port") is not None]
        if mine:
            return mine
    return None


def _registered(variables: Mapping[str, Any], name: str, key: str) -> Any:
    if name not in variables:
        return None
    value = to_native_types(variables[name])
    return value.get(key) if isinstance(value, Mapping) else None


def replica_keys(parts: Sequence[HostPart]) -> dict[str, str]:
    """What the gateway presents to the replicas, by model."""
    return {part.model: part.api_key for part in parts if part.api_key}


def read_secret(path: str, loader: Any, *, what: str, forbidden: int) -> str:
    """A file of the controller that holds secrets; one that vault has encrypted may be readable for everyone.

    forbidden: the bits that its mode must not have. Raises SecretError.
    """
    try:
        with open(path, "rb") as handle:
            content, mode = handle.read(), stat.S_IMODE(os.fstat(handle.fileno()).st_mode)
    except OSError as exc:
        raise SecretError(
            "found %s unreadable (%s); needed %s on the controller. Fix: correct the path" % (path, exc.strerror, what)
        ) from exc
    if content.startswith(_VAULT):
        real = loader.get_real_file(path, decrypt=True)
        with open(real, "rb") as handle:
            content = handle.read()
    elif mode & forbidden:
        raise SecretError(
            "found %s with mode %04o; needed %s that others cannot read. Fix: chmod %s %s"
            % (path, mode, what, "600" if forbidden & 0o070 else "o-rwx", path)
        )
    return content.decode("utf-8", "replace")


def read_keys(path: str, loader: Any) -> dict[str, str]:
    """The SHA-256 of every key in the file, by its name. Raises SecretError with everything that is wrong."""
    text = read_secret(path, loader, what="API keys", forbidden=0o077)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None  # its words would repeat a key
    if not isinstance(found, dict) or not found:
        raise SecretError(
            "found no keys in %s; needed a YAML mapping, one line `NAME: KEY` for each. Fix: write one, for example "
            "with `openssl rand -hex 24`" % path
        )
    wrong = []
    names: dict[str, str] = {}
    for name, value in found.items():
        if not isinstance(name, str) or not _KEY_NAME.match(name):
            wrong.append("a name that is not made of letters, digits, `.`, `_` and `-` (entry %d)" % (len(names) + 1))
        elif not isinstance(value, str) or check_key(value) is not None or len(value) < KEY_LENGTH:
            wrong.append("a key of %s that is not text in quotes of %d or more characters" % (name, KEY_LENGTH))
        elif value in names.values():
            wrong.append("the same key for %s and another name" % name)
        names[str(name)] = value if isinstance(value, str) else ""
    if wrong:
        raise SecretError(
            "found in %s: %s; needed NAME: KEY, each key once. Fix: correct the file" % (path, "; ".join(wrong))
        )
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in names.items()}


def read_certificate(certificate: str, key: str, loader: Any) -> str:
    """Certificate, chain and key in one text; empty where there is none. Raises SecretError."""
    if bool(certificate) != bool(key):
        missing = "vllm_gateway_certificate_key" if certificate else "vllm_gateway_certificate"
        raise SecretError(
            "found no %s; needed vllm_gateway_certificate and vllm_gateway_certificate_key, or neither. Fix: set %s"
            % (missing, missing)
        )
    if not certificate:
        return ""
    public = read_secret(certificate, loader, what="a certificate", forbidden=0)
    private = read_secret(key, loader, what="the certificate's key", forbidden=0o007)
    for path, text, mark in ((certificate, public, "CERTIFICATE"), (key, private, "PRIVATE KEY")):
        if not re.search(r"^-----BEGIN [A-Z ]*%s-----" % mark, text, re.MULTILINE):
            raise SecretError("found no PEM %s in %s; needed one. Fix: correct the path" % (mark.lower(), path))
    return "%s\n%s\n" % (public.strip(), private.strip())


def check_gateways(
    groups: Mapping[str, Sequence[str]],
    hosts: Sequence[inventory.Host],
    releases: Mapping[str, Mapping[str, Any]],
    loader: Any,
) -> list[inventory.Mistake]:
    """What is wrong with gateways before any host is asked: secrets on the controller, ports that are wanted twice."""
    findings: list[tuple[str, inventory.Finding]] = []
    parts = []
    for host in hosts:
        values = {k: v for k, v in host.values.items() if v is not None and not check_values({k: v})}
        default = "gateways" if groups.get("gateways") else "hosts"
        placement = values.get("vllm_gateway_placement", default)
        if host.name in groups.get({"gateways": "gateways", "hosts": "npu_hosts"}.get(placement, ""), ()):
            findings += [(host.name, _finding(str(exc))) for exc in _secret_errors(values, loader)]
        release = releases.get(str(values.get("fleet_release")))
        if placement == "gateways" and host.name in groups.get("npu_hosts", ()) and release:
            port = as_whole(values.get("vllm_gateway_port"))
            model = release["serve"]["served_model_name"]
            api_key = str(values.get("vllm_serve_api_key") or "")
            parts.append(HostPart(host.name, model, GATEWAY_PORT if port is None else port, api_key))
    mistakes = inventory.group_by_host(findings)
    return mistakes + [inventory.Mistake((), *_finding(text)) for text in gateway_plan.conflicts(parts)]


def _secret_errors(values: Mapping[str, Any], loader: Any) -> list[Exception]:
    found: list[Exception] = []
    certificate = str(values.get("vllm_gateway_certificate") or "")
    key = str(values.get("vllm_gateway_certificate_key") or "")
    keys_file = str(values.get("vllm_gateway_api_keys_file") or "")
    try:
        if certificate and key:  # one without the other is named with the other pairs
            read_certificate(certificate, key, loader)
    except (SecretError, AnsibleError) as exc:
        found.append(exc)
    try:
        if keys_file:
            read_keys(keys_file, loader)
    except (SecretError, AnsibleError) as exc:
        found.append(exc)
    return found


def _finding(text: str) -> inventory.Finding:
    """``found …; needed …. Fix: …`` in its parts."""
    match = re.match(r"found (.*); needed (.*?)\. Fix: (.*)\Z", text, re.DOTALL)
    if match is None:
        return text, "a file that can be used", "correct the variable"
    found, needed, fix = match.groups()
    return found, needed, fix
