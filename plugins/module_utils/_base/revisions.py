# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which revisions of something are superfluous, by when each was last used and by what is in use now."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional, Sequence


@dataclass(frozen=True)
class Revision:
    """Something that there is in several revisions; those of one ``group`` replace each other.

    ``used_at`` is the time of its last use, in seconds since 1970. Revisions with the same time were asked for
    together, as the archives for two generations are: they count as one revision.
    """

    name: str
    group: str
    used_at: float
    folder: str = ""
    request: str = ""


def superfluous(revisions: Sequence[Revision], keep: int, in_use: Iterable[str]) -> list[Revision]:
    """Return what may go: of each group all but the ``keep`` latest, and never what is in use.

    Those in use count among the kept ones. Nothing is superfluous when ``keep`` is 0.
    """
    used = set(in_use)
    groups: dict[str, dict[float, list[Revision]]] = {}
    for revision in revisions:
        groups.setdefault(revision.group, {}).setdefault(revision.used_at, []).append(revision)
    found = []
    for times in groups.values() if keep > 0 else ():
        together = sorted(times.items(), key=lambda t: (any(r.name in used for r in t[1]), t[0]), reverse=True)
        found += [revision for _time, members in together[keep:] for revision in members if revision.name not in used]
    return sorted(found, key=lambda r: r.name)


def later_uses(used_at: Mapping[str, float], *classes: Iterable[str], now: Optional[float] = None) -> dict[str, float]:
    """Return new times of use, where needed, so that each class of names was used later than all before it.

    ``used_at`` is the time by name. The members of one class get the same time. Names in no class come before all
    classes. A name in several classes belongs to the last one. Nothing is returned while the order is right already,
    so that a run that finds nothing new writes nothing.
    """
    ordered: list[set[str]] = []
    for members in classes:
        chosen = set(members) & set(used_at)
        ordered = [earlier - chosen for earlier in ordered] + [chosen]
    placed: set[str] = set().union(*ordered)
    latest = max((used_at[name] for name in used_at if name not in placed), default=0.0)
    clock = time.time() if now is None else now
    changed: dict[str, float] = {}
    for members in ordered:
        if not members:
            continue
        times = {used_at[name] for name in members}
        if len(times) > 1 or min(times) <= latest:
            # The clock may have been set back: nothing that was used before may look later.
            moment = max([clock, latest + 1, *times])
            changed.update((name, moment) for name in members)
            latest = moment
        else:
            latest = min(times)
    return changed


def mentions(text: str, path: str) -> bool:
    """Whether a text names a folder or something in it, and not only another one that begins like it."""
    return re.search(re.escape(path.rstrip("/")) + r"(?![A-Za-z0-9._@+-])", text) is not None
