# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a release and a host to what runs there: `vllm serve`, its environment, its container and its systemd unit."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._host import docker as _docker
from .._npu import slots as _slots
from .._npu.hardware import MOUNT_SOURCES
from .._release import serve_options

PROFILES = ("least_privilege", "guide")
CONFIG_DIR = "/etc/ascend-fleet"
DATA_ROOTS = {"least_privilege": "/var/lib/ascend-fleet", "guide": "/data/ascend-fleet"}
LABEL_RELEASE = "ascend.fleet.release"
LABEL_WEIGHTS = "ascend.fleet.weights"
MARK = "# Managed by ascend.fleet:"

# Only local weights are served, and nothing is reported to anybody.
_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
# Variables whose value must not be shown: the API key, tokens, passwords.
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z", re.IGNORECASE)

# The mounts of the guide's `docker run`, in its order. Docker creates a folder for a source that does not exist, which
# would turn npu-smi into a directory: sources that are known to be missing are refused.
_GUIDE_MOUNTS = (
    "/usr/local/Ascend/driver",
    "/usr/local/Ascend/firmware",
    "/usr/local/sbin/npu-smi",
    "/usr/local/sbin",
    "/etc/hccn.conf",
    "/data",
)
# As the guide writes them.
_MANAGERS = ("--device=/dev/davinci_manager", "--device=/dev/hisi_hdc", "--device", "/dev/devmm_svm")


class VllmError(ValueError):
    """What was asked for cannot run; the message says what was found, what is needed and what to do."""


# -- vllm serve ------------------------------------------------------------------------------------------------------


def serve_argv(
    serve: Mapping[str, Any],
    model: str,
    *,
    port: Optional[int] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> list[str]:
    """The command line of ``vllm serve`` for the section ``serve`` of a release, in the release's order.

    ``model`` is the folder of the weights. ``options`` replace those of the release in place, null removes one, new
    ones come last. ``port`` replaces the release's.
    """
    if not isinstance(model, str) or not model.strip():
        raise VllmError(
            "found an empty path to the weights; needed the folder of the model. Fix: stage the weights first "
            "(without a path `vllm serve` would silently serve Qwen/Qwen3-0.6B)"
        )
    argv = ["vllm", "serve", model]
    argv += ["--served-model-name", str(serve["served_model_name"])]
    if serve.get("host"):
        argv += ["--host", str(serve["host"])]
    argv += ["--port", str(port if port is not None else serve.get("port", _slots.FIRST_PORT))]
    for name, value in merge_options(serve.get("options") or {}, options or {}).items():
        argv += option_argv(name, value)
    return argv


def merge_options(options: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` with ``overrides`` put in their place; null removes."""
    merged = {**options, **overrides}
    return {name: value for name, value in merged.items() if value is not None}


def option_argv(name: str, value: Any) -> list[str]:
    """One option as arguments: true is the bare flag, false its ``--no-`` form, a mapping is JSON, null is nothing."""
    if value is None:
        return []
    if value is True:
        return ["--" + name]
    if value is False:
        return ["--no-" + name]
    if isinstance(value, Mapping):
        return ["--" + name, json.dumps(value, ensure_ascii=False)]
    if isinstance(value, (list, tuple)):
        return ["--" + name, *(str(v) for v in value)]
    return ["--" + name, str(value)]


def chips_per_replica(options: Mapping[str, Any]) -> int:
    """How many chips one `vllm serve` uses."""
    chips = 1
    for name in ("tensor-parallel-size", "pipeline-parallel-size", "prefill-context-parallel-size"):
        chips *= int(options.get(name) or 1)
    local = options.get("data-parallel-size-local")
    return chips * int(local if local is not None else options.get("data-parallel-size") or 1)


# -- systemd ---------------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+\Z")


def systemd_quote(argument: str) -> str:
    """One argument of ``ExecStart=`` so that systemd hands over exactly these characters."""
    if "\0" in argument:
        raise VllmError("found a NUL character in an argument; needed text")
    text = argument.replace("%", "%%").replace("$", "$$")
    if _PLAIN.match(argument):
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return '"%s"' % text


def systemd_command(argv: Sequence[str]) -> str:
    """A whole command, an option with its value on a line of its own, so that a change shows as one line of a diff."""
    lines: list[list[str]] = [[]]
    for argument in argv:
        full = len(lines[-1]) == 2 and lines[-1][0].startswith("-")
        if lines[-1] and (full or argument.startswith("-")):
            lines.append([])
        lines[-1].append(systemd_quote(argument))
    return " \\\n    ".join(" ".join(line) for line in lines)


def unit_text(
    name: str,
    *,
    description: str,
    container: str,
    docker_argv: Sequence[str],
    metadata: Mapping[str, Any],
    stop_seconds: int,
) -> str:
    """The unit of one replica: a container in the foreground, its output in the journal, always started again.

    The API server ends with status 0 when its engine has died, so only ``Restart=always`` brings it back; the start
    limit ends a loop of crashes. A container that a killed docker client left behind is removed before each start.
    """
    docker = systemd_quote(docker_argv[0])
    lines = [
        MARK + " changes here are overwritten. Your own settings: systemctl edit %s" % name,
        "[Unit]",
        "Description=" + description.replace("%", "%%"),
        "After=docker.service network-online.target",
        "Requires=docker.service",
        "Wants=network-online.target",
        "StartLimitIntervalSec=3600",
        "StartLimitBurst=3",
        "",
        "[Service]",
        "Type=simple",
        "ExecStartPre=-%s rm --force %s" % (docker, container),
        "ExecStart=" + systemd_command(docker_argv),
        "ExecStop=-%s stop --time %d %s" % (docker, stop_seconds, container),
        "ExecStopPost=-%s rm --force %s" % (docker, container),
        "Restart=always",
        "RestartSec=10",
        "TimeoutStartSec=300",
        "TimeoutStopSec=%d" % (stop_seconds + 30),
        "LogRateLimitIntervalSec=0",
        "",
        "[Install]",
        "WantedBy=multi-user.target docker.service",
        "",
        "# For ascend.fleet itself; systemd ignores sections that begin with X-.",
        "[X-AscendFleet]",
    ]
    lines += ["%s=%s" % (key, value) for key, value in metadata.items()]
    return "\n".join(lines) + "\n"


# -- one replica -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What the operator chooses beside the release."""

    image: str
    weights: str
    #: Identifies what lies in that folder: an engine that has read other weights is not the wanted one.
    weights_content: str = ""
    profile: str = "least_privilege"
    data_root: Optional[str] = None
    media_path: Optional[str] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    api_key: str = ""
    replicas: Optional[int] = None
    skip_unhealthy: bool = False
    first_port: Optional[int] = None
    docker: Optional[str] = None
    docker_options: Sequence[str] = ()
    stop_seconds: int = 60

    @property
    def root(self) -> str:
        """The folder of the data, without a slash at its end."""
        return (self.data_root or DATA_ROOTS[self.profile]).rstrip("/")

    @property
    def media(self) -> str:
        """The one folder of which clients may name files."""
        return (self.media_path or self.root + "/media").rstrip("/")


def config_hash(docker_argv: Sequence[str], environment: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """What identifies a running configuration: equal exactly when nothing that the engine sees differs."""
    content = [list(docker_argv), sorted(environment.items()), sorted(secrets.items())]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def env_file_text(environment: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """The file for ``docker run --env-file``: no quoting, one variable a line."""
    values = {**environment, **secrets}
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            raise VllmError("found a line break in the value of %s; needed one line" % name)
    return "".join("%s=%s\n" % pair for pair in values.items())


def plan(node: Mapping[str, Any], release: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Everything about the replicas of ``release`` on the host ``node``, one entry each, ready to be written.

    Raises VllmError or SlotError.
    """
    _check(node, settings)
    serve = release["serve"]
    overrides = dict(settings.options)
    if settings.profile != "guide" and "allowed-local-media-path" in serve["options"]:
        # The release's `/` would hand out the container's whole file system.
        overrides.setdefault("allowed-local-media-path", settings.media)
    options = merge_options(serve["options"], overrides)
    components = [i.get("components") or {} for i in release["images"]]
    problems = serve_options.check_serve_options(settings.options, "vllm_serve_options", components=components)
    problems += serve_options.check_together(options, "vllm_serve_options")
    for name, value in settings.environment.items():
        problems += serve_options.check_variable(name, value, "vllm_serve_environment.%s" % name)
    if problems:
        raise VllmError("; ".join(p.text() for p in problems))
    slots = _slots.plan_slots(
        node.get("devices") or [],
        chips_per_replica(options),
        first_port=settings.first_port if settings.first_port is not None else serve["port"],
        replicas=settings.replicas,
        topology=node.get("topology"),
        skip_unhealthy=settings.skip_unhealthy,
    )
    return [_replica(slot, node, release, settings, overrides) for slot in slots]


def _check(node: Mapping[str, Any], settings: Settings) -> None:
    if settings.profile not in PROFILES:
        raise VllmError("found fleet_profile %r; needed one of: %s" % (settings.profile, ", ".join(PROFILES)))
    if not settings.image:
        raise VllmError("found no image; needed its ID or tag. Fix: run the role vllm_image first")
    if settings.weights and not settings.weights.startswith("/"):
        raise VllmError("found weights in %r; needed an absolute path" % settings.weights)
    if settings.profile == "guide":
        for path in (settings.weights, settings.root):
            if path and not path.startswith("/data/"):
                raise VllmError(
                    "found %s; needed a folder under /data, the only one of the host's that the guide mounts for data. "
                    "Fix: keep the data there, or use fleet_profile: least_privilege" % path
                )
        mounts = node.get("mounts") or {}
        missing = [p for p in _GUIDE_MOUNTS if mounts.get(p) == "missing"]
        npu_smi = (node.get("npu_smi") or {}).get("path")
        if npu_smi and npu_smi != "/usr/local/sbin/npu-smi":
            missing.append("/usr/local/sbin/npu-smi")
        if missing:
            raise VllmError(
                "found nothing at %s; needed what the guide mounts: docker would create empty folders there. "
                "Fix: repair the driver's installation, or use fleet_profile: least_privilege" % ", ".join(missing)
            )


def _replica(
    slot: Mapping[str, Any],
    node: Mapping[str, Any],
    release: Mapping[str, Any],
    settings: Settings,
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    serve = release["serve"]
    model_name = serve["served_model_name"]
    number = slot["replica"]
    name = unit_name(model_name, number)
    container = container_name(model_name, number, settings.profile)
    folder = "%s/replicas/%s" % (settings.root, container)
    env_path = "%s/%s.env" % (CONFIG_DIR, name[: -len(".service")])
    environment, secrets = _environment(slot, node, serve, settings, folder)
    command = serve_argv(serve, settings.weights, port=slot["port"], options=overrides)
    labels = {
        _docker.LABEL_MANAGED: "true",
        _docker.LABEL_UNIT: name,
        LABEL_RELEASE: str(release["release"]),
    }
    if settings.weights_content:
        labels[LABEL_WEIGHTS] = settings.weights_content
    base = _docker_argv(slot, node, serve, settings, container=container, folder=folder, env_path=env_path)
    tail = [settings.image, *command]
    known = [*base, *_label_argv(labels), *tail]
    digest = config_hash(known, environment, secrets)
    argv = [*base, *_label_argv({**labels, _docker.LABEL_CONFIG: digest}), *tail]
    directories = [folder, folder + "/cache", folder + "/log"]
    if settings.profile != "guide":
        directories.append(settings.media)
    metadata = {
        "Release": release["release"],
        "ServedModelName": model_name,
        "Replica": number,
        "Port": slot["port"],
        "Container": container,
        "Config": digest,
        "Image": settings.image,
        "Weights": settings.weights,
        "Devices": ",".join(str(i) for i in slot["indices"]),
        "Directory": folder,
    }
    chips = "davinci " + ",".join(str(i) for i in slot["indices"])
    return {
        "name": name,
        "replica": number,
        "url": "http://127.0.0.1:%d" % slot["port"],
        "port": slot["port"],
        "container_name": container,
        "served_model_name": model_name,
        "release": release["release"],
        "image": settings.image,
        "indices": list(slot["indices"]),
        "device_nodes": list(slot["device_nodes"]),
        "npus": list(slot["npus"]),
        "content": unit_text(
            name,
            description="vLLM %s, replica %d (%s, port %d)" % (model_name, number, chips, slot["port"]),
            container=container,
            docker_argv=argv,
            metadata=metadata,
            stop_seconds=settings.stop_seconds,
        ),
        "environment": environment,
        "secrets": secrets,
        "env_path": env_path,
        "directories": directories,
        "config_hash": digest,
        "docker_argv": argv,
        "command": command,
    }


def unit_name(served_model_name: str, replica: int) -> str:
    """``vllm-qwen3.5@0.service``"""
    return "vllm-%s@%d.service" % (served_model_name, replica)


def container_name(served_model_name: str, replica: int, profile: str) -> str:
    """``vllm-qwen3.5-0``; in the guide's profile its own ``qwen3.5``, and ``qwen3.5-1`` for the next."""
    if profile == "guide":
        return served_model_name if replica == 0 else "%s-%d" % (served_model_name, replica)
    return "vllm-%s-%d" % (served_model_name, replica)


def _label_argv(labels: Mapping[str, str]) -> list[str]:
    return [a for name, value in labels.items() for a in ("--label", "%s=%s" % (name, value))]


def _environment(
    slot: Mapping[str, Any],
    node: Mapping[str, Any],
    serve: Mapping[str, Any],
    settings: Settings,
    folder: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """The variables of one replica, and apart from them those that nobody may see."""
    values: dict[str, str] = {str(k): str(v) for k, v in (serve.get("environment") or {}).items()}
    values.update(_QUIET)
    values.update(
        HCCL_IF_BASE_PORT=str(slot["hccl_if_base_port"]),
        MASTER_PORT=str(slot["master_port"]),
        VLLM_CACHE_ROOT=folder + "/cache/vllm",
        HF_HOME=folder + "/cache/huggingface",
        ASCEND_PROCESS_LOG_PATH=folder + "/log",
    )
    every = sorted(int(d["index"]) for d in node.get("devices") or [] if d.get("index") is not None)
    visible = every if settings.profile == "guide" else list(slot["indices"])
    if (node.get("docker") or {}).get("default_runtime") == "ascend":
        # Ascend Docker Runtime passes cards by this variable; --device alone may show nothing.
        values["ASCEND_VISIBLE_DEVICES"] = ",".join(str(i) for i in visible)
    if settings.profile == "guide" and list(slot["indices"]) != every[: len(slot["indices"])]:
        # Every card is visible there, and the engine would take the first ones, which only the first replica may.
        # Where only a replica's cards are passed, numbers begin at 0 inside and this must stay unset.
        values["ASCEND_RT_VISIBLE_DEVICES"] = ",".join(str(i) for i in slot["indices"])
    values.update({str(k): str(v) for k, v in settings.environment.items()})
    if settings.api_key:
        values["VLLM_API_KEY"] = settings.api_key
    secrets = {k: v for k, v in values.items() if SECRET.search(k)}
    return {k: v for k, v in values.items() if k not in secrets}, secrets


def _docker_argv(
    slot: Mapping[str, Any],
    node: Mapping[str, Any],
    serve: Mapping[str, Any],
    settings: Settings,
    *,
    container: str,
    folder: str,
    env_path: str,
) -> list[str]:
    """``docker run`` up to the labels.

    The guide's profile is the guide's own command, except for what systemd forces: ``--rm`` in the foreground for
    ``-itd``, the variables by file, ``-w /``, the labels, and the engine in place of ``bash``.
    """
    guide = settings.profile == "guide"
    program = settings.docker or (node.get("programs") or {}).get("docker") or "/usr/bin/docker"
    argv = [str(program), "run", "--rm"]
    if guide:
        argv.append("--privileged")
    argv += ["--name=" + container, "--net=host"]
    argv += ["--shm-size", str((serve.get("container") or {}).get("shm_size") or "100g")]
    if not guide:
        argv += ["--security-opt", "no-new-privileges", "--log-driver=none"]
    devices = node.get("devices") or []
    nodes = sorted((d for d in devices if d.get("index") is not None), key=lambda d: int(d["index"])) if guide else []
    argv += ["--device=%s" % path for path in ([d["node"] for d in nodes] if guide else slot["device_nodes"])]
    argv += _MANAGERS
    for volume in _volumes(node, settings, folder):
        argv += ["-v", volume]
    argv += settings.docker_options
    argv += ["--env-file", env_path, "-w", "/"]
    return argv


def _volumes(node: Mapping[str, Any], settings: Settings, folder: str) -> list[str]:
    if settings.profile == "guide":
        return ["%s:%s" % (path, path) for path in _GUIDE_MOUNTS]
    kinds = node.get("mounts") or {}
    sources = [path for path, kind in MOUNT_SOURCES.items() if kinds.get(path) == kind]
    npu_smi = (node.get("npu_smi") or {}).get("path")
    if npu_smi:
        sources.append(npu_smi)
    read_only = ["%s:%s:ro" % (path, path) for path in [*sources, settings.weights, settings.media]]
    return [*read_only, "%s:%s" % (folder, folder)]
