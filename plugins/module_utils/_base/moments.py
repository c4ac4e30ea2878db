# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time as an operator writes them: ``05:00``, ``2026-12-01``, ``2026-12-01T05:00``."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any, Optional

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?\Z"
)


def moment_of(value: Any, now: datetime) -> Optional[datetime]:
    """The point in time that ``value`` means, with its time zone; None where it means none.

    A time of the day is the next one after ``now``. A day lasts to its end. What names no time zone is local time of
    this machine. now: with a time zone.
    """
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    clock = _CLOCK.match(text)
    if clock:
        local = now.astimezone().replace(tzinfo=None)
        found = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (found if found > local else found + timedelta(days=1)).astimezone()
    try:
        if _DAY.match(text):
            return (datetime.fromisoformat(text) + timedelta(days=1)).astimezone()
        if _MOMENT.match(text):
            found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
            return found.astimezone()
    except (ValueError, OverflowError):
        pass
    return None
