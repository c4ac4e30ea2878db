# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a served model something and judge its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._base import http_client as http
from .._base.http_stream import Deadlines, stream
from .._host.systemd import SystemdError
from . import answers as _answers
from . import ready

#: What systemd says of a unit: its properties. Raises SystemdError when it does not answer.
UnitState = Callable[[str], Mapping[str, str]]
#: The first request after a start may compile kernels for minutes; a busy engine lets one wait for more than a minute.
FIRST_TOKEN_SECONDS = 300.0
TOKEN_SECONDS = 60.0
_WHOLE_SECONDS = 300.0


def no_state(_unit: str) -> Mapping[str, str]:
    """For a caller that does not ask systemd."""
    return {}


@dataclass
class Live:
    """How far one replica is with its questions: written by the thread that asks, read by the one that reports."""

    unit: str
    url: str
    question: str = ""
    tokens: int = 0
    began: float = 0.0  # of the present question, on the clock that is asked with
    finished: bool = False

    def report(self, now: float) -> dict[str, Any]:
        """What is written while the questions are asked."""
        shown = {"unit": self.unit, "url": self.url, "question": self.question, "tokens": self.tokens}
        return {**shown, "finished": self.finished, "seconds": round(max(now - self.began, 0.0), 1)}


@dataclass(frozen=True)
class Asking:
    """How questions are asked."""

    api_key: str = ""
    #: Seconds until the first token and between two, for every question. ``patience`` ends all questions together.
    first_token: float = FIRST_TOKEN_SECONDS
    token: float = TOKEN_SECONDS
    patience: Optional[float] = None
    send: Callable[..., http.Answer] = stream
    fetch: Callable[..., http.Answer] = http.fetch
    clock: Callable[[], float] = time.monotonic
    unit_state: UnitState = no_state


def ask_all(
    replica: Mapping[str, Any],
    questions: Sequence[Mapping[str, Any]],
    served_model_name: str,
    asking: Asking,
    live: Optional[Live] = None,
) -> list[dict[str, Any]]:
    """Ask one replica one question after the other.

    None is asked after one that reached no server, or that got no token in time: each would wait as long again.
    """
    live = live or Live(replica.get("unit") or "", replica["url"])
    until = None if asking.patience is None else asking.clock() + asking.patience
    records: list[dict[str, Any]] = []
    for question in questions:
        if until is not None and asking.clock() >= until:
            break
        records.append(ask(replica, question, served_model_name, asking, live, until))
        if records[-1]["status"] is None:
            break
    live.finished = True
    return records


def ask(
    replica: Mapping[str, Any],
    question: Mapping[str, Any],
    served_model_name: str,
    asking: Asking,
    live: Optional[Live] = None,
    until: Optional[float] = None,
) -> dict[str, Any]:
    """Ask one replica one question; the record's ``problems`` are empty when all is well.

    ``until`` is a time of the clock at which the question is given up in any case; the record then says ``given_up``.
    """
    endpoint, clock = question["endpoint"], asking.clock
    live = live or Live(replica.get("unit") or "", replica["url"])
    live.question, live.tokens, live.began = question["name"], 0, clock()
    heard, times = _answers.Heard(), [live.began]

    def on_event(data: str) -> bool:
        counts = heard.event(data)
        if counts:
            live.tokens = heard.tokens
            times.append(clock())
        return counts

    whole = max(float(question.get("timeout_seconds") or _WHOLE_SECONDS), asking.first_token)
    if until is not None:
        whole = min(whole, until - live.began)
    limits = Deadlines(min(asking.first_token, whole), asking.token, whole)
    request = _answers.body(question, served_model_name)
    answer = asking.send(replica["url"] + endpoint, on_event, limits, body=request, api_key=asking.api_key)
    ended = clock()
    record: dict[str, Any] = {
        "unit": replica.get("unit"),
        "url": replica["url"],
        "replica": replica.get("replica"),
        "release": replica.get("release"),
        "question": question["name"],
        "endpoint": endpoint,
        "status": answer.status,
        "model": None,
        "text": None,
        "words": "",
        "finish_reason": None,
        "usage": {},
        "seconds": round(ended - live.began, 3),
        "first_token_seconds": round(times[1] - live.began, 3) if len(times) > 1 else None,
        "tokens": heard.tokens,
        "tokens_per_second": None,
        "given_up": answer.timed_out and until is not None and ended >= until - 0.05,
        "problems": [],
    }
    if answer.status is None and not answer.timed_out and not heard.tokens:
        record["problems"].append(_not_reached(answer, replica["url"], replica.get("unit"), asking.unit_state))
    elif not answer.ok:
        record["problems"].append(_not_ok(answer, heard, replica, served_model_name, asking))
    elif answer.text:
        _read_whole(record, answer, question, served_model_name)
    else:
        _read_stream(record, heard, question, served_model_name)
    record["words"] = _answers.first_words(record["text"] or _answers.without_thoughts(heard.text))
    _measure(record, times)
    return record


def _measure(record: dict[str, Any], times: Sequence[float]) -> None:
    """Tokens and their rate after the first one, by the server's own count where it gives one."""
    counted = record["usage"].get("completion_tokens")
    if isinstance(counted, int):
        record["tokens"] = counted
    if len(times) > 2 and times[-1] > times[1] and record["tokens"] > 1:
        record["tokens_per_second"] = round((record["tokens"] - 1) / (times[-1] - times[1]), 1)


def _read_stream(
    record: dict[str, Any], heard: _answers.Heard, question: Mapping[str, Any], served_model_name: str
) -> None:
    """Judge an answer that came as a stream."""
    problems = record["problems"]
    record.update(model=heard.model, finish_reason=heard.finish_reason, usage=heard.usage)
    if heard.error is not None:
        found = "found an error in the stream after %d tokens, %s" % (heard.tokens, http.quote(heard.error))
        problems.append("%s; needed a whole answer. Fix: see %s" % (found, _log(record["unit"])))
        return
    if heard.unreadable is not None:
        found = "found %s in the stream from %s" % (http.quote(heard.unreadable), record["url"])
        problems.append("%s; needed JSON. Fix: %s" % (found, _who(record["url"])))
        return
    if not heard.done:
        found = "found a stream that was cut off after %d tokens" % heard.tokens
        problems.append("%s; needed it to its end. Fix: see %s" % (found, _log(record["unit"])))
        return
    _judge(record, heard.text, heard.reasoning, question, served_model_name)


def _read_whole(
    record: dict[str, Any], answer: http.Answer, question: Mapping[str, Any], served_model_name: str
) -> None:
    """Judge an answer that came in one piece, from a server that does not stream."""
    problems, endpoint = record["problems"], record["endpoint"]
    data = answer.json()
    where, who = record["url"] + endpoint, _who(record["url"])
    if not isinstance(data, dict):
        found = "found %s from %s, which is no JSON object" % (answer.describe(), where)
        problems.append("%s; needed vLLM's answer. Fix: %s" % (found, who))
        return
    text, reasoning, record["finish_reason"] = _answers.answer_text(endpoint, data)
    record["model"] = data.get("model")
    record["usage"] = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    if text is None:
        found = "found no text in %s from %s" % (http.quote(answer.text), where)
        problems.append("%s; needed a choice with text. Fix: %s" % (found, who))
        return
    _judge(record, text, reasoning, question, served_model_name)


def _judge(
    record: dict[str, Any],
    text: str,
    reasoning: Optional[str],
    question: Mapping[str, Any],
    served_model_name: str,
) -> None:
    problems = record["problems"]
    if record["model"] != served_model_name:
        found = "found an answer of the model %r from %s%s" % (record["model"], record["url"], record["endpoint"])
        problems.append("%s; needed %s. Fix: %s" % (found, served_model_name, _who(record["url"])))
    record["text"] = _answers.without_thoughts(text)
    if not record["text"] and (reasoning or text) and record["finish_reason"] == "length":
        problems.append("found only reasoning until max_tokens; needed an answer. Fix: a larger max_tokens")
    else:
        problems += _answers.judge(record["text"], question.get("expect") or {})


def _log(unit: Optional[str]) -> str:
    return "`journalctl -u %s -n 50`" % unit if unit else "the server's log"


def _who(url: str) -> str:
    port = urlsplit(url).port
    return "see who listens there with `ss -ltnp%s`" % (" 'sport = :%d'" % port if port else "")


def _not_reached(answer: http.Answer, url: str, unit: Optional[str], unit_state: UnitState) -> str:
    """Nothing answers: what systemd knows of the unit says what to do."""
    found = "found %s at %s" % (answer.describe(), url)
    if not unit:
        return "%s; needed a server that answers. Fix: start it" % found
    try:
        state = unit_state(unit)
    except SystemdError as exc:
        return "%s; needed it serving. The state of %s is not known either: %s" % (found, unit, exc)
    active, sub = state.get("ActiveState", ""), state.get("SubState", "")
    if active == "inactive":
        fix = "systemctl start %s, or run site.yml, which also waits until it serves" % unit
        return "%s, and the unit stopped; needed it serving. Fix: %s" % (found, fix)
    if active == "failed" or sub.startswith("auto-restart"):
        what = "failed (%s)" % state.get("Result", "failed") if active == "failed" else "between two starts"
        fix = "see `journalctl -u %s -n 50`, mend the cause, and run site.yml" % unit
        return "%s, and the unit %s; needed it serving. Fix: %s" % (found, what, fix)
    if active:
        fix = "where it is still starting (`journalctl -u %s -f`), ask later; site.yml waits until it serves" % unit
        return "%s, while the unit is %s; needed it serving. Fix: %s" % (found, active, fix)
    return "%s; needed an answer with status 200. Fix: see `systemctl status %s`" % (found, unit)


def _not_ok(
    answer: http.Answer, heard: _answers.Heard, replica: Mapping[str, Any], served_model_name: str, asking: Asking
) -> str:
    log = _log(replica.get("unit"))
    if answer.status in (401, 403):
        hint = "the key it was started with" if asking.api_key else "a key"
        return "found %s; needed %s. Fix: set vllm_smoke_api_key" % (answer.describe(), hint)
    if answer.status == 404:
        models = asking.fetch(replica["url"] + "/v1/models", timeout=10, api_key=asking.api_key).json()
        names = ready.model_names(models)
        if names and served_model_name not in names:
            found = "found the models %s at %s" % (", ".join(names), replica["url"])
            return "%s; needed %s. Fix: %s" % (found, served_model_name, _who(replica["url"]))
    said = ", the answer so far %s" % http.quote(heard.text, 80) if heard.text else ""
    if answer.timed_out:
        option = "vllm_smoke_token_timeout_seconds" if heard.tokens else "vllm_smoke_first_token_timeout_seconds"
        if "whole" in (answer.error or ""):
            option = "timeout_seconds of the question"
        restart = "where it hangs, `systemctl restart %s`" % (replica.get("unit") or "UNIT")
        fix = "see %s; %s; where it is merely slow, a larger %s" % (log, restart, option)
        return "found %s%s; needed an answer in time. Fix: %s" % (answer.error, said, fix)
    if answer.status is None:
        found = "found a stream that was cut off after %d tokens (%s)%s" % (heard.tokens, answer.error, said)
        return "%s; needed it to its end. Fix: see %s" % (found, log)
    return "found %s; needed an answer with status 200. Fix: see %s" % (answer.describe(), log)


def problems(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything that went wrong, each with the replica and the question."""
    return [
        "%s, %s: %s" % (record["unit"] or record["url"], record["question"], problem)
        for record in records
        for problem in record["problems"]
    ]


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Everything that went wrong, as one numbered text."""
    return "\n".join("%d. %s" % (number, line) for number, line in enumerate(problems(records), 1))
