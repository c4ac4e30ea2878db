# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of lfs_artifact: what a request came to, as data and in one sentence."""

from __future__ import annotations

import os
from typing import Any

from .._base.progress import human_bytes
from .manifest import content_id, listing
from .request import Outcome, Request
from .tree import Wanted


def result_of(request: Request, outcome: Outcome) -> dict[str, Any]:
    """Return the module's result, as its documentation describes it."""
    result: dict[str, Any] = {
        "changed": outcome.changed,
        "known": outcome.known,
        "settled": outcome.settled,
        "dest": outcome.dest,
        "request": request.key,
        "files": [dict(_file(w), file=os.path.join(outcome.dest, w.path)) for w in outcome.files],
        "missing": [_file(w) for w in outcome.missing],
        "removed": outcome.removed,
        "missing_bytes": outcome.missing_bytes,
        "downloaded_bytes": outcome.downloaded_bytes,
        "resumed_bytes": outcome.resumed_bytes,
        "shared": outcome.shared,
        "notes": outcome.notes,
        "diff": {
            "before_header": outcome.dest,
            "after_header": outcome.dest,
            "before": listing(outcome.before),
            "after": listing(outcome.after),
        },
        "msg": message_of(request, outcome),
    }
    if outcome.files:
        result["content"] = content_id({w.path: w.oid for w in outcome.files})
    for name in ("commit", "source", "moved_from"):
        if getattr(outcome, name):
            result[name] = getattr(outcome, name)
    return result


def message_of(request: Request, outcome: Outcome) -> str:
    """Say in one sentence what was found or done."""
    if not outcome.known:
        return "; ".join(outcome.notes)
    said = "%d files of %s" % (len(outcome.files), request.repository)
    if not outcome.changed:
        return "%s are complete and verified" % said
    gone = "; %d files of the commit before are removed" % len(outcome.removed) if outcome.removed else ""
    if outcome.downloaded_bytes or outcome.resumed_bytes:
        return "%s are complete and verified; %s were downloaded, %s resumed%s" % (
            said,
            human_bytes(outcome.downloaded_bytes),
            human_bytes(outcome.resumed_bytes),
            gone,
        )
    return "%s: %s to download%s" % (said, human_bytes(outcome.missing_bytes), gone)


def _file(w: Wanted) -> dict[str, Any]:
    return {"path": w.path, "oid": w.oid, "size": w.size, "lfs": w.lfs}
