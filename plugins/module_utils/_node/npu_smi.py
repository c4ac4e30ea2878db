# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What npu-smi tells of the chips: its table, the chip map, the topology, the boards and the faults of chips."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .._base.text import printable
from .._npu import hardware, smi, smi_commands
from .._npu.errors import NpuSmiError, explain_error
from .host import Host


def empty() -> dict[str, Any]:
    """What ``read`` returns when nothing was asked."""
    return {
        "npu_smi": {
            "path": None,
            "exit_status": None,
            "timed_out": False,
            "error": None,
            "error_kind": None,
            "error_code": None,
            "error_meaning": None,
            "error_fix": None,
            "raw": "",
            "npu_smi_version": None,
            "driver_version": None,
            "warnings": [],
            "process_table": False,
            "directories": [],
        },
        "devices": [],
        "processes": [],
        "chips": [],
        "topology": None,
        "boards": {},
        "health": {},
    }


def read(
    host: Host,
    chosen: set[str],
    device_nodes: Sequence[Mapping[str, Any]] = (),
    pci: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Ask npu-smi for its table, the chip map, the topology, the boards' firmware and the faults of unhealthy chips.

    ``device_nodes`` and ``pci`` are those of ``devices``; they tell whether the table is whole where the map does not.
    """
    found = empty()
    tool = found["npu_smi"]
    tool["directories"] = [p for p in hardware.NPU_SMI_PATHS if host.kind(p) == "directory"]
    tool["path"] = host.which("npu-smi")
    if tool["path"] is None:
        if tool["directories"]:
            tool.update(error="%s is a directory, not a program" % tool["directories"][0], error_kind="directory")
        else:
            tool.update(
                error="npu-smi is not installed (looked in %s)" % ", ".join(hardware.NPU_SMI_PATHS),
                error_kind="missing",
            )
        return found
    done = host.run([tool["path"], "info"])
    tool["exit_status"], tool["timed_out"] = done.exit_status, done.timed_out
    tool["raw"] = printable(done.stdout or done.stderr, keep="\n\r\t")
    if done.timed_out:
        tool.update(
            error="npu-smi info did not answer within %g s" % host.timeout,
            error_kind="hung",
            error_meaning="The driver or a card hangs, and every program that asks it hangs too.",
            error_fix="look for hung processes with `ps -eo pid,stat,wchan,args | grep ' D'` and for faults with "
            "`dmesg`, then reboot the host",
        )
        return found
    try:
        table = smi.parse_info(done.stdout)
        if done.exit_status is not None and done.exit_status < 0:
            raise _truncated("npu-smi info was ended by signal %d while it printed" % -done.exit_status)
    except NpuSmiError as exc:
        if exc.kind == "tool":
            exc = explain_error(done.stdout, done.stderr, done.exit_status)
        tool.update(_error_of(exc))
        return found
    for key in ("npu_smi_version", "driver_version", "warnings", "process_table"):
        tool[key] = table[key]
    found["devices"], found["processes"] = table["devices"], table["processes"]
    if done.exit_status:
        tool["warnings"] = [*tool["warnings"], "npu-smi info ended with status %s" % done.exit_status]
    try:
        _read_more(host, chosen, found, device_nodes, pci)
    except NpuSmiError as exc:
        # What a table that is not whole says of processes is not whole either.
        return dict(empty(), npu_smi=dict(tool, process_table=False, **_error_of(exc)))
    return found


def _error_of(exc: NpuSmiError) -> dict[str, Any]:
    return {
        "error": exc.message,
        "error_kind": exc.kind,
        "error_code": exc.code,
        "error_meaning": exc.meaning,
        "error_fix": exc.fix,
    }


def _truncated(message: str) -> NpuSmiError:
    return NpuSmiError(message, None, "run `npu-smi info` on the host by hand and compare the chips", None, "truncated")


def _require_all_chips(
    found: Mapping[str, Any], device_nodes: Sequence[Mapping[str, Any]], pci: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse a table that is not known to have all chips: cut between two NPUs, it looks like a smaller host.

    A table of processes stands below all chips, so its beginning tells as well that none is missing.
    """
    shown = {(d["npu_id"], d["chip_id"]) for d in found["devices"]}
    missing = sorted({(c["npu_id"], c["chip_id"]) for c in found["chips"]} - shown)
    if missing:
        raise _truncated(
            "the table of npu-smi info has %d chips; `npu-smi info -m` also has %s"
            % (len(shown), ", ".join("NPU %s chip %s" % key for key in missing))
        )
    if found["chips"] or found["npu_smi"]["process_table"]:
        return
    nodes = sum(node["index"] is not None for node in device_nodes)
    if not nodes and not pci:
        raise _truncated(
            "the table of npu-smi info has %d chips; whether these are all is not known, as `npu-smi info -m`, the "
            "device nodes and the PCI bus tell of none" % len(shown)
        )
    if max(nodes, len(pci)) > len(shown):
        raise _truncated(
            "the table of npu-smi info has %d chips; the host has %d device nodes of NPUs and %d NPUs on the PCI bus, "
            "and `npu-smi info -m` gave no answer" % (len(shown), nodes, len(pci))
        )


def _read_more(
    host: Host,
    chosen: set[str],
    found: dict[str, Any],
    device_nodes: Sequence[Mapping[str, Any]],
    pci: Sequence[Mapping[str, Any]],
) -> None:
    """Ask npu-smi for more; raises NpuSmiError when that shows the table not to be whole."""
    path = found["npu_smi"]["path"]
    hung: list[str] = []

    def ask(*words: str) -> Optional[str]:
        done = host.run([path, "info", *words])
        if done.timed_out:
            hung.append(" ".join(words))
        if not done.ok:
            host.problem("npu-smi info " + " ".join(words), done.describe())
            return None
        return str(done.stdout)

    def parsed(text: Optional[str], *words: str) -> Optional[dict[str, Any]]:
        if text is None:
            return None
        try:
            answer: dict[str, Any] = smi_commands.parse_command(text, "info " + " ".join(words))
            return answer
        except NpuSmiError as exc:
            host.problem("npu-smi info " + " ".join(words), str(exc))
            return None

    answer = parsed(ask("-m"), "-m")
    found["chips"] = [c for c in (answer or {}).get("chips", []) if not c.get("mcu")]
    _require_all_chips(found, device_nodes, pci)
    if "topology" in chosen:
        answer = parsed(ask("-t", "topo"), "-t", "topo")
        if answer:
            found["topology"] = {k: answer.get(k) for k in ("devices", "links", "cpu_affinity")}
    for npu in dict.fromkeys(d["npu_id"] for d in found["devices"]):
        if "board" not in chosen or hung:
            break  # a tool that hangs once hangs again: do not wait for every card
        answer = parsed(ask("-t", "board", "-i", str(npu)), "-t", "board")
        if answer:
            found["boards"][npu] = merged_values(answer)
    for npu in dict.fromkeys(d["npu_id"] for d in found["devices"] if d["health"] != "OK"):
        if "board" not in chosen or hung:
            break
        for device in (d for d in found["devices"] if d["npu_id"] == npu and d["health"] != "OK"):
            key = (npu, device["chip_id"])
            answer = parsed(ask("-t", "health", "-i", str(npu), "-c", str(key[1])), "-t", "health")
            if answer:
                found["health"][key] = merged_values(answer)


def merged_values(answer: Mapping[str, Any]) -> dict[str, str]:
    """The values of every block that is not the management controller's, first one wins."""
    values: dict[str, str] = {}
    for block in answer.get("blocks", []):
        if not block.get("mcu"):
            for key, value in (block.get("values") or {}).items():
                values.setdefault(key, value)
    return values
