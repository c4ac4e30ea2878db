# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the gateway's HAProxy as text, and what an earlier text says of its servers.

Written for HAProxy 2.4 and later, tried with 2.6. What decides the settings:

- uvicorn closes a connection that is idle for 5 s, and HAProxy cannot promise to close it earlier: every request gets a
  connection of its own (`http-server-close`), so that none meets one that is just being closed.
- An engine that has seen a request may have died of it. Only a connection that failed is tried again.
- vLLM's own key protects `/v1` alone: what is not named here does not exist for a client.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from .._host.haproxy import METRICS_BACKEND
from .gateway_plan import POOL_PREFIX, Pool, Server

FOLDER = "/etc/ascend-fleet/gateway"
MARK = "# Managed by ascend.fleet: changes here are overwritten."
#: Paths that answer without a key, as vLLM's own do.
OPEN_PATHS = ("/version",)
#: HAProxy counts its connections by it: two for each client. It takes what the host allows where that is less.
_DESCRIPTORS = 65536
_WELL = '{"status":"ok"}'
_CONFIG, _KEYS, _CERTIFICATE = "haproxy.cfg", "keys.map", "tls.pem"

_SERVER = re.compile(
    r"\s+server (?P<host>[A-Za-z0-9._-]+):(?P<replica>\d+) (?P<address>\S+):(?P<port>\d+)(?P<more>.*)\Z"
)
_MAXCONN = re.compile(r" maxconn (\d+)")
_AGENT = re.compile(r" agent-port (\d+)")
_KEY = re.compile(r"\s+http-check send meth GET uri /v1/models .*\"Bearer (?P<key>[\x21-\x7e]*)\"\Z")

# What was read, by whom and how it ended. Never a key, a query or a body.
_LOG = (
    '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","id":"%[var(txn.id)]","client":"%ci","key":"%[var(txn.known)]",'
    '"method":"%HM","path":"%[var(txn.path)]","status":%ST,"backend":"%b","server":"%s","sent_bytes":%B,'
    '"received_bytes":%U,"ms":{"request":%TR,"queue":%Tw,"connect":%Tc,"answer":%Tr,"all":%Ta},"queued":%bq,'
    '"retries":"%rc","end":"%tsc"}'
)


@dataclass(frozen=True)
class Front:
    """What the gateway is to its clients, whatever stands behind it. An empty text or 0: not wanted."""

    paths: tuple[str, ...]
    address: str = "*"
    max_body_mb: int = 0
    queue_seconds: int = 60
    answer_seconds: int = 1800
    slowstart_seconds: int = 30
    metrics_address: str = ""
    #: The least version of TLS, where there is a certificate.
    tls_min_version: str = ""
    #: Whether clients must present a key that the gateway knows.
    has_keys: bool = False


@dataclass(frozen=True)
class Places:
    """Where the gateway's files lie: below other folders while a configuration is tried."""

    folder: str = FOLDER
    socket: str = "/run/ascend-fleet-gateway/admin.sock"
    state: str = "/var/lib/ascend-fleet/gateway/servers.state"

    @property
    def config(self) -> str:
        """The configuration."""
        return "%s/%s" % (self.folder, _CONFIG)

    @property
    def keys(self) -> str:
        """The map from a key's hash to its name."""
        return "%s/%s" % (self.folder, _KEYS)

    @property
    def certificate(self) -> str:
        """Certificate, chain and key in one file, as HAProxy wants them."""
        return "%s/%s" % (self.folder, _CERTIFICATE)


PLACES = Places()


def error_body(message: str, kind: str, code: Optional[str] = None) -> str:
    """An error as OpenAI's API says it, in one line without single quotes."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}, separators=(",", ":")).replace("'", "")


#: HAProxy's own errors: status, words, type and code.
_ERRORS: tuple[tuple[int, str, str, str], ...] = (
    (400, "The gateway cannot read this as an HTTP request.", "invalid_request_error", "bad_request"),
    (408, "The request did not arrive in time.", "invalid_request_error", "request_timeout"),
    (500, "The gateway failed.", "server_error", "gateway_error"),
    (502, "The replica ended the connection before its answer was whole.", "server_error", "bad_gateway"),
    (503, "No replica took the request in time: all are busy, or none is in service.", "server_error", "overloaded"),
    (504, "The replica did not answer in time.", "server_error", "gateway_timeout"),
)


def config_text(pools: Sequence[Pool], front: Front, places: Places = PLACES, *, files_hash: str = "") -> str:
    """The whole configuration; it names its own hash, which the running HAProxy can be asked for.

    files_hash: identifies the other files that HAProxy reads at its start and that only a reload makes it read again.
    """
    plain = _text(pools, front, places, files_hash)
    return plain.replace("@HASH@", hashlib.sha256(plain.encode()).hexdigest(), 1)


def running_hash(description: Optional[str]) -> str:
    """The hash in the description that a running HAProxy gives of itself; empty where it is not ours."""
    found = re.search(r"ascend\.fleet gateway ([0-9a-f]{64})", description or "")
    return found.group(1) if found else ""


def _text(pools: Sequence[Pool], front: Front, places: Places, files_hash: str) -> str:
    lines = [MARK, "", *_global(front, places, files_hash), "", *_defaults(front)]
    if front.metrics_address:
        lines += ["", *_metrics(front.metrics_address, _replicas(pools))]
    for pool in pools:
        lines += ["", *_frontend(pool, front, places), "", *_backend(pool, front)]
    return "\n".join(lines) + "\n"


def _global(front: Front, places: Places, files_hash: str) -> list[str]:
    lines = ["global"]
    if files_hash:
        lines.append("    # beside: %s" % files_hash)
    lines += [
        '    description "ascend.fleet gateway @HASH@"',
        "    log stdout len 4096 format raw daemon",
        "    user haproxy",
        "    group haproxy",
        "    fd-hard-limit %d" % _DESCRIPTORS,
        "    # a process that a reload has replaced ends when its last answer has, at the latest then",
        "    hard-stop-after %ds" % (front.answer_seconds + 60),
        "    stats socket %s mode 600 level admin expose-fd listeners" % places.socket,
        "    stats timeout 60s",
        "    server-state-file %s" % places.state,
    ]
    if front.tls_min_version:
        lines.append("    ssl-default-bind-options ssl-min-ver %s no-tls-tickets" % front.tls_min_version)
    return lines


def _defaults(front: Front) -> list[str]:
    lines = [
        "defaults",
        "    mode http",
        "    log global",
        "    option dontlognull",
        "    option http-server-close",
        "    option http-no-delay",
        "    # nobody waits for it any more: it leaves the queue, and its engine makes no answer for nobody",
        "    option abortonclose",
        "    option redispatch 1",
        "    # a host that is gone says so to nobody: open streams on it end after a minute",
        "    option srvtcpka",
        "    srvtcpka-idle 30s",
        "    srvtcpka-intvl 10s",
        "    srvtcpka-cnt 3",
        "    # enough to pass all replicas of a dead host, which have the fewest requests of all",
        "    retries 10",
        "    retry-on conn-failure",
        "    timeout connect 5s",
        "    timeout check 10s",
        "    timeout http-request 30s",
        "    timeout http-keep-alive 60s",
        "    timeout queue %ds" % front.queue_seconds,
        "    timeout client %ds" % front.answer_seconds,
        "    timeout server %ds" % front.answer_seconds,
        "    timeout tunnel %ds" % front.answer_seconds,
        "    load-server-state-from-file global",
    ]
    for status, message, kind, code in _ERRORS:
        lines.append(
            "    http-error status %d content-type application/json string '%s'"
            % (status, error_body(message, kind, code))
        )
    return lines


def _replicas(pools: Sequence[Pool]) -> list[Server]:
    """Every replica once: a host that was not read in this run may stand in the pools of two models."""
    return list({server.name: server for pool in pools for server in pool.servers}.values())


def _metrics(address: str, servers: Sequence[Server]) -> list[str]:
    """The management listener. Of an engine it shows /metrics and nothing else, also of one that is out of traffic."""
    lines = [
        "frontend metrics",
        "    bind %s" % address,
        "    no log",
        "    http-request use-service prometheus-exporter if { path /metrics }",
        "    http-request return status 200 content-type application/json string '%s' if { path /health }" % _WELL,
    ]
    if not servers:
        return [*lines, "    http-request return status 404"]
    lines += ["    acl is_replica path -m str /replicas/%s/metrics" % server.name for server in servers]
    lines += [
        "    http-request return status 404 unless METH_GET is_replica",
        "    http-request set-var(txn.replica) path,field(3,/)",
        "    http-request set-uri /metrics",
        "    http-request del-header Authorization",
        "    default_backend %s" % METRICS_BACKEND,
        "",
        "backend %s" % METRICS_BACKEND,
        "    # each is asked for by its name, and with the weight 0 none answers in the place of another one",
        "    default-server weight 0 init-addr libc,last,none",
        "    load-server-state-from-file none",
        "    no option redispatch",
        "    retries 0",
        "    timeout server 10s",
        "    use-server %[var(txn.replica)] if TRUE",
    ]
    return lines + ["    server %s %s:%d" % (s.name, _host(s.address), s.port) for s in servers]


def _return(status: int, message: str, kind: str, code: str, condition: str, header: str = "") -> str:
    return "    http-request return status %d content-type application/json string '%s'%s %s" % (
        status,
        error_body(message, kind, code),
        " hdr " + header if header else "",
        condition,
    )


def _frontend(pool: Pool, front: Front, places: Places) -> list[str]:
    bind = "%s:%d" % (front.address, pool.port)
    if front.tls_min_version:
        bind += " ssl crt %s alpn h2,http/1.1" % places.certificate
    lines = [
        "frontend %s" % pool.name,
        "    bind %s" % bind,
        "    # a reload closes no connection under a client that is about to use it",
        "    option idle-close-on-response",
        "    log-format '%s'" % _LOG,
        "    http-request set-var(txn.id) uuid()",
        "    http-request set-var(txn.path) path,bytes(0,256),json(utf8s)",
        "    http-request set-header X-Request-Id %[var(txn.id)]",
        "    http-after-response set-header X-Request-Id %[var(txn.id)]",
        '    http-request return status 200 content-type application/json string \'{"status":"ok"}\' '
        "if { path /health } { nbsrv(%s) gt 0 }" % pool.name,
        _return(503, "No replica is in service.", "server_error", "unavailable", "if { path /health }"),
        "    acl is_known path -m str %s" % " ".join([*OPEN_PATHS, *front.paths]),
        _return(404, "The gateway has no such path.", "invalid_request_error", "not_found", "unless is_known"),
    ]
    if front.has_keys:
        lines += _key_rules(pool, places)
    if front.max_body_mb:
        # What is streamed could be counted in one buffer (16 kB) alone. A client that is still sending would not read
        # the answer, so the first buffer is taken before it.
        lines += [
            "    acl is_counted req.hdr(content-length) -m found",
            "    http-request wait-for-body time 5s if METH_POST !is_counted",
            _return(
                411,
                "A request with a body needs Content-Length.",
                "invalid_request_error",
                "length_required",
                "if METH_POST !is_counted",
            ),
            _return(
                413,
                "The request is larger than the %d MB that the gateway takes." % front.max_body_mb,
                "invalid_request_error",
                "request_too_large",
                "if { req.hdr(content-length),add(0) gt %d }" % (front.max_body_mb * 1000000),
            ),
        ]
    return [*lines, "    default_backend %s" % pool.name]


def _key_rules(pool: Pool, places: Places) -> list[str]:
    """The hash of the client's key is looked up; the key goes no further."""
    lines = [
        "    http-request set-var(txn.key) req.fhdr(authorization),word(2,' ') "
        "if { req.fhdr(authorization) -m beg -i 'bearer ' }",
        "    http-request set-var(txn.key) req.fhdr(x-api-key) if !{ var(txn.key) -m found }",
        "    http-request set-var(txn.known) var(txn.key),sha2(256),hex,map_str(%s)" % places.keys,
        "    http-request unset-var(txn.key)",
        _return(
            401,
            "The API key is missing or unknown.",
            "invalid_request_error",
            "invalid_api_key",
            "if !{ var(txn.known) -m found } !METH_OPTIONS !{ path %s }" % " ".join(OPEN_PATHS),
            'WWW-Authenticate "Bearer"',
        ),
        "    http-request del-header X-Api-Key",
    ]
    if pool.api_key:
        return [*lines, '    http-request set-header Authorization "Bearer %s"' % _escaped(pool.api_key)]
    return [*lines, "    http-request del-header Authorization"]


def _escaped(key: str) -> str:
    """A key within double quotes, and within HAProxy's log format."""
    return key.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("%", "%%")


def _backend(pool: Pool, front: Front) -> list[str]:
    header = ' hdr Authorization "Bearer %s"' % _escaped(pool.api_key) if pool.api_key else ""
    lines = [
        "backend %s" % pool.name,
        "    balance leastconn",
        "    # a server is up when it is healthy and serves this model: another one may listen on its port",
        "    option httpchk",
        "    http-check connect",
        "    http-check send meth GET uri /health ver HTTP/1.1 hdr Host gateway hdr Connection close",
        "    http-check expect status 200",
        "    http-check connect",
        "    http-check send meth GET uri /v1/models ver HTTP/1.1 hdr Host gateway hdr Connection close%s" % header,
        '    http-check expect rstring \'"id" *: *"%s"\'' % re.escape(pool.model),
        "    default-server check inter 5s fastinter 1s downinter 2s rise 2 fall 3 "
        "observe layer4 error-limit 2 on-error mark-down%s init-addr libc,last,none"
        % (" slowstart %ds" % front.slowstart_seconds if front.slowstart_seconds else ""),
    ]
    for server in pool.servers:
        limit = " maxconn %d" % server.maxconn if server.maxconn else ""
        more = limit + _agent(server)
        lines.append("    server %s %s:%d%s" % (server.name, _host(server.address), server.port, more))
    return lines


def _agent(server: Server) -> str:
    """Ask the watchdog of its host. It moves the state that checks move, and no drain; silence changes nothing."""
    if not server.agent_port:
        return ""
    return ' agent-check agent-port %d agent-inter 5s agent-send "%d\\n"' % (server.agent_port, server.port)


def _host(address: str) -> str:
    return "[%s]" % address if ":" in address and not address.startswith("[") else address


def parse_pools(text: str) -> list[Pool]:
    """The pools of a configuration that ``config_text`` has made; none in a text of anybody else."""
    if not text.startswith(MARK):
        return []
    ports: dict[str, int] = {}
    servers: dict[str, list[Server]] = {}
    keys: dict[str, str] = {}
    section, name = "", ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            section, _blank, name = line.partition(" ")
            continue
        model = name[len(POOL_PREFIX) :] if name.startswith(POOL_PREFIX) else ""
        if not model:
            continue
        if section == "frontend" and line.startswith("    bind "):
            ports[model] = int(line.split()[1].rpartition(":")[2])
        if section == "backend":
            servers.setdefault(model, [])
            key, server = _KEY.match(line), _SERVER.match(line)
            if key:
                keys[model] = _unescaped(key.group("key"))
            if server:
                servers[model].append(_parsed(server))
    return [Pool(m, ports[m], tuple(servers[m]), keys.get(m, "")) for m in sorted(servers) if m in ports]


def _parsed(found: re.Match[str]) -> Server:
    limit, agent = (pattern.search(found.group("more")) for pattern in (_MAXCONN, _AGENT))
    address = found.group("address")
    return Server(
        host=found.group("host"),
        replica=int(found.group("replica")),
        address=address[1:-1] if address.startswith("[") else address,
        port=int(found.group("port")),
        maxconn=int(limit.group(1)) if limit else 0,
        agent_port=int(agent.group(1)) if agent else 0,
    )


def _unescaped(key: str) -> str:
    return re.sub(r"\\(.)|%(%)", lambda m: m.group(1) or m.group(2), key)


def ports_of(pools: Sequence[Pool], front: Front) -> dict[int, str]:
    """The ports on which the gateway listens, with the variable that says so."""
    found = {pool.port: "vllm_gateway_port" for pool in pools}
    if front.metrics_address:
        found[int(front.metrics_address.rpartition(":")[2])] = "vllm_gateway_metrics_address"
    return found


def keys_text(keys: Mapping[str, str]) -> str:
    """The map that HAProxy looks names up in: ``HASH NAME``. ``keys``: the key's SHA-256 by its name."""
    return "".join("%s %s\n" % (digest.upper(), name) for name, digest in sorted(keys.items()))


def parse_keys(text: str) -> dict[str, str]:
    """The hashes in the file, or in HAProxy's answer to ``show map``, by name."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words and words[0].startswith("0x"):
            words = words[1:]
        if len(words) == 2:
            found[words[1]] = words[0].upper()
    return found
