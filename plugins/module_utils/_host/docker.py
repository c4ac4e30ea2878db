# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker command line of a host. One client owns the program's name, its deadlines and its errors.

A command that fails, or does not end within its deadline, raises DockerError: what docker did not say is unknown, and
never an empty answer.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Mapping, Optional, Sequence

from .._base import command

RunCommand = Callable[..., command.Completed]

LABEL_MANAGED = "ascend.fleet.managed"
LABEL_UNIT = "ascend.fleet.unit"
LABEL_CONFIG = "ascend.fleet.config"


def is_managed(labels: Optional[Mapping[str, Any]]) -> bool:
    """Whether a container with these labels is one of ours."""
    return str((labels or {}).get(LABEL_MANAGED, "")).lower() == "true"


def has_pinned_ids(info: Mapping[str, Any]) -> bool:
    """Whether docker knows images by the IDs that a release pins. ``info``: as ``Docker.info`` returns it.

    The ID of an image is the hash of its configuration; containerd's store has IDs of its own.
    """
    return info.get("image_store") != "containerd"


def pinned_ids(docker: Mapping[str, Any]) -> frozenset[str]:
    """The IDs, as a release pins them, of the images that docker has, with or without a tag.

    ``docker`` is what npu_info says of it. Nothing is known of what docker does not say, and of containerd's store.
    """
    return frozenset(str(image["id"]) for image in docker.get("images") or () if has_pinned_ids(docker))


# States in which a container's processes exist, and therefore may hold a card.
LIVE_STATES = frozenset({"running", "paused", "restarting"})

_NO_SUCH = re.compile(r"no such (image|container|object)", re.IGNORECASE)
_INSPECT_AT_ONCE = 100
#: The status of `docker run` where docker could not start the container.
_DOCKER_FAILED = 125


def question(*words: str) -> tuple[str, ...]:
    """A command line of docker whose text is kept for people as it is, whatever it says."""
    return ("docker", *words)


class DockerError(Exception):
    """Docker did not do or say what it was asked; the message names the command, how it ended and what docker said.

    ``installed`` is false where there is no docker program, ``timed_out`` true where the deadline passed.
    ``completed`` is the command, where one was run.
    """

    def __init__(
        self,
        message: str,
        *,
        installed: bool = True,
        timed_out: bool = False,
        completed: Optional[command.Completed] = None,
    ) -> None:
        super().__init__(message)
        self.installed = installed
        self.timed_out = timed_out
        self.completed = completed


class Docker:
    """The docker command line of this host. ``timeout`` is the deadline of a query, in seconds."""

    def __init__(self, timeout: float = 20.0, binary: str = "docker", run: RunCommand = command.run) -> None:
        self.timeout = timeout
        self.binary = binary
        self._command = run

    # - queries -

    def info(self) -> dict[str, Any]:
        """``docker info`` in our words; raises DockerError when the daemon does not answer."""
        return parse_info(self._output("info", "--format", "{{json .}}"))

    def containers(self, all_states: bool = True) -> list[dict[str, Any]]:
        """Every container (only the live ones when ``all_states`` is false), inspected."""
        ids = self._output("ps", "--quiet", "--no-trunc", *(["--all"] if all_states else [])).split()
        return [_container(raw) for raw in self._inspect("container", ids)]

    def container(self, name: str) -> Optional[dict[str, Any]]:
        """One container by name or id; None when there is none."""
        found = self._inspect("container", [name])
        return _container(found[0]) if found else None

    def images(self) -> list[dict[str, Any]]:
        """Every image with its tags; an image without a tag has none."""
        return parse_images(self._output("image", "ls", "--no-trunc", "--format", "{{json .}}"))

    def inspect_images(self, references: Optional[Sequence[str]] = None) -> list[dict[str, Any]]:
        """These images by tag or id, or every image, in our words; those that docker does not have are left out."""
        return [_image(raw) for raw in self.raw_images(references)]

    def raw_images(self, references: Optional[Sequence[str]] = None) -> list[dict[str, Any]]:
        """As ``inspect_images``, in docker's own words: with layers and settings."""
        if references is None:
            references = sorted(set(self._output("image", "ls", "--quiet", "--no-trunc").split()))
        return self._inspect("image", references)

    def raw_containers(self) -> list[dict[str, Any]]:
        """Every container in any state, in docker's own words: with its mounts and command."""
        return self._inspect("container", self._output("ps", "--quiet", "--no-trunc", "--all").split())

    def inspect_image(self, ref: str) -> Optional[dict[str, Any]]:
        """One image by tag or id; None when docker does not have it."""
        found = self.inspect_images([ref])
        return found[0] if found else None

    def top(self, name: str) -> list[int]:
        """The PIDs, on the host, of the processes of a running container."""
        lines = [line.split() for line in self._output("top", name, "-eo", "pid,args").splitlines()[1:]]
        return [int(words[0]) for words in lines if words and words[0].isdigit()]

    # - changes -

    def load(self, path: str, *, timeout: float) -> str:
        """Load an archive of images; returns what docker said of it."""
        return self._output("load", "--quiet", "--input", path, timeout=timeout)

    def tag(self, image_id: str, tag: str) -> None:
        """Give an image a tag."""
        self._output("image", "tag", image_id, tag)

    def run(self, name: str, options: Sequence[str], image: str, words: Sequence[str] = (), *, timeout: float) -> str:
        """Run ``words`` in a container called ``name`` until it ends, and remove it; returns its standard output.

        Nothing is pulled. At the deadline the container goes too: ending docker's client does not end it.
        """
        done = self.attempt(name, options, image, words, timeout=timeout)
        if not done.ok:
            raise _error(done)
        return str(done.stdout)

    def attempt(
        self,
        name: str,
        options: Sequence[str],
        image: str,
        words: Sequence[str] = (),
        *,
        timeout: float,
        stderr_path: Optional[str] = None,
    ) -> command.Completed:
        """As ``run``, for a program whose failure is judged by the caller. DockerError where docker itself failed.

        stderr_path: a file that the program's standard error is written to while it runs.
        """
        argv = [self.binary, "run", "--rm", "--name", name, "--pull", "never", *options, image, *words]
        more = {} if stderr_path is None else {"stderr_path": stderr_path}
        done = self._command(argv, timeout=timeout, **more)
        if done.timed_out:
            self.remove_container(name)
        if done.exit_status == _DOCKER_FAILED:
            raise _error(done)
        return done

    def stop(self, name: str, *, seconds: int = 10) -> None:
        """Stop a container; it is killed after ``seconds``. One that is not there is stopped."""
        self._change("stop", "--time", str(seconds), name, timeout=seconds + self.timeout)

    def keep_stopped(self, name: str) -> None:
        """Let docker not start a container again by itself, neither when it ends nor at the host's next boot."""
        self._output("update", "--restart=no", name, timeout=max(self.timeout, 120))

    def rename(self, name: str, new: str) -> None:
        """Give a container another name; it goes on running."""
        self._output("rename", name, new, timeout=max(self.timeout, 120))

    def remove_container(self, name: str) -> None:
        """Remove a container, also a running one. One that is not there is removed."""
        self._change("rm", "--force", name, timeout=max(self.timeout, 120))

    def remove_image(self, ref: str, *, force: bool = False) -> None:
        """Remove an image by id or tag. One that is not there is removed.

        Docker refuses an image that a running container uses; ``force`` removes all tags of an id at once.
        """
        self._change("image", "rm", *(["--force"] if force else []), ref, timeout=max(self.timeout, 120))

    # - running it -

    def _inspect(self, kind: str, references: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(references), _INSPECT_AT_ONCE):
            chosen = list(references[start : start + _INSPECT_AT_ONCE])
            done = self._command([self.binary, kind, "inspect", *chosen], timeout=self.timeout)
            # Something that vanished between the listing and the inspection is left out, not an error:
            # docker still prints the others before it ends with status 1.
            vanished = done.exit_status == 1 and bool(_NO_SUCH.search(done.stderr))
            if not done.ok and not vanished:
                raise _error(done)
            objects = _objects(done.stdout)
            if len(objects) < len(chosen) and not vanished:
                raise DockerError(
                    "`%s` described %d of %d" % (" ".join(done.argv), len(objects), len(chosen)), completed=done
                )
            found.extend(objects)
        return found

    def _change(self, *words: str, timeout: float) -> None:
        done = self._command([self.binary, *words], timeout=timeout)
        if not done.ok and not (done.exit_status == 1 and _NO_SUCH.search(done.stderr)):
            raise _error(done)

    def _output(self, *words: str, timeout: Optional[float] = None) -> str:
        done = self._command([self.binary, *words], timeout=timeout or self.timeout)
        if not done.ok:
            raise _error(done)
        return str(done.stdout)


def _error(done: command.Completed) -> DockerError:
    # `docker run` also ends with 127 when the container lacks the program; only a missing client says nothing else.
    if done.exit_status == 127 and not done.stdout and "rror response from daemon" not in done.stderr:
        return DockerError("the program `%s` is not installed" % done.argv[0], installed=False, completed=done)
    if done.exit_status and done.stdout.lstrip().startswith("{") and "info" in done.argv:
        # `docker info` prints its object even when the daemon is down, with the reason inside.
        errors = _object(done.stdout).get("ServerErrors") or []
        if errors:
            text = "`%s` ended with status %s: %s" % (" ".join(done.argv), done.exit_status, errors[0])
            return DockerError(text, completed=done)
    return DockerError(done.describe(), timed_out=done.timed_out, completed=done)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise DockerError("docker's answer is not JSON: %s" % exc) from exc
    if not isinstance(value, dict):
        raise DockerError("docker's answer is not an object but %s" % type(value).__name__)
    return value


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text or "[]")
    except ValueError as exc:
        raise DockerError("docker's answer is not JSON: %s" % exc) from exc
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise DockerError("docker's answer is not a list of objects")
    return value


def parse_info(text: str) -> dict[str, Any]:
    """``docker info --format '{{json .}}'`` in our words."""
    raw = _object(text)
    if "ServerVersion" not in raw and isinstance(raw.get("host"), dict):
        # podman under docker's name (podman-docker) prints another object.
        version = raw.get("version") or {}
        return dict(
            _INFO_EMPTY,
            engine="podman",
            server_version=version.get("Version"),
            architecture=raw["host"].get("arch"),
            cgroup_version=str(raw["host"].get("cgroupVersion") or "").lstrip("v") or None,
            root_dir=(raw.get("store") or {}).get("graphRoot"),
        )
    errors = raw.get("ServerErrors") or []
    if errors:
        raise DockerError(str(errors[0]))
    return {
        "engine": "docker",
        "server_version": raw.get("ServerVersion") or None,
        "default_runtime": raw.get("DefaultRuntime") or None,
        "runtimes": sorted(raw.get("Runtimes") or {}),
        "storage_driver": raw.get("Driver") or None,
        "image_store": _image_store(raw),
        "cgroup_version": str(raw.get("CgroupVersion") or "") or None,
        "cgroup_driver": raw.get("CgroupDriver") or None,
        "root_dir": raw.get("DockerRootDir") or None,
        "architecture": raw.get("Architecture") or None,
        "live_restore": bool(raw.get("LiveRestoreEnabled")),
        "registry_mirrors": [str(m) for m in (raw.get("RegistryConfig") or {}).get("Mirrors") or []],
        "security_options": [str(o) for o in raw.get("SecurityOptions") or []],
        "warnings": [str(w) for w in raw.get("Warnings") or []],
    }


def _image_store(raw: dict[str, Any]) -> str:
    """``containerd`` where images lie in containerd's store, which has other image IDs, and else ``docker``."""
    status = dict(pair for pair in raw.get("DriverStatus") or [] if isinstance(pair, list) and len(pair) == 2)
    return "containerd" if str(status.get("driver-type") or "").startswith("io.containerd.snapshotter") else "docker"


_INFO_EMPTY: dict[str, Any] = {
    "engine": None,
    "server_version": None,
    "default_runtime": None,
    "runtimes": [],
    "storage_driver": None,
    "image_store": None,
    "cgroup_version": None,
    "cgroup_driver": None,
    "root_dir": None,
    "architecture": None,
    "live_restore": False,
    "registry_mirrors": [],
    "security_options": [],
    "warnings": [],
}


def empty_info() -> dict[str, Any]:
    """The keys of ``parse_info`` when nothing is known."""
    return {k: list(v) if isinstance(v, list) else v for k, v in _INFO_EMPTY.items()}


def _container(raw: dict[str, Any]) -> dict[str, Any]:
    config = raw.get("Config") or {}
    host = raw.get("HostConfig") or {}
    state = raw.get("State") or {}
    runtime = host.get("Runtime") or None
    environment = _environment(config.get("Env"))
    devices = [str(d.get("PathOnHost")) for d in host.get("Devices") or [] if isinstance(d, dict)]
    visible = environment.get("ASCEND_VISIBLE_DEVICES")
    if visible and runtime and "ascend" in runtime:
        # Ascend Docker Runtime passes the cards itself; docker does not list them.
        devices.extend("/dev/davinci%d" % n for n in visible_devices(visible))
    return {
        "id": str(raw.get("Id") or ""),
        "name": str(raw.get("Name") or "").lstrip("/"),
        "image": str(config.get("Image") or ""),
        "image_id": str(raw.get("Image") or ""),
        "state": str(state.get("Status") or "unknown"),
        "privileged": bool(host.get("Privileged")),
        "devices": sorted(set(devices)),
        "pid": int(state.get("Pid") or 0) or None,
        "pids": [],
        "labels": {str(k): str(v) for k, v in (config.get("Labels") or {}).items()},
        "runtime": runtime,
        "network_mode": host.get("NetworkMode") or None,
        "shm_bytes": int(host.get("ShmSize") or 0) or None,
        "visible_devices": visible,
        "published_ports": _published(raw.get("NetworkSettings")),
        "started_at": state.get("StartedAt") or None,
        "exit_code": state.get("ExitCode"),
        "oom_killed": bool(state.get("OOMKilled")),
        "mounts": _mounts(raw.get("Mounts")),
        "shell": _is_shell(config.get("Cmd")),
        "restart_policy": str((host.get("RestartPolicy") or {}).get("Name") or "no"),
        "auto_remove": bool(host.get("AutoRemove")),
        "engines": [],
    }


def _mounts(mounts: Any) -> list[dict[str, str]]:
    """Where folders and files of the host lie in the container."""
    found = [m for m in mounts or [] if isinstance(m, dict) and m.get("Source") and m.get("Destination")]
    pairs = sorted((str(m["Destination"]), str(m["Source"])) for m in found)
    return [{"source": source, "destination": destination} for destination, source in pairs]


def _is_shell(words: Any) -> bool:
    """Whether a container was started with nothing but a shell. The words themselves may hold secrets."""
    return isinstance(words, list) and len(words) == 1 and str(words[0]).rpartition("/")[2] in ("bash", "sh")


def _environment(env: Any) -> dict[str, str]:
    # Only what concerns the cards: a container's environment may hold secrets that must not leave the host.
    pairs = (str(e).partition("=") for e in env or [])
    return {name: value for name, _equals, value in pairs if name == "ASCEND_VISIBLE_DEVICES"}


def _published(network: Any) -> list[int]:
    ports: set[int] = set()
    for bindings in ((network or {}).get("Ports") or {}).values():
        for binding in bindings or []:
            port = str((binding or {}).get("HostPort") or "")
            if port.isdigit():
                ports.add(int(port))
    return sorted(ports)


def visible_devices(text: str) -> list[int]:
    """The numbers in a value of ``ASCEND_VISIBLE_DEVICES``: ``0,2-4``; words (``void``, ``all``) give none."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.match(r"^\s*(?:Ascend\w*-)?(\d+)(?:-(\d+))?\s*$", part)
        if match:
            first = int(match.group(1))
            last = int(match.group(2) or first)
            found.update(range(first, min(last, first + 64) + 1))
    return sorted(found)


def parse_images(text: str) -> list[dict[str, Any]]:
    """``docker image ls --format '{{json .}}'``, one entry per image id."""
    images: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        raw = _object(line)
        image = images.setdefault(str(raw.get("ID")), {"id": str(raw.get("ID")), "tags": []})
        repository, tag = str(raw.get("Repository") or ""), str(raw.get("Tag") or "")
        if repository and repository != "<none>" and tag != "<none>":
            image["tags"].append("%s:%s" % (repository, tag))
    return [dict(i, tags=sorted(set(i["tags"]))) for i in images.values()]


def _image(raw: dict[str, Any]) -> dict[str, Any]:
    config = raw.get("Config") or {}
    return {
        "id": str(raw.get("Id") or ""),
        "tags": sorted(str(t) for t in raw.get("RepoTags") or []),
        "architecture": raw.get("Architecture") or None,
        "variant": raw.get("Variant") or None,
        "os": raw.get("Os") or None,
        "size_bytes": raw.get("Size"),
        "created": raw.get("Created") or None,
        "labels": {str(k): str(v) for k, v in (config.get("Labels") or {}).items()},
        "entrypoint": list(config.get("Entrypoint") or []),
        "command": list(config.get("Cmd") or []),
        "working_directory": config.get("WorkingDir") or None,
        "environment": [str(e) for e in config.get("Env") or []],
    }
