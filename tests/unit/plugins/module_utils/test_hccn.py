# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hccn_tool says of the chips' own network ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._npu import hccn
from ansible_collections.ascend.fleet.plugins.module_utils._npu.hccn import HccnError

FILES = Path(__file__).resolve().parents[2] / "fixtures" / "npu_smi" / "files"
REFUSED = "hccn tool is busy, please try again."


def text_of(name: str) -> str:
    return (FILES / (name + ".txt")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "status"), [("hccn-doc-link", "UP"), ("hccn-link-down", "DOWN"), ("a5-hccn-link-down", "DOWN")]
)
def test_link(name: str, status: str) -> None:
    assert hccn.parse_link(text_of(name)) == status


@pytest.mark.parametrize(
    ("name", "health"), [("hccn-doc-net-health", "Init"), ("hccn-net-health-socket-failed", "Socket failed")]
)
def test_net_health(name: str, health: str) -> None:
    assert hccn.parse_net_health(text_of(name)) == health


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hccn-ip", {"address": "192.161.200.10", "netmask": "255.255.255.0"}),
        ("hccn-ip-910b", {"address": "29.1.112.213", "netmask": "255.255.0.0"}),
        ("a5-hccn-vnic", {"address": "192.168.2.199", "netmask": "255.255.255.0"}),
        (
            "hccn-ip-mac-gateway",
            {
                "address": "192.168.6.10",
                "netmask": "255.255.255.0",
                "mac": "xx:xx:xx:xx:xx:xx",
                "gateway": "192.168.6.1",
                "interface": "eth0",
            },
        ),
    ],
)
def test_ip(name: str, wanted: dict[str, Any]) -> None:
    empty = dict.fromkeys(("address", "netmask", "mac", "gateway", "interface"))
    assert hccn.parse_ip(text_of(name)) == {**empty, **wanted}


def test_tls() -> None:
    assert hccn.parse_tls(text_of("hccn-doc-tls")) == {
        "device_id": 0,
        "enabled": False,
        "preconfigured": True,
        "alarm_days": 60,
        "certificates": [],
    }
    assert hccn.parse_tls("dev_id:7, tls switch[1](0:disable, 1:enable)")["enabled"] is True
    assert hccn.parse_tls("tls switch[0]")["device_id"] is None


def test_tls_with_certificates() -> None:
    found = hccn.parse_tls(text_of("a5-hccn-tls"))
    assert (found["enabled"], found["preconfigured"], found["alarm_days"]) == (False, False, 60)
    certificates = found["certificates"]
    assert [c["name"] for c in certificates] == ["pub cert", "ca1 cert", "ca2 cert", "crl"]
    assert [c["expiration"] for c in certificates] == ["normal", "normal", "normal", "near expiration"]
    assert certificates[0] == {
        "name": "pub cert",
        "subject": "/C=CN/O=xxx/CN=www.xxx.com",
        "issuer": "/C=CN/O=xxx/CN=xxx RSA PSS Sub CA",
        "start_time": "Sat Jan 31 03:10:27 2026 GMT",
        "end_time": "Wed Jun 18 03:10:27 2053 GMT",
        "expiration": "normal",
    }
    assert certificates[3]["subject"] is None


def test_tls_switch_of_another_value_is_no_guess() -> None:
    with pytest.raises(HccnError, match=r"switch\[2\]"):
        hccn.parse_tls("dev_id:0, tls switch[2](0:disable, 1:enable)")


def test_values() -> None:
    assert hccn.parse_values(text_of("hccn-fec")) == {"values": {"fec mode": "no FEC mode"}, "warnings": []}
    assert hccn.parse_values(text_of("a5-hccn-version"))["values"] == {
        "Network Driver Version": "25.7.rc1",
        "Network Firmware Version": "B0202_1053",
    }
    found = hccn.parse_values(text_of("hccn-optical-not-present-with-values"))
    assert found["warnings"] == []
    assert len(found["values"]) == 43
    assert found["values"]["present"] == "not present"
    assert found["values"]["Rx Power1"] == "0.0054 mW"
    elided = hccn.parse_values(text_of("hccn-doc-optical"))
    assert len(elided["values"]) == 16
    assert elided["warnings"] == ["unreadable line: ...", "unreadable line: ..."]


def test_value_that_is_printed_twice_is_told() -> None:
    found = hccn.parse_values("link status: UP\nlink status: DOWN\n")
    assert found["values"] == {"link status": "UP"}
    assert found["warnings"] == ["a key for the second time: link status: DOWN"]


def test_conf() -> None:
    devices = hccn.parse_conf(text_of("hccn-conf-elided"))
    assert sorted(devices) == [0, 7]
    assert devices[7] == {
        "address": "29.1.170.143",
        "netmask": "255.255.0.0",
        "netdetect": "29.1.0.1",
        "gateway": "29.1.0.1",
        "send_arp_status": "1",
    }


@pytest.mark.parametrize(
    "parser",
    [
        hccn.parse_link,
        hccn.parse_net_health,
        hccn.parse_ip,
        hccn.parse_tls,
        hccn.parse_values,
    ],
)
@pytest.mark.parametrize("text", ["", REFUSED, "Cmd execute failed!"])
def test_complaints_are_errors_with_the_tools_words(parser: Any, text: str) -> None:
    with pytest.raises(HccnError) as caught:
        parser(text)
    assert (text or "nothing") in str(caught.value)


def test_another_answer_is_no_link_status() -> None:
    with pytest.raises(HccnError, match="net health status: Init"):
        hccn.parse_link(text_of("hccn-doc-net-health"))


@pytest.mark.parametrize("text", ["ipaddr:\nnetmask:\n", "vnic link status: UP\nvnic ipaddr: \n"])
def test_an_address_that_is_not_set_is_none(text: str) -> None:
    assert set(hccn.parse_ip(text).values()) == {None}


def test_the_tools_words_are_safe_to_show() -> None:
    with pytest.raises(HccnError) as caught:
        hccn.parse_link("\x1b[31mfailed\x07")
    assert str(caught.value) == r"hccn_tool said: \x1b[31mfailed\x07"
