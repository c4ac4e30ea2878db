#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect what tells why a host does not serve as it should."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_diagnose
author: ascend.fleet contributors (@ascend-fleet)
version_added: 0.1.0
short_description: Collect a bundle for a bug report, without secrets
description:
  - Collects C(npu-smi), C(hccn_tool), the kernel's messages, versions, units, journals of the last start and the last
    failure, C(docker inspect), stacks of the engines, the logs of CANN and of the chips, the state of the gateway and
    of the host into one archive, and looks in them for the signatures of known failures.
  - Secrets are taken out while it reads, before anything is kept. These are values by their names, by their shapes, and
    those that this host is known to have.
  - Every source has a deadline and a limit. One that fails, hangs or is left out is named in RV(sources) and in the
    archive, with the reason. It is never a failure of the module.
  - The host is only read. The archive lies in a private folder of its own, mode 0700, until O(state=absent) removes it.
    Its action fetches the archive to O(dest) on the controller, and removes it from the host in any case.
options:
  state:
    description:
      - V(collected) writes an archive.
      - V(absent) removes the archive at O(path) with its folder.
    type: str
    choices: [collected, absent]
    default: collected
  dest:
    description: Folder on the controller for the archive. It is the action that uses it. Without it the archive stays.
    type: path
  name:
    description: Name of the archive, without its ending. The name of the host in the inventory by default.
    type: str
  path:
    description: The archive that O(state=absent) removes.
    type: path
  redact_addresses:
    description: Whether IP and MAC addresses are replaced too, each by a name of its own.
    type: bool
    default: false
  salt:
    description: >-
      Makes the names of O(redact_addresses). The action sets one that is the same on all hosts of a run, so that
      addresses can be compared, and unknown to whoever reads the archives.
    type: str
    default: ''
  device_logs:
    description: Whether C(msnpureport), where it is installed, is asked for the logs of the chips. It may take minutes.
    type: bool
    default: true
  timeout:
    description: For how many seconds sources are read. What remains then is left out.
    type: int
    default: 900
  size_mb:
    description: How large the archive may be before compression, in MiB.
    type: int
    default: 64
  folder:
    description: Folder on the host in which the archive's private folder is made.
    type: path
    default: /var/tmp
  progress:
    description: File on the host into which to write how far it is. The action plugin sets it, and prints lines.
    type: path
attributes:
  action:
    description: Prints how far it is, and fetches the archive.
    support: full
  async:
    description: Is refused, as the work runs detached in any case. O(timeout) limits it.
    support: none
  check_mode:
    description: Returns the names of what would be read in RV(sources), and collects nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux.
    support: full
    platforms: linux
notes:
  - Run it as root. Without root most of it cannot be read, which is then said in the archive.
seealso:
  - module: ascend.fleet.diagnose_report
  - module: ascend.fleet.npu_info
"""

EXAMPLES = r"""
- name: Collect a bundle of the host
  ascend.fleet.node_diagnose:
    dest: /srv/reports/diagnose-20261130
    redact_addresses: true
  register: diagnosis
"""

RETURN = r"""
index:
  description: What the archive holds and what was found, as in its C(index.json). Null in check mode.
  returned: when O(state=collected)
  type: dict
  contains:
    at:
      description: When it was made.
      type: str
    seconds:
      description: How long that took.
      type: float
    facts:
      description: The state of the host.
      type: dict
    signs:
      description: >-
        The signatures of known failures that were found, those that go on now first. Each has C(name), C(meaning),
        C(fix), the C(source) in the archive with the number of the C(line), and the C(lines) that show it.
      type: list
      elements: dict
    sources:
      description: >-
        Every source with its C(state), which is V(collected), V(empty), V(failed), V(timed out) or V(left out), and
        C(reason). C(cut) tells that only a part was kept.
      type: list
      elements: dict
    redacted:
      description: How many secrets (and addresses) were taken out.
      type: int
    never_taken:
      description: What is never collected.
      type: list
      elements: dict
    problems:
      description: What else could not be read.
      type: list
      elements: dict
  sample:
    schema: 1
    name: a2-1
    at: "2026-11-30T14:12:06Z"
    seconds: 41.2
    addresses_redacted: false
    redacted: 14
    facts:
      hostname: a2-1
      system: openEuler 22.03 (LTS-SP4)
      kernel: 5.10.0-216.0.0.115.oe2203sp4.aarch64
      architecture: aarch64
      driver: 25.2.0
      npu_smi: null
      chips: 8
      chips_not_ok: []
      units:
        - {unit: vllm-qwen3.5@0.service, release: qwen3_5_27b_v0, port: 8010, active: failed, sub: failed,
           result: exit-code, restarts: 7, stage: loading_weights}
      by_hand: []
      gateway: false
    signs:
      - name: stream_resources
        meaning: the card ran out of stream resources while graphs were captured
        fix: fewer cudagraph-capture-sizes, cudagraph_mode FULL_DECODE_ONLY, or a newer driver and CANN
        source: replicas/vllm-qwen3.5@0/failure.txt
        unit: vllm-qwen3.5@0.service
        at: "2026-11-30T13:58:11+0000"
        line: 812
        lines: ["RuntimeError: rtStreamCreateWithFlagsImpl, error code is 207008"]
        is_now: true
    sources:
      - {name: npu-smi/info.txt, title: npu-smi info, state: collected, reason: "", bytes: 4112, cut: false,
         redacted: 0, seconds: 1.2}
    never_taken:
      - {what: "/etc/ascend-fleet/*.env", why: "the variables of replicas, among them their API keys"}
    problems: []
archive:
  description: The archive on the host. Null in check mode.
  returned: when O(state=collected)
  type: str
  sample: /var/tmp/ascend-fleet-diagnose-x1y2z3/a2-1.tar.gz
size:
  description: Its size in bytes. Null in check mode.
  returned: when O(state=collected)
  type: int
  sample: 482113
sha256:
  description: Its hash. Null in check mode.
  returned: when O(state=collected)
  type: str
  sample: 4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
bundle:
  description: The archive on the controller. Null where it was not fetched.
  returned: when O(dest) is given
  type: str
  sample: /srv/reports/diagnose-20261130/a2-1.tar.gz
sources:
  description: The names of what is read.
  returned: when O(state=collected)
  type: list
  elements: str
  sample: [npu-smi/info.txt, kernel/driver.txt]
"""

import platform
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._base import detached
from ..module_utils._base.progress import write_report
from ..module_utils._diagnose import bundle, sources
from ..module_utils._diagnose.collect import Collector, Options
from ..module_utils._node.host import Host

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")


def main() -> None:
    """Collect, or remove what was collected."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["collected", "absent"], "default": "collected"},
            "dest": {"type": "path"},
            "name": {"type": "str"},
            "path": {"type": "path"},
            "redact_addresses": {"type": "bool", "default": False},
            "salt": {"type": "str", "default": "", "no_log": True},
            "device_logs": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 900},
            "size_mb": {"type": "int", "default": 64},
            "folder": {"type": "path", "default": "/var/tmp"},  # noqa: S108 - a private folder is made in it
            "progress": {"type": "path"},
        },
        required_if=[("state", "absent", ["path"])],
        supports_check_mode=True,
    )
    given = module.params
    try:
        if given["state"] == "absent":
            module.exit_json(changed=module.check_mode is False and bundle.remove(given["path"]))
        module.exit_json(changed=False, **_collect(given, check=module.check_mode, fail=module.fail_json))
    except (bundle.BundleError, OSError) as exc:
        module.fail_json(msg=str(exc))


def _collect(given: dict[str, Any], *, check: bool, fail: Any) -> dict[str, Any]:
    name = given["name"] or platform.node() or "host"
    if not _NAME.match(name):
        fail(msg="found the name %r; needed letters, digits, dots, dashes. Fix: another name" % name)
    for option in ("timeout", "size_mb"):
        if given[option] < 1:
            fail(msg="found %s: %d; needed 1 or more. Fix: leave it out" % (option, given[option]))
    options = Options(
        name=name,
        base=given["folder"],
        addresses=given["redact_addresses"],
        salt=given["salt"],
        seconds=float(given["timeout"]),
        size=given["size_mb"] * 1024 * 1024,
        device_logs=given["device_logs"],
    )

    def tell(number: int, count: int, title: str) -> None:
        write_report(given["progress"], {"number": number, "count": count, "title": title})

    collector = Collector(Host(), options, tell)
    if check:
        _looker, _look, every = collector.plan()
        nothing = dict.fromkeys(("index", "archive", "size", "sha256", "bundle"))
        return {**nothing, "sources": sources.names_of(every)}
    detached.remove_leftovers(given["progress"])
    bundle.remove_left(given["folder"])
    index = collector.collect()
    about = {"archive": index.pop("path"), "size": index.pop("size"), "sha256": index.pop("sha256")}
    return {"index": index, **about, "bundle": None, "sources": [entry["name"] for entry in index["sources"]]}


if __name__ == "__main__":
    main()
