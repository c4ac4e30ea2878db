# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of one replica: the arguments of ``docker run``, its labels and its environment."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Mapping, Sequence

from .._host import docker
from .._npu.hardware import MOUNT_SOURCES
from .settings import ServingError, Settings

CONFIG_DIR = "/etc/ascend-fleet"
LABEL_RELEASE = "ascend.fleet.release"
LABEL_WEIGHTS = "ascend.fleet.weights"

# Only local weights are served, and vLLM sends no usage statistics.
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
# Variables whose value must not be shown: the API key, tokens, passwords.
#: The variable in which an engine reads the key that it asks for.
API_KEY = "VLLM_API_KEY"
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z", re.IGNORECASE)

# The mounts of the guide's `docker run`, in its order.
_GUIDE_MOUNTS = (
    "/usr/local/Ascend/driver",
    "/usr/local/Ascend/firmware",
    "/usr/local/sbin/npu-smi",
    "/usr/local/sbin",
    "/etc/hccn.conf",
    "/data",
)
# The device nodes that every container needs, written as the guide writes them.
_MANAGER_DEVICES = ("--device=/dev/davinci_manager", "--device=/dev/hisi_hdc", "--device", "/dev/devmm_svm")


def check_mounts(node: Mapping[str, Any], settings: Settings) -> None:
    """Raise ServingError where the mounts of the profile ``guide`` do not suit the host or the settings.

    Docker creates a folder for a source that does not exist, which would turn npu-smi into a directory.
    """
    if settings.profile != "guide":
        return
    for path in (settings.weights, settings.root):
        if path and not path.startswith("/data/"):
            raise ServingError(
                "found %s; needed a folder under /data, the only one of the host's that the guide mounts for data. "
                "Fix: keep the data there, or use fleet_profile: least_privilege" % path
            )
    mounts = node.get("mounts") or {}
    missing = [p for p in _GUIDE_MOUNTS if mounts.get(p) == "missing"]
    npu_smi = (node.get("npu_smi") or {}).get("path")
    if npu_smi and npu_smi != "/usr/local/sbin/npu-smi":
        missing.append("/usr/local/sbin/npu-smi")
    if missing:
        raise ServingError(
            "found nothing at %s; needed what the guide mounts: docker would create empty folders there. "
            "Fix: repair the driver's installation, or use fleet_profile: least_privilege" % ", ".join(missing)
        )


def docker_program(node: Mapping[str, Any], settings: Settings) -> str:
    """The path of the docker client; systemd starts programs by path."""
    return str(settings.docker or (node.get("programs") or {}).get("docker") or "/usr/bin/docker")


def environment(
    entry: Mapping[str, Any], node: Mapping[str, Any], serve: Mapping[str, Any], settings: Settings, folder: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The variables of one replica, and apart from them those whose value must not be shown.

    ``entry`` is the replica's entry of the layout, ``folder`` the folder of its caches and logs.
    """
    values: dict[str, str] = {str(k): str(v) for k, v in (serve.get("environment") or {}).items()}
    values.update(_OFFLINE)
    values.update(
        HCCL_IF_BASE_PORT=str(entry["hccl_if_base_port"]),
        MASTER_PORT=str(entry["master_port"]),
        VLLM_CACHE_ROOT=folder + "/cache/vllm",
        HF_HOME=folder + "/cache/huggingface",
        ASCEND_PROCESS_LOG_PATH=folder + "/log",
    )
    every = sorted(int(d["index"]) for d in node.get("devices") or [] if d.get("index") is not None)
    visible = every if settings.profile == "guide" else list(entry["indices"])
    if (node.get("docker") or {}).get("default_runtime") == "ascend":
        # Ascend Docker Runtime passes cards by this variable; --device alone may show nothing.
        values["ASCEND_VISIBLE_DEVICES"] = ",".join(str(i) for i in visible)
    if settings.profile == "guide" and list(entry["indices"]) != every[: len(entry["indices"])]:
        # Every card is visible there, and the engine would take the first ones, which only the first replica may.
        # Where only a replica's cards are passed, numbers begin at 0 inside and this must stay unset.
        values["ASCEND_RT_VISIBLE_DEVICES"] = ",".join(str(i) for i in entry["indices"])
    values.update(_proxy_exceptions(node))
    values.update({str(k): str(v) for k, v in settings.environment.items()})
    if settings.api_key:
        values[API_KEY] = settings.api_key
    secrets = {k: v for k, v in values.items() if SECRET.search(k)}
    return {k: v for k, v in values.items() if k not in secrets}, secrets


def _proxy_exceptions(node: Mapping[str, Any]) -> dict[str, str]:
    """Where docker's client hands a proxy to containers: that nobody asks it for this host itself."""
    handed = [p for p in node.get("proxies") or [] if p.get("containers")]
    if not handed:
        return {}
    given = [word.strip() for p in handed for word in str(p.get("no_proxy") or "").split(",")]
    value = ",".join(dict.fromkeys(word for word in [*given, "localhost", "127.0.0.1", "::1"] if word))
    return {"NO_PROXY": value, "no_proxy": value}


def env_file_text(variables: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """The file for ``docker run --env-file``: no quoting, one variable a line."""
    values = {**variables, **secrets}
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            raise ServingError("found a line break in the value of %s; needed one line" % name)
    return "".join("%s=%s\n" % pair for pair in values.items())


def labels(unit: str, release_name: str, weights_content: str) -> dict[str, str]:
    """The labels of a replica's container, without that of its configuration."""
    found = {docker.LABEL_MANAGED: "true", docker.LABEL_UNIT: unit, LABEL_RELEASE: release_name}
    if weights_content:
        found[LABEL_WEIGHTS] = weights_content
    return found


def run_argv(
    options: Sequence[str],
    label_values: Mapping[str, str],
    tail: Sequence[str],
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
) -> tuple[list[str], str]:
    """The whole ``docker run`` and the hash of the configuration, which stands in it as one more label.

    ``options`` come from ``run_options``; ``tail`` is the image and the command.
    """
    digest = config_hash([*options, *_label_argv(label_values), *tail], variables, secrets)
    return [*options, *_label_argv({**label_values, docker.LABEL_CONFIG: digest}), *tail], digest


def config_hash(docker_argv: Sequence[str], variables: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """What identifies a running configuration: equal exactly when nothing that the engine sees differs."""
    content = [list(docker_argv), sorted(variables.items()), sorted(secrets.items())]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def run_options(
    entry: Mapping[str, Any],
    node: Mapping[str, Any],
    serve: Mapping[str, Any],
    settings: Settings,
    *,
    folder: str,
    env_path: str,
) -> list[str]:
    """``docker run`` up to the labels.

    The profile ``guide`` is the guide's own command, except for what systemd needs: ``--rm`` in the foreground for
    ``-itd``, the variables by file, ``-w /``, the labels, and the engine in place of ``bash``.
    """
    guide = settings.profile == "guide"
    argv = [docker_program(node, settings), "run", "--rm"]
    if guide:
        argv.append("--privileged")
    argv += ["--name=" + entry["container_name"], "--net=host"]
    argv += ["--shm-size", str((serve.get("container") or {}).get("shm_size") or "100g")]
    if not guide:
        argv += ["--security-opt", "no-new-privileges", "--log-driver=none"]
    devices = node.get("devices") or []
    nodes = sorted((d for d in devices if d.get("index") is not None), key=lambda d: int(d["index"])) if guide else []
    argv += ["--device=%s" % path for path in ([d["node"] for d in nodes] if guide else entry["device_nodes"])]
    argv += _MANAGER_DEVICES
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


def _label_argv(label_values: Mapping[str, str]) -> list[str]:
    return [a for name, value in label_values.items() for a in ("--label", "%s=%s" % (name, value))]
