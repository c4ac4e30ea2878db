# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a change of the fleet does not go on with the next wave."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

#: What stops a change. ``bad``: the new release does not prove itself, so that what was changed goes back. ``lost``:
#: something else has failed. ``stopped``: an operator has asked for it. ``later``: the time is over. ``asks``: the bake
#: was not clear.
BAD, LOST, STOPPED, LATER, ASKS = "bad", "lost", "stopped", "later", "asks"
#: Of several hosts of a wave, what comes first decides.
_ORDER = (BAD, LOST, STOPPED)


def stop_of(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Why the change stops, from the outcomes of the hosts of a wave; empty where it goes on.

    outcomes: by host, ``kind`` (one of BAD, LOST, STOPPED; empty where all is well) and ``why``.
    """
    for kind in _ORDER:
        hosts = [host for host, about in outcomes.items() if about.get("kind") == kind]
        if hosts:
            lines = ["%s: %s" % (host, outcomes[host].get("why") or "see above") for host in hosts]
            return {"kind": kind, "why": "\n".join(lines)}
    return {}


def lost(names: Sequence[str]) -> dict[str, str]:
    """Why no further wave begins after these hosts were lost."""
    return {
        "kind": LOST,
        "why": "found %s lost or failed; needed them changed before further hosts are. Fix: bring them back, and run "
        "the playbook again; it goes on where it stopped" % ", ".join(names),
    }


def asked(stop: Mapping[str, Any]) -> str:
    """Who has asked the change to stop. stop: ``by`` and ``at``, as the lease has it."""
    return "%s has asked at %s that the change stops. The same command goes on with it" % (stop["by"], stop["at"])
