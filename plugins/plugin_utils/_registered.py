# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks have registered on the hosts of a play, for an action that reports on all of them."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

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


def together(words: Mapping[str, str]) -> list[str]:
    """What is said of hosts, by host; a line for each text, with all hosts that it holds for before it."""
    hosts: dict[str, list[str]] = {}
    for host, text in words.items():
        hosts.setdefault(text, []).append(host)
    return ["%s: %s" % (", ".join(names), text) for text, names in hosts.items()]


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


class AllHostsAction(ActionBase):
    """An action that runs once, on the controller, and looks at the results of all hosts of its play.

    Raises AnsibleActionFail under a strategy with which hosts are at different tasks.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        strategy = str(self._task.get_play().strategy).rsplit(".", 1)[-1]
        if strategy not in _STRATEGIES:
            raise AnsibleActionFail(
                "found strategy %s; needed linear (the default) or debug: with others the hosts are not at the same "
                "task when the results are read, and those that are behind would count as not checked. Fix: remove "
                "`strategy` from the play, and the variable ANSIBLE_STRATEGY or `strategy` in ansible.cfg" % strategy
            )
        return result


class PlayHosts:
    """The hosts of a play: all of them, those that have not failed, and those whose turn it is.

    For an action that is an AllHostsAction: with other strategies a host may only be behind.
    """

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
        self.everyone = [str(h) for h in task_vars.get("ansible_play_hosts_all") or []]
        self.alive = {str(h) for h in task_vars.get("ansible_play_hosts") or []}
        self._batch = {str(h) for h in task_vars.get("ansible_play_batch") or self.everyone}

    def absence(self, host: str, words: str) -> dict[str, str]:
        """Why a host has no result, by its name: ``words`` where it should have one. Empty: its turn comes later."""
        if host not in self.alive:
            return {host: "it failed or was unreachable before (see above)"}
        return {host: words} if host in self._batch else {}
