# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases that hosts of a play name, each with its lock. For the controller alone."""

from __future__ import annotations

from typing import Any, Callable, Optional

from ansible.plugins.loader import lookup_loader

from ..module_utils._base.native import to_native_types

#: A release with its lock; or None, and why there is none.
Release = tuple[Optional[dict[str, Any]], str]
_PLACES = ("fleet_release", "inventory_dir", "fleet_lock_path")


def reader(loader: Any, templar: Any) -> Callable[[str, Any], dict[str, Any]]:
    """What reads a release by its name, with the variables of a host."""

    def read(name: str, variables: Any) -> dict[str, Any]:
        lookup = lookup_loader.get("ascend.fleet.release", loader=loader, templar=templar)
        found: dict[str, Any] = to_native_types(lookup.run([name], variables=variables)[0])
        return found

    return read


class Releases:
    """Reads a release once for all hosts that look for it in the same places."""

    def __init__(self, read: Callable[[str, Any], dict[str, Any]]) -> None:
        self._read = read
        self._known: dict[tuple[str, ...], Release] = {}

    def of(self, variables: Any) -> Release:
        """The release of a host, by its variables."""
        try:
            key = tuple(str(variables[name]) if name in variables else "" for name in _PLACES)
        except Exception as exc:  # whatever a template of the user's raises
            return None, "that its variables cannot be used: %s" % " ".join(str(exc).split())
        if key not in self._known:
            try:
                self._known[key] = self._read(key[0], variables), ""
            except Exception as exc:  # the lookup's own words
                self._known[key] = None, " ".join(str(exc).split())
        return self._known[key]
