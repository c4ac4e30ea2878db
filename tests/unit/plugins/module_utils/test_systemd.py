# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemctl client: what it reads, and that unknown is an error."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.command import Completed
from ansible_collections.ascend.fleet.plugins.module_utils._host import systemd


def client(status, out="", err=""):
    return systemd.Systemd(lambda argv, **_more: Completed(tuple(argv), status, out, err, status is None))


def test_show_is_read_block_by_block():
    text = "Id=a.service\nExecMainStatus=0\n\nId=b.service\nEnvironment=A=b=c\n"
    assert systemd.parse_show(text) == [
        {"Id": "a.service", "ExecMainStatus": "0"},
        {"Id": "b.service", "Environment": "A=b=c"},
    ]
    assert set(client(0, text).show(["a.service", "b.service"])) == {"a.service", "b.service"}


@pytest.mark.parametrize(
    ("status", "out", "err", "words"),
    [
        (None, "", "", "`systemctl show .* did not end within its deadline"),
        (1, "", "Failed to get properties: Transport endpoint is not connected", "ended with status 1: Failed to get"),
        (0, "", "", "found no answer about a.service from `systemctl show"),
        (0, "Id=b.service\n", "", "found no answer about a.service"),
    ],
)
def test_a_query_that_says_nothing_is_an_error(status, out, err, words):
    with pytest.raises(systemd.SystemdError, match=words):
        client(status, out, err).show(["a.service"])


@pytest.mark.parametrize(
    ("status", "err"),
    [
        (127, "systemctl: No such file or directory"),
        (1, "System has not been booted with systemd as init system (PID 1). Can't operate."),
    ],
)
def test_a_host_without_systemd_is_told_from_one_that_does_not_answer(status, err):
    with pytest.raises(systemd.NoSystemd, match="needed systemd as the host's init"):
        client(status, "", err).show(["a.service"])


@pytest.mark.parametrize(("text", "number"), [("systemd 249 (v249-76)\n+PAM", 249), ("systemd 257 (257.9-1)", 257)])
def test_version(text, number):
    assert client(0, text).version() == number


def test_the_states_of_units_by_a_pattern():
    text = "Id=a@1.service\nActiveState=deactivating\n\nId=a@2.service\nActiveState=failed\n"
    found = client(0, text).matching(["a@*"], ["ActiveState"])
    assert {name: unit["ActiveState"] for name, unit in found.items()} == {
        "a@1.service": "deactivating",
        "a@2.service": "failed",
    }
    assert client(0, "\n").matching(["a@*"], ["ActiveState"]) == {}
    with pytest.raises(systemd.SystemdError, match="ended with status 1"):
        client(1).matching(["a@*"], ["ActiveState"])


@pytest.mark.parametrize(("status", "out"), [(0, "running\n"), (1, "degraded\n"), (1, "offline\n")])
def test_the_state_of_the_host(status, out):
    assert client(status, out).state() == out.strip()


@pytest.mark.parametrize(("status", "out"), [(1, ""), (None, ""), (None, "starting\n")])
def test_a_host_that_does_not_tell_its_state_is_an_error(status, out):
    with pytest.raises(systemd.SystemdError, match="is-system-running"):
        client(status, out).state()


def test_an_unknown_version_is_an_error():
    with pytest.raises(systemd.SystemdError, match="needed `systemd NUMBER`"):
        client(0, "upstart 1").version()


def test_a_unit_that_is_not_loaded_has_no_failures_to_forget():
    client(1, "", "Failed to reset failed state of unit a.service: Unit a.service not loaded.").reset_failed(
        ["a.service"]
    )
    with pytest.raises(systemd.SystemdError, match="did not end"):
        client(None).reset_failed(["a.service"])
