# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of the host: who listens, and the ports of the chips' own network."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional, Sequence

from .._host import docker
from .._npu import hardware, hccn
from .host import Host
from .processes import describe_process

_LISTEN = "0A"


def read_ports(
    host: Host,
    ports: Sequence[int],
    scan: Mapping[int, Mapping[str, Any]],
    containers: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The TCP ports that are listened on (of ``ports``, or all when there are none), and by whom."""
    # Workers inherit their parent's sockets: the listener is the oldest, the one with the lowest number.
    sockets = {inode: pid for pid in sorted(scan, reverse=True) for inode in scan[pid]["sockets"]}
    by_id = {c["id"]: c for c in containers}
    published = {p: c for c in containers if c["state"] in docker.LIVE_STATES for p in c["published_ports"]}
    found: dict[tuple[int, Optional[int]], dict[str, Any]] = {}
    # Without IPv6 there is no tcp6.
    for table in (host.read_required("/proc/net/tcp"), host.read_noted("/proc/net/tcp6") or ""):
        for port, address, inode in parse_listeners(table):
            if ports and port not in ports:
                continue
            pid = sockets.get(inode)
            facts = scan.get(pid) if pid is not None else None
            described = describe_process(pid or 0, "", facts, by_id)
            container = described["container"]
            if container is None and port in published:
                container = {"name": published[port]["name"]}
                described["managed"] = docker.is_managed(published[port]["labels"])
            entry = {
                "port": port,
                "address": address,
                "pid": pid,
                "process": described["name"] or None,
                "container": container["name"] if container else None,
                "unit": described["unit"],
                "managed": described["managed"],
            }
            found.setdefault((port, pid), entry)
    return sorted(found.values(), key=lambda p: (p["port"], p["pid"] or 0))


def listener_words(entry: Mapping[str, Any]) -> str:
    """Who listens, of an entry of ``read_ports``, as messages name it."""
    if entry.get("container"):
        return "container `%s`" % entry["container"]
    if entry.get("unit"):
        return "systemd unit `%s`" % entry["unit"]
    return "process %s (%s)" % (entry["pid"], entry["process"]) if entry.get("pid") else "an unknown process"


def parse_listeners(text: str) -> list[tuple[int, str, str]]:
    """(port, address, inode) of every listening socket in ``/proc/net/tcp`` or ``tcp6``."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        address, _colon, port = fields[1].rpartition(":")
        try:
            found.append((int(port, 16), hex_address(address), fields[9]))
        except ValueError:
            continue
    return found


def hex_address(text: str) -> str:
    """An address as the kernel's socket tables print it (words in host order, little endian), made readable."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    octets = b"".join(words)
    if len(octets) == 4:
        return ".".join(str(o) for o in octets)
    if not any(octets):
        return "::"
    if octets[:12] == b"\0" * 10 + b"\xff\xff":
        return ".".join(str(o) for o in octets[12:])
    return ":".join("%x" % int.from_bytes(octets[i : i + 2], "big") for i in range(0, 16, 2))


_HCCN_SECONDS = 10.0  # of one answer of hccn_tool; what works answers within one
_HCCN_OPTIONS = ("-link", "-net_health", "-ip", "-tls")
_HUNG_CHIPS = 2  # after so many that do not answer, the others are not asked
_NO_ANSWER = "did not end within its deadline"


def read_hccn(host: Host, indices: Sequence[int] = ()) -> dict[str, Any]:
    """The chips' own network: what its file configures, and what hccn_tool says of each chip.

    A chip that does not answer in time is not asked further, and after two such chips none is: what hangs costs two
    deadlines, not one for every chip. One question at a time: hccn_tool refuses a second one as busy.
    """
    kind = host.kind("/etc/hccn.conf")
    conf = hccn.parse_conf(host.read_noted("/etc/hccn.conf") or "") if kind == "file" else {}
    addresses = {index: values["address"] for index, values in conf.items() if values.get("address")}
    tool = host.which("hccn_tool") or hardware.HCCN_TOOL
    links = _read_links(host, tool, indices) if host.kind(tool) == "file" else []
    return {
        "present": kind == "file",
        "kind": kind,
        "addresses": [{"index": n, "address": addresses[n]} for n in sorted(addresses)],
        "links": links,
    }


def _read_links(host: Host, tool: str, indices: Sequence[int]) -> list[dict[str, Any]]:
    deadline = min(_HCCN_SECONDS, host.timeout)
    links = []
    hung: list[int] = []
    failures: dict[tuple[str, str], list[int]] = {}  # (option, what was said) -> the chips
    first: dict[tuple[str, str], str] = {}  # the command of the first of them
    skipped = []
    for index in indices:
        answers: dict[str, Any] = {}
        if len(hung) >= _HUNG_CHIPS:
            skipped.append(index)
            continue
        for option in _HCCN_OPTIONS:
            said, failure = _ask_hccn(host, tool, index, option, deadline)
            if failure is None:
                answers[option] = said
                continue
            failures.setdefault((option, failure[1]), []).append(index)
            first.setdefault((option, failure[1]), failure[0])
            if failure[1] == _NO_ANSWER:
                hung.append(index)
                break
        if "-link" in answers:
            links.append(
                {
                    "index": index,
                    "status": answers["-link"],
                    "health": answers.get("-net_health"),
                    "ip": answers.get("-ip"),
                    "tls": answers.get("-tls"),
                }
            )
    for (option, words), chips in failures.items():
        host.problem(
            "hccn_tool %s -g" % option,
            "`%s` %s (davinci%s)" % (first[(option, words)], words, ", ".join(str(n) for n in chips)),
        )
    if skipped:
        host.problem(
            "hccn_tool",
            "davinci%s not asked, because davinci%s did not answer"
            % (", ".join(str(n) for n in skipped), ", ".join(str(n) for n in hung)),
        )
    return links


def _ask_hccn(host: Host, tool: str, index: int, option: str, timeout: float) -> tuple[Any, Optional[tuple[str, str]]]:
    """An answer, or the command and how it failed."""
    done = host.run([tool, "-i", str(index), option, "-g"], timeout=timeout)
    command = " ".join(done.argv)
    if done.timed_out:
        return None, (command, _NO_ANSWER)
    parse: dict[str, Callable[[str], Any]] = {
        "-link": hccn.parse_link,
        "-net_health": hccn.parse_net_health,
        "-ip": hccn.parse_ip,
        "-vnic": hccn.parse_ip,
        "-tls": hccn.parse_tls,
    }
    failure = done.describe()[len("`%s` " % command) :]
    if done.ok:
        try:
            return parse[option](done.stdout), None
        except hccn.HccnError as exc:
            failure = "cannot be used: %s" % exc
    if option == "-ip":
        # The chips of an A3 have their address on a virtual port.
        said, failed = _ask_hccn(host, tool, index, "-vnic", timeout)
        if failed is None:
            return said, None
    return None, (command, failure)
