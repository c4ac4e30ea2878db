# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside a serving image: a program that tells, run in it, and the comparison with what a release says."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, Optional, Sequence

MARK = "ascend-fleet-contents "

# Run by the image's own Python. It imports none of the components: without a card torch_npu and vllm_ascend fail.
PROGRAM = r"""
import glob, json, os, platform, re, sys
import importlib.metadata as metadata
import importlib.util
components = {}
for name in json.loads(sys.argv[1]):
    version = None
    for form in (name, name.replace("_", "-"), name.replace("-", "_")):
        try:
            version = metadata.version(form)
            break
        except metadata.PackageNotFoundError:
            pass
    components[name] = version
roots = [os.environ.get("ASCEND_TOOLKIT_HOME") or ""]
roots += ["/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/cann", "/usr/local/Ascend/cann-*"]
roots += ["/usr/local/Ascend/ascend-toolkit/[0-9]*", "/home/*/Ascend/ascend-toolkit/latest"]
cann, seen = [], set()
for root in filter(None, roots):
    for pattern in (root + "/*-linux/ascend_toolkit_install.info", root + "/ascend_toolkit_install.info"):
        for path in sorted(glob.glob(pattern)):
            if os.path.realpath(path) not in seen:
                seen.add(os.path.realpath(path))
                with open(path, errors="replace") as handle:
                    cann.append({"path": path, "text": handle.read()})
build = None
try:
    spec = importlib.util.find_spec("vllm_ascend")
    for place in list((spec and spec.submodule_search_locations) or []):
        path = os.path.join(place, "_build_info.py")
        if build is None and os.path.isfile(path):
            with open(path, errors="replace") as handle:
                build = handle.read()
except Exception as error:
    build = "# %s" % error
thread_error = None
try:
    import threading
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()
except Exception as error:
    thread_error = "%s: %s" % (type(error).__name__, error)
print("ascend-fleet-contents " + json.dumps({
    "python": platform.python_version(), "machine": platform.machine(), "components": components,
    "cann": cann, "build_info": build, "thread_error": thread_error}))
"""


class ContentsError(Exception):
    """What the program said cannot be understood."""


def parse_contents(output: str) -> dict[str, Any]:
    """Return what PROGRAM printed: python, machine, components, cann (a list), device_type, thread_error.

    ``thread_error`` is what a thread that was started met, and None where it ran. Raises ContentsError.
    """
    for line in output.splitlines():
        if line.startswith(MARK):
            break
    else:
        raise ContentsError("the image's Python did not say what it holds")
    try:
        data = json.loads(line[len(MARK) :])
        return {
            "python": str(data["python"]),
            "machine": str(data["machine"]),
            "components": {str(k): v if v is None else str(v) for k, v in data["components"].items()},
            "cann": [dict(parse_install_info(c["text"]), path=str(c["path"])) for c in data["cann"]],
            "device_type": device_type(data["build_info"] or ""),
            "thread_error": None if data["thread_error"] is None else str(data["thread_error"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ContentsError("what the image's Python said is damaged: %s" % exc) from exc


def parse_install_info(text: str) -> dict[str, Optional[str]]:
    """Return version and architecture of an ``ascend_toolkit_install.info``; its keys come in either case."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key.strip().lower()] = value.strip()
    return {"version": found.get("version"), "architecture": found.get("arch")}


def device_type(text: str) -> Optional[str]:
    """Return the generation that ``vllm_ascend/_build_info.py`` was built for (a2, a3, 310p), or None."""
    said = re.search(r"""^__device_type__\s*=\s*['"]_?(\w+)['"]""", text, re.MULTILINE)
    if said:
        return said[1].lower()
    said = re.search(r"""^__soc_version__\s*=\s*['"](\w+)['"]""", text, re.MULTILINE)
    if said is None:
        return None
    soc = said[1].lower()
    for expression, generation in ((r"ascend910_?93", "a3"), (r"ascend910b", "a2"), (r"ascend310p", "310p")):
        if re.match(expression, soc):
            return generation
    return soc


def same_version(wanted: str, found: str) -> bool:
    """Whether ``found`` is the version ``wanted``; without a local part in ``wanted`` that of ``found`` is ignored."""
    if wanted == found:
        return True
    return "+" not in wanted and found.split("+", 1)[0] == wanted


def same_cann(wanted: str, found: str) -> bool:
    """Whether CANN ``found`` is ``wanted``: the same release numbers, whatever the case of the suffix."""
    return wanted.strip().lower() == found.strip().lower()


def problems_of(
    contents: Mapping[str, Any],
    *,
    components: Mapping[str, str],
    cann: Optional[str],
    generation: Optional[str],
    machine: Optional[str],
) -> list[str]:
    """Say what in the image is not as the release says."""
    problems = []
    if machine and contents["machine"] != machine:
        problems.append("machine: found %s, needed %s" % (contents["machine"], machine))
    for name, wanted in sorted(components.items()):
        found = contents["components"].get(name)
        if found is None:
            problems.append("%s: not installed, needed %s" % (name, wanted))
        elif not same_version(wanted, found):
            problems.append("%s: found %s, needed %s" % (name, found, wanted))
    if cann:
        versions = [str(c["version"]) for c in contents["cann"] if c["version"]]
        if not versions:
            problems.append("CANN: no ascend_toolkit_install.info found, needed %s" % cann)
        elif not any(same_cann(cann, version) for version in versions):
            problems.append("CANN: found %s, needed %s" % (", ".join(sorted(set(versions))), cann))
    if generation:
        built = contents["device_type"]
        if built is None:
            problems.append("vllm_ascend: for which generation it was built is not told, needed %s" % generation)
        elif built != generation:
            problems.append("vllm_ascend: built for %s, needed %s" % (built.upper(), generation.upper()))
    return problems


#: How the container of PROGRAM is run: no network, no devices, away from the source tree, not privileged. The entry
#: point is left aside: it prepares for computing, which nothing here does, and may print or wait.
RUN_OPTIONS = ("--network", "none", "--workdir", "/", "--entrypoint", "python3")


def program_words(names: Sequence[str]) -> list[str]:
    """Return the arguments of the image's Python that have it say what the image holds."""
    return ["-c", PROGRAM, json.dumps(list(names))]
