# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a planned unit makes of a host, in the words in which npu_info tells what is there, and how both differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._base.text import printable
from .._serving import unit_file
from . import hide

#: Of a longer list of differences so many are named.
MOST = 6
_SIZE = re.compile(r"(\d+)\s*([bkmgt]?)b?\Z", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_NUMBER = re.compile(r"-\d")
#: Docker's client hands these to every container where its configuration says so.
_PROXY_NAMES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
PROXIES = frozenset(name for word in _PROXY_NAMES for name in (word, word.upper()))


@dataclass(frozen=True)
class Expected:
    """One planned unit. ``secrets`` are the names of variables whose values are not known here."""

    name: str
    config_hash: str
    content: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    #: Variables that options of ``docker run`` give beside those of the file.
    more_environment: Mapping[str, str]
    mounts: frozenset[tuple[str, str, bool]]
    devices: frozenset[str]
    privileged: bool
    network_mode: str
    shm_bytes: Optional[int]
    security_options: frozenset[str]
    #: Whether ``docker run`` has options that are not understood here: mounts and devices are then not compared.
    opaque: bool


def expected(unit: Mapping[str, Any], systemd_version: Optional[int]) -> Expected:
    """What a unit of ``plan_replicas`` makes of a host, without secrets."""
    run = parse_run(unit["docker_argv"], str(unit["env_path"]))
    content = str(unit["content"])
    if systemd_version is not None:
        content = unit_file.for_systemd(content, systemd_version)
    return Expected(
        name=str(unit["name"]),
        config_hash=str(unit["config_hash"]),
        content=hide.text(printable(content, keep="\n\t")),
        command=tuple(hide.command([printable(str(word)) for word in unit["command"]])),
        environment=hide.variables({**unit["environment"], **(unit.get("secrets") or {})}),
        more_environment=hide.variables(run.pop("variables")),
        **run,
    )


def parse_run(argv: Sequence[str], env_path: str) -> dict[str, Any]:
    """What a ``docker run`` says of mounts, devices, rights and variables, up to its file of variables."""
    found: dict[str, Any] = {
        "mounts": set(),
        "devices": set(),
        "privileged": False,
        "network_mode": "bridge",
        "shm_bytes": None,
        "security_options": set(),
        "opaque": False,
        "variables": {},
    }
    for name, value in _options(argv, env_path):
        if name in ("-v", "--volume"):
            source, _colon, rest = value.partition(":")
            destination, _colon, mode = rest.partition(":")
            found["mounts"].add((source, destination, "ro" in mode.split(",")))
        elif name == "--device":
            found["devices"].add(value.split(":")[0])
        elif name in ("--net", "--network"):
            found["network_mode"] = value
        elif name == "--shm-size":
            found["shm_bytes"] = _bytes(value)
        elif name == "--security-opt":
            found["security_options"].add(value)
        elif name == "--privileged":
            found["privileged"] = value in ("", "true")
        elif name in ("-e", "--env"):
            variable, _equals, content = value.partition("=")
            found["variables"][variable] = content
        elif name in ("--mount", "--volumes-from", "--gpus", "--env-file"):
            found["opaque"] = True
    return {k: frozenset(v) if isinstance(v, set) else v for k, v in found.items()}


def _options(argv: Sequence[str], env_path: str) -> Iterable[tuple[str, str]]:
    """The options of ``docker run`` up to the unit's file of variables; an option without a value has an empty one."""
    words = list(argv[2:])
    end = words.index(env_path) - 1 if env_path in words else len(words)
    place = 0
    while place < end:
        word = words[place]
        name, equals, value = word.partition("=")
        place += 1
        if not word.startswith("-"):
            continue
        if equals:
            yield name, value
        elif place < end and not words[place].startswith("-"):
            yield name, words[place]
            place += 1
        else:
            yield name, ""


def _bytes(text: str) -> Optional[int]:
    match = _SIZE.match(text)
    return int(match.group(1)) * _UNITS[match.group(2).lower()] if match else None


# - differences, each a few words -


def some(words: Sequence[str], joint: str = ", ") -> str:
    """The first of these, and how many more there are."""
    more = len(words) - MOST
    return joint.join(words[:MOST]) + (" and %d more" % more if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


def text_differences(found: str, wanted: str) -> tuple[list[str], list[str]]:
    """The lines that only one of two texts has, in their order; how often a line stands there is not looked at."""
    left, right = (dict.fromkeys(filter(None, map(_line, text.splitlines()))) for text in (found, wanted))
    if found.strip() != wanted.strip() and list(left) != list(right) and set(left) == set(right):
        return ["the same lines in another order"], ["the order of the release"]
    return [_short(line) for line in left if line not in right], [_short(line) for line in right if line not in left]


def _line(text: str) -> str:
    """A line without its indentation, and without the backslash by which a command goes on."""
    return text.strip().rstrip("\\").strip()


def variable_differences(
    found: Mapping[str, str], wanted: Mapping[str, str], inherited: Sequence[str] = (), aside: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """Variables that are not as wanted: as they are, and as they should be. Secrets are compared by name alone."""
    known, left_out = set(inherited), set(aside)
    is_so, should = [], []
    for name in sorted((set(found) | set(wanted)) - left_out):
        if name not in wanted:
            if name not in known:
                is_so.append(_short("%s=%s" % (name, found[name])))
                should.append("no %s" % name)
        elif name not in found:
            is_so.append("no %s" % name)
            should.append(_short("%s=%s" % (name, wanted[name])))
        elif found[name] != wanted[name]:
            is_so.append(_short("%s=%s" % (name, found[name])))
            should.append(_short("%s=%s" % (name, wanted[name])))
    return is_so, should


def options_of(command: Sequence[str]) -> dict[str, str]:
    """The options of a command by name; what stands before them is under ``the command``."""
    found: dict[str, list[str]] = {"the command": []}
    name = "the command"
    for word in command:
        if word.startswith("-") and not _NUMBER.match(word):
            name, equals, value = word.partition("=")
            found[name] = [value] if equals else []
        else:
            found.setdefault(name, []).append(word)
    return {name: " ".join(words) for name, words in found.items()}


def command_differences(found: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options that are not as wanted: as they are, and as they should be."""
    left, right = options_of(found), options_of(wanted)
    is_so, should = [], []
    for name in dict.fromkeys([*right, *left]):
        if left.get(name) != right.get(name):
            is_so.append(_option(name, left.get(name)))
            should.append(_option(name, right.get(name)))
    if not is_so and list(found) != list(wanted):
        return ["the same options in another order or form"], ["%d words as planned" % len(wanted)]
    return is_so, should


def _option(name: str, value: Optional[str]) -> str:
    return "no %s" % name if value is None else _short(("%s %s" % (name, value)).strip())


def security(found: Iterable[str], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Security options of a container and of a plan, in one spelling.

    Docker itself adds ``label=disable`` to privileged containers, and puts the text of a seccomp profile for its path.
    """
    left, right = ({_security_option(option) for option in options} for options in (found, wanted))
    return sorted(left - ({"label=disable"} - right)), sorted(right)


def _security_option(option: str) -> str:
    name, _sign, value = option.replace(":", "=", 1).partition("=")
    if name == "no-new-privileges" and value in ("", "true"):
        return name
    return "seccomp=PROFILE" if name == "seccomp" and value != "unconfined" else "%s=%s" % (name, value)


def mount_words(mounts: Iterable[tuple[str, str, bool]]) -> list[str]:
    """Mounts as docker writes them."""
    return ["%s:%s%s" % (source, destination, ":ro" if ro else "") for source, destination, ro in sorted(mounts)]


def mounts_of(container: Mapping[str, Any]) -> frozenset[tuple[str, str, bool]]:
    """The mounts of a container that runs."""
    return frozenset((str(m["source"]), str(m["destination"]), bool(m["read_only"])) for m in container["mounts"])
