# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a systemd unit that runs one replica, and what it says about itself."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from .settings import ServingError

MARK = "# Managed by ascend.fleet:"
# The delay before a restart grows from the first to the last of these seconds in so many steps.
RESTART_SECONDS = 10
RESTART_MAX_SECONDS = 300
RESTART_STEPS = 5
# The version of systemd that can do this itself.
RESTART_STEPS_VERSION = 254
# A unit that was started so often within so many seconds is not started again.
START_LIMIT = 8
START_LIMIT_SECONDS = 3600
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+\Z")


def systemd_quote(argument: str) -> str:
    """One argument of ``ExecStart=`` so that systemd hands over exactly these characters."""
    if "\0" in argument:
        raise ServingError("found a NUL character in an argument; needed text")
    text = argument.replace("%", "%%").replace("$", "$$")
    if _PLAIN.match(argument):
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return '"%s"' % text


def systemd_command(argv: Sequence[str]) -> str:
    """A whole command, an option with its value on a line of its own, so that a change shows as one line of a diff."""
    lines: list[list[str]] = [[]]
    for argument in argv:
        full = len(lines[-1]) == 2 and lines[-1][0].startswith("-")
        if lines[-1] and (full or argument.startswith("-")):
            lines.append([])
        lines[-1].append(systemd_quote(argument))
    return " \\\n    ".join(" ".join(line) for line in lines)


def unit_text(
    name: str,
    *,
    description: str,
    container: str,
    docker_argv: Sequence[str],
    metadata: Mapping[str, Any],
    stop_seconds: int,
    delay_argv: Sequence[str] = (),
    wait_argv: Sequence[str] = (),
    wait_seconds: int = 0,
) -> str:
    """The unit of one replica: a container in the foreground, its output in the journal, always started again.

    The API server ends with status 0 when its engine has died, so only ``Restart=always`` brings it back. The delay
    between two starts grows from RESTART_SECONDS to RESTART_MAX_SECONDS; the start limit ends a loop of crashes, which
    the unit in ``OnFailure=`` then tells. A container that a killed docker client left behind is removed before each
    start. ``wait_argv`` is run before a start and may take ``wait_seconds``; ``delay_argv`` too, where systemd has no
    growing delay of its own (``for_systemd``).
    """
    docker = systemd_quote(docker_argv[0])
    lines = [
        MARK + " changes here are overwritten. Your own settings: systemctl edit %s" % name,
        "[Unit]",
        "Description=" + description.replace("%", "%%"),
        "After=docker.service network-online.target",
        "Requires=docker.service",
        "Wants=network-online.target",
        "OnFailure=ascend-fleet-failed@%n.service",
        "StartLimitIntervalSec=%d" % START_LIMIT_SECONDS,
        "StartLimitBurst=%d" % START_LIMIT,
        "",
        "[Service]",
        "Type=simple",
        "ExecStartPre=-%s rm --force %s" % (docker, container),
    ]
    if delay_argv:
        lines.append("ExecStartPre=-" + " ".join(systemd_quote(a) for a in delay_argv))
    if wait_argv:
        lines.append("ExecStartPre=" + " ".join(systemd_quote(a) for a in wait_argv))
    lines += [
        "ExecStart=" + systemd_command(docker_argv),
        "ExecStop=-%s stop --time %d %s" % (docker, stop_seconds, container),
        "ExecStopPost=-%s rm --force %s" % (docker, container),
        "Restart=always",
        "RestartSec=%d" % RESTART_SECONDS,
        "RestartSteps=%d" % RESTART_STEPS,
        "RestartMaxDelaySec=%d" % RESTART_MAX_SECONDS,
        "TimeoutStartSec=%d" % (300 + RESTART_MAX_SECONDS + wait_seconds),
        "TimeoutStopSec=%d" % (stop_seconds + 30),
        "LogRateLimitIntervalSec=0",
        "",
        "[Install]",
        "WantedBy=multi-user.target docker.service",
        "",
        "# For ascend.fleet itself; systemd ignores sections that begin with X-.",
        "[X-AscendFleet]",
    ]
    lines += ["%s=%s" % (key, value) for key, value in metadata.items()]
    return "\n".join(lines) + "\n"


def for_systemd(content: str, version: int) -> str:
    """A unit's text for this version of systemd: with its own growing delay, or with the command that stands in for it.

    A key that systemd does not know would be a warning in the journal at every reload.
    """
    unwanted = ("ExecStartPre=-/bin/sh ",) if version >= RESTART_STEPS_VERSION else ("RestartSteps=", "RestartMaxDelay")
    return "".join(line for line in content.splitlines(True) if not line.startswith(unwanted))
