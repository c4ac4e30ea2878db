# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks have registered on the hosts of a play, for an action that reports on all of them."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..module_utils._base.native import to_native_types

#: Of a longer message a report shows so many characters.
MOST = 300
#: Strategies under which every host has ended a task before any host begins the next one.
_STRATEGIES = ("linear", "debug")


def failure(result: Mapping[str, Any], otherwise: str = "no reason was given", most: Optional[int] = None) -> str:
    """What a task that failed on a host said, in one line; ``unreachable: …`` where the host was.

    otherwise: for a result without a message. most: how many characters of the message are kept; None: all.
    """
    said = " ".join(str(result.get("msg") or result.get("module_stderr") or otherwise).split())
    words = said if most is None or len(said) <= most else said[: most - 1] + "…"
    return "unreachable: %s" % words if result.get("unreachable") else words


def unread(result: Any) -> Optional[str]:
    """Why a registered result of ``npu_info`` holds no node, in a line; None when it holds one."""
    result = to_native_types(result)
    if isinstance(result, Mapping) and isinstance(result.get("node"), Mapping):
        return None
    if not isinstance(result, Mapping):
        return "it was not read"
    if result.get("skipped"):
        return "it was unreachable before"
    words = failure(result, most=MOST)
    return words if result.get("unreachable") else "reading it failed: %s" % words


def wrong_strategy(task: Any) -> Optional[str]:
    """Why a task cannot report on all hosts of its play; None where it can."""
    strategy = str(task.get_play().strategy).rsplit(".", 1)[-1]
    if strategy in _STRATEGIES:
        return None
    return (
        "found strategy %s; needed linear (the default) or debug: with others the hosts are not at the same task when "
        "the report is made, and those that are behind would be reported as not checked. Fix: remove `strategy` from "
        "the play, and the variable ANSIBLE_STRATEGY or `strategy` in ansible.cfg" % strategy
    )


class PlayHosts:
    """The hosts of a play: all of them, those that have not failed, and those whose turn it is."""

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
        self.everyone = [str(h) for h in task_vars.get("ansible_play_hosts_all") or []]
        self.alive = {str(h) for h in task_vars.get("ansible_play_hosts") or []}
        self._batch = {str(h) for h in task_vars.get("ansible_play_batch") or self.everyone}

    def absence(self, host: str, words: str) -> dict[str, str]:
        """Why a host has no result, by its name: ``words`` where it should have one. Empty: its turn comes later."""
        if host not in self.alive:
            return {host: "it failed or was unreachable before (see above)"}
        return {host: words} if host in self._batch else {}
