# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of the gateway's servers, in the file that HAProxy reads when it starts: also a program of its own.

HAProxy takes from this file who is drained and who is up, but also the port of every server: a replica that has moved
would be asked at its old one. So the file is brought into line with the configuration before HAProxy reads it. A server
that the file does not know yet begins as down, until its check has found it well.

The role puts this file on the gateway, where the unit runs it: it uses the standard library alone.
Usage: gateway_state.py save|fix CONFIG STATE_FILE SOCKET DRAIN_RECORDS
       gateway_state.py check SOCKET
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from typing import Optional

#: The columns of HAProxy 2.4 and later, where no file says others.
COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)
_VERSION = "1"
#: Its servers have no state: the metrics of the engines are read through it.
_WITHOUT_STATE = "replicas"
_DRAINED = "8"
#: A server that nobody has looked at: down, not drained, its check enabled and without a result.
_NEW = {
    "srv_addr": "-",
    "srv_op_state": "0",
    "srv_uweight": "1",
    "srv_iweight": "1",
    "srv_check_status": "6",
    "srv_check_result": "3",
    "srv_check_state": "6",
    "srv_fqdn": "-",
    "srvrecord": "-",
    "srv_check_addr": "-",
    "srv_agent_addr": "-",
}


def servers_of(config: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Address and port of every server of a configuration, by backend and server."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    backend = ""
    for line in config.splitlines():
        words = line.split()
        if line and not line[0].isspace():
            backend = words[1] if words[0] == "backend" and len(words) > 1 else ""
        elif backend not in ("", _WITHOUT_STATE) and words and words[0] == "server" and len(words) > 2:
            address, _colon, port = words[2].rpartition(":")
            found[backend, words[1]] = (address.strip("[]"), port)
    return found


def fixed(state: Optional[str], config: str, drained: frozenset[str] = frozenset()) -> str:
    """The state file for this configuration. ``state``: the file as it was, or None.

    drained: ``BACKEND/SERVER`` of what somebody has drained. It counts for servers that the file does not know: for
    the others the file says later what was last decided.
    """
    lines = (state or "").strip().splitlines()
    usable = len(lines) > 1 and lines[0].strip() == _VERSION and lines[1].startswith("#")
    columns = lines[1].lstrip("# ").split() if usable else COLUMNS.split()
    rows = {}
    for line in lines[2:] if usable else []:
        fields = dict(zip(columns, line.split()))
        if len(fields) == len(columns):
            rows[fields.get("be_name", ""), fields.get("srv_name", "")] = fields
    out = [_VERSION, "# " + " ".join(columns)]
    for (backend, server), (address, port) in servers_of(config).items():
        row = {name: _NEW.get(name, "0") for name in columns}
        row.update(be_name=backend, srv_name=server, srv_port=port)
        known = rows.get((backend, server))
        if known is None:
            row["srv_admin_state"] = _DRAINED if "%s/%s" % (backend, server) in drained else "0"
        elif known["srv_port"] == port and _is_at(address, known["srv_addr"]):
            row = known
        else:
            row["srv_admin_state"] = known["srv_admin_state"]  # what was decided holds, what was measured does not
        out.append(" ".join(row[name] for name in columns))
    return "\n".join(out) + "\n"


def _is_at(wanted: str, known: str) -> bool:
    """Whether an address is the one that HAProxy had. A name may stand for any address."""
    try:
        return known == "-" or ipaddress.ip_address(wanted) == ipaddress.ip_address(known)
    except ValueError:
        return True


def drained_by_records(text: Optional[str]) -> frozenset[str]:
    """``BACKEND/SERVER`` of every record; none where there are no records that can be read."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return frozenset()
    return frozenset(found) if isinstance(found, dict) else frozenset()


def ask(path: str) -> str:
    """HAProxy's own account of its servers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(b"show servers state\n")
        chunks = list(iter(lambda: connection.recv(65536), b""))
    answer = b"".join(chunks).decode("utf-8", "replace")
    if answer.strip().splitlines()[:1] != [_VERSION]:
        raise ValueError("found no states in HAProxy's answer; needed version %s of them" % _VERSION)
    return answer


def check(path: str) -> int:
    """Whether HAProxy answers, as an exit status."""
    try:
        ask(path)
    except (OSError, ValueError):
        return 1
    return 0


def read(path: str) -> Optional[str]:
    """A file's text; None where it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def main(arguments: list[str]) -> int:
    """Save what runs, or bring what was saved into line, for the configuration as it lies there."""
    if len(arguments) == 2 and arguments[0] == "check":
        return check(arguments[1])
    if len(arguments) != 5 or arguments[0] not in ("save", "fix"):
        sys.stderr.write("%s\n" % __doc__)
        return 2
    action, config, target, path, records = arguments
    try:
        state = ask(path) if action == "save" else read(target)
        text = fixed(state, read(config) or "", drained_by_records(read(records)) if action == "fix" else frozenset())
        # Not the one writer of the collection: on the gateway this file stands alone.
        temporary = "%s.%d.tmp" % (target, os.getpid())
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
    except (OSError, ValueError) as exc:
        sys.stderr.write("ascend.fleet gateway: %s of %s failed: %s\n" % (action, target, exc))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
