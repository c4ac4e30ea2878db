# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of HAProxy's runtime socket: what it reads, and that unknown is an error."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._host import haproxy

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "haproxy"
STATE = (FIXTURES / "2.6.12-show_servers_state.txt").read_text(encoding="utf-8")
STAT = (FIXTURES / "2.6.12-show_stat.txt").read_text(encoding="utf-8")


@pytest.fixture
def answering():
    """A function that starts a socket which gives each command its answer, and says where it is and what it heard."""
    folder = tempfile.mkdtemp(prefix="hap")  # the path of a unix socket must be short
    path = os.path.join(folder, "s")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(8)
    heard: list[str] = []
    answers: dict[str, str | None] = {}
    open_connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            command = connection.recv(65536).decode()
            heard.append(command)
            answer = answers.get(command.strip(), "\n")
            if answer is None:  # a HAProxy that hangs in the middle
                connection.sendall(b"1\n")
                open_connections.append(connection)
                continue
            connection.sendall(answer.encode())
            connection.close()

    threading.Thread(target=serve, daemon=True).start()

    def start(given, timeout=5.0):
        answers.update(given)
        return haproxy.Haproxy(path, timeout), heard

    yield start
    server.close()
    for connection in open_connections:
        connection.close()
    os.unlink(path)
    os.rmdir(folder)


def test_servers_are_read_with_what_was_done_to_them_and_what_they_do(answering):
    client, _heard = answering({"show servers state": STATE, "show stat": STAT})
    found = {s.key: s for s in client.servers()}
    assert list(found) == ["vllm-qwen3.5/a2-1:0", "vllm-qwen3.5/a2-1:1", "vllm-qwen3.5/a3-1:0", "vllm-other/a2-1:0"]
    drained = found["vllm-qwen3.5/a2-1:0"]
    assert (drained.admin_state, drained.commanded, drained.status) == ("drain", True, "DOWN")
    assert (drained.address, drained.port, drained.sessions, drained.queued) == ("127.0.0.1", 18010, 0, 0)
    assert found["vllm-other/a2-1:0"].status == "no check"
    assert found["vllm-other/a2-1:0"].admin_state == "ready"


@pytest.mark.parametrize(
    ("bits", "word"),
    [(0, "ready"), (8, "drain"), (16, "drain"), (1, "maint"), (9, "maint"), (4, "maint"), (32, "maint"), (64, "maint")],
)
def test_the_bits_of_the_administrative_state_have_a_word(bits, word):
    assert haproxy.admin_word(bits) == word


@pytest.mark.parametrize(("bits", "commanded"), [(8, True), (1, True), (16, False), (4, False), (32, False)])
def test_what_the_socket_did_is_told_from_what_the_configuration_says(bits, commanded):
    text = STATE.replace(" 0 8 1 1 ", " 0 %d 1 1 " % bits, 1)
    assert haproxy.parse_servers_state(text)[0].commanded is commanded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'nothing'"),
        ("2\n# be_id be_name\n", "'2'; needed version 1"),
        ("1\n", "'1'; needed version 1"),
        ("1\n# be_id be_name srv_id srv_name\n", "no column srv_addr, srv_op_state, srv_admin_state, srv_port"),
        (STATE.split("3 vllm")[0] + "3 vllm-qwen3.5 1\n", "the line '3 vllm-qwen3.5 1'"),
        (STATE.replace(" 0 8 1 1 ", " 0 x 1 1 ", 1), "needed one that can be read"),
    ],
)
def test_a_state_of_another_form_is_an_error(text, words):
    with pytest.raises(haproxy.HaproxyError, match=words):
        haproxy.parse_servers_state(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column pxname"),
        ("# pxname,svname\nb,s\n", "no column qcur, scur, status"),
        ("# pxname,svname,qcur,scur,status\nb,s,0,,UP\n", "the line 'b,s,0,,UP'"),
    ],
)
def test_statistics_of_another_form_are_an_error(text, words):
    with pytest.raises(haproxy.HaproxyError, match=words):
        haproxy.parse_stat(text)


def test_a_server_without_statistics_is_an_error(answering):
    client, _heard = answering(
        {"show servers state": STATE, "show stat": "\n".join(x for x in STAT.splitlines() if "a3-1:0" not in x)}
    )
    with pytest.raises(haproxy.HaproxyError, match=r"no line about vllm-qwen3\.5/a3-1:0"):
        client.servers()


def test_a_state_is_set_and_an_answer_to_it_is_an_error(answering):
    client, heard = answering({"set server b/a2-1:9 state ready": "No such server.\n\n"})
    client.set_state("b", "a2-1:0", "drain")
    assert heard == ["set server b/a2-1:0 state drain\n"]
    with pytest.raises(haproxy.HaproxyError, match=r"`set server b/a2-1:9 state ready` to .*: the answer 'No such"):
        client.set_state("b", "a2-1:9", "ready")


@pytest.mark.parametrize(
    ("backend", "server", "state"), [("b;show", "s", "ready"), ("b", "s s", "ready"), ("b", "s", "down")]
)
def test_no_second_command_comes_in_with_a_name(answering, backend, server, state):
    client, heard = answering({})
    with pytest.raises(haproxy.HaproxyError):
        client.set_state(backend, server, state)
    assert not heard


def test_a_line_break_does_not_pass(answering):
    client, heard = answering({})
    with pytest.raises(haproxy.HaproxyError, match="line break"):
        client.ask("show info\nquit")
    assert not heard


def test_a_payload_follows_its_command_and_a_secret_is_not_in_the_error(answering):
    client, heard = answering({"add map /m <<\nsecret name": "no such map\n"})
    with pytest.raises(haproxy.HaproxyError) as caught:
        client.do("add map /m", payload="secret name\n", secret=True)
    assert heard == ["add map /m <<\nsecret name\n\n"]
    assert "secret" not in str(caught.value)
    assert "no such map" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Unknown command, but maybe one of these\n", "needed a socket of level admin"),
        ("Permission denied\n", "needed a socket of level admin"),
        ("", "closed without an answer"),
        (None, "no whole answer within 0.2 s"),
        ("\nCan't find backend.\n\n", "needed a backend of this gateway"),
    ],
)
def test_what_is_not_an_answer_is_an_error_that_names_command_and_socket(answering, answer, words):
    client, _heard = answering({"show info": answer}, timeout=0.2)
    with pytest.raises(haproxy.HaproxyError, match="`show info` to /.*" + words) as caught:
        client.info()
    assert caught.value.listening


def test_nobody_listening_is_told_apart(tmp_path):
    with pytest.raises(haproxy.HaproxyError, match=r"nobody listening; needed a running gateway\. Fix: ") as caught:
        haproxy.Haproxy(str(tmp_path / "none")).info()
    assert not caught.value.listening


def test_information_is_read_by_name(answering):
    client, _heard = answering({"show info": "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 12\n\n"})
    assert client.info()["Version"] == "2.6.12-1+deb12u4"


def test_the_state_is_saved_as_haproxy_reads_it(answering, tmp_path):
    client, _heard = answering({"show servers state": STATE})
    client.save_state(str(tmp_path / "servers.state"))
    assert (tmp_path / "servers.state").read_text(encoding="utf-8") == STATE.strip() + "\n"
    assert (tmp_path / "servers.state").stat().st_mode & 0o777 == 0o600


def test_a_state_that_is_none_is_not_saved(answering, tmp_path):
    client, _heard = answering({"show servers state": "\n"})
    with pytest.raises(haproxy.HaproxyError):
        client.save_state(str(tmp_path / "servers.state"))
    assert not (tmp_path / "servers.state").exists()


def test_what_an_agent_has_taken_out_is_told_with_its_reason():
    head, rows = STAT.splitlines()[0], STAT.splitlines()[1:]
    names = head.lstrip("# ").split(",")
    row = next(row for row in rows if row.split(",")[1] == "a2-1:0").split(",")
    row[names.index("status")] = "DOWN (agent)"
    row[names.index("last_agt")] = "via agent : down (no token for 180 s)"
    found = next(iter(haproxy.parse_stat("\n".join([head, ",".join(row)])).values()))
    server = haproxy._with_counts(haproxy.Server("b", "a2-1:0", "192.0.2.1", 8010, "ready", False, "DOWN"), found)
    assert server.out_by_agent
    assert server.agent_reason == "no token for 180 s"


def test_what_the_engines_metrics_are_read_through_is_no_server():
    line = next(line for line in STATE.splitlines() if " vllm-" in line)
    name = line.split()[1]
    more = STATE.rstrip("\n") + "\n" + line.replace(name, haproxy.METRICS_BACKEND, 1) + "\n"
    assert haproxy.parse_servers_state(more) == haproxy.parse_servers_state(STATE)
