# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks have registered on the hosts of a play, for an action that reports on all of them."""

from __future__ import annotations

from typing import Any, Mapping, Optional

#: Of a longer message a report shows so many characters.
MOST = 300


def failure(result: Mapping[str, Any], otherwise: str = "no reason was given", most: Optional[int] = None) -> str:
    """What a task that failed on a host said, in one line; ``unreachable: …`` where the host was.

    otherwise: for a result without a message. most: how many characters of the message are kept; None: all.
    """
    said = " ".join(str(result.get("msg") or result.get("module_stderr") or otherwise).split())
    words = said if most is None or len(said) <= most else said[: most - 1] + "…"
    return "unreachable: %s" % words if result.get("unreachable") else words


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
