# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a systemd unit that runs one replica, and what it says about itself."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from .settings import ServingError

MARK = "# Managed by ascend.fleet:"
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
) -> str:
    """The unit of one replica: a container in the foreground, its output in the journal, always started again.

    The API server ends with status 0 when its engine has died, so only ``Restart=always`` brings it back; the start
    limit ends a loop of crashes. A container that a killed docker client left behind is removed before each start.
    """
    docker = systemd_quote(docker_argv[0])
    lines = [
        MARK + " changes here are overwritten. Your own settings: systemctl edit %s" % name,
        "[Unit]",
        "Description=" + description.replace("%", "%%"),
        "After=docker.service network-online.target",
        "Requires=docker.service",
        "Wants=network-online.target",
        "StartLimitIntervalSec=3600",
        "StartLimitBurst=3",
        "",
        "[Service]",
        "Type=simple",
        "ExecStartPre=-%s rm --force %s" % (docker, container),
        "ExecStart=" + systemd_command(docker_argv),
        "ExecStop=-%s stop --time %d %s" % (docker, stop_seconds, container),
        "ExecStopPost=-%s rm --force %s" % (docker, container),
        "Restart=always",
        "RestartSec=10",
        "TimeoutStartSec=300",
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
