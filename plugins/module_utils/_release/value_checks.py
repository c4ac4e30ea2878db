# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of values that an operator sets: numbers and booleans may be text, as ``-e NAME=VALUE`` makes them.

A check returns what is needed instead, or None. Values of a release are typed YAML and have their checks in checks.py.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timezone
from typing import Any, Mapping, Optional
from urllib.parse import urlsplit

from .._base.moments import moment_of
from .checks import Check
from .problems import quote

#: The words that Ansible takes for a boolean.
_BOOLEANS = ("yes", "no", "on", "off", "true", "false", "y", "n", "t", "f", "1", "0", "1.0", "0.0")
#: Characters that a path must not hold: `:` ends it in `docker run -v`, the others mean something to a shell, to
#: systemd or to nginx.
_NOT_IN_PATHS = r"\s:'\"\\$%;{}*?#|<>&`"
_PATH = re.compile(r"/[^%s]*\Z" % _NOT_IN_PATHS)
#: Ports below are the system's (ssh has 22); 65535 is the last one.
FIRST_PORT, LAST_PORT = 1024, 65535
_SHARE = re.compile(r"([1-9][0-9]{0,5})(%?)\Z")


def whole(low: int, high: int) -> Check:
    """A whole number within the bounds, both included."""
    needed = "a whole number from %d to %d" % (low, high)

    def check(value: Any) -> Optional[str]:
        number = as_whole(value)
        return None if number is not None and low <= number <= high else needed

    return check


def as_whole(value: Any) -> Optional[int]:
    """The whole number that a value is, also as text; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.match(r"[+-]?[0-9]{1,15}\Z", value):
        return int(value)
    return None


def share(value: Any) -> Optional[str]:
    """A number from 1, or a percentage from 1% to 100%."""
    return None if share_of(value, 1) else "a whole number from 1, or a percentage from 1% to 100%"


def share_of(value: Any, count: int) -> Optional[int]:
    """So many of ``count``, at least 1: a number as it stands, a percentage rounded down; None for what is neither."""
    match = _SHARE.match(str(value).strip())
    if not match or (match[2] and int(match[1]) > 100):
        return None
    return max(count * int(match[1]) // 100, 1) if match[2] else int(match[1])


def moment(value: Any) -> Optional[str]:
    """A time of the day, a day, or both."""
    if isinstance(value, (bool, int, float)):
        # YAML reads 22:30 as a number of base 60.
        return 'a time in quotes, such as "05:00": without them YAML may read a number'
    good = moment_of(value, datetime.now(timezone.utc)) is not None
    return None if good else 'a time such as "05:00", a day such as "2026-12-01", or both as "2026-12-01T05:00"'


def maintenance(value: Any) -> Optional[str]:
    """Why a host is left alone, and until when."""
    needed = (
        'a mapping with a reason, and with or without a time, such as {reason: exchange of a fan, until: "2026-12-01"}'
    )
    if not isinstance(value, Mapping) or set(value) - {"reason", "until"}:
        return needed
    if not isinstance(value.get("reason"), str) or not value["reason"].strip() or line(value["reason"]):
        return needed
    wrong = None if value.get("until") in (None, "") else moment(value["until"])
    return "until: %s" % wrong if wrong else None


def number(low: float, high: float) -> Check:
    """A number within the bounds, both included."""
    needed = "a number from %g to %g" % (low, high)

    def check(value: Any) -> Optional[str]:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return needed
        try:
            return None if low <= float(value) <= high else needed  # false for nan
        except ValueError:
            return needed

    return check


def boolean(value: Any) -> Optional[str]:
    """A boolean, or a word that Ansible takes for one."""
    good = isinstance(value, bool) or (isinstance(value, (str, int, float)) and str(value).lower() in _BOOLEANS)
    return None if good else "true or false"


def line(value: Any) -> Optional[str]:
    """Text of one line."""
    good = isinstance(value, str) and not re.search(r"[\x00-\x1f\x7f]", value)
    return None if good else "text of one line"


def key(value: Any) -> Optional[str]:
    """A key that can stand in an HTTP header."""
    good = isinstance(value, str) and re.match(r"[\x21-\x7e]*\Z", value)
    return None if good else "text in quotes, of printable ASCII characters without blanks, as it is sent in a header"


def path(value: Any) -> Optional[str]:
    """An absolute path that docker, systemd and nginx can all be given."""
    if isinstance(value, str) and _PATH.match(value) and ".." not in value.split("/") and value.strip("/"):
        return None
    return "an absolute path below /, without `..`, blanks, line breaks or any of : ' \" \\ $ % ; { } * ? # | < > & `"


def controller_path(value: Any) -> Optional[str]:
    """An absolute path on the controller, which no other program is given."""
    good = line(value) is None and value.startswith("/")
    return None if good else "an absolute path of a folder on the controller"


def controller_file(value: Any) -> Optional[str]:
    """An absolute path of a file on the controller."""
    good = line(value) is None and value.startswith("/")
    return None if good else "an absolute path of a file on the controller"


def url(*schemes: str) -> Check:
    """A URL of one of the schemes, without credentials."""
    needed = "a URL such as %s://mirror.example.com, without user name, password or blanks" % schemes[0]

    def check(value: Any) -> Optional[str]:
        if not isinstance(value, str) or re.search(r"[\x00-\x20\x7f]", value):
            return needed
        try:
            parts = urlsplit(value)
            located = bool(parts.hostname) or (parts.scheme == "file" and bool(parts.path))
            anonymous = parts.username is None and parts.password is None
            good = parts.scheme in schemes and located and anonymous and parts.port != 0
        except ValueError:
            good = False
        return None if good else needed

    return check


def empty_or(check: Check) -> Check:
    """Nothing, or what ``check`` asks for."""

    def either(value: Any) -> Optional[str]:
        if value == "":
            return None
        needed = check(value)
        return needed and "%s; or nothing" % needed

    return either


def list_of(check: Check, noun: str) -> Check:
    """A list whose entries all pass ``check``."""

    def every(value: Any) -> Optional[str]:
        if not isinstance(value, (list, tuple)):
            return "a list of %s" % noun
        for index, entry in enumerate(value):
            needed = check(entry)
            if needed:
                return "a list of %s; [%d] is %s, and must be %s" % (noun, index, quote(entry), needed)
        return None

    return every


def replica_numbers(value: Any) -> Optional[str]:
    """Numbers of replicas: a list, one number, or text such as ``0,1``."""
    given = value if isinstance(value, (list, tuple)) else str(value).split(",")
    numbers = [as_whole(n.strip() if isinstance(n, str) else n) for n in given]
    good = not isinstance(value, bool) and all(n is not None and n >= 0 for n in numbers)
    return None if good else "numbers of replicas, such as 0,1"


def mapping(value: Any) -> Optional[str]:
    """A mapping."""
    return None if isinstance(value, Mapping) else "a mapping"


def address(value: Any) -> Optional[str]:
    """An address to listen on."""
    try:
        good = value == "*" or bool(ipaddress.ip_address(str(value).strip("[]")))
    except ValueError:
        good = False
    return None if good else "an IP address of the host, or * for all of them"


def address_and_port(value: Any) -> Optional[str]:
    """An address to listen on, and a port."""
    host, colon, port = str(value).rpartition(":")
    port_number = as_whole(port)
    good = colon and address(host) is None and port_number is not None and FIRST_PORT <= port_number <= LAST_PORT
    return None if good else "an address and a port from %d to %d, such as 127.0.0.1:8405" % (FIRST_PORT, LAST_PORT)


def source(value: Any) -> Optional[str]:
    """Who may ask: an address, a network, or a host's name."""
    try:
        good = bool(ipaddress.ip_network(str(value).strip("[]"), strict=False))
    except ValueError:
        good = isinstance(value, str) and bool(re.match(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z", value))
        good = good and not re.match(r"[0-9.]+\Z", str(value))  # an address that is none
    return None if good and not isinstance(value, (int, bool)) else "an IP address, a network or a host's name"


def address_with_prefix(value: Any) -> Optional[str]:
    """An address of a network, with the length of its prefix."""
    try:
        good = isinstance(value, str) and "/" in value and bool(ipaddress.ip_interface(value))
    except ValueError:
        good = False
    return None if good else "an address with its prefix, such as 192.0.2.10/24"


def port_range(value: Any) -> Optional[str]:
    """One port, or the first and the last of several."""
    return (
        None if as_ports(value) else "a port or FIRST-LAST, such as 6881-6889, from %d to %d" % (FIRST_PORT, LAST_PORT)
    )


def as_ports(value: Any) -> Optional[tuple[int, int]]:
    """The first and the last port of a range as text; None where it is none."""
    match = re.match(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z", str(value))
    if not match or isinstance(value, bool):
        return None
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    return (first, last) if FIRST_PORT <= first <= last <= LAST_PORT else None


#: Options of `docker run` that the unit of a replica sets itself, and that would break it a second time.
_OWN_DOCKER_OPTIONS = (
    "--name", "--rm", "-d", "--detach", "--restart", "--env-file", "-w", "--workdir", "--entrypoint", "--cidfile",
    "-i", "-t", "-it", "-itd", "--interactive", "--tty", "--net", "--network",
)  # fmt: skip


def docker_options(value: Any) -> Optional[str]:
    """More arguments of ``docker run``, one list entry for each."""
    needed = list_of(line, "texts, one for each argument")(value)
    if needed or not value:
        return needed
    if not value[0].startswith("-"):
        return "a list that begins with an option, such as --ulimit: docker takes %s for the image" % quote(value[0])
    for argument in value:
        if not argument.strip():
            return "arguments that are not empty"
        if argument.partition("=")[0] in _OWN_DOCKER_OPTIONS:
            return "options that the unit does not set itself: it sets %s" % argument.partition("=")[0]
    return None
