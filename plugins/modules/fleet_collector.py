#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a host say what its chips and replicas do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_collector
short_description: Have a host write its metrics for node_exporter
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Installs a small program with a timer. It writes what C(npu-smi) says, under the names and in the units of the
    vendor's npu-exporter, and what this collection knows of the host, under C(ascend_fleet_*), to a file that the
    textfile collector of node_exporter reads.
  - There is one that asks the chips, never two. With O(source=npu_exporter) that is the vendor's npu-exporter, in a
    unit of its own, and the program says the rest.
  - For the role C(fleet_monitoring).
options:
  state:
    description:
      - V(present) installs it and lets it run.
      - V(paused) stops whatever asks the chips, as before another driver is installed. The files stay.
      - V(resumed) lets run again what V(paused) has stopped. Where it was never installed, nothing is done.
      - V(absent) removes it.
    type: str
    choices: [present, paused, resumed, absent]
    default: present
  source:
    description: Who asks the chips. V(none) is for a host that has none.
    type: str
    choices: [npu_smi, npu_exporter, none]
    default: npu_smi
  textfile_path:
    description: Folder that the textfile collector of node_exporter reads.
    type: path
    default: /var/lib/prometheus/node-exporter
  interval_seconds:
    description: How long after a look the next one begins.
    type: int
    default: 30
  slow_seconds:
    description: How often every chip is asked for its memory errors and its network.
    type: int
    default: 300
  expected_chips:
    description: How many chips a server of this generation has. 0 is not known.
    type: int
    default: 0
  disk_gib:
    description: Paths, and the room in GiB that the next release needs there. 0 is not known.
    type: dict
    default: {}
  certificates:
    description: Certificates whose end is told, where they are there.
    type: list
    elements: path
    default: []
  exporter_user:
    description: User of npu-exporter. It must exist, and the group C(HwHiAiUser) of the driver too.
    type: str
    default: hwMindX
  exporter_address:
    description: Address on which npu-exporter listens.
    type: str
    default: 127.0.0.1
  exporter_port:
    description: Port on which npu-exporter listens.
    type: int
    default: 8082
  findings:
    description:
      - What checks of the host have found, by their kind, as their reports say it of a host with C(checked),
        C(errors) and C(warnings).
      - Of a check that is not named, or has not looked at the host, what was told before stays.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the files before and after, without the program's own.
    support: full
  platform:
    description: Needs systemd.
    support: full
    platforms: linux
seealso:
  - module: ascend.fleet.fleet_prometheus
"""

EXAMPLES = r"""
- name: Have the host write its metrics
  ascend.fleet.fleet_collector:
    expected_chips: 8

- name: Have nobody ask the chips while the driver is exchanged
  ascend.fleet.fleet_collector:
    state: paused
"""

RETURN = r"""
steps:
  description: What was done, in this order. In check mode, what would be done.
  returned: success
  type: list
  elements: str
  sample: [write /etc/ascend-fleet/collector.json, start ascend-fleet-collector.timer]
missing:
  description: Programs that are needed beside it and not installed, which is node_exporter.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import shutil
import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base.files import write_atomically
from ..module_utils._host.service import hashes_of
from ..module_utils._host.systemd import Systemd, SystemdError
from ..module_utils._monitoring import collector, fleet_metrics, install

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "paused", "resumed", "absent"], "default": "present"},
    "source": {"type": "str", "choices": ["npu_smi", "npu_exporter", "none"], "default": "npu_smi"},
    "textfile_path": {"type": "path", "default": "/var/lib/prometheus/node-exporter"},
    "interval_seconds": {"type": "int", "default": 30},
    "slow_seconds": {"type": "int", "default": 300},
    "expected_chips": {"type": "int", "default": 0},
    "disk_gib": {"type": "dict", "default": {}},
    "certificates": {"type": "list", "elements": "path", "default": []},
    "exporter_user": {"type": "str", "default": "hwMindX"},
    "exporter_address": {"type": "str", "default": "127.0.0.1"},
    "exporter_port": {"type": "int", "default": 8082},
    "findings": {"type": "dict", "default": {}},
}
_GIB = 1024**3
_PROGRAM_FOLDERS = "/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/node_exporter"


class CollectorError(Exception):
    """What is wanted cannot be; the message says what was found, what is needed and what to do."""


def wanted_of(params: dict[str, Any]) -> install.Wanted:
    """What is wanted, from the arguments."""
    return install.Wanted(
        state=params["state"],
        config=collector.Config(
            source=params["source"],
            textfile=params["textfile_path"],
            slow_seconds=params["slow_seconds"],
            expected_chips=params["expected_chips"] or None,
            disk={str(path): int(float(gib) * _GIB) or None for path, gib in params["disk_gib"].items()},
            certificates=tuple(params["certificates"]),
        ),
        interval_seconds=params["interval_seconds"],
        exporter_user=params["exporter_user"],
        exporter_address=params["exporter_address"],
        exporter_port=params["exporter_port"],
        exporter_digest=hashes_of([install.EXPORTER_PROGRAM]).get(install.EXPORTER_PROGRAM, ""),
    )


def refuse_two(systemd: Systemd, wanted: install.Wanted) -> None:
    """Refuse to ask the chips beside somebody else."""
    if wanted.state != "present" or wanted.config.source == "none":
        return
    others = install.exporters_of_others(systemd.loaded(["npu-exporter*"]))
    states = systemd.show(others)
    running = [unit for unit in others if states[unit].get("ActiveState") in ("active", "activating")]
    if running:
        raise CollectorError(
            "found %s running; needed one that asks the chips, since npu-smi is slow for two. Fix: stop and disable "
            "it, or set fleet_monitoring_source to none for this host and have Prometheus ask it as it is" % running[0]
        )
    if wanted.config.source == "npu_exporter" and not os.access(install.EXPORTER_PROGRAM, os.X_OK):
        raise CollectorError(
            "found no program %s; needed the vendor's npu-exporter. Fix: set fleet_monitoring_npu_exporter_binary to "
            "the file on the controller, or fleet_monitoring_source to npu_smi" % install.EXPORTER_PROGRAM
        )


def missing_programs(state: str) -> list[str]:
    """node_exporter, where nobody has it by one of its names."""
    found = [shutil.which(name, path=_PROGRAM_FOLDERS) for name in ("prometheus-node-exporter", "node_exporter")]
    return ["node_exporter"] if state == "present" and not any(found) else []


def findings_text(host: install.CollectorHost, params: dict[str, Any], now: float) -> Optional[str]:
    """The findings' file with those that were found now; None where nobody has looked, or nothing has changed."""
    found = {source: about for source, about in params["findings"].items() if about and about.get("checked")}
    if not found or params["state"] == "absent":
        return None
    return install.with_findings(
        host.read(install.FINDINGS), {source: fleet_metrics.counts_of(about, now) for source, about in found.items()}
    )


def diff_of(host: install.CollectorHost, plan: install.Plan) -> list[dict[str, str]]:
    """Show what is written; the program itself is the collection's own."""
    return [
        {"before_header": path, "after_header": path, "before": host.read(path) or "", "after": text}
        for path, text in sorted(plan.write.items())
        if not path.startswith(install.FOLDER)
    ]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    systemd = Systemd(timeout=120)
    host = install.CollectorHost(systemd)
    try:
        wanted = wanted_of(params)
        if not module.check_mode:  # the binary may be copied by the same run
            refuse_two(systemd, wanted)
        plan = host.plan(wanted)
        diff = diff_of(host, plan)
        if not module.check_mode:
            if wanted.state == "present":
                os.makedirs(wanted.config.textfile, mode=0o755, exist_ok=True)
            host.carry_out(plan, absent=wanted.state == "absent")
            told = findings_text(host, params, time.time())
            if told is not None:  # when it was looked at is no change of the host
                write_atomically(install.FINDINGS, told, 0o644, folder_mode=0o755)
    except (CollectorError, SystemdError, RuntimeError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or install.SERVICE, exc.strerror or exc))
    module.exit_json(changed=bool(plan.steps), steps=plan.steps, missing=missing_programs(wanted.state), diff=diff)


if __name__ == "__main__":
    main()
