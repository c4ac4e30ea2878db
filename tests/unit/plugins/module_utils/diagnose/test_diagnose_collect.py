# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle of a whole host: no secret of it, everything that is missing named, and nothing changed on the host."""

from __future__ import annotations

import base64
import gzip
import json
import os
import stat
import tarfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose import bundle, sources, take
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.collect import Collector, Options, incomplete
from ansible_collections.ascend.fleet.plugins.module_utils._node.host import Host
from diagnose_host import DATA, GATEWAY, KNOWN, UNIT, UNKNOWN, FakeHost, tree


def collector(fake: FakeHost, tell: Any = lambda *a: None, **options: Any) -> Collector:
    given = Options("a2-1", base=str(fake.root / "var/tmp"), **options)
    return Collector(Host(root=str(fake.root)), given, tell)


def members(path: str) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def states(index: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in index["sources"]}


FORMS = [
    UNKNOWN,
    GATEWAY,
    KNOWN,
    json.dumps(KNOWN)[1:-1],
    quote(KNOWN, safe=""),
    base64.b64encode(KNOWN.encode()).decode().rstrip("="),
    base64.b64encode(b"user:" + UNKNOWN.encode()).decode(),
]


def test_a_planted_secret_is_nowhere_in_the_bundle_or_in_the_result(collected: dict[str, Any]) -> None:
    index = collected
    everything = {**members(index["path"]), "the whole": gzip.decompress(Path(index["path"]).read_bytes())}
    everything["the result"] = json.dumps(index, ensure_ascii=False).encode()
    left = [(name, form) for name, data in everything.items() for form in FORMS if form.encode() in data]
    assert left == []
    # They were there to be found: files, journals, compressed logs, environments, argv, JSON, URLs, headers, cookies.
    touched = {entry["name"] for entry in index["sources"] if entry["redacted"]}
    assert touched >= {
        "replicas/vllm-qwen3.5@0/failure.txt",
        "replicas/vllm-qwen3.5@0/recent.txt",
        "replicas/vllm-qwen3.5@0/unit.txt",
        "replicas/vllm-qwen3.5@0/plog/debug_plog_plog-9_1.log.txt",
        "replicas/vllm-qwen3.5@0/plog/debug_plog_plog-8_1.log.gz.txt",
        "docker/inspect.json",
        "docker/daemon.json.txt",
        "state/state.json",
        "state/units/ascend-fleet-watchdog.service.txt",
        "gateway/haproxy.cfg",
        "gateway/journal.txt",
        "system/processes.txt",
        "kernel/driver.txt",
        "hccn/chip0_link.txt",
        "evidence/x-20261130T135800Z/metrics.txt",
        "chips_report/t_log_a.log",
    }
    assert len(touched) >= 12


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/ascend-fleet/vllm-x@0.env", "VLLM_API_KEY=only-here-1\n"),
        ("/etc/ascend-fleet/gateway/haproxy.cfg", 'set-header Authorization "Bearer only-here-1"\n'),
        ("/root/.docker/config.json", '{"auths": {"h": {"identitytoken": "only-here-1"}}}'),
        ("/proc/4711/cmdline", "vllm\0serve\0--api-key\0only-here-1\0"),
    ],
)
def test_every_place_that_keeps_secrets_is_known(fake: FakeHost, path: str, text: str) -> None:
    fake.write(path, text)
    looker, _look, _every = collector(fake).plan()
    assert "only-here-1" in looker.secrets()


def test_nothing_on_the_host_changes_but_the_folder_of_the_bundle(fake: FakeHost) -> None:
    before = tree(fake.root, str(fake.root / "var/tmp/x"))
    index = collector(fake).collect()
    folder = os.path.dirname(index["path"])
    assert tree(fake.root, folder) == before
    assert sorted(os.listdir(folder)) == ["a2-1.tar.gz"]
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(index["path"]).st_mode) == 0o600
    assert bundle.remove(index["path"])
    assert tree(fake.root, str(fake.root / "var/tmp/x")) == before
    assert not bundle.remove(index["path"])


def test_a_look_changes_nothing_at_all(fake: FakeHost) -> None:
    before = tree(fake.root)
    _looker, _look, every = collector(fake).plan()
    assert {"npu-smi/info.txt", "docker/inspect.json", "chips_report"} <= set(sources.names_of(every))
    # A run of days has gigabytes: its last lines come at once. Of a start the first ones count.
    journals = {source.signs: source.argv for source in every if source.argv[:1] == ("journalctl",)}
    assert "--lines=8000" in journals[sources.FAILURE]
    assert not any(word.startswith("--lines") for word in journals[sources.START])
    assert tree(fake.root) == before


def test_the_bundle_holds_what_was_found_and_says_what_is_missing(collected: dict[str, Any]) -> None:
    index = collected
    held = members(index["path"])
    state = states(index)
    assert state["npu-smi/info.txt"] == state["replicas/vllm-qwen3.5@0/failure.txt"] == take.COLLECTED
    assert b"Thread 17" in held["a2-1/replicas/vllm-qwen3.5@0/stacks/4711.txt"]
    assert b"devdrv_wait" in held["a2-1/replicas/vllm-qwen3.5@0/stacks/4711_kernel.txt"]
    assert state["system/modules.txt"] == take.LEFT_OUT
    # What is in the bundle and what the index says of it are the same.
    collected = {e["name"] for e in index["sources"] if e["bytes"]}
    assert {"a2-1/" + name for name in collected} | {"a2-1/index.json", "a2-1/README.txt"} == set(held)
    missing = {e["name"]: e["reason"] for e in incomplete(index)}
    assert missing["system/modules.txt"] == "lsmod is not installed"
    assert missing["replicas/vllm-qwen3.5@0/plog/debug_plog_core.log.txt"] == "it holds no text"
    assert missing["chips_report"] == "1 more files, of no text or older"
    first = held["a2-1/README.txt"].decode()
    assert first.index("* stream_resources") < first.index("lsmod is not installed") < first.index("show errors")
    assert json.loads(held["a2-1/index.json"])["signs"] == index["signs"]


def test_the_signs_are_found_with_the_lines_that_show_them(collected: dict[str, Any]) -> None:
    index = collected
    found = {sign["name"]: sign for sign in index["signs"]}
    assert index["signs"][0]["is_now"]
    assert found["stream_resources"]["source"] == "replicas/vllm-qwen3.5@0/failure.txt"
    assert found["stream_resources"]["unit"] == UNIT
    assert any("207008" in line for line in found["stream_resources"]["lines"])
    assert found["stream_resources"]["at"] == "2026-11-30T13:58:04+0000"
    assert found["driver_mismatch"]["source"].endswith("plog-9_1.log.txt")
    assert found["out_of_memory"]["source"] == "kernel/driver.txt"
    assert found["working_directory"]["unit"] == "container qwen"
    text = members(index["path"])["a2-1/" + found["stream_resources"]["source"]].decode().splitlines()
    assert "207008" in text[found["stream_resources"]["line"] - 1]


def test_the_state_of_the_host(collected: dict[str, Any]) -> None:
    facts = collected["facts"]
    assert (facts["system"], facts["driver"], facts["chips"]) == ("openEuler 22.03 (LTS-SP4)", "25.2.0", 8)
    [unit] = facts["units"]
    assert (unit["unit"], unit["active"], unit["result"], unit["restarts"]) == (UNIT, "failed", "exit-code", 7)
    assert facts["by_hand"] == ["qwen"]


def test_an_npu_smi_that_hangs_is_asked_once(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake.root.parent / "calls"
    fake.program("/usr/local/sbin/npu-smi", "echo x >> '%s'; sleep 60" % calls)
    one = collector(fake)
    run = one.host._run
    monkeypatch.setattr(
        one.host, "_run", lambda argv, **more: run(argv, **{**more, "timeout": min(more["timeout"], 1)})
    )
    index = one.collect()
    assert calls.read_text() == "x\n"
    reasons = {e["name"]: e["reason"] for e in index["sources"]}
    assert "npu-smi hangs" in reasons["npu-smi/npu0_board.txt"]
    assert index["facts"]["npu_smi"] == "`npu-smi info` did not end within 60 s"


def test_after_a_tool_has_hung_it_is_not_asked_again(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake.root.parent / "calls"
    fake.program("/usr/local/Ascend/driver/tools/hccn_tool", "echo x >> '%s'; sleep 60" % calls)
    original = take.Taker.take
    monkeypatch.setattr(
        take.Taker, "take", lambda self, s, left: original(self, s, min(left, 1) if s.group == "hccn_tool" else left)
    )
    state = states(collector(fake).collect())
    assert calls.read_text() == "x\n"
    assert (state["hccn/chip0_link.txt"], state["hccn/chip7_ip.txt"]) == (take.TIMED_OUT, take.LEFT_OUT)


def test_time_and_size_are_limited(fake: FakeHost) -> None:
    index = collector(fake, seconds=0.0).collect()
    assert not any(e["bytes"] for e in index["sources"])
    assert {e["reason"] for e in index["sources"] if e["name"] == "docker/info.txt"} == {
        "the time for all sources (0 s) was over"
    }
    index = collector(fake, size=5000).collect()
    assert "the bundle was full" in {e["name"]: e["reason"] for e in index["sources"]}["docker/inspect.json"]


def test_it_tells_how_far_it_is(fake: FakeHost) -> None:
    told: list[tuple[int, int, str]] = []
    collector(fake, lambda *report: told.append(report)).collect()
    assert [number for number, _count, _title in told] == list(range(told[0][1] + 1))
    assert told[0][2] == "npu-smi info"


def test_addresses_go_on_demand(fake: FakeHost) -> None:
    fake.write(DATA + "/log/debug/plog/plog-9_1.log", "peer 10.11.12.13 and aa:bb:cc:dd:ee:01\n")
    index = collector(fake, addresses=True, salt="s").collect()
    whole = gzip.decompress(Path(index["path"]).read_bytes())
    assert b"10.11.12.13" not in whole
    assert b"aa:bb:cc" not in whole
    assert index["addresses_redacted"]


def test_where_it_fails_nothing_is_left(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, source: object, left: float) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(take.Taker, "take", broken)
    with pytest.raises(RuntimeError):
        collector(fake).collect()
    assert os.listdir(fake.root / "var/tmp") == []


def test_a_host_without_anything_is_described_too(tmp_path: Path) -> None:
    index = Collector(Host(root=str(tmp_path)), Options("bare", base=str(tmp_path))).collect()
    assert index["facts"]["chips"] == 0
    assert {e["state"] for e in index["sources"]} == {take.LEFT_OUT}
    assert [p["subject"] for p in index["problems"]] == ["docker"]


class TestBundle:
    def test_names_are_safe_and_different(self, tmp_path: Path) -> None:
        one = bundle.Bundle(str(tmp_path), "h", 0)
        names = [one.add(name, "x") for name in ("../../etc/x", "a\nb", "a b", "a_b", "")]
        one.close()
        assert len(set(names)) == 5
        assert not any(".." in name or "\n" in name or name.startswith("/") for name in names)

    def test_a_folder_that_is_none_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(bundle.BundleError, match="found no folder"):
            bundle.Bundle(str(tmp_path / "no"), "h", 0)

    def test_only_a_bundle_is_removed(self, tmp_path: Path) -> None:
        victim = tmp_path / "data"
        victim.mkdir()
        link = tmp_path / (bundle.PREFIX + "link")
        link.symlink_to(victim)
        for path in (victim / "x.tar.gz", link / "x.tar.gz"):
            with pytest.raises(bundle.BundleError, match="needed a bundle"):
                bundle.remove(str(path))
        assert victim.is_dir()

    def test_what_killed_runs_have_left_goes_when_it_is_old(self, tmp_path: Path) -> None:
        one = bundle.Bundle(str(tmp_path), "h", 0)
        assert bundle.remove_left(str(tmp_path)) == []
        assert bundle.remove_left(str(tmp_path), time.time() + 90000) == [one.folder]
        assert os.listdir(tmp_path) == []


def test_processes_that_docker_does_not_tell_are_a_problem(fake: FakeHost) -> None:
    """Their command lines may hold secrets that are then not known, and so not redacted."""
    script = (fake.root / "usr/bin/docker").read_text()
    changed = script.replace("*top*) printf", "*top*) echo 'cannot connect' >&2; exit 1; printf")
    assert changed != script
    (fake.root / "usr/bin/docker").write_text(changed)
    index = collector(fake).collect()
    (problem,) = index["problems"]
    assert problem["subject"] == "processes of vllm-qwen3.5-0"
    assert "docker top vllm-qwen3.5-0" in problem["message"]
    assert "are not redacted" in problem["message"]
    stacks = next(e for e in index["sources"] if e["name"] == "replicas/vllm-qwen3.5@0/stacks")
    assert stacks["reason"] == "docker told of no processes"
