# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime socket of a HAProxy on this host. One client owns the connection, its deadline and its errors.

A command that HAProxy refuses, or does not answer in full within the deadline, raises HaproxyError: what HAProxy did
not say is unknown, and never an empty answer.
"""

from __future__ import annotations

import csv
import re
import socket
import time
from dataclasses import dataclass
from typing import Optional

from .._base.files import write_atomically
from .._base.text import printable

#: Where our gateway listens for commands, keeps the state of its servers, and notes who has drained what.
ADMIN_SOCKET = "/run/ascend-fleet-gateway/admin.sock"
STATE_FILE = "/var/lib/ascend-fleet/gateway/servers.state"
DRAIN_RECORDS = "/var/lib/ascend-fleet/gateway/drains.json"
#: The backend through which the engines' own /metrics are read: no request is sent and nothing is drained there.
METRICS_BACKEND = "replicas"
#: What a server's administrative state can be set to.
STATES = ("ready", "drain", "maint")

_STATE_VERSION = "1"
# Bits of srv_admin_state (HAProxy's management guide and server-t.h). The bits 1 and 8 are what the command
# `set server … state` sets and clears; the others come from the configuration, a tracked server, or DNS.
_MAINT_BITS = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
_DRAIN_BITS = 0x08 | 0x10
_COMMANDED_BITS = 0x01 | 0x08
_UP = "2"
#: HAProxy's word for a server that the agent of its host has taken out; no drain, and no health check that failed.
AGENT_DOWN = "DOWN (agent)"
_AGENT_REASON = re.compile(r"via agent : \S+ \((.*)\)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")
_STATE_COLUMNS = ("be_name", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_port")
_STAT_COLUMNS = ("pxname", "svname", "qcur", "scur", "status")
_NOT_SERVERS = frozenset({"FRONTEND", "BACKEND"})
_READ_BYTES = 65536
_FIX_STATE = "see `journalctl -u ascend-fleet-gateway -n 50`, and upgrade haproxy or this collection"


class HaproxyError(Exception):
    """HAProxy did not do or say what it was asked; the message names the command and the socket.

    ``listening`` is false where no process listens on the socket: the gateway is not installed or does not run.
    """

    def __init__(self, message: str, *, listening: bool = True) -> None:
        super().__init__(message)
        self.listening = listening


@dataclass(frozen=True)
class Server:
    """A server of a backend, as HAProxy sees it at this moment.

    ``admin_state`` is ``ready``, ``drain`` or ``maint``: whether it was taken out. ``commanded`` tells that the
    runtime socket did that, so that the runtime socket can undo it. ``status`` is HAProxy's own word (``UP``, ``DOWN``,
    ``no check`` …): what its health check and its agent say. ``agent_reason`` is why the agent has taken it out.
    ``sessions`` and ``queued`` are None where they were not asked.
    """

    backend: str
    name: str
    address: str
    port: Optional[int]
    admin_state: str
    commanded: bool
    status: str
    sessions: Optional[int] = None
    queued: Optional[int] = None
    agent_reason: str = ""

    @property
    def out_by_agent(self) -> bool:
        """Whether the agent of its host keeps it out. A drain covers that: HAProxy then says ``DRAIN (agent)``."""
        return self.status.startswith(AGENT_DOWN)

    @property
    def key(self) -> str:
        """``BACKEND/SERVER``, as commands name it."""
        return "%s/%s" % (self.backend, self.name)


class Haproxy:
    """The runtime socket at ``path``. ``timeout`` is the deadline of one command, in seconds."""

    def __init__(self, path: str = ADMIN_SOCKET, timeout: float = 10.0) -> None:
        self.path = path
        self.timeout = timeout

    # - queries -

    def ask(self, command: str, payload: str = "", *, secret: bool = False) -> str:
        """HAProxy's answer to one command, which may be empty.

        payload: lines that follow the command (``add map NAME <<``); without an empty line, which would end them.
        secret: whether command and answer must not be shown in errors.
        """
        shown = "%s …" % " ".join(command.split()[:2]) if secret else command
        if "\n" in command or "\r" in command or "\n\n" in payload.rstrip("\n"):
            raise HaproxyError("found a line break in the command `%s`; needed one line" % printable(shown))
        text = "%s <<\n%s\n\n" % (command, payload.rstrip("\n")) if payload else command + "\n"
        return self._exchange(text, shown)

    def info(self) -> dict[str, str]:
        """``show info`` by name, such as ``Version``, ``Pid`` and ``Uptime_sec``."""
        found = {}
        for line in self.ask("show info").splitlines():
            name, colon, value = line.partition(": ")
            if colon:
                found[name] = value
        if "Version" not in found:
            raise self._error("show info", "an answer without a version", "`Version: NUMBER`", _FIX_STATE)
        return found

    def servers(self, backend: str = "") -> list[Server]:
        """Every server (of one backend), in HAProxy's order, with sessions and queue."""
        state_command = "show servers state" + (" " + self._name(backend) if backend else "")
        found = parse_servers_state(self.ask(state_command), self._where(state_command))
        stat_command = "show stat"
        counts = parse_stat(self.ask(stat_command), self._where(stat_command))
        unknown = [s.key for s in found if (s.backend, s.name) not in counts]
        if unknown:
            raise self._error(
                stat_command, "no line about %s" % ", ".join(unknown), "one for every server", "run this again"
            )
        return [_with_counts(s, counts[s.backend, s.name]) for s in found]

    # - changes -

    def do(self, command: str, payload: str = "", *, secret: bool = False) -> None:
        """A command that says nothing when it succeeds; whatever it says is an error."""
        said = self.ask(command, payload, secret=secret).strip()
        if said:
            shown = "%s …" % " ".join(command.split()[:2]) if secret else command
            words = "an answer that is not shown" if secret else "the answer %r" % printable(said.splitlines()[0])
            raise self._error(shown, words, "no answer, which means done", "compare with `show servers state`")

    def set_state(self, backend: str, server: str, state: str) -> None:
        """Take a server out of new requests (``drain``), out of everything (``maint``), or undo both (``ready``)."""
        if state not in STATES:
            raise HaproxyError("found the state %r; needed one of: %s" % (state, ", ".join(STATES)))
        self.do("set server %s/%s state %s" % (self._name(backend), self._name(server), state))

    def save_state(self, path: str = STATE_FILE) -> None:
        """Write the state of all servers where HAProxy reads it at its next start."""
        text = self.ask("show servers state")
        parse_servers_state(text, self._where("show servers state"))
        write_atomically(path, text.strip("\n") + "\n", 0o600)

    # - the connection -

    def _exchange(self, text: str, shown: str) -> str:
        deadline = time.monotonic() + self.timeout
        chunks: list[bytes] = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(self.path)
                connection.sendall(text.encode("utf-8"))
                while True:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise socket.timeout()
                    connection.settimeout(left)
                    chunk = connection.recv(_READ_BYTES)
                    if not chunk:
                        break
                    chunks.append(chunk)
        except socket.timeout as exc:
            found = "no whole answer within %g s" % self.timeout
            raise self._error(shown, found, "one", "see whether the host is overloaded, and run this again") from exc
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            fix = "systemctl status ascend-fleet-gateway; where it was never installed, run gateway.yml"
            raise self._error(shown, "nobody listening", "a running gateway", fix, listening=False) from exc
        except OSError as exc:
            raise self._error(shown, exc.strerror or str(exc), "an answer", "run this as root") from exc
        answer = b"".join(chunks).decode("utf-8", "replace")
        if not answer:
            # Every answer, also that of a command that says nothing, ends with an empty line.
            raise self._error(shown, "the connection closed without an answer", "an answer", "run this again")
        said = printable(answer.strip().splitlines()[0]) if answer.strip() else ""
        if said.startswith(("Unknown command", "Permission denied")):
            raise self._error(shown, "the answer %r" % said, "a socket of level admin that knows it", _FIX_STATE)
        if said.startswith("Can't find backend"):
            fix = "compare with `show backend`; a backend of the inventory is there after gateway.yml"
            raise self._error(shown, "the answer %r" % said, "a backend of this gateway", fix)
        return answer.strip("\n")

    def _name(self, name: str) -> str:
        if not _NAME.match(name):
            raise HaproxyError("found %r as the name of a server or backend; needed letters, digits and _.:-" % name)
        return name

    def _where(self, command: str) -> str:
        return "`%s` to %s" % (printable(command), self.path)

    def _error(self, command: str, found: str, needed: str, fix: str, *, listening: bool = True) -> HaproxyError:
        message = "found: %s: %s; needed %s. Fix: %s" % (self._where(command), found, needed, fix)
        return HaproxyError(message, listening=listening)


def parse_servers_state(text: str, where: str = "`show servers state`") -> list[Server]:
    """The servers that are asked in ``show servers state``, and in its file; HaproxyError for a text of another form.

    ``status`` is made from the operational state here; ``parse_stat`` has HAProxy's own word.
    """
    lines = text.strip().splitlines()
    if not lines or lines[0].strip() != _STATE_VERSION or len(lines) < 2 or not lines[1].startswith("#"):
        found = printable(lines[0]) if lines else "nothing"
        raise HaproxyError(
            "found: %s: %r; needed version %s of the servers' states. Fix: %s"
            % (where, found, _STATE_VERSION, _FIX_STATE)
        )
    columns = {name: n for n, name in enumerate(lines[1].lstrip("# ").split())}
    missing = [name for name in _STATE_COLUMNS if name not in columns]
    if missing:
        raise HaproxyError("found: %s: no column %s; needed it. Fix: %s" % (where, ", ".join(missing), _FIX_STATE))
    found_servers = []
    for line in lines[2:]:
        fields = line.split()
        if not fields:
            continue
        try:
            row = {name: fields[columns[name]] for name in _STATE_COLUMNS}
            admin = int(row["srv_admin_state"])
        except (IndexError, ValueError) as exc:
            raise HaproxyError(
                "found: %s: the line %r; needed one that can be read. Fix: %s" % (where, printable(line), _FIX_STATE)
            ) from exc
        if row["be_name"] == METRICS_BACKEND:
            continue
        found_servers.append(
            Server(
                backend=row["be_name"],
                name=row["srv_name"],
                address=row["srv_addr"],
                port=int(row["srv_port"]) if row["srv_port"].isdigit() else None,
                admin_state=admin_word(admin),
                commanded=bool(admin & _COMMANDED_BITS),
                status="UP" if row["srv_op_state"] == _UP else "DOWN",
            )
        )
    return found_servers


def admin_word(bits: int) -> str:
    """``srv_admin_state`` as ``ready``, ``drain`` or ``maint``."""
    if bits & _MAINT_BITS:
        return "maint"
    return "drain" if bits & _DRAIN_BITS else "ready"


def parse_stat(text: str, where: str = "`show stat`") -> dict[tuple[str, str], dict[str, str]]:
    """The servers in the answer to ``show stat``, by backend and name: HAProxy's columns by their names."""
    lines = text.strip().splitlines()
    header = next(csv.reader([lines[0].lstrip("# ")])) if lines and lines[0].startswith("#") else []
    missing = [name for name in _STAT_COLUMNS if name not in header]
    if missing:
        raise HaproxyError("found: %s: no column %s; needed it. Fix: %s" % (where, ", ".join(missing), _FIX_STATE))
    found = {}
    for fields in csv.reader(lines[1:]):
        row = dict(zip(header, fields))
        if not fields or row.get("svname") in _NOT_SERVERS:
            continue
        if "status" not in row or not row["scur"].isdigit() or not row["qcur"].isdigit():
            line = printable(",".join(fields)[:120])
            raise HaproxyError(
                "found: %s: the line %r; needed one that can be read. Fix: %s" % (where, line, _FIX_STATE)
            )
        found[row["pxname"], row["svname"]] = row
    return found


def _with_counts(server: Server, row: dict[str, str]) -> Server:
    return Server(
        backend=server.backend,
        name=server.name,
        address=server.address,
        port=server.port,
        admin_state=server.admin_state,
        commanded=server.commanded,
        status=row["status"],
        sessions=int(row["scur"]),
        queued=int(row["qcur"]),
        agent_reason=_agent_reason(row),
    )


def _agent_reason(row: dict[str, str]) -> str:
    found = _AGENT_REASON.search(row.get("last_agt") or "")
    return printable(found.group(1)) if found and row["status"].startswith(AGENT_DOWN) else ""
