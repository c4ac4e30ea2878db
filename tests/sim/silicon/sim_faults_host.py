# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the host around the silicon: foreign processes and containers, docker, disk, ports."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

from sim_cards import default_index
from sim_processes import end_process, own_program, start_detached, start_ticks
from sim_state import faults, find_chip, rooted

if TYPE_CHECKING:
    from sim_state import State

FOREIGN_CONTAINER = "someone-elses-training"
FOREIGN_IMAGE = "registry.example/pytorch-training:2.1"
ARTIFACTS = "/var/lib/ascend-fleet"
BALLAST = f"{ARTIFACTS}/.ascend-sim-ballast"
SMALL_DISK = 4 << 30


def break_process_held(state: State, argument: str | None) -> None:
    """``N``, or ``N,SECONDS`` for a holder that lets go by itself, as a driver does that frees memory late."""
    chip, _, seconds = (argument or str(default_index(state))).partition(",")
    index = int(chip)
    find_chip(state, index)
    held = faults(state).setdefault("process-held", {"processes": []})["processes"]
    held[:] = [entry for entry in held if start_ticks(entry["pid"]) == entry["started"]]
    if any(entry["index"] == index for entry in held):
        return
    limit = ["--seconds", seconds] if seconds else []
    pid = start_detached("hold", str(index), "18429", "--utilization", "25", "--name", "python", *limit)
    held.append({"index": index, "pid": pid, "started": start_ticks(pid)})


def mend_process_held(state: State) -> None:
    for entry in (faults(state).pop("process-held", None) or {"processes": []})["processes"]:
        end_process(entry)


def docker(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False, timeout=120)


def docker_or_exit(*arguments: str, stdin: bytes | None = None) -> bytes:
    result = docker(*arguments, stdin=stdin)
    if result.returncode != 0:
        reason = result.stderr.decode(errors="replace").strip()
        raise SystemExit(f"ascend-sim: docker {' '.join(arguments[:2])}: {reason}")
    return result.stdout


def foreign_root() -> bytes:
    """A root file system with nothing in it but the places where the host's /usr is mounted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "run", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink(f"/{name}"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
                archive.addfile(entry)
    return buffer.getvalue()


def break_card_held(state: State, argument: str | None) -> None:
    index = int(argument) if argument is not None else default_index(state)
    find_chip(state, index)
    template = '{{.State.Running}} {{index .Config.Labels "ascend-sim.index"}}'
    running = docker("inspect", "-f", template, FOREIGN_CONTAINER)
    if running.returncode == 0 and running.stdout.decode().split() == ["true", str(index)]:
        faults(state)["card-held"] = {"index": index}
        return
    docker("rm", "-f", FOREIGN_CONTAINER)
    if docker("image", "inspect", FOREIGN_IMAGE).returncode != 0:
        docker_or_exit("import", "-", FOREIGN_IMAGE, stdin=foreign_root())
    docker_or_exit(
        "run",
        "-d",
        "--name",
        FOREIGN_CONTAINER,
        "--label",
        f"ascend-sim.index={index}",
        "--net=none",
        f"--device=/dev/davinci{index}",
        "--device=/dev/davinci_manager",
        "-v",
        "/usr:/usr:ro",
        "-v",
        f"{own_program()}:/train.py:ro",
        "-e",
        f"PYTHONPATH={os.path.dirname(own_program())}",  # below /usr: the modules beside the program
        FOREIGN_IMAGE,
        "/usr/bin/python3",
        "/train.py",
        "hold",
        str(index),
        "41872",
        "--utilization",
        "97",
        "--name",
        "python",
    )
    faults(state)["card-held"] = {"index": index}


def mend_card_held(state: State) -> None:
    if faults(state).pop("card-held", None) is not None:
        docker("rm", "-f", FOREIGN_CONTAINER)
        docker("rmi", FOREIGN_IMAGE)


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=False, capture_output=True, timeout=120)


def break_docker_down(state: State, _argument: str | None) -> None:
    faults(state).setdefault("docker-down", {})
    systemctl("stop", "docker.socket", "docker.service")


def mend_docker_down(state: State) -> None:
    if faults(state).pop("docker-down", None) is not None:
        systemctl("start", "docker.socket", "docker.service")


def break_disk_full(state: State, argument: str | None) -> None:
    """Leave so many MB free below the folder of the artifacts.

    A small disk of its own is filled up. The hosts' ordinary folders lie on one real disk, which must not be filled:
    there a small file system is mounted over the folder instead.
    """
    megabytes = int(argument) if argument else 100
    mend_disk_full(state)
    folder = rooted(ARTIFACTS)
    os.makedirs(folder, exist_ok=True)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free <= SMALL_DISK:
        size = free - (megabytes << 20)
        if size > 0:
            with open(rooted(BALLAST), "wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, size)
        faults(state)["disk-full"] = {"megabytes": megabytes, "how": "ballast"}
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "ascend-sim-small-disk", folder]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"ascend-sim: {result.stderr.strip()}")
    faults(state)["disk-full"] = {"megabytes": megabytes, "how": "mount"}


def mend_disk_full(state: State) -> None:
    was = faults(state).pop("disk-full", None)
    if was is None:
        return
    if was["how"] == "ballast":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(rooted(BALLAST))
    else:
        subprocess.run(["umount", "-l", rooted(ARTIFACTS)], check=False, capture_output=True)


def break_port_taken(state: State, argument: str | None) -> None:
    port = int(argument) if argument else 8010
    taken = faults(state).setdefault("port-taken", {"processes": []})["processes"]
    taken[:] = [entry for entry in taken if start_ticks(entry["pid"]) == entry["started"]]
    if any(entry["port"] == port for entry in taken):
        return
    pid = start_detached("listen", str(port))
    taken.append({"port": port, "pid": pid, "started": start_ticks(pid)})


def mend_port_taken(state: State) -> None:
    for entry in (faults(state).pop("port-taken", None) or {"processes": []})["processes"]:
        end_process(entry)
