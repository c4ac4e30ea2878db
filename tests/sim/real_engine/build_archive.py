#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the real engine's image archive and its tiny model, and put both into a simulated fleet's origin.

  build_archive.py [--fleet NAME]

Prints JSON: where the environment, the archive and the model are. Both are kept in the simulator's cache under the
hash of what they are made from. Needs root, and the Docker daemon that `tests/sim/fleet up` started.

Exit status as build_env.py's: 3 where this machine cannot have the environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import build_env
import build_rootfs
from fleetsim import machine, rootfs
from fleetsim.home import Home
from fleetsim.images import docker_changes, import_tree
from fleetsim.machine import Docker
from fleetsim.origin_server import OriginServer
from fleetsim.rootfs import Base
from fleetsim.shell import FleetError, lock, step

CODENAME = "bookworm"  # Debian 12: its python3 is build_env.PYTHON
TAG = "vllm-cpu:real-engine"
GENERATION = "a2"
IMAGE_REPOSITORY = "ascend-fleet/real-engine"
IMAGE_PATH = "real-engine.tar"
MODEL_REPOSITORY = "ascend-fleet/Qwen3.5-tiny"


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def archive(environment: Path, cache: Path, log: Path) -> Path:
    """`docker save` of a minimal Debian with the engine's commands and without the engine."""
    key = _hash(
        (HERE / "build_rootfs.py").read_bytes(), environment.name.encode(), TAG.encode(), platform.machine().encode()
    )
    target = cache / "real-engine" / ("image-%s.tar" % key)
    if target.exists():
        return target
    docker = Docker()
    with lock(cache / "lock", "image of the real engine"), step("image of the real engine (%s)" % CODENAME):
        tree = cache / "build" / "real-engine"
        base = Base(docker, machine.find_mirror(log), cache, CODENAME, log)
        rootfs.unpack(base.ensure(), tree, log)
        rootfs.install(tree, build_rootfs.PACKAGES, cache / "apt" / "real-engine", log)
        rootfs.strip(tree, deeper=True)
        described = json.loads((environment / build_env.MARK).read_text())
        build_rootfs.write(tree, described["components"], build_rootfs.MOUNT, GENERATION, platform.machine())
        import_tree(docker, tree, TAG, docker_changes(build_rootfs.CONFIG), log)
        temporary = target.with_suffix(".tmp")
        try:
            docker("save", "--output", temporary, TAG, log=log)
        finally:
            docker("image", "rm", TAG, check=False)
        rootfs.remove(tree)
        temporary.replace(target)
    return target


def tiny_model(environment: Path, cache: Path) -> Path:
    """The model's folder."""
    program = HERE / "make_tiny.py"
    key = _hash(program.read_bytes(), environment.name.encode())
    target = cache / "real-engine" / ("model-%s" % key)
    if target.exists():
        return target
    partial = target.with_name("%s.partial-%d" % (target.name, os.getpid()))
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    argv = [str(environment / "bin" / "python"), str(program), str(partial)]
    subprocess.run(argv, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    partial.rename(target)
    return target


def publish(fleet: str, image: Path, model: Path) -> None:
    """Both into the fleet's origin, as an operator's mirror would hold them."""
    store = OriginServer(Home(fleet)).store()
    store.add(IMAGE_REPOSITORY, IMAGE_PATH, image)
    for path in sorted(model.iterdir()):
        store.add(MODEL_REPOSITORY, path.name, path, plain=path.suffix != ".safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet", help="put both into the origin of this fleet, which is up")
    options = parser.parse_args(arguments)
    cache = machine.cache_home()
    told = sys.stdout
    sys.stdout = sys.stderr  # progress lines are not the answer
    try:
        machine.require_root()
        environment = build_env.ensure(cache, os.environ)
        image = archive(environment, cache, cache / "real-engine" / "image.log")
        model = tiny_model(environment, cache)
        if options.fleet:
            publish(options.fleet, image, model)
    except build_env.CannotBuild as exc:
        print("real-engine: skipped: %s" % exc)
        return build_env.SKIP
    except (build_env.BuildFailed, FleetError, subprocess.SubprocessError) as exc:
        print("real-engine: failed: %s" % exc)
        return 1
    finally:
        sys.stdout = told
    print(json.dumps({"environment": str(environment), "archive": str(image), "model": str(model)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
