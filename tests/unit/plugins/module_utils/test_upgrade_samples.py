# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of hosts: what engines and gateways tell, and what happened between two of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.http_client import Answer
from ansible_collections.ascend.fleet.plugins.module_utils._host import haproxy
from ansible_collections.ascend.fleet.plugins.module_utils._host.systemd import SystemdError
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import exposition, samples
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.sampler import Sampler

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: The part that is read of the /metrics of a vLLM 0.32 after two requests, and lines beside it that are not.
METRICS = (FIXTURES / "vllm" / "metrics-bake-0.32.txt").read_text(encoding="utf-8")
STAT = (FIXTURES / "haproxy" / "2.6.12-show_stat.txt").read_text(encoding="utf-8")
NOW = 1_796_000_000.0
UNIT = {
    "name": "vllm-qwen3.5@0.service",
    "replica": 0,
    "served_model_name": "qwen3.5",
    "release": "r",
    "port": 8010,
    "url": "http://127.0.0.1:8010",
}


# - the text of an engine -


def test_the_text_of_an_engine_is_read():
    found = samples.engine_counts(METRICS)
    assert found["started"] == 1795331026.76
    assert found["finished"] == {"stop": 0.0, "length": 2.0, "abort": 0.0, "error": 0.0, "repetition": 0.0}
    assert (found["running"], found["waiting"], found["generation_tokens"], found["preemptions"]) == (0, 0, 28, 0)
    assert (found["kv_cache_usage"], found["answers_5xx"]) == (0.0, 0.0)
    assert found["histograms"]["ttft"]["0.08"] == 2.0
    assert exposition.observations(found["histograms"]["inter_token"]) == 26
    json.dumps(found, allow_nan=False)


def test_several_engines_of_a_process_are_summed_and_the_fullest_cache_counts():
    more = METRICS.replace('engine="0"', 'engine="1"').replace("usage_perc{", 'usage_perc{x="}\\"",')
    engines = "\n".join(line for line in more.splitlines() if not line.startswith(("process_", "http_")))
    engines = engines.replace('model_name="qwen3.5"} 0.0', 'model_name="qwen3.5"} 0.5')
    found = samples.engine_counts(METRICS + engines)
    assert (found["generation_tokens"], found["finished"]["length"], found["kv_cache_usage"]) == (56, 4, 0.5)
    assert exposition.observations(found["histograms"]["ttft"]) == 4


def test_only_questions_that_failed_in_the_server_count_as_such():
    text = METRICS + 'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 3.0\n'
    text += 'http_requests_total{handler="/metrics",method="GET",status="5xx"} 9.0\n'
    assert samples.engine_counts(text)["answers_5xx"] == 3


@pytest.mark.parametrize("name", samples.NEEDED)
def test_a_text_without_what_is_needed_is_no_empty_answer(name):
    text = "\n".join(line for line in METRICS.splitlines() if not line.startswith(name))
    with pytest.raises(samples.SampleError, match="without " + name):
        samples.engine_counts(text)


def test_what_older_and_simulated_engines_do_not_tell_is_null():
    optional = (samples.STARTED, samples.ANSWERS, samples.KV_CACHE, samples.PREEMPTIONS, "vllm:time_to_first")
    found = samples.engine_counts("\n".join(x for x in METRICS.splitlines() if not x.startswith(optional)))
    assert [found[n] for n in ("started", "answers_5xx", "kv_cache_usage", "preemptions")] == [None] * 4
    assert list(found["histograms"]) == ["inter_token"]


def test_a_line_that_cannot_be_read_is_an_error():
    with pytest.raises(samples.SampleError, match="cannot be read"):
        samples.engine_counts(
            METRICS.replace("vllm:generation_tokens_total{", "vllm:generation_tokens_total{ x", 1)
            + ("\nvllm:generation_tokens_total{} many\n")
        )


# - quantiles -


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        ({"1.0": 0, "2.0": 100, "+Inf": 100}, 0.95, 1.95),
        ({"1.0": 50, "2.0": 100, "+Inf": 100}, 0.5, 1.0),
        ({"1.0": 50, "2.0": 50, "4.0": 100, "+Inf": 100}, 0.75, 3.0),
        ({"0.5": 100, "+Inf": 100}, 0.95, 0.475),
        ({"1.0": 0, "2.0": 100, "4.0": 100, "+Inf": 100}, 1.0, 2.0),
        # beyond the last edge: at least so much
        ({"1.0": 10, "2.0": 20, "+Inf": 100}, 0.95, 2.0),
        ({"1.0": 0, "+Inf": 0}, 0.95, None),
        ({}, 0.95, None),
        ({"+Inf": 7}, 0.95, None),
    ],
)
def test_quantiles(buckets, share, value):
    found = exposition.quantile(buckets, share)
    assert found == (None if value is None else pytest.approx(value))


def test_histograms_of_other_edges_are_put_together_over_the_common_ones():
    one, other = {"0.1": 1, "1.0": 5, "2.0": 6, "+Inf": 8}, {"1": 3, "4": 4, "+Inf": 4}
    assert exposition.together([one, other]) == {"1.0": 8, "+Inf": 12}
    assert exposition.together([]) == {}


# - differences -


def engine(ended=100, tokens=5000, **changed):
    buckets = {"0.5": ended / 2, "1.0": float(ended), "+Inf": float(ended)}
    own = {
        "replica": 0,
        "unit": UNIT["name"],
        "active_state": "active",
        "restarts": 0,
        "invocation": "i1",
        "started": NOW,
        "running": 2.0,
        "waiting": 0.0,
        "finished": {"stop": float(ended), "abort": 0.0, "error": 0.0},
        "generation_tokens": float(tokens),
        "preemptions": 4.0,
        "answers_5xx": 1.0,
        "histograms": {"ttft": buckets},
        "watchdog": {"state": "busy", "reason": ""},
        "problem": "",
    }
    own.update(changed)
    return own


def between(before, after, seconds=600):
    return samples.replica_between("a2-1", before, after, seconds)


def test_differences_of_one_process():
    found = between(engine(), engine(350, 9000, preemptions=5.0))
    assert (found.finished["stop"], found.tokens, found.preemptions, found.answers_5xx) == (250, 4000, 1, 0)
    assert found.histograms["ttft"] == {"0.5": 125, "1.0": 250, "+Inf": 250}
    assert (found.restarts, found.down, found.stalled, found.problem) == (0, False, "", "")


@pytest.mark.parametrize(
    ("changed", "restarts"),
    [
        ({"started": NOW + 300}, 1),
        ({"restarts": 1, "invocation": "i2", "started": NOW + 300}, 1),
        ({"restarts": 3}, 3),
        ({"invocation": "i2"}, 1),
        # nothing but the counters tells
        ({"started": None, "invocation": None, "restarts": None}, 1),
        ({"restarts": 0, "invocation": "i2", "started": NOW + 5}, 1),
    ],
)
def test_another_process_is_a_restart_and_its_counts_are_its_own(changed, restarts):
    found = between(engine(restarts=0), engine(20, 700, preemptions=1.0, answers_5xx=0.0, **changed))
    assert found.restarts == restarts
    assert (found.finished["stop"], found.tokens, found.preemptions, found.answers_5xx) == (20, 700, 1, 0)
    assert found.histograms["ttft"]["+Inf"] == 20
    assert not found.down


def test_an_operator_s_start_sets_the_number_back_and_is_one_restart():
    for counted in ((20, 700), (300, 9000)):
        assert between(engine(restarts=5), engine(*counted, restarts=0, invocation="i2")).restarts == 1


def test_a_new_process_that_has_counted_more_than_the_former_one_is_known_by_its_unit():
    found = between(engine(started=None), engine(300, 9000, started=None, restarts=1))
    assert (found.restarts, found.finished["stop"], found.tokens) == (1, 300, 9000)


def test_a_start_that_is_told_a_little_differently_is_the_same():
    assert between(engine(), engine(200, started=NOW + 0.4)).restarts == 0


@pytest.mark.parametrize("state", ["failed", "activating", "inactive"])
def test_an_engine_that_does_not_run_is_down_and_no_failed_measurement(state):
    found = between(engine(), engine(active_state=state, finished={}, problem="its unit is " + state))
    assert (found.down, found.restarts, found.problem) == (True, 1, "")


def test_an_engine_that_was_restarted_and_does_not_answer_yet_is_down():
    found = between(engine(), engine(restarts=1, invocation="i2", finished={}, problem="connection refused"))
    assert (found.down, found.restarts, found.problem) == (True, 1, "")


def test_an_engine_that_did_not_answer_once_is_a_failed_measurement():
    found = between(engine(), engine(finished={}, problem="timed out"))
    assert (found.down, found.restarts, found.problem) == (False, 0, "timed out")
    assert between(engine(problem="timed out"), engine()).problem == "timed out"
    assert "not in the first" in between(None, engine()).problem


def test_stalls_by_the_watchdog_and_by_tokens_that_stand():
    told = engine(watchdog={"state": "stalled", "reason": "2 requests in flight and no token for 200 s"})
    assert between(engine(), told).stalled.startswith("2 requests")
    stands = engine(watchdog=None)
    assert "no token for 600 s" in between(stands, stands).stalled
    assert not between(stands, stands, seconds=60).stalled
    assert not between(stands, engine(101, 5000)).stalled
    assert not between(stands, engine(100, 5001)).stalled
    idle = engine(running=0.0)
    assert not between(idle, idle).stalled
    assert not between(idle, engine(running=2.0)).stalled


def test_a_histogram_of_other_edges_is_left_out():
    after = engine(200)
    after["histograms"] = {"ttft": {"0.7": 100.0, "+Inf": 200.0}}
    assert between(engine(), after).histograms == {}


def test_replicas_are_matched_by_their_unit():
    before = {"at": NOW, "replicas": [engine(), engine(unit="vllm-x@1.service", replica=1)]}
    after = {"at": NOW + 60, "replicas": [engine(110), engine(unit="vllm-x@2.service", replica=2)]}
    found = {r.name: r for r in samples.replicas_between("a2-1", before, after)}
    assert found["a2-1:0"].finished["stop"] == 10
    assert found["a2-1:0"].seconds == 60
    assert "not in the first" in found["a2-1:2"].problem
    assert "not deployed" in found["a2-1:1"].problem


# - gateways -


def gateway(pid=7, uptime=1000, at=NOW, **servers):
    zero = dict.fromkeys(samples.SERVER_COUNTS, 0)
    own = {"vllm-m/%s:0" % name.replace("_", "-"): {**zero, **counts} for name, counts in servers.items()}
    return {"at": at, "replicas": [], "gateway": {"pid": pid, "uptime_seconds": uptime, "servers": own, "problem": ""}}


def test_what_haproxy_tells_is_read():
    found = samples.gateway_counts(haproxy.parse_stat(STAT), {"Pid": "7", "Uptime_sec": "9"})
    assert (found["pid"], found["uptime_seconds"]) == (7, 9)
    assert set(found["servers"]) == {"vllm-qwen3.5/a2-1:0", "vllm-qwen3.5/a2-1:1", "vllm-qwen3.5/a3-1:0",
                                     "vllm-other/a2-1:0"}  # fmt: skip
    assert found["servers"]["vllm-qwen3.5/a2-1:0"] == dict.fromkeys(samples.SERVER_COUNTS, 0)


def test_columns_are_added_up_and_the_metrics_backend_is_left_out():
    row = {"hrsp_2xx": "5", "hrsp_3xx": "0", "hrsp_4xx": "2", "hrsp_5xx": "3", "hrsp_other": "1"}
    row.update(eresp="4", srv_abrt="6", cli_abrt="7", econ="8")
    found = samples.gateway_counts({("b", "h:0"): row, ("replicas", "h:0"): {}}, {"Pid": "7", "Uptime_sec": "9"})
    counts = {
        "answers": 8,
        "answers_5xx": 3,
        "response_errors": 4,
        "server_aborts": 6,
        "client_aborts": 7,
        "refused": 8,
    }
    assert found["servers"] == {"b/h:0": counts}
    with pytest.raises(samples.SampleError, match="econ of b/h:0"):
        samples.gateway_counts({("b", "h:0"): {**row, "econ": ""}}, {"Pid": "7", "Uptime_sec": "9"})
    with pytest.raises(samples.SampleError, match="Pid"):
        samples.gateway_counts({}, {"Version": "2.6"})


def test_between_two_samples_of_a_gateway():
    before = gateway(h1={"answers": 100, "server_aborts": 1})
    after = gateway(uptime=1600, at=NOW + 600, h1={"answers": 400, "server_aborts": 2}, h2={"answers": 5})
    found, fresh = samples.gateway_between(before, after)
    assert not fresh
    assert (found["vllm-m/h1:0"]["answers"], found["vllm-m/h1:0"]["server_aborts"]) == (300, 1)
    assert found["vllm-m/h2:0"]["answers"] == 5


@pytest.mark.parametrize("changed", [{"pid": 8, "uptime": 50}, {"uptime": 50}])
def test_a_gateway_that_was_reloaded_or_restarted_counts_from_then_on(changed):
    before = gateway(h1={"answers": 100, "server_aborts": 1})
    found, fresh = samples.gateway_between(before, gateway(at=NOW + 600, h1={"answers": 150}, **changed))
    assert fresh
    assert (found["vllm-m/h1:0"]["answers"], found["vllm-m/h1:0"]["server_aborts"]) == (150, 0)
    found, fresh = samples.gateway_between(
        before, gateway(at=NOW + 600, h1={"answers": 170, "server_aborts": 1}, **changed)
    )
    assert (fresh, found["vllm-m/h1:0"]["answers"], found["vllm-m/h1:0"]["server_aborts"]) == (True, 170, 1)


def test_cleared_counters_never_make_a_negative_number():
    found, _fresh = samples.gateway_between(
        gateway(h1={"answers": 100, "server_aborts": 9}), gateway(uptime=1600, at=NOW + 600, h1={"answers": 150})
    )
    assert found["vllm-m/h1:0"] == {**dict.fromkeys(samples.SERVER_COUNTS, 0), "answers": 150}


def test_gateways_and_backends_are_put_together_by_replica():
    one = {"a/h1:0": dict.fromkeys(samples.SERVER_COUNTS, 1), "b/h1:0": dict.fromkeys(samples.SERVER_COUNTS, 2)}
    other = {"a/h1:0": dict.fromkeys(samples.SERVER_COUNTS, 4), "a/h2:1": dict.fromkeys(samples.SERVER_COUNTS, 8)}
    found = samples.by_replica([one, other])
    assert found["h1", 0]["server_aborts"] == 7
    assert found["h2", 1]["answers"] == 8


# - taking one -


class Systemd:
    def __init__(self, error=None, **state):
        self.state = {"ActiveState": "active", "NRestarts": "0", "InvocationID": "i1", **state}
        self.error = error

    def show(self, names):
        if self.error:
            raise self.error
        return dict.fromkeys(names, self.state)


class Haproxy:
    def __init__(self, path, stat=STAT, error=None):
        self.path, self.stat, self.error = path, stat, error

    def ask(self, _command):
        if self.error:
            raise self.error
        return self.stat

    def info(self):
        return {"Pid": "7", "Uptime_sec": "9"}


def take(tmp_path, answer=None, units=(UNIT,), systemd=None, gateway=None, watchdog=None):
    state = tmp_path / "watchdog.json"
    if watchdog is not None:
        state.write_text(watchdog if isinstance(watchdog, str) else json.dumps(watchdog))
    sampler = Sampler(
        systemd or Systemd(),
        gateway or Haproxy(str(tmp_path / "no.sock")),
        fetch=lambda url, timeout: answer or Answer(200, METRICS),
        now=lambda: NOW,
        watchdog_state=str(state),
        gateway_config=str(tmp_path / "no.cfg"),
    )
    return sampler.take(units)


def test_a_sample_of_a_host(tmp_path):
    found = take(tmp_path)
    assert (found["at"], found["gateway"], found["problems"]) == (NOW, None, [])
    [replica] = found["replicas"]
    assert (replica["unit"], replica["restarts"], replica["invocation"]) == (UNIT["name"], 0, "i1")
    assert (replica["finished"]["length"], replica["watchdog"], replica["problem"]) == (2, None, "")
    json.dumps(found, allow_nan=False)


def test_every_replica_has_the_same_keys_whether_it_answers_or_not(tmp_path):
    bad = take(tmp_path, Answer(None, error="timed out", timed_out=True))["replicas"][0]
    assert set(bad) == set(take(tmp_path)["replicas"][0])
    assert "timed out" in bad["problem"]
    assert bad["generation_tokens"] is None


@pytest.mark.parametrize(
    ("answer", "systemd", "words"),
    [
        (Answer(404, "no"), None, "HTTP 404"),
        (Answer(200, "up 1\n"), None, "without vllm:num_requests_running"),
        (None, Systemd(ActiveState="failed"), "its unit is failed"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, answer, systemd, words):
    found = take(tmp_path, answer, systemd=systemd)
    assert words in found["replicas"][0]["problem"]
    assert found["problems"] == ["%s: %s" % (UNIT["name"], found["replicas"][0]["problem"])]


def test_without_systemd_engines_are_asked_and_the_problem_is_named(tmp_path):
    found = take(tmp_path, systemd=Systemd(error=SystemdError("found: no systemd")))
    assert found["problems"] == ["found: no systemd"]
    assert found["replicas"][0]["restarts"] is None
    assert found["replicas"][0]["generation_tokens"] == 28


def test_the_watchdog_is_believed_of_the_run_that_it_has_seen(tmp_path):
    memory = {UNIT["name"]: {"invocation": "i1", "state": "stalled", "reason": "hangs", "since": "x", "out": ""}}
    seen = {"at": NOW - 30, "memory": memory, "mode": "observe"}
    assert take(tmp_path, watchdog=seen)["replicas"][0]["watchdog"]["reason"] == "hangs"
    other = take(tmp_path, watchdog=seen, systemd=Systemd(InvocationID="i2"))
    assert other["replicas"][0]["watchdog"] is None
    assert take(tmp_path, watchdog={**seen, "at": NOW - 3600})["replicas"][0]["watchdog"] is None


@pytest.mark.parametrize("text", ["{", "[]", '{"at": 1}', '{"at": 1, "memory": []}'])
def test_a_watchdog_s_file_that_is_broken_is_named(tmp_path, text):
    found = take(tmp_path, watchdog=text)
    assert "watchdog.json unreadable" in found["problems"][0]
    assert found["replicas"][0]["watchdog"] is None


def test_a_gateway_is_read_where_one_is_installed(tmp_path):
    (tmp_path / "no.cfg").write_text("")
    found = take(tmp_path, units=())["gateway"]
    assert (found["pid"], found["problem"], len(found["servers"])) == (7, "", 4)
    silent = Haproxy("/nowhere", error=haproxy.HaproxyError("nobody listening"))
    found = take(tmp_path, units=(), gateway=silent)
    assert found["gateway"]["problem"] == "nobody listening"
    assert found["problems"] == ["gateway: nobody listening"]
