#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a Debian 12 root folder into one whose ``vllm`` is the real engine of a mounted environment.

  build_rootfs.py ROOTFS --environment DIR [--mount PATH] [--generation a2|a3] [--architecture ARCH]

ROOTFS is a minbase of Debian 12 with the packages that --packages prints. The image stays small: two gigabytes of
engine lie in the environment of build_env.py, which the container gets mounted read-only at --mount.

Written: /opt/vllm (a virtual environment of the image's own Python whose site-packages are the mounted ones), the
commands ``vllm`` and ``python`` of it on PATH, metadata of the components (so that the image answers for its versions
without the mount, as a real one does), the files by which an image says which CANN it holds and for which generation it
was built, and an entry point. Writing twice changes nothing. Printed is the image's configuration as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = ("python3", "libnuma1", "libgomp1", "libstdc++6")
PYTHON = "3.11"
VENV = "opt/vllm"
MOUNT = "/opt/real-engine"
ENTRYPOINT = "/usr/local/bin/real-engine-entrypoint"
CANN = "8.5.0"
CONFIG = {
    "Entrypoint": [ENTRYPOINT],
    "Cmd": ["bash"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "WorkingDir": "/vllm-workspace",
}

_VLLM = """#!/opt/vllm/bin/python
# The real engine's command, from the mounted environment.
import sys

from vllm.entrypoints.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
"""

_ENTRYPOINT = """#!/bin/sh
# As in the Ascend images, the entry point prepares the environment and becomes the command.
# Without the mount the image still answers questions about itself.
if [ "$1" = vllm ] && [ ! -e %(site)s/vllm ]; then
    echo "real engine: no environment is mounted at %(mount)s (read-only, made by build_env.py)" >&2
    exit 1
fi
. /usr/local/Ascend/ascend-toolkit/set_env.sh
export PATH="/opt/vllm/bin:$PATH"
exec "$@"
"""


def site_packages(mount: str) -> str:
    """The mounted packages as a path in the container."""
    return "%s/lib/python%s/site-packages" % (mount.rstrip("/"), PYTHON)


def cann_files(architecture: str) -> dict[str, tuple[str, int]]:
    """What says that the image holds CANN. There is none: the processor needs none, but the release names one."""
    home = "usr/local/Ascend/cann-%s" % CANN
    info = {
        "package_name": "Ascend-cann-toolkit",
        "version": CANN,
        "arch": architecture,
        "os": "linux",
        "path": "/%s/%s-linux" % (home, architecture),
    }
    text = "".join("%s=%s\n" % pair for pair in info.items())
    return {
        "%s/%s-linux/ascend_toolkit_install.info" % (home, architecture): (text, 0o644),
        home + "/set_env.sh": ("export ASCEND_TOOLKIT_HOME=/usr/local/Ascend/ascend-toolkit/latest\n", 0o644),
    }


def build_info(generation: str) -> dict[str, tuple[str, int]]:
    """What says for which generation vllm_ascend was built. There is none of it: the processor computes."""
    home = "usr/lib/python3/dist-packages/vllm_ascend"
    text = "# Auto-generated file\n__device_type__ = '%s'\n" % generation.upper()
    return {home + "/_build_info.py": (text, 0o644)}


def files(components: Mapping[str, str], mount: str, generation: str, architecture: str) -> dict[str, tuple[str, int]]:
    """Path in the root folder -> (text, mode) of everything that is written."""
    written = {
        VENV + "/pyvenv.cfg": ("home = /usr/bin\ninclude-system-site-packages = true\nversion = %s\n" % PYTHON, 0o644),
        VENV + "/bin/vllm": (_VLLM, 0o755),
        "usr/local/bin/vllm": (_VLLM, 0o755),
        ENTRYPOINT.lstrip("/"): (_ENTRYPOINT % {"site": site_packages(mount), "mount": mount}, 0o755),
        **cann_files(architecture),
        **build_info(generation),
    }
    for name, version in components.items():
        folder = "usr/lib/python3/dist-packages/%s-%s.dist-info" % (name.replace("-", "_"), version)
        text = "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)
        written[folder + "/METADATA"] = (text, 0o644)
        written[folder + "/RECORD"] = ("", 0o644)
    return written


def links(mount: str) -> dict[str, str]:
    """Path in the root folder -> what the symbolic link there points to."""
    return {
        VENV + "/bin/python": "/usr/bin/python" + PYTHON,
        VENV + "/bin/python3": "python",
        "%s/lib/python%s/site-packages" % (VENV, PYTHON): site_packages(mount),
        "usr/local/Ascend/cann": "cann-" + CANN,
        "usr/local/Ascend/ascend-toolkit/latest": "../cann-" + CANN,
        "usr/local/Ascend/ascend-toolkit/set_env.sh": "../cann-%s/set_env.sh" % CANN,
    }


def write(rootfs: Path, components: Mapping[str, str], mount: str, generation: str, architecture: str) -> None:
    """Write everything below ``rootfs``."""
    if not (rootfs / "usr/bin" / ("python" + PYTHON)).exists():
        raise SystemExit(
            "%s holds no /usr/bin/python%s: make it with `debootstrap --variant=minbase --include=%s bookworm`"
            % (rootfs, PYTHON, ",".join(PACKAGES))
        )
    for name, (text, mode) in files(components, mount, generation, architecture).items():
        path = rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    for name, target in links(mount).items():
        path = rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            path.unlink()
        os.symlink(target, path)
    for name in (mount, str(CONFIG["WorkingDir"])):
        (rootfs / name.lstrip("/")).mkdir(parents=True, exist_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rootfs", type=Path, nargs="?")
    parser.add_argument("--environment", type=Path, help="folder that build_env.py printed")
    parser.add_argument("--mount", default=MOUNT, help="where containers get it mounted (default %(default)s)")
    parser.add_argument("--generation", choices=("a2", "a3"), default="a2", help="(default %(default)s)")
    parser.add_argument("--architecture", default=platform.machine(), help="(default %(default)s)")
    parser.add_argument("--packages", action="store_true", help="print the Debian packages the root folder needs")
    options = parser.parse_args(arguments)
    if options.packages:
        print(",".join(PACKAGES))
        return 0
    if options.rootfs is None or options.environment is None:
        parser.error("ROOTFS and --environment are needed")
    described = json.loads((options.environment / "environment.json").read_text())
    write(options.rootfs, described["components"], options.mount, options.generation, options.architecture)
    print(json.dumps(CONFIG))
    return 0


if __name__ == "__main__":
    sys.exit(main())
