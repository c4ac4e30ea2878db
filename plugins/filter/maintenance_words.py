# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is left alone."""

from __future__ import annotations

DOCUMENTATION = r"""
name: maintenance_words
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.2.0
short_description: Say why a host is left alone
description:
  - Reads the variable C(fleet_maintenance) of a host. An upgrade leaves such a host out and names it.
  - Once its time is over, a host takes part again.
options:
  _input:
    description: A mapping with C(reason), and with or without C(until), such as V("2026-12-01T05:00").
    type: dict
"""

EXAMPLES = r"""
- name: Leave the host alone
  ansible.builtin.meta: end_host
  when: fleet_maintenance | default({}) | ascend.fleet.maintenance_words | length > 0
"""

RETURN = r"""
_value:
  description: Why the host is left alone; empty where it is not, or not any more.
  type: str
  sample: exchange of a fan (until 2026-12-01)
"""

from datetime import datetime
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._base.native import to_native_types
from ..module_utils._upgrade.window import WindowError, under_maintenance


def maintenance_words(value: Any) -> str:
    """See DOCUMENTATION."""
    try:
        return under_maintenance(to_native_types(value), datetime.now().astimezone()) or ""
    except WindowError as exc:
        raise AnsibleFilterError("maintenance_words: %s" % exc) from exc


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by name."""
        return {"maintenance_words": maintenance_words}
