# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all replicas: what is not known is shown as unknown."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._serving import status

SINCE = "2026-11-24T21:58:23Z"


def replica(number=0, **more):
    known = {
        "replica": number,
        "unit": "vllm-qwen3.5@%d.service" % number,
        "served_model_name": "qwen3.5",
        "release": "qwen3_5_27b_v0",
        "port": 8010 + number,
        "indices": [0, 1],
        "image_id": "sha256:4bcff63911fcb4448bd4fdacec20",
        "age_seconds": 7500,
        "outdated": False,
        "active_state": "active",
        "restarts": 0,
        "health": "healthy",
        "running": 3,
        "waiting": 1,
        "hbm_used_mb": 118456,
        "hbm_total_mb": 131072,
    }
    return {**known, **more}


def server(number=0, gateway="gw-1", state="ready", health="UP", **more):
    known = {
        "gateway": gateway,
        "backend": "vllm-qwen3.5",
        "host": "a2-1",
        "replica": number,
        "admin_state": state,
        "status": health,
        "owner": "operator" if state != "ready" else "",
        "drained_by": "alice" if state != "ready" else "",
        "reason": "new fan" if state != "ready" else "",
        "since": SINCE if state != "ready" else "",
    }
    return {**known, **more}


def text(report):
    return "\n".join(line for line, _tone in status.lines(report))


def test_a_row_for_each_replica():
    report = status.build(["a2-1"], {"a2-1": [replica()]}, {}, [server()])
    lines = [line for line, _tone in status.lines(report)]
    assert lines[1] == "STATUS: 1 replica, 1 in traffic and healthy"
    assert lines[3].split() == [
        "a2-1:0", "qwen3_5_27b_v0", "unknown", "4bcff63911fc", "healthy", "3", "1", "116/128", "GiB", "2h", "5m", "in",
    ]  # fmt: skip
    assert report["replicas"][0]["gateways"][0]["gateway"] == "gw-1"


@pytest.mark.parametrize(
    ("servers", "driver", "asked", "word", "words"),
    [
        ([server()], "haproxy", True, "in", "in"),
        ([server(), server(gateway="gw-2", health="no check")], "haproxy", True, "in", "in"),
        ([server(health="DOWN 1/2")], "haproxy", True, "down", "in, but down for the gateway's health check"),
        ([server(state="drain")], "haproxy", True, "out", "out, operator alice: new fan (since %s)" % SINCE),
        (
            [server(state="drain", drained_by="by hand", reason="", since="")],
            "haproxy",
            True,
            "out",
            "out, operator by hand",
        ),
        (
            [server(), server(gateway="gw-2", state="maint", owner="change", drained_by="change", reason="", since="")],
            "haproxy",
            True,
            "mixed",
            "gw-1 in; gw-2 out, change",
        ),
        (
            [
                server(health="DOWN (agent)", owner="watchdog", drained_by="watchdog", reason="no token for 180 s"),
                server(gateway="gw-2", health="DOWN (agent)", owner="watchdog", drained_by="watchdog"),
            ],
            "haproxy",
            True,
            "out",
            "out, by the watchdog: no token for 180 s",
        ),
        (
            [server(health="DOWN (agent)", owner="watchdog", drained_by="watchdog"), server(gateway="gw-2")],
            "haproxy",
            True,
            "mixed",
            "gw-1 out, by the watchdog; gw-2 in",
        ),
        (
            [server(state="drain", health="DRAIN (agent)")],
            "haproxy",
            True,
            "out",
            "out, operator alice: new fan (since %s)" % SINCE,
        ),
        ([], "haproxy", True, "absent", "not at a gateway"),
        ([], "haproxy", False, "unknown", "unknown"),
        ([], "none", True, "direct", "no gateway"),
        ([server(health="unknown")], "external", True, "in", "in"),
    ],
)
def test_traffic_is_told_in_words(servers, driver, asked, word, words):
    found = status.traffic_of(servers, driver, asked=asked)
    assert (found["traffic"], found["traffic_text"]) == (word, words)


def test_what_is_not_known_is_unknown_and_no_zero():
    unknown = dict.fromkeys(
        ("image_id", "age_seconds", "outdated", "running", "waiting", "hbm_used_mb", "hbm_total_mb"), None
    )
    report = status.build(
        ["a2-1"], {"a2-1": [replica(**unknown, health="unknown", active_state="unknown")]}, {}, [], unasked=["a2-1"]
    )
    line = text(report).splitlines()[-1]
    assert line.split()[2:] == ["unknown"] * 8
    assert "0 in traffic and healthy" in text(report)


def test_a_stopped_replica_has_neither_image_nor_age():
    one = replica(image_id=None, age_seconds=None, active_state="failed", health="failed", running=0, waiting=0)
    line = text(status.build(["a2-1"], {"a2-1": [one]}, {}, [server(health="DOWN")])).splitlines()[-1]
    assert line.split()[3:7] == ["-", "failed", "0", "0"]


def test_a_container_of_another_configuration_is_named():
    assert "(container of another configuration)" in text(
        status.build(["a2-1"], {"a2-1": [replica(outdated=True)]}, {}, [server()])
    )


def test_a_host_that_could_not_be_read_is_named_and_its_traffic_shown():
    report = status.build(
        ["a2-1", "a2-2", "a2-3"],
        {"a2-2": [replica()], "a2-3": []},
        {"a2-1": "unreachable: no route"},
        [server(state="drain"), server(1), server(host="a2-2")],
        ["a2-2: npu-smi: hangs"],
    )
    assert [r["name"] for r in report["replicas"]] == ["a2-1:0", "a2-1:1", "a2-2:0"]
    said = text(report)
    assert "a2-1 could not be read: unreachable: no route" in said
    assert "No replica is deployed on: a2-3" in said
    assert "a2-2: npu-smi: hangs" in said
    assert "3 replicas, 1 in traffic and healthy" in said
    assert dict(status.lines(report))["a2-1 could not be read: unreachable: no route"] == "error"


CHANGE = {
    "id": "20261130T061500Z-upgrade", "kind": "upgrade", "release": "r_v1", "from_release": "r_v0", "step": "baking",
    "since": "2026-11-30T06:31:40Z", "by": "alice@ctl",
}  # fmt: skip
LEASE = {"owner": "alice@ctl", "change": CHANGE["id"], "since": "2026-11-30T06:15:00Z", "alive": True}


def recorded(**more):
    known = {"change": None, "last_good": {"release": "r_v0", "digest": "0", "since": SINCE}, "lease": None}
    return {**known, **more}


def test_last_good_is_shown_empty_where_there_is_none_and_unknown_where_it_was_not_read():
    hosts = ["a2-1", "a2-2", "a2-3"]
    states = {"a2-1": recorded(), "a2-2": recorded(last_good=None)}
    report = status.build(hosts, {host: [replica()] for host in hosts}, {}, [], recorded=states)
    assert [r["last_good"] for r in report["replicas"]] == ["r_v0", "", None]
    assert report["hosts"] == states
    assert [line.split()[2] for line in text(report).splitlines()[3:6]] == ["r_v0", "-", "unknown"]
    assert len(text(report).splitlines()) == 6


def test_changes_that_are_open_and_whoever_holds_the_fleet_are_told():
    hosts = ["a2-1", "a2-2", "a2-3"]
    states = {"a2-1": recorded(change=CHANGE, lease=LEASE), "a2-2": recorded(lease=LEASE)}
    states["a2-3"] = recorded(lease={**LEASE, "owner": "bob@ctl", "alive": False})
    report = status.build(hosts, {host: [] for host in hosts}, {}, [], recorded=states)
    said = dict(status.lines(report))
    for words in (
        "a2-1: upgrade to r_v1 from r_v0, baking since 2026-11-30T06:31:40Z (20261130T061500Z-upgrade, by alice@ctl)",
        "alice@ctl holds the fleet for 20261130T061500Z-upgrade since 2026-11-30T06:15:00Z: a2-1, a2-2",
        "bob@ctl holds the fleet for 20261130T061500Z-upgrade since 2026-11-30T06:15:00Z; it has given no sign of life "
        "for two hours: a2-3",
    ):
        assert said[words] == "warning"


def test_a_host_in_maintenance_for_its_driver_is_told():
    driver = {"id": "C-driver", "by": "alice@ctl", "since": SINCE, "step": "rebooting",
              "why": "found 7 chips;\nneeded 8", "wanted": {"firmware": "7.8", "driver": "25.5.0"}}  # fmt: skip
    report = status.build(["a2-1"], {"a2-1": []}, {}, [], recorded={"a2-1": recorded(driver=driver)})
    words = (
        "a2-1: in maintenance for a change to driver 25.5.0, firmware 7.8, rebooting since %s (C-driver, by alice@ctl)"
    )
    assert dict(status.lines(report))[words % SINCE + ": found 7 chips; needed 8"] == "warning"


@pytest.mark.parametrize(
    ("seconds", "words"), [(12, "12s"), (303, "5m 3s"), (7800, "2h 10m"), (3 * 86400 + 4 * 3600, "3d 4h")]
)
def test_durations(seconds, words):
    assert status.duration(seconds) == words
