# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of the servers' states is brought into line with the configuration before HAProxy reads it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from ansible_collections.ascend.fleet.plugins.module_utils._host.haproxy import METRICS_BACKEND, parse_servers_state
from ansible_collections.ascend.fleet.plugins.module_utils._serving import gateway_state

CONFIG = """\
frontend vllm-m
    bind *:8000
backend vllm-m
    server a2-1:0 192.0.2.1:8020 maxconn 128
    server a2-2:0 [2001:db8::1]:8010
backend replicas
    server a2-1:0 192.0.2.1:8020
"""
HEAD = "1\n# " + gateway_state.COLUMNS + "\n"


def line(server: str, *, state: str = "2", admin: str = "0", port: str = "8010") -> str:
    values = "4 vllm-m 1 %s 192.0.2.1 %s %s 1 1 3 15 3 4 6 0 0 0 - %s - 0 0 - - 0"
    return values % (server, state, admin, port) + "\n"


def states(text: str) -> dict[str, tuple[str, object, str]]:
    return {server.name: (server.admin_state, server.port, server.status) for server in parse_servers_state(text)}


def test_a_moved_replica_is_asked_at_its_new_port_begins_as_down_and_stays_drained():
    found = states(gateway_state.fixed(HEAD + line("a2-1:0", admin="8"), CONFIG))
    assert found["a2-1:0"] == ("drain", 8020, "DOWN")
    moved = line("a2-1:0", port="8020").replace("192.0.2.1 ", "192.0.2.9 ")
    assert states(gateway_state.fixed(HEAD + moved, CONFIG))["a2-1:0"] == ("ready", 8020, "DOWN")


def test_a_replica_that_stays_keeps_its_state():
    found = states(gateway_state.fixed(HEAD + line("a2-1:0", admin="8", port="8020"), CONFIG))
    assert found["a2-1:0"] == ("drain", 8020, "UP")
    named = CONFIG.replace("192.0.2.1:", "a2-1.example.com:")
    assert states(gateway_state.fixed(HEAD + line("a2-1:0", port="8020"), named))["a2-1:0"] == ("ready", 8020, "UP")


def test_a_server_that_nobody_has_looked_at_begins_as_down():
    assert states(gateway_state.fixed(HEAD + line("a2-1:0"), CONFIG))["a2-2:0"] == ("ready", 8010, "DOWN")
    assert {s[2] for s in states(gateway_state.fixed(None, CONFIG)).values()} == {"DOWN"}


def test_a_server_that_is_gone_is_left_out():
    assert set(states(gateway_state.fixed(HEAD + line("gone:0"), CONFIG))) == {"a2-1:0", "a2-2:0"}


def test_what_metrics_are_read_through_has_no_state():
    assert gateway_state._WITHOUT_STATE == METRICS_BACKEND
    assert "replicas" not in gateway_state.fixed(None, CONFIG)


def test_a_damaged_file_is_as_none():
    assert gateway_state.fixed("2\n# a b\nx y\n", CONFIG) == gateway_state.fixed(None, CONFIG)


def test_a_recorded_drain_counts_where_the_file_says_nothing_and_only_there():
    drained = frozenset(("vllm-m/a2-1:0", "vllm-m/a2-2:0"))
    found = states(gateway_state.fixed(HEAD + line("a2-1:0"), CONFIG, drained))
    assert found["a2-1:0"][0] == "ready"  # somebody has put it back since
    assert found["a2-2:0"][0] == "drain"


def test_records_that_cannot_be_read_drain_nothing():
    assert gateway_state.drained_by_records("{") == frozenset()
    assert gateway_state.drained_by_records(None) == frozenset()
    assert gateway_state.drained_by_records('{"vllm-m/a2-1:0": {"by": "x"}}') == {"vllm-m/a2-1:0"}


def answer(path: str, text: str) -> threading.Thread:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(1)

    def serve() -> None:
        connection, _address = server.accept()
        with server, connection:
            connection.recv(1000)
            connection.sendall(text.encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_what_runs_is_saved_for_the_configuration_that_lies_there(tmp_path, capsys):
    for name, text in (("cfg", CONFIG), ("state", HEAD + line("a2-1:0"))):
        (tmp_path / name).write_text(text)
    arguments = [str(tmp_path / name) for name in ("cfg", "state", "sock", "drains")]
    thread = answer(arguments[2], "\n" + HEAD + line("a2-1:0", admin="8", port="8020"))
    assert gateway_state.main(["save", *arguments]) == 0
    thread.join()
    assert states((tmp_path / "state").read_text())["a2-1:0"] == ("drain", 8020, "UP")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert gateway_state.main(["fix", *arguments]) == 0
    # Without an answer the file stays as it is.
    assert gateway_state.main(["save", *arguments]) == 1
    assert "save of" in capsys.readouterr().err
    assert states((tmp_path / "state").read_text())["a2-1:0"][0] == "drain"


def test_the_program_uses_the_standard_library_alone():
    text = Path(gateway_state.__file__).read_text(encoding="utf-8")
    assert "from ." not in text
    assert gateway_state.main(["what"]) == 2
