#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay the stand-in of the engine into the root file system of an image.

    build_rootfs.py ROOTFS --generation a2|a3 --architecture aarch64|x86_64

ROOTFS holds a Debian or Ubuntu with python3 and bash. What is written lies where it lies in the real image: CANN and
its set_env.sh, the components' metadata at the pinned versions, the working directory with its trap. The last line of
the output is the configuration of the image (environment, entry point, working directory) as JSON;
``--print-config`` prints that alone and writes nothing.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import sys
import textwrap

HERE = os.path.dirname(os.path.realpath(__file__))
ENGINE_HOME = "usr/local/lib/ascend-sim-engine"
CANN_VERSION = "8.5.0"
COMPONENTS = {
    "torch": "2.9.0+cpu",
    "torchvision": "0.24.0",
    "torch_npu": "2.9.0",
    "transformers": "5.2.0.dev0",
    "vllm": "0.16.0rc2.dev55+g65bb4942b.empty",
    "vllm_ascend": "0.14.0rc2.dev119+g52aa9c006",
}
EDITABLE = {"vllm": "/vllm-workspace/vllm", "vllm_ascend": "/vllm-workspace/vllm-ascend"}
SOC_VERSION = {"a2": "ascend910b1", "a3": "ascend910_9391"}


def image_config() -> dict[str, object]:
    return {
        "Env": [
            "PATH=/usr/local/python3.11.14/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "LC_ALL=C.UTF-8",
            "VLLM_WORKER_MULTIPROC_METHOD=spawn",
            "ASCEND_SIM_SPEED=10",
        ],
        "Entrypoint": [
            "/bin/bash",
            "-c",
            "source /usr/local/Ascend/ascend-toolkit/set_env.sh && "
            'source /usr/local/Ascend/nnal/atb/set_env.sh && exec "$@"',
            "--",
        ],
        "Cmd": ["/bin/bash"],
        "WorkingDir": "/vllm-workspace",
    }


def write(root: str, path: str, text: str, mode: int = 0o644) -> None:
    target = os.path.join(root, path.lstrip("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as stream:
        stream.write(textwrap.dedent(text))
    os.chmod(target, mode)


def link(root: str, path: str, target: str) -> None:
    place = os.path.join(root, path.lstrip("/"))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    os.symlink(target, place)


def python_version(root: str) -> str:
    """The version of the python3 of the root file system, as 3.11."""
    try:
        target = os.readlink(os.path.join(root, "usr/bin/python3"))
    except OSError:
        target = ""
    match = re.search(r"python(3\.\d+)", target)
    return match[1] if match else "3.11"


def add_cann(root: str, architecture: str) -> None:
    home = f"/usr/local/Ascend/cann-{CANN_VERSION}"
    write(
        root,
        f"{home}/{architecture}-linux/ascend_toolkit_install.info",
        f"""\
        package_name=Ascend-cann-toolkit
        version={CANN_VERSION}
        innerversion=V100R001C25SPC001B232
        compatible_version=[V100R001C15],[V100R001C18],[V100R001C19],[V100R001C20],[V100R001C21],[V100R001C23]
        arch={architecture}
        os=linux
        path={home}/{architecture}-linux
        """,
    )
    write(root, f"{home}/{architecture}-linux/lib64/libascendcl.so", "This stands for a library of CANN.\n")
    environment = f"""\
        export ASCEND_TOOLKIT_HOME={home}
        export ASCEND_HOME_PATH={home}
        export ASCEND_OPP_PATH={home}/opp
        export ASCEND_AICPU_PATH={home}
        export LD_LIBRARY_PATH={home}/{architecture}-linux/lib64:/usr/local/Ascend/driver/lib64/driver:\
/usr/local/Ascend/driver/lib64/common:${{LD_LIBRARY_PATH:-}}
        export PATH={home}/bin:$PATH
        """
    write(root, f"{home}/set_env.sh", environment)
    link(root, "/usr/local/Ascend/cann", f"cann-{CANN_VERSION}")
    link(root, "/usr/local/Ascend/ascend-toolkit/latest", f"../cann-{CANN_VERSION}")
    write(root, "/usr/local/Ascend/ascend-toolkit/set_env.sh", f"source {home}/set_env.sh\n")
    write(
        root,
        "/usr/local/Ascend/nnal/atb/latest/version.info",
        f"""\
        Ascend-cann-atb : {CANN_VERSION}
        Ascend-cann-atb Version : {CANN_VERSION}.B232
        Platform : {architecture}
        branch : {CANN_VERSION}
        """,
    )
    write(
        root,
        "/usr/local/Ascend/nnal/atb/set_env.sh",
        """\
        export ATB_HOME_PATH=/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_1
        export LD_LIBRARY_PATH=$ATB_HOME_PATH/lib:${LD_LIBRARY_PATH:-}
        """,
    )


FINDER = '''\
"""Finds the packages that are installed from their source trees, as setuptools' editable installs do."""

import importlib.util
import os
import sys

PLACES = {places!r}


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in PLACES:
            return None
        folder = os.path.join(PLACES[name], name)
        return importlib.util.spec_from_file_location(
            name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])


def install():
    # Behind the ordinary finders: a folder of that name in the working directory comes first.
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
'''


def add_components(root: str, generation: str, components: dict[str, str]) -> None:
    site = f"/usr/local/lib/python{python_version(root)}/dist-packages"
    for name, version in components.items():
        for old in glob.glob(os.path.join(root, site.lstrip("/"), f"{name}-*.dist-info")):
            shutil.rmtree(old)
        info = f"{site}/{name}-{version}.dist-info"
        write(root, f"{info}/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
        write(root, f"{info}/INSTALLER", "pip\n")
        write(root, f"{info}/RECORD", "")
        package = f"{EDITABLE[name]}/{name}" if name in EDITABLE else f"{site}/{name}"
        write(root, f"{package}/__init__.py", f'__version__ = "{version}"\n')
        if name in EDITABLE:
            source = {"dir_info": {"editable": True}, "url": f"file://{EDITABLE[name]}"}
            write(root, f"{info}/direct_url.json", json.dumps(source) + "\n")
    write(root, "/vllm-workspace/vllm/vllm/benchmarks/__init__.py", "")
    write(root, "/vllm-workspace/vllm/vllm/benchmarks/latency.py", "")
    write(root, "/vllm-workspace/vllm/vllm/benchmarks/serve.py", "")
    write(root, "/vllm-workspace/vllm/pyproject.toml", '[project]\nname = "vllm"\ndynamic = ["version"]\n')
    write(
        root, "/vllm-workspace/vllm-ascend/pyproject.toml", '[project]\nname = "vllm_ascend"\ndynamic = ["version"]\n'
    )
    write(
        root,
        "/vllm-workspace/vllm-ascend/vllm_ascend/_build_info.py",
        f"""\
        # Auto-generated file
        __soc_version__ = '{SOC_VERSION[generation]}'
        __device_type__ = '{generation.upper()}'
        """,
    )
    write(root, f"{site}/_ascend_sim_editable.py", FINDER.replace("{places!r}", repr(EDITABLE)))
    write(root, f"{site}/ascend-sim-editable.pth", "import _ascend_sim_editable; _ascend_sim_editable.install()\n")


def add_engine(root: str, version: str) -> None:
    home = os.path.join(root, ENGINE_HOME)
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    for name in ("sim_vllm", "font"):
        shutil.copytree(
            os.path.join(HERE, name), os.path.join(home, name), ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in ("vllm", "options-0.16.json", "bench-options-0.16.json"):
        if os.path.exists(os.path.join(HERE, name)):
            shutil.copy2(os.path.join(HERE, name), os.path.join(home, name))
    os.chmod(os.path.join(home, "vllm"), 0o755)
    write(root, f"/{ENGINE_HOME}/VERSION", f"{version}\n")
    link(root, "/usr/local/bin/vllm", f"/{ENGINE_HOME}/vllm")
    link(root, "/usr/local/python3.11.14/bin/vllm", f"/{ENGINE_HOME}/vllm")
    for name in ("python3", "python"):
        link(root, f"/usr/local/python3.11.14/bin/{name}", "/usr/bin/python3")


def build(root: str, generation: str, architecture: str, components: dict[str, str] | None = None) -> None:
    chosen = {**COMPONENTS, **(components or {})}
    add_engine(root, chosen["vllm"])
    add_cann(root, architecture)
    add_components(root, generation, chosen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rootfs", nargs="?", metavar="ROOTFS")
    parser.add_argument("--generation", choices=("a2", "a3"), default="a2")
    parser.add_argument("--architecture", choices=("aarch64", "x86_64"), default="aarch64")
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help=f"another version of a component (may be repeated): {', '.join(COMPONENTS)}",
    )
    parser.add_argument("--print-config", action="store_true")
    options = parser.parse_args()
    if not options.print_config:
        if not options.rootfs or not os.path.isdir(options.rootfs):
            parser.error("ROOTFS must be a folder that holds a root file system")
        components = dict(text.partition("=")[::2] for text in options.component)
        if not set(components) <= set(COMPONENTS):
            parser.error(f"--component: known are {', '.join(COMPONENTS)}")
        build(options.rootfs, options.generation, options.architecture, components)
    sys.stdout.write(json.dumps(image_config()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
