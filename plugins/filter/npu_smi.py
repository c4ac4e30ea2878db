# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter ascend.fleet.npu_smi: the text of an npu-smi command as data."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: npu_smi
short_description: Turn the text of an npu-smi command into data
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Reads what C(npu-smi) prints, in the layouts of npu-smi 20.2 to 26.1 and of the Ascend 310, 310P, 310B, 910, A2,
    A3 and 950 families, and returns plain data.
  - Columns are found by the words of their headings. A value is read whole or not at all. What cannot be read is
    V(none) with a warning that quotes the line; it is never V(0) and never a guess.
  - A table that is cut off, or has no chips, is an error, because it looks like a healthy host with fewer chips.
  - Two cuts cannot be seen in the text alone. A table that is cut directly below the C(=) border between two NPUs is
    the table of a host with fewer NPUs, without a process table; compare the number of chips with V(info -m).
    Where the process table is cut below a border, the rows of further NPUs are missing; C(warnings) names every NPU
    without a row.
  - Text without a table is npu-smi's own complaint, and becomes an error with its words, their meaning and what to do.
  - The module M(ascend.fleet.npu_info) returns the same data, for a host that can be reached.
positional: command
options:
  _input:
    description: What the command printed on its standard output.
    type: str
    required: true
  command:
    description:
      - The command that printed it, by its own words.
      - V(info) is the main table. V(info -m) is the list of chips with their logic and physical ids,
        V(info -t topo) the topology matrix. Everything else is read as blocks of keys and values, such as V(info -l),
        V(info -t board), V(info -t common), V(info -t usages), V(info -t health) or V(info -t ecc).
      - A leading C(npu-smi), and options such as C(-i 0 -c 0), may be there.
      - The output of C(info watch), C(info proc) and of the help texts is not read.
    type: str
    default: info
seealso:
  - module: ascend.fleet.npu_info
"""

EXAMPLES = r"""
---
- name: Ask for the cards of a host
  ansible.builtin.command:
    cmd: npu-smi info
  register: npu_smi_table
  changed_when: false

- name: Refuse a host with an unhealthy chip
  ansible.builtin.assert:
    that: >-
      (npu_smi_table.stdout | ascend.fleet.npu_smi).devices
      | rejectattr('health', 'equalto', 'OK') | length == 0

- name: Show the temperatures that a saved output tells
  ansible.builtin.debug:
    msg: >-
      {{ (lookup('ansible.builtin.file', 'npu-smi-info.txt') | ascend.fleet.npu_smi).devices
         | map(attribute='temperature_celsius') | list }}

- name: Ask which chip is which
  ansible.builtin.command:
    cmd: npu-smi info -m
  register: npu_smi_mapping
  changed_when: false

- name: Show the chips without the board controllers
  ansible.builtin.debug:
    msg: "{{ (npu_smi_mapping.stdout | ascend.fleet.npu_smi(command='info -m')).chips | rejectattr('mcu') | list }}"
"""

RETURN = r"""
---
_value:
  description:
    - For V(info), a dictionary of C(npu_smi_version), C(driver_version), C(devices), C(process_table), C(processes)
      and C(warnings). A device has C(npu_id), C(chip_id), C(phy_id), C(device_id), C(name), C(health),
      C(power_watts), C(temperature_celsius), C(hugepages_used), C(hugepages_total), C(bus_id),
      C(utilization_percent), C(memory_used_mb), C(memory_total_mb), C(hbm_used_mb) and C(hbm_total_mb). A process has
      C(npu_id), C(chip_id), C(pid), C(container_pid), C(name) and C(memory_mb).
    - For V(info -m), a dictionary of C(chips) and C(warnings). A chip has C(npu_id), C(chip_id), C(logic_id),
      C(phy_id), C(name) and C(mcu).
    - For V(info -t topo), a dictionary of C(devices), C(links), C(cpu_affinity) and C(warnings).
    - For every other command, a dictionary of C(blocks) and C(warnings). A block has C(npu_id), C(chip_id), C(mcu)
      and C(values). Values of the board controller (MCU) are in blocks of their own.
  type: dict
  sample:
    npu_smi_version: 25.2.0
    driver_version: 25.2.0
    devices:
      - npu_id: 0
        chip_id: 0
        phy_id: null
        device_id: null
        name: 910B3
        health: OK
        power_watts: 91.8
        temperature_celsius: 36
        hugepages_used: 0
        hugepages_total: 0
        bus_id: "0000:C1:00.0"
        utilization_percent: 0
        memory_used_mb: 0
        memory_total_mb: 0
        hbm_used_mb: 3402
        hbm_total_mb: 65536
    process_table: true
    processes: []
    warnings: []
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError, AnsibleTypeError

from ..module_utils._base.native import to_native_types
from ..module_utils._npu.errors import NpuSmiError
from ..module_utils._npu.smi_commands import parse_command


def npu_smi(value: Any, command: Any = "info") -> dict[str, Any]:
    """Return the data that the text of an npu-smi command holds."""
    text, words = to_native_types(value), to_native_types(command)
    if not isinstance(value, (str, bytes)) or not isinstance(text, str):
        raise AnsibleTypeError(
            "ascend.fleet.npu_smi: found %s, needed the text that npu-smi printed (`.stdout` of a registered command)"
            % type(text).__name__
        )
    if not isinstance(words, str):
        raise AnsibleTypeError(
            "ascend.fleet.npu_smi: found %s as command, needed text such as 'info -m'" % type(words).__name__
        )
    try:
        result: dict[str, Any] = parse_command(text, words)
    except NpuSmiError as exc:
        raise AnsibleFilterError("ascend.fleet.npu_smi: %s" % exc) from exc
    except ValueError as exc:
        raise AnsibleFilterError("ascend.fleet.npu_smi: command: %s" % exc) from exc
    return result


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file."""
        return {"npu_smi": npu_smi}
