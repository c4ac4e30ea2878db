# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``hccn_tool -i N -OPTION -g`` (the chips' own network ports) and ``/etc/hccn.conf``."""

from __future__ import annotations

import re
from typing import Any, Optional

_PREFIX = re.compile(r"\[(?:devid|device)\s+([0-9]+)\]\s?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_BORDER = re.compile(r"\+[-+=]+\+")
_CHANGE = re.compile(r"((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.*?[0-9]{4})\s+LINK[ _](UP|DOWN)")
_SWITCHES = re.compile(r"(?:dev_id:([0-9]+),\s*)?tls switch\[([0-9]+)\]")
_PRECONFIGURED = re.compile(r"tls preconfigured\[([0-9]+)\]")
_ALARM_DAYS = re.compile(r"tls alarm time threshold\[([0-9]+)\]\s*days")
_CERTIFICATE = re.compile(r"(?:dev_id:[0-9]+,\s*)?\[([^\]]+)\] info:")
_CERTIFICATE_FIELD = re.compile(r"(subject|issuer|start_time|end_time|tls expiration status)\[(.*?)\](?:\(.*\))?")
_PING = re.compile(r"device ([0-9]+) PING (\S+)")
_PACKETS = re.compile(r"([0-9]+) packets transmitted, ([0-9]+) received, ([0-9.]+)% packet loss")
_CONF = re.compile(r"([A-Za-z][A-Za-z0-9_]*?)_([0-9]{1,4})\s*=\s*(.*)")
_EXPIRATION = {"0": "normal", "1": "near expiration", "2": "has expired"}


class HccnError(ValueError):
    """hccn_tool's output cannot be used; the message carries its own words."""


def _lines(text: str) -> list[str]:
    """The text's lines without blanks at either end, and without the ``[device 0]`` in front of some."""
    return [_PREFIX.sub("", line.strip(), count=1).strip() for line in text.splitlines()]


def _said(text: str) -> str:
    return "; ".join(line for line in _lines(text)[:6] if line) or "nothing"


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
    Raises HccnError, with the tool's words, where there is no address, no MAC and no gateway.
    """
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


def parse_link_stat(text: str) -> dict[str, Any]:
    """Read ``-link_stat -g``: how often the link came up and went down, and when.

    Returns ``link_up_count``, ``link_down_count`` (int or None where not printed), ``current_time`` (str or None),
    ``changes``: a list of ``{"time": str, "status": "UP"|"DOWN"}``, newest first as printed; times are the device's.
    Raises HccnError, with the tool's words, where none of it is printed.
    """
    found: dict[str, Any] = {"link_up_count": None, "link_down_count": None, "current_time": None, "changes": []}
    any_found = False
    for line in _lines(text):
        change = _CHANGE.search(line)
        if change:
            found["changes"].append({"time": " ".join(change.group(1).split()), "status": change.group(2)})
            any_found = True
            continue
        key, _colon, value = line.partition(":")
        key, value = key.strip().replace(" ", "_"), value.strip()
        if key in ("link_up_count", "link_down_count") and _INTEGER.fullmatch(value):
            found[key] = int(value)
            any_found = True
        elif key == "current_time" and value:
            found[key] = value
            any_found = True
    if "|" in text:
        found["changes"] = [
            {"time": row["Time_Stamp"], "status": row["Link_Status"].replace("LINK_", "")}
            for table in parse_tables(text)
            for row in table
            if row.get("Time_Stamp") and row.get("Link_Status")
        ]
        any_found = any_found or bool(found["changes"])
    if not any_found:
        raise HccnError("hccn_tool said: " + _said(text))
    return found


def parse_stat(text: str) -> dict[str, int]:
    """Read ``-stat -g``: the packet counters by name. Raises HccnError where there is none.

    Lines that are no counter (headings, an ellipsis) are passed over.
    """
    counters: dict[str, int] = {}
    for line in _lines(text):
        key, _colon, value = line.partition(":")
        if _INTEGER.fullmatch(value.strip()) and re.fullmatch(r"[a-z0-9_]+", key.strip()):
            counters[key.strip()] = int(value)
    if not counters:
        raise HccnError("hccn_tool said no counters: " + _said(text))
    return counters


def parse_ping(text: str) -> dict[str, Any]:
    """Read ``-ping -g address A``.

    Returns ``device_id`` (int), ``address`` (str), ``transmitted``, ``received`` (int), ``loss_percent`` (float).
    Raises HccnError, with the tool's words, where the summary is missing.
    """
    ping, packets = _PING.search(text), _PACKETS.search(text)
    if not packets:
        raise HccnError("hccn_tool's ping has no summary: " + _said(text))
    return {
        "device_id": int(ping.group(1)) if ping else None,
        "address": ping.group(2) if ping else None,
        "transmitted": int(packets.group(1)),
        "received": int(packets.group(2)),
        "loss_percent": float(packets.group(3)),
    }


def parse_tables(text: str) -> list[list[dict[str, str]]]:
    """Read the drawn tables of the 950 generation (``-dev_info``, ``-speed``, ``-link_stat``).

    Returns one list per table, with one mapping (heading -> cell) per row. A row whose first cell is empty goes on
    with the row above it: its empty cells take that row's values. A row with another number of cells than its header
    raises HccnError, which quotes it.
    """
    tables: list[list[dict[str, str]]] = []
    header: list[str] = []
    borders = 1  # how many stand directly above
    for line in (raw.strip() for raw in text.splitlines()):
        if _BORDER.fullmatch(line):
            borders += 1
            continue
        if not line.startswith("|"):
            header, borders = [], 1
            continue
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.endswith("|") else []
        if borders > 1 and cells:
            # one border closes the table above, another opens this one
            header = cells
            tables.append([])
        elif not header or len(cells) != len(header):
            raise HccnError("a row of hccn_tool's table does not fit its header: " + line)
        else:
            row = dict(zip(header, cells))
            rows = tables[-1]
            if rows and not cells[0]:
                row = {key: value or rows[-1][key] for key, value in row.items()}
            rows.append(row)
        borders = 0
    return tables


def parse_conf(text: str) -> dict[int, dict[str, str]]:
    """Read ``/etc/hccn.conf`` (``address_0=29.1.137.205``): device -> key -> value; other lines are passed over."""
    devices: dict[int, dict[str, str]] = {}
    for raw in text.splitlines():
        found = _CONF.fullmatch(raw.strip())
        if found:
            devices.setdefault(int(found.group(2)), {})[found.group(1).lower()] = found.group(3).strip()
    return devices
