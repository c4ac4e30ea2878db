# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host below a folder: programs that answer as recorded, files of a serving host, and secrets in many places."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import quote

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"

#: A key that lies where this collection keeps its keys, and one that the host knows nothing of.
KNOWN, UNKNOWN = 'KnownPl4nted/"Key"+42', "UnknownPl4ntedT0ken42"
#: The key of the gateway at its engines.
GATEWAY = "GatewayPl4nted/42"
UNIT = "vllm-qwen3.5@0.service"
DATA = "/var/lib/ascend-fleet/replicas/vllm-qwen3.5-0"

_UNIT_TEXT = """\
# Managed by ascend.fleet: changes here are overwritten. Your own settings: systemctl edit %s
[Service]
ExecStart=/usr/bin/docker run --rm --name=vllm-qwen3.5-0 image vllm serve /weights

[X-AscendFleet]
Replica=0
ServedModelName=qwen3.5
Release=qwen3_5_27b_v0
Port=1
Container=vllm-qwen3.5-0
Devices=0,1,2,3
Directory=%s
""" % (UNIT, DATA)

_PREFIX = "2026-11-30T13:58:%02d+0000 a2-1 docker[4711]: "
#: The end of a start that failed, as Ascend's engines print it.
FAILURE = [
    "(EngineCore pid=118) INFO 11-30 13:58:01 [model.py:1] Capturing ACL graphs (decode, FULL):  31%%|",
    "(Worker_TP0 pid=201) RuntimeError: rtStreamCreateWithFlagsImpl, error code is 207008",
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
]


def journal(lines: list[str]) -> str:
    """Lines as journalctl prints them."""
    return "".join(_PREFIX % (n % 60) + line.replace("%%", "%") + "\n" for n, line in enumerate(lines))


class FakeHost:
    """Builds it. Everything that a program prints lies in a file of the host, which a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers = root.parent / "answers"
        self.answers.mkdir()
        self._files()
        self._programs()

    # - files -

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the host."""
        full = self.root / path.lstrip("/")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content if isinstance(content, bytes) else content.encode())
        return full

    def _files(self) -> None:
        for n in range(8):
            self.write("/dev/davinci%d" % n, "")
        (self.root / "var/tmp").mkdir(parents=True)
        self.write("/etc/os-release", 'PRETTY_NAME="openEuler 22.03 (LTS-SP4)"\n')
        self.write("/usr/local/Ascend/driver/version.info", "Version=25.2.0\n")
        self.write("/etc/systemd/system/" + UNIT, _UNIT_TEXT)
        self.write(
            "/etc/systemd/system/ascend-fleet-watchdog.service", "[Service]\nEnvironment=MY_TOKEN=%s\n" % UNKNOWN
        )
        self.write("/etc/ascend-fleet/%s.env" % UNIT[: -len(".service")], "VLLM_API_KEY=%s\nPORT=8010\n" % KNOWN)
        self.write(
            "/etc/ascend-fleet/gateway/haproxy.cfg",
            '    http-request set-header Authorization "Bearer %s"\n    bind *:8000\n' % GATEWAY,
        )
        self.write("/etc/ascend-fleet/gateway/keys.map", "ABCDEF0123 alice %s\n" % UNKNOWN)
        self.write("/etc/docker/daemon.json", '{"proxies": {"http-proxy": "http://u:%s@proxy:3128"}}\n' % UNKNOWN)
        login = base64.b64encode(b"user:" + UNKNOWN.encode()).decode()
        self.write("/root/.docker/config.json", json.dumps({"auths": {"hub.example": {"auth": login}}}))
        state = {"schema": 1, "note": KNOWN, "lease": {"password": UNKNOWN, "url": "https://h/?token=" + UNKNOWN}}
        self.write("/var/lib/ascend-fleet/state.json", json.dumps(state))
        self.write(DATA + "/log/debug/plog/plog-9_1.log", _plog("key is %s, api_key=%s %s" % (KNOWN, UNKNOWN, GATEWAY)))
        self.write(DATA + "/log/debug/plog/plog-8_1.log.gz", gzip.compress(_plog("old %s" % KNOWN).encode()))
        self.write(DATA + "/log/debug/plog/core.log", os.urandom(4096))
        self.write("/var/lib/ascend-fleet/evidence/x-20261130T135800Z/metrics.txt", "label=%s\n" % KNOWN)
        self.write("/proc/4711/cmdline", "vllm\0serve\0--api-key\0%s\0" % KNOWN)
        self.write("/proc/4711/status", "Name:\tvllm\nState:\tD (disk sleep)\nNSpid:\t4711\t17\n")
        self.write("/proc/4711/stack", "[<0>] devdrv_wait+0x1\n")

    # - programs -

    def program(self, path: str, script: str) -> None:
        """A program of the host."""
        self.write(path, "#!/bin/sh\n" + script).chmod(0o755)

    def answer(self, name: str, text: str) -> str:
        """What a program prints; returns the words of a script that prints it."""
        (self.answers / name).write_text(text)
        return "cat '%s'" % (self.answers / name)

    def _programs(self) -> None:
        info = (FIXTURES / "sim" / "910b3-x8-25.2.0-1proc.txt").read_text()
        self.program("/usr/local/sbin/npu-smi", self.answer("npu-smi", info))
        tools = "/usr/local/Ascend/driver/tools/"
        self.program(tools + "hccn_tool", 'echo "link status: UP"; echo "token=%s" >&2' % UNKNOWN)
        report = "mkdir -p t/log; printf '%%s\\n' 'chip said %s' > t/log/a.log; echo %s > t/core.bin; echo done"
        self.program(tools + "msnpureport", report % (KNOWN, UNKNOWN))
        oom = "[Mon Nov 30 13:00:00 2026] Out of memory: Killed process 77 (python3) --token %s\n" % UNKNOWN
        self.program("/usr/bin/dmesg", self.answer("dmesg", oom + "[Mon Nov 30 13:00:01 2026] usb 1-1: new device\n"))
        args = "4711 1 D 10:00 1 wchan vllm serve /w --api-key '%s' --port 8010\n" % KNOWN
        self.program("/usr/bin/ps", self.answer("ps", args))
        self.program("/usr/bin/systemctl", self._systemctl())
        self.program("/usr/bin/journalctl", self._journalctl())
        self.program("/usr/bin/docker", self._docker())

    def _systemctl(self) -> str:
        shown = "Id=%s\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=7\n" % UNIT
        show = self.answer("show", shown + "InvocationID=run2\n")
        cat = self.answer("cat", "[Service]\nEnvironment=HF_TOKEN=%s\n" % UNKNOWN)
        return 'case "$1" in show) %s;; cat) %s;; *) echo "0 units";; esac' % (show, cat)

    def _journalctl(self) -> str:
        failed = {"INVOCATION_ID": "run1", "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c"}
        headers = "Cookie: sid=%s; theme=dark" % UNKNOWN
        bare = "somebody wrote %s and %s and %s" % (
            KNOWN,
            quote(KNOWN, safe=""),
            base64.b64encode(KNOWN.encode()).decode(),
        )
        request = "GET /v1/models Authorization: Bearer %s" % UNKNOWN
        key = "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----" % (UNKNOWN * 3)
        log = journal([bare, request, headers, *FAILURE])
        return """case "$*" in
            *--output=json*) %s;;
            *INVOCATION_ID=run1*) %s;;
            *ascend-fleet-gateway*) %s;;
            *) %s;;
        esac""" % (
            self.answer("failed", json.dumps(failed) + "\n"),
            self.answer("run1", log),
            self.answer("gateway", '{"path":"/v1","cookie":"%s"}\n%s\n' % (UNKNOWN, key)),
            self.answer("recent", journal(["starting", headers])),
        )

    def _docker(self) -> str:
        raw = {
            "Id": "abc",
            "Name": "/vllm-qwen3.5-0",
            "Path": "vllm",
            "Args": ["serve", "--api-key", KNOWN, "--header", "Authorization: Bearer " + UNKNOWN],
            "State": {"Running": True},
            "Config": {
                "Env": ["VLLM_API_KEY=" + KNOWN, "OTHER=" + UNKNOWN, "VLLM_USE_V1=1"],
                "Cmd": ["serve"],
                "Labels": {"ascend.fleet.managed": "true"},
            },
            "HostConfig": {"Devices": []},
        }
        by_hand = {**raw, "Id": "def", "Name": "/qwen", "Config": {"Env": [], "Image": "vllm-ascend:x", "Labels": {}}}
        directory = "2026-11-30T13:00:00.1Z ModuleNotFoundError: No module named 'vllm.benchmarks.latency'\n"
        return """case "$*" in
            *ps*--quiet*) echo abc; echo def;;
            *inspect*) %s;;
            *top*) printf 'PID ARGS\\n4711 vllm serve\\n';;
            *logs*) %s;;
            *exec*) echo 'Thread 17 (idle): wait (x.py:1)';;
            *) echo ok;;
        esac""" % (
            self.answer("inspect", json.dumps([raw, by_hand])),
            self.answer("logs", directory),
        )


def _plog(words: str) -> str:
    return (
        "[EVENT] PROFILING(946748,python3):2026-11-30-13:58:07.740.922 [msprof.cpp:79] called\n"
        "[ERROR] RUNTIME(946748,python3):2026-11-30-13:58:08.123.456 [engine.cc:288] 9 %s\n"
        "[ERROR] TDT(946748,python3):2026-11-30-13:58:09.123.456 [tsd.cpp:12] TsdOpen failed, devId=0\n" % words
    )


def tree(root: Path, without: str = "") -> dict[str, tuple[object, ...]]:
    """Everything below a folder: what it is, its mode, its times, and the hash of its content."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(parent, name)
            if without and str(path).startswith(without):
                continue
            status = path.lstat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            times = 0 if path.is_dir() and str(path) == os.path.dirname(without) else status.st_mtime_ns
            found[str(path)] = (status.st_mode, status.st_ino, times, digest)
    return found
