# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the engines on a host: written into the state, which the engines read (see ../engine/README.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim_state import faults

if TYPE_CHECKING:
    from sim_state import State


def break_engine(state: State, argument: str | None) -> None:
    faults(state)["engine"] = {"fault": argument or "garbled"}


def break_running_engine(name: str, value: str | None = None) -> Callable[[State, str | None], None]:
    """A trouble of engines that run now: ``[PORT|all][,VALUE]``; ``value`` is the VALUE of who gives none.

    Engines that start later do not have it (engine-start apart): a restart cures it.
    """

    def apply(state: State, argument: str | None) -> None:
        port, _, given = (argument or "all").partition(",")
        if port != "all" and not port.isdigit():
            raise SystemExit(f"ascend-sim: {name} {argument}: give the engine's port, or all")
        entry: dict[str, Any] = {"since": time.time()}
        if value is None and given:
            raise SystemExit(f"ascend-sim: {name} takes no value, found {given}")
        if value is not None:
            try:
                entry["value"] = float(given or value)
            except ValueError:
                raise SystemExit(f"ascend-sim: {name} {argument}: {given} is no number") from None
        faults(state).setdefault(name, {})[port] = entry

    return apply
