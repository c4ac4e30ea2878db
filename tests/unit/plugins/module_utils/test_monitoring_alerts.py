# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules: each has a case in which it fires and one in which it is silent, which promtool runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring import alerts, fleet_metrics, npu_metrics
from ansible_collections.ascend.fleet.plugins.module_utils._monitoring.yaml_text import yaml_text

ROOT = Path(__file__).resolve().parents[4]
FIXTURES = ROOT / "tests" / "unit" / "fixtures"
ALL = alerts.alerts(alerts.Thresholds())
# As text: 0x5 is a series of zeros here, not a number.
CASES = yaml.load((FIXTURES / "monitoring" / "alert_cases.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
PROMTOOL = shutil.which("promtool")
#: Metrics of others: of Prometheus itself, of vLLM (docs/monitoring.md), and of HAProxy 2.4 and later.
OTHERS = {
    "up", "http_requests_total", "vllm:num_requests_running", "vllm:num_requests_waiting",
    "vllm:generation_tokens_total", "vllm:prompt_tokens_total", "haproxy_backend_active_servers",
    "haproxy_backend_current_queue", "haproxy_server_status", "haproxy_frontend_http_requests_total",
    "haproxy_frontend_http_responses_total",
}  # fmt: skip
_METRIC = re.compile(r"\b((?:vllm:|haproxy_|npu_|machine_|ascend_fleet_|http_)[a-z0-9_]+|up)\b")


def metrics_of(expression):
    """The metrics that an expression reads; what stands in quotes is none."""
    return set(_METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))


def expected(alert, case):
    """What promtool shall find: labels and the annotations' presence is not compared."""
    return [{"exp_labels": dict(labels, severity=alert.severity)} for labels in case.get("fires") or []]


def promtool_test(rules, cases):
    """A file for `promtool test rules`."""
    tests = []
    by_name = {alert.name: alert for alert in ALL}
    for name, kinds in cases.items():
        for kind, case in kinds.items():
            series = [{"series": text, "values": values} for text, values in case["series"].items()]
            tests.append(
                {
                    "name": "%s: %s" % (name, kind),
                    "interval": "1m",
                    "input_series": series,
                    "alert_rule_test": [
                        {"alertname": name, "eval_time": case["at"], "exp_alerts": expected(by_name[name], case)}
                    ],
                }
            )
    return {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}


def run_promtool(*words):
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def needs_promtool():
    """Where REQUIRE_PROMTOOL is set, as in the gate, it must be there."""
    if PROMTOOL is None:
        assert not os.environ.get("REQUIRE_PROMTOOL"), "found no promtool; needed it. Fix: tests/tools/promtool.sh"
        pytest.skip("promtool is not installed")


def written(tmp_path, cases):
    """A file of cases for each alert, beside a file with its rule alone: promtool works out every rule at every minute.

    Without annotations, which a case would have to repeat.
    """
    found = []
    for name, kinds in cases.items():
        data = alerts.rules_data([alert for alert in ALL if alert.name == name])
        del data["groups"][0]["rules"][0]["annotations"]
        rules, path = tmp_path / ("%s.rules.yml" % name), tmp_path / ("%s.cases.yml" % name)
        rules.write_text(yaml_text(data), encoding="utf-8")
        path.write_text(yaml.safe_dump(promtool_test(rules, {name: kinds})), encoding="utf-8")
        found.append(str(path))
    return found


def test_every_alert_has_a_case_that_fires_and_one_that_does_not():
    assert set(CASES) == {alert.name for alert in ALL}
    for name, kinds in CASES.items():
        assert set(kinds) == {"fires", "silent"}, name
        assert kinds["fires"]["fires"], name
        assert not kinds["silent"].get("fires"), name
        # A silent case without the metrics of the rule would prove nothing.
        read = {m for text in kinds["silent"]["series"] for m in metrics_of(text)}
        rule = next(alert for alert in ALL if alert.name == name)
        assert read & metrics_of(rule.expr), name


def test_rules_read_metrics_that_somebody_writes():
    known = OTHERS | set(npu_metrics.CATALOGUE) | set(fleet_metrics.CATALOGUE)
    for alert in ALL:
        assert metrics_of(alert.expr), alert.name
        assert metrics_of(alert.expr) <= known, alert.name


def test_vllm_writes_what_the_rules_read():
    text = (FIXTURES / "vllm" / "metrics-types-0.32.txt").read_text(encoding="utf-8")
    written = {line.split()[2] for line in text.splitlines()}
    assert {name for name in OTHERS if name.startswith(("vllm:", "http_"))} <= written


def test_each_alert_says_what_and_where_to_read_on():
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert headings == [alert.name for alert in ALL]
    for alert in ALL:
        assert alert.description.endswith("."), alert.name
        assert "{{ $labels" in alert.summary, alert.name


def test_rules_are_yaml_that_says_the_same():
    data = alerts.rules_data(ALL)
    assert yaml.safe_load(alerts.rules_text(alerts.Thresholds())) == data
    assert sum(len(group["rules"]) for group in data["groups"]) == len(ALL) == len({alert.name for alert in ALL})


def test_thresholds_and_alerts_that_a_site_does_not_want():
    limits = alerts.Thresholds(hot_celsius=90, queue_requests=3, out_minutes=5, certificate_days=2, error_share=0.5)
    by_name = {alert.name: alert for alert in alerts.alerts(limits)}
    assert by_name["AscendChipHot"].expr.endswith(">= 90")
    assert by_name["AscendOutOfTraffic"].lasts == "5m"
    assert "> 3 and" in by_name["AscendQueueGrows"].expr
    assert "172800" in by_name["AscendCertificateEnds"].expr
    assert by_name["AscendErrorShare"].expr.endswith("> 0.5")
    assert "AscendLinkDown" not in alerts.rules_text(limits, without=["AscendLinkDown"])
    assert yaml.safe_load(alerts.rules_text(limits, without=[a.name for a in ALL])) == {"groups": []}


def test_promtool_reads_the_rules(tmp_path):
    needs_promtool()
    path = tmp_path / "rules.yml"
    path.write_text(alerts.rules_text(alerts.Thresholds()), encoding="utf-8")
    status, said = run_promtool("check", "rules", str(path))
    assert status == 0, said
    assert "%d rules found" % len(ALL) in said


def test_each_alert_fires_and_is_silent(tmp_path):
    needs_promtool()
    status, said = run_promtool("test", "rules", *written(tmp_path, CASES))
    assert status == 0, said
    assert said.count("SUCCESS") == len(ALL)


@pytest.mark.parametrize("kind", ["fires", "silent"])
def test_a_case_that_is_wrong_is_found(tmp_path, kind):
    needs_promtool()
    wrong = {"AscendChipHot": {"fires": dict(CASES["AscendChipHot"][kind])}}
    wrong["AscendChipHot"]["fires"]["fires"] = [] if kind == "fires" else [{"host": "a2-1", "id": "0"}]
    assert run_promtool("test", "rules", *written(tmp_path, wrong))[0] != 0
