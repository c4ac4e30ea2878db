# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``hccn_tool -i N -OPTION -g`` (the chips' own network ports) and ``/etc/hccn.conf``."""

from __future__ import annotations

import re
from typing import Any, Optional

from .._base.text import printable

_PREFIX = re.compile(r"\[(?:devid|device)\s+([0-9]+)\]\s?")
_SWITCHES = re.compile(r"(?:dev_id:([0-9]+),\s*)?tls switch\[([0-9]+)\]")
_PRECONFIGURED = re.compile(r"tls preconfigured\[([0-9]+)\]")
_ALARM_DAYS = re.compile(r"tls alarm time threshold\[([0-9]+)\]\s*days")
_CERTIFICATE = re.compile(r"(?:dev_id:[0-9]+,\s*)?\[([^\]]+)\] info:")
_CERTIFICATE_FIELD = re.compile(r"(subject|issuer|start_time|end_time|tls expiration status)\[(.*?)\](?:\(.*\))?")
_CONF = re.compile(r"([A-Za-z][A-Za-z0-9_]*?)_([0-9]{1,4})\s*=\s*(.*)")
_NO_ADDRESS = ("ipaddr:", "vnic ipaddr:")  # an address that is not set
_EXPIRATION = {"0": "normal", "1": "near expiration", "2": "has expired"}


class HccnError(ValueError):
    """hccn_tool's output cannot be used; the message carries its own words."""


def _lines(text: str) -> list[str]:
    """The text's lines without blanks at either end, and without the ``[device 0]`` in front of some."""
    return [_PREFIX.sub("", line.strip(), count=1).strip() for line in text.splitlines()]


def _said(text: str) -> str:
    return printable("; ".join(line for line in _lines(text)[:6] if line)) or "nothing"


def parse_values(text: str) -> dict[str, Any]:
    """Read the ``key: value`` lines of any option (``-link``, ``-ip``, ``-optical``, ``-stat``, ``-fec``, ``-vnic`` …).

    Returns ``{"values": {key: value}, "warnings": [...]}``: keys as printed, values as str. ``default
    gateway:192.168.6.1, Iface:eth0`` gives two pairs. A heading (``optical info:``) has no value and is left out.
    A line that is no pair is a warning that quotes it; of a key that stands twice the first value is kept, with a
    warning. Raises HccnError, with the tool's words, for text without any pair.
    """
    values: dict[str, str] = {}
    warnings: list[str] = []
    for line in _lines(text):
        if not line:
            continue
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon or not key:
            warnings.append("unreadable line: " + line)
            continue
        if not value:
            continue
        first, comma, more = value.partition(", ")
        second, second_colon, second_value = more.partition(":")
        pairs = [(key, value)]
        if comma and second_colon and re.fullmatch(r"[A-Za-z ]+", second):
            pairs = [(key, first.strip()), (second.strip(), second_value.strip())]
        for one, printed in pairs:
            if one in values:
                warnings.append("a key for the second time: " + line)
            else:
                values[one] = printed
    if not values:
        raise HccnError("hccn_tool said: " + _said(text))
    return {"values": values, "warnings": warnings}


def _only(text: str, key: str) -> str:
    value = parse_values(text)["values"].get(key)
    if value is None:
        raise HccnError("hccn_tool said no `%s`: %s" % (key, _said(text)))
    return str(value)


def parse_link(text: str) -> str:
    """Read ``-link -g``: ``UP`` or ``DOWN``, as printed. Raises HccnError where no link status is printed."""
    return _only(text, "link status")


def parse_net_health(text: str) -> str:
    """Read ``-net_health -g``: ``Success``, ``Init``, ``Socket failed`` … as printed. Raises HccnError without one."""
    return _only(text, "net health status")


def parse_ip(text: str) -> dict[str, Optional[str]]:
    """Read ``-ip -g`` (with ``-mac -g`` and ``-gateway -g`` behind it or not).

    Returns ``address``, ``netmask``, ``mac``, ``gateway``, ``interface``: str, or None where not printed.
    All are None where the tool prints an address without a value: the chip has none.
    Raises HccnError, with the tool's words, where there is no address, no MAC and no gateway.
    """
    if any(line in _NO_ADDRESS for line in _lines(text)):
        return dict.fromkeys(("address", "netmask", "mac", "gateway", "interface"))
    values = parse_values(text)["values"]
    found: dict[str, Optional[str]] = {
        "address": values.get("ipaddr") or values.get("vnic ipaddr"),
        "netmask": values.get("netmask") or values.get("vnic netmask"),
        "mac": values.get("mac addr"),
        "gateway": values.get("default gateway"),
        "interface": values.get("Iface"),
    }
    if not any(found.values()):
        raise HccnError("hccn_tool said: " + _said(text))
    return found


def parse_tls(text: str) -> dict[str, Any]:
    """Read ``-tls -g``.

    Returns ``device_id`` (int or None), ``enabled`` (bool: the switch), ``preconfigured`` (bool or None),
    ``alarm_days`` (int or None), ``certificates``: a list of mappings with ``name`` (``pub cert``, ``ca1 cert``, …),
    ``subject``, ``issuer``, ``start_time``, ``end_time`` (str as printed, or None where empty) and ``expiration``
    (``normal``, ``near expiration``, ``has expired``, or the number as printed).
    Raises HccnError where the switch is not printed, or is neither 0 nor 1.
    """
    lines = _lines(text)
    found: Optional[dict[str, Any]] = None
    certificates: list[dict[str, Optional[str]]] = []
    for line in lines:
        switch = _SWITCHES.search(line)
        if switch and found is None:
            if switch.group(2) not in ("0", "1"):
                raise HccnError("hccn_tool said a tls switch that is neither 0 nor 1: " + line)
            preconfigured, days = _PRECONFIGURED.search(line), _ALARM_DAYS.search(line)
            found = {
                "device_id": int(switch.group(1)) if switch.group(1) else None,
                "enabled": switch.group(2) == "1",
                "preconfigured": preconfigured.group(1) == "1" if preconfigured else None,
                "alarm_days": int(days.group(1)) if days else None,
            }
            continue
        header = _CERTIFICATE.match(line)
        if header:
            fields = ("subject", "issuer", "start_time", "end_time", "expiration")
            certificates.append(dict.fromkeys(("name", *fields)))
            certificates[-1]["name"] = header.group(1)
            continue
        field = _CERTIFICATE_FIELD.fullmatch(line)
        if field and certificates:
            name, value = field.groups()
            if name == "tls expiration status":
                certificates[-1]["expiration"] = _EXPIRATION.get(value, value)
            else:
                certificates[-1][name] = value or None
    if found is None:
        raise HccnError("hccn_tool said no tls switch: " + _said(text))
    found["certificates"] = certificates
    return found


def parse_conf(text: str) -> dict[int, dict[str, str]]:
    """Read ``/etc/hccn.conf`` (``address_0=29.1.137.205``): device -> key -> value; other lines are passed over."""
    devices: dict[int, dict[str, str]] = {}
    for raw in text.splitlines():
        found = _CONF.fullmatch(raw.strip())
        if found:
            devices.setdefault(int(found.group(2)), {})[found.group(1).lower()] = found.group(3).strip()
    return devices
