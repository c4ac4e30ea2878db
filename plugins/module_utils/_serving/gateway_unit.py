# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's systemd unit as text. The distribution's haproxy.service and its files are left alone."""

from __future__ import annotations

from .gateway_config import FOLDER, MARK, PLACES, Places

UNIT = "ascend-fleet-gateway.service"
UNIT_DIR = "/etc/systemd/system"
RECORDS = "/var/lib/ascend-fleet/gateway/drains.json"
RUNTIME = "ascend-fleet-gateway"
#: keepalived watches this file: -254 means that the address must go.
DOWN = "/run/ascend-fleet-gateway.down"
#: The program of gateway_state.py on the gateway.
PROGRAM = FOLDER + "/state.py"

_TEXT = """\
%(mark)s Your own settings: systemctl edit %(unit)s
[Unit]
Description=Gateway of ascend.fleet in front of the replicas (HAProxy)
Documentation=man:haproxy(1)
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
# Drains and health of before, without servers that are gone and with the ports of now.
ExecStartPre=-%(python)s %(program)s fix %(arguments)s
ExecStartPre=%(haproxy)s -c -q -f %(config)s
ExecStart=%(haproxy)s -Ws -f %(config)s -p /run/%(runtime)s/haproxy.pid -S /run/%(runtime)s/master.sock,mode,600
# A reload keeps the sockets: the new process takes new requests, the old one ends its own.
ExecReload=%(haproxy)s -c -q -f %(config)s
ExecReload=%(python)s %(program)s save %(arguments)s
ExecReload=/bin/kill -USR2 $MAINPID
ExecStop=-%(python)s %(program)s save %(arguments)s
# Where there is a floating address, another gateway has it as soon as this one has ended, however it ended.
ExecStartPost=-+/bin/sh -c "echo 0 > %(down)s"
ExecStopPost=-+/bin/sh -c "echo -254 > %(down)s"
KillMode=mixed
SuccessExitStatus=143
Restart=always
RestartSec=1
TimeoutStopSec=30
RuntimeDirectory=%(runtime)s
RuntimeDirectoryMode=0700
# The first process reads keys and certificate as root; those that speak to clients run as haproxy.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID \
CAP_SYS_RESOURCE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=%(state_folder)s
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def unit_text(haproxy: str, python: str, places: Places = PLACES) -> str:
    """The unit. ``haproxy`` and ``python``: where these programs lie."""
    return _TEXT % {
        "mark": MARK,
        "unit": UNIT,
        "python": python,
        "program": PROGRAM,
        "arguments": "%s %s %s %s" % (places.config, places.state, places.socket, RECORDS),
        "haproxy": haproxy,
        "config": places.config,
        "runtime": RUNTIME,
        "down": DOWN,
        "state_folder": places.state.rpartition("/")[0],
    }
