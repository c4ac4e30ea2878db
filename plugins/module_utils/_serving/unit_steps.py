# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is on a host for a wanted unit to the steps that bring it about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from .container import SECRET
from .deployed import exec_start


@dataclass
class Present:
    """What is on the host for one wanted unit."""

    content: Optional[str] = None
    env: Optional[str] = None
    env_private: bool = True
    load: str = ""
    active: str = "inactive"
    sub: str = "dead"
    restarts: int = 0  # how often systemd has started it again by itself
    enabled: bool = False
    need_reload: bool = False
    container: Optional[str] = None  # its state, None when there is none
    config: Optional[str] = None  # the configuration the container runs


@dataclass
class Steps:
    """What is to be done with one wanted unit, and why it is (re)started."""

    write_unit: bool = False
    #: Only text around the engine's command differs: no reason for a restart.
    text_only: bool = False
    write_env: bool = False
    reload: bool = False
    enable: bool = False
    action: Optional[str] = None  # start | restart
    reason: Optional[str] = None
    directories: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The steps as words, in order."""
        pairs = (
            ("create folders", bool(self.directories)),
            ("write environment", self.write_env),
            ("write unit text" if self.text_only else "write unit", self.write_unit),
            ("reload systemd", self.reload),
            ("enable", self.enable),
        )
        return [word for word, needed in pairs if needed] + ([self.action] if self.action else [])


def decide(content: str, env: str, config: str, present: Present, *, start: bool, enable: bool) -> Steps:
    """What to do so that the unit is as wanted and its container runs the wanted configuration."""
    steps = Steps(
        write_unit=present.content != content,
        write_env=present.env != env or not present.env_private,
        enable=enable and not present.enabled,
    )
    steps.reload = steps.write_unit or present.need_reload
    other_command = present.content is not None and exec_start(present.content) != exec_start(content)
    steps.text_only = steps.write_unit and present.content is not None and not other_command
    if not start:
        return steps
    # The engine may run with files that were edited by hand, whatever its label says.
    edited = other_command or (present.env is not None and present.env != env)
    if present.active in ("inactive", "failed", "deactivating"):
        steps.action, steps.reason = "start", "it was %s" % present.active
    elif present.active == "activating" and (present.sub.startswith("auto-restart") or present.restarts):
        # The delay before the next start is minutes long in the end, and whoever runs this may have removed the cause.
        steps.action, steps.reason = "restart", "it had ended and waited for its next start"
    elif present.container is not None and present.config != config:
        steps.action, steps.reason = "restart", "its container runs another configuration"
    elif edited:
        steps.action, steps.reason = "restart", "its files differed from what is wanted"
    return steps


def mask(text: Optional[str]) -> str:
    """An environment file without its secret values."""
    shown = []
    for line in (text or "").splitlines():
        name, equals, _value = line.partition("=")
        shown.append("%s=(hidden)" % name if equals and SECRET.search(name) else line)
    return "".join(line + "\n" for line in shown)


def file_diff(path: str, before: Optional[str], after: Optional[str], *, secret: bool = False) -> dict[str, str]:
    """One entry of a diff; a secret that changed is mentioned, not shown."""
    old, new = (mask(before), mask(after)) if secret else (before or "", after or "")
    if secret and before is not None and after is not None and old == new and before != after:
        new += "(a hidden value changed)\n"
    return {
        "before_header": path if before is not None else "%s (absent)" % path,
        "after_header": path if after is not None else "%s (absent)" % path,
        "before": old,
        "after": new,
    }
