# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release: everything that is deployed together. Plain data in, validated data or every mistake at once out."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._npu.hardware import GENERATIONS
from . import vllm_options

ARCHITECTURES = ("any", "aarch64", "x86_64")
ENDPOINTS = ("/v1/completions", "/v1/chat/completions")
LANGUAGES = ("zh", "en")

# The numbers that `vllm bench serve` writes into its result file and that a baseline may therefore name.
METRICS = (
    "completed",
    "failed",
    "max_concurrency",
    "duration",
    "total_input_tokens",
    "total_output_tokens",
    "request_throughput",
    "output_throughput",
    "max_output_tokens_per_s",
    "max_concurrent_requests",
    "total_token_throughput",
    "mean_ttft_ms",
    "median_ttft_ms",
    "std_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "median_tpot_ms",
    "std_tpot_ms",
    "p99_tpot_ms",
    "mean_itl_ms",
    "median_itl_ms",
    "std_itl_ms",
    "p99_itl_ms",
)

# What the release says elsewhere, or must not say at all, instead of as an option of `vllm serve`.
_ELSEWHERE = {
    "served-model-name": "serve.served_model_name",
    "host": "serve.host",
    "port": "serve.port",
    "model": "no value here: the model is where the weights were downloaded to",
    "api-key": "vllm_serve_api_key in the inventory: a key on a command line is readable for everyone and is logged",
    "config": "the options themselves: a file would hide them from validation",
    "hf-token": "HF_TOKEN in vllm_serve_environment of the inventory",
}
_BENCH_ELSEWHERE = ("model", "served-model-name", "host", "port", "base-url", "tokenizer", "result-dir", "save-result")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_RELEASE_NAME = re.compile(r"[a-z0-9][a-z0-9_]*\Z")
_VERSION = re.compile(r"\d+(\.[0-9A-Za-z]+)*([.+-][0-9A-Za-z.+-]+)?\Z")
_OPTION = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SIZE = re.compile(r"\d+[bkmgBKMG]?\Z")
_TAG = re.compile(r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True)
class Problem:
    """One mistake in a release: where, what was found, what is needed."""

    path: str
    found: str
    needed: str

    def text(self) -> str:
        """One line for people."""
        return "%s: found %s; needed %s" % (self.path, self.found, self.needed)


class ReleaseError(Exception):
    """A release that cannot be used; the message lists every mistake."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where = where
        self.problems = list(problems)
        noun = "1 mistake" if len(self.problems) == 1 else "%d mistakes" % len(self.problems)
        lines = ["%s: %s" % (where, noun)]
        lines += ["%d. %s" % (n, p.text()) for n, p in enumerate(self.problems, 1)]
        super().__init__("\n".join(lines))


def quote(value: Any) -> str:
    """A value as an error message shows it: short, and telling a string from a number."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        # A URL may carry a password.
        text = re.sub(r"://[^/@\s]+@", "://***@", json.dumps(value, ensure_ascii=False))
    elif isinstance(value, bool):
        text = "the boolean %s" % str(value).lower()
    elif isinstance(value, (int, float)):
        text = "the number %s" % value
    elif isinstance(value, Mapping):
        text = "a mapping (%s)" % ", ".join(str(k) for k in value)
    elif isinstance(value, (list, tuple)):
        text = "a list of %d" % len(value)
    else:
        text = "a %s (%s)" % (type(value).__name__, value)
    return text if len(text) <= 120 else text[:117] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean `x`?)`` for a near miss, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return " (did you mean `%s`?)" % near[0] if near else ""


_MISSING = object()
Check = Callable[[Any], Optional[str]]


@dataclass
class _Section:
    """Reads one mapping key by key, remembers what was asked for, and reports everything else as unknown."""

    value: Mapping[str, Any]
    path: str
    problems: list[Problem]
    out: dict[str, Any] = field(default_factory=dict)

    def at(self, key: str) -> str:
        return "%s.%s" % (self.path, key) if self.path else key

    def problem(self, key: str, found: str, needed: str) -> None:
        self.problems.append(Problem(self.at(key), found, needed))

    def take(self, key: str, check: Check, default: Any = _MISSING) -> Any:
        """The value of ``key``, checked; ``check`` returns what is needed instead, or None when all is well."""
        present = key in self.value and self.value[key] is not None
        if not present:
            if default is _MISSING:
                self.problem(key, "nothing", check(None) or "a value")
                self.out[key] = None
                return None
            self.out[key] = default
            return default
        value = self.value[key]
        needed = check(value)
        if needed:
            self.problem(key, quote(value), needed)
            value = None if default is _MISSING else default
        self.out[key] = value
        return value

    def section(self, key: str, *, required: bool = True) -> _Section:
        """The mapping under ``key``."""
        value = self.value.get(key)
        if isinstance(value, Mapping):
            return _Section(value, self.at(key), self.problems, self.out.setdefault(key, {}))
        if value is not None or required:
            self.problem(key, quote(value), "a mapping")
        # What a broken or missing mapping would have held is not reported once more, key by key.
        return _Section({}, self.at(key), [], self.out.setdefault(key, {}))

    def sections(self, key: str, *, required: bool = True) -> list[_Section]:
        """The mappings in the list under ``key``."""
        value = self.value.get(key)
        self.out[key] = []
        if not isinstance(value, (list, tuple)) or (required and not value):
            if value is not None or required:
                self.problem(key, quote(value), "a list of mappings with at least one entry")
            return []
        found = []
        for index, entry in enumerate(value):
            if not isinstance(entry, Mapping):
                self.problem("%s[%d]" % (key, index), quote(entry), "a mapping")
                continue
            self.out[key].append({})
            found.append(_Section(entry, "%s[%d]" % (self.at(key), index), self.problems, self.out[key][-1]))
        return found

    def close(self) -> None:
        """Report the keys nobody asked for."""
        for key in self.value:
            if key not in self.out:
                self.problem(
                    str(key),
                    "an unknown key" + did_you_mean(str(key), self.out),
                    "one of: %s" % ", ".join(sorted(self.out)),
                )


def _text(value: Any) -> Optional[str]:
    return None if isinstance(value, str) and value.strip() else "text"


def _matching(pattern: re.Pattern[str], needed: str) -> Check:
    return lambda value: None if isinstance(value, str) and pattern.match(value) else needed


def _one_of(known: Sequence[str]) -> Check:
    def check(value: Any) -> Optional[str]:
        if isinstance(value, str) and value in known:
            return None
        hint = did_you_mean(value.lower(), known) if isinstance(value, str) else ""
        return "one of: %s%s" % (", ".join(known), hint)

    return check


def _integer(low: int, high: Optional[int] = None) -> Check:
    needed = "an integer from %d to %d" % (low, high) if high is not None else "an integer, %d or more" % low

    def check(value: Any) -> Optional[str]:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= low
        return None if good and (high is None or value <= high) else needed

    return check


def _version(value: Any) -> Optional[str]:
    if isinstance(value, str) and _VERSION.match(value):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 'a version in quotes, such as "25.2.0": YAML reads 25.20 without quotes as the number 25.2'
    return "a version such as 25.2.0"


def _texts(value: Any) -> Optional[str]:
    good = isinstance(value, (list, tuple)) and all(isinstance(v, str) and v for v in value)
    return None if good else "a list of texts"


def _repository(value: Any) -> Optional[str]:
    needed = "the URL of a git repository, such as https://modelers.cn/OWNER/NAME.git, without user name or password"
    if not isinstance(value, str):
        return needed
    parts = urlsplit(value)
    good = parts.scheme in ("http", "https", "ssh", "file") and parts.path.strip("/")
    return None if good and (parts.netloc or parts.scheme == "file") and parts.password is None else needed


def _relative(value: Any) -> Optional[str]:
    good = isinstance(value, str) and value and not value.startswith("/") and ".." not in value.split("/")
    return None if good else "a path inside the repository: relative, without `..`"


def _json_object(value: Any) -> Optional[str]:
    if isinstance(value, Mapping):
        return None
    try:
        good = isinstance(json.loads(value), dict) if isinstance(value, str) else False
    except ValueError as exc:
        return "a mapping, or a JSON object as text (JSON says: %s)" % exc
    return None if good else "a mapping, or a JSON object as text"


def validate(data: Any, *, name: Optional[str] = None, where: str = "release") -> dict[str, Any]:
    """Return the release with every default filled in, or raise ReleaseError with every mistake.

    ``name`` is what the release is asked for by (its file's name); ``where`` is what messages call it.
    """
    problems: list[Problem] = []
    if not isinstance(data, Mapping):
        raise ReleaseError(where, [Problem("(whole file)", quote(data), "a mapping that begins with `release: NAME`")])
    root = _Section(data, "", problems)
    found = root.take("release", _matching(_RELEASE_NAME, "a name of lower-case letters, digits and _"))
    if name is not None and found is not None and found != name:
        root.problem("release", quote(found), '"%s", as the file is called' % name)
    root.take("description", _text, "")
    root.take("source", _texts, [])
    _versions(root)
    _images(root)
    _model(root)
    _serve(root)
    _smoke(root)
    _benchmark(root)
    root.close()
    if problems:
        raise ReleaseError(where, problems)
    return root.out


def _versions(root: _Section) -> None:
    for key, version in (("driver", "version"), ("firmware", "package_version"), ("cann", "version")):
        section = root.section(key)
        section.take(version, _version)
        section.close()


def _images(root: _Section) -> None:
    seen: dict[tuple[Any, Any], str] = {}
    for image in root.sections("images"):
        generation = image.take("generation", _one_of(tuple(GENERATIONS)))
        architecture = image.take("architecture", _one_of(ARCHITECTURES), "any")
        image.take("repository", _repository)
        image.take("revision", _text, "main")
        image.take("path", _relative)
        image.take("sha256", _matching(re.compile(r"[0-9a-f]{64}\Z"), "64 hexadecimal digits, or null"), None)
        image.take("size_bytes", _integer(1), None)
        image.take("tag", _matching(_TAG, "an image name with its tag, such as vllm-ascend:qwen3_5-v0-a2"))
        image.take("image_id", _matching(re.compile(r"sha256:[0-9a-f]{64}\Z"), "sha256: and 64 digits, or null"), None)
        components = image.section("components", required=False)
        for component in list(components.value):
            components.take(component, _version)
        image.take("reported_components", _texts, [])
        image.close()
        if generation is None:
            continue
        for other in ARCHITECTURES if architecture == "any" else ("any", architecture):
            if (generation, other) in seen:
                needed = "one image per generation and architecture; %s is one already" % seen[(generation, other)]
                image.problem("generation", "%s, architecture %s" % (generation, architecture), needed)
                break
        seen[(generation, architecture)] = image.path


def _model(root: _Section) -> None:
    model = root.section("model")
    model.take("name", _matching(_NAME, "a name of letters, digits, `.`, `_` and `-`: it becomes a folder"))
    model.take("repository", _repository)
    model.take("revision", _text, "main")
    model.take("include", _texts, ["*"])
    model.take("exclude", _texts, [])
    model.close()


def _serve(root: _Section) -> None:
    serve = root.section("serve")
    serve.take("served_model_name", _matching(_NAME, "a name of letters, digits, `.`, `_` and `-`: units bear it"))
    serve.take("host", _text, "0.0.0.0")  # noqa: S104 - the guide's own value
    serve.take("port", _integer(1, 65535), 8010)
    options = serve.value.get("options")
    if isinstance(options, Mapping):
        versions = [i.get("components") or {} for i in root.out.get("images") or []]
        serve.out["options"] = {k: v for k, v in options.items() if v is not None}
        root.problems.extend(check_serve_options(options, serve.at("options"), components=versions))
    else:
        serve.out["options"] = {}
        if options is not None or serve.value:
            serve.problem("options", quote(options), "a mapping of the options of `vllm serve`")
    environment = serve.section("environment", required=False)
    for variable, value in environment.value.items():
        environment.out[variable] = str(value)
        root.problems.extend(check_variable(variable, value, environment.at(str(variable))))
    container = serve.section("container", required=False)
    container.take("shm_size", _matching(_SIZE, "a size as docker reads it, such as 100g"), "100g")
    container.close()
    serve.take("ready_timeout_seconds", _integer(1), 2700)
    serve.take("silence_timeout_seconds", _integer(1), 600)
    serve.close()


def check_variable(name: Any, value: Any, path: str) -> list[Problem]:
    """The mistakes of one environment variable."""
    if not isinstance(name, str) or not _VARIABLE.match(name):
        return [Problem(path, "the name %s" % quote(name), "a name of letters, digits and _")]
    if isinstance(value, bool):
        return [Problem(path, quote(value), 'the text in quotes, such as "%s"' % str(value).lower())]
    if not isinstance(value, (str, int, float)) or "\n" in str(value):
        return [Problem(path, quote(value), "one line of text, or a number")]
    return []


def check_serve_options(
    options: Mapping[str, Any], path: str, *, components: Sequence[Mapping[str, Any]] = ()
) -> list[Problem]:
    """The mistakes in options of ``vllm serve``, as written under ``path``.

    ``components`` are the versions inside the images that will run them: what these do not understand is a mistake. An
    option of a version that is not known here passes.
    """
    problems: list[Problem] = []
    for option, value in options.items():
        at = "%s.%s" % (path, option)
        if not isinstance(option, str) or not _OPTION.match(option):
            hint = ", such as `%s`" % str(option).strip("-").replace("_", "-") if isinstance(option, str) else ""
            problems.append(Problem(at, quote(option), "an option's long name, without `--`, with `-` for `_`" + hint))
        elif option in _ELSEWHERE:
            found = "this option" if option in ("api-key", "hf-token") else quote(value)
            problems.append(Problem(at, found, _ELSEWHERE[option]))
        else:
            problems.extend(_check_option(option, value, at, components))
    problems.extend(check_together(options, path))
    return problems


def _check_option(option: str, value: Any, at: str, components: Sequence[Mapping[str, Any]]) -> list[Problem]:
    tables = [(c.get("vllm"), vllm_options.serve_options(c.get("vllm"))) for c in components]
    for version, table in tables:
        if table is not None and option not in table:
            negative = option[3:] if option.startswith("no-") else ""
            hint = did_you_mean(option, table)
            if table.get(negative) == "flag":
                hint = " (write `%s: false`)" % negative
            return [Problem(at, "an unknown option" + hint, "an option of `vllm serve` %s" % version)]
    kind = next((table[option] for _version, table in tables if table is not None), None)
    if value is None:
        return []
    if kind is None and option in ("additional-config", "compilation-config"):
        kind = "json"
    needed = _needed_value(option, value, kind)
    if needed:
        return [Problem(at, quote(value), needed)]
    if option == "additional-config":
        return _check_additional_config(value, at, components)
    return []


_POSITIVE = (
    "data-parallel-size",
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "max-num-batched-tokens",
    "max-num-seqs",
    "max-logprobs",
    "seed",
    "api-server-count",
    "data-parallel-size-local",
)


def _needed_value(option: str, value: Any, kind: Optional[str]) -> Optional[str]:
    if kind == "flag":
        return None if isinstance(value, bool) else "true, or false for --no-%s" % option
    if kind == "switch":
        return None if value is True else "true, or null to leave it out"
    if kind == "json":
        return _json_object(value)
    if option in _POSITIVE:
        return _integer(0 if option in ("seed", "max-logprobs") else 1)(value)
    if option == "gpu-memory-utilization":
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1
        return None if good else "a number above 0, at most 1"
    if option == "max-model-len":
        good = isinstance(value, int) and not isinstance(value, bool) and (value > 0 or value == -1)
        good = good or (isinstance(value, str) and re.match(r"(\d+(\.\d+)?[kKmMgG]?|auto)\Z", value) is not None)
        return None if good else "a number of tokens"
    if kind == "values" and isinstance(value, (list, tuple)):
        return None if value and all(isinstance(v, (str, int, float)) for v in value) else "a list of texts or numbers"
    if kind in ("value", "values"):
        good = isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""
        return None if good or isinstance(value, Mapping) else "a value"
    return None


def _check_additional_config(value: Any, at: str, components: Sequence[Mapping[str, Any]]) -> list[Problem]:
    keys = list(value if isinstance(value, Mapping) else json.loads(value))
    problems = []
    for version in dict.fromkeys(str(c.get("vllm_ascend")) for c in components):
        known = vllm_options.additional_config_keys(version)
        if known is None:
            continue
        for key in keys:
            if key not in known:
                found = "an unknown key" + did_you_mean(key, known)
                needed = "a key that vllm-ascend %s reads (it ignores others silently)" % version
                problems.append(Problem("%s.%s" % (at, key), found, needed))
    return problems


def check_together(options: Mapping[str, Any], path: str) -> list[Problem]:
    """The mistakes that only several options make together."""
    batched, sequences = options.get("max-num-batched-tokens"), options.get("max-num-seqs")
    if isinstance(batched, int) and isinstance(sequences, int) and 0 < batched < sequences:
        needed = "max-num-seqs (%d) or more: vLLM refuses to start otherwise" % sequences
        return [Problem(path + ".max-num-batched-tokens", "the number %d" % batched, needed)]
    return []


def _smoke(root: _Section) -> None:
    smoke = root.section("smoke", required=False)
    names: set[str] = set()
    served = root.out["serve"].get("served_model_name")
    for question in smoke.sections("questions", required=False):
        name = question.take("name", _matching(_NAME, "a name of letters, digits, `.`, `_` and `-`"))
        if name in names:
            question.problem("name", quote(name), "a name that no other question has")
        names.add(name)
        endpoint = question.take("endpoint", _one_of(ENDPOINTS))
        request = question.take("request", lambda v: None if isinstance(v, Mapping) and v else "the request's body")
        content = {"/v1/completions": "prompt", "/v1/chat/completions": "messages"}.get(endpoint or "")
        if request and content and content not in request:
            question.problem("request.%s" % content, "nothing", "what %s is to be asked" % endpoint)
        if request and served and request.get("model", served) != served:
            question.problem("request.model", quote(request["model"]), '"%s", or nothing' % served)
        picture = question.take("picture", _relative, None)
        if picture and request and not pictures(request):
            question.problem("picture", quote(picture), "a message of the request with an image_url to put it into")
        question.take("timeout_seconds", _integer(1), 300)
        _expect(question.section("expect"))
        question.close()
    smoke.close()


def _expect(expect: _Section) -> None:
    pattern = expect.take("pattern", _text, None)
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as exc:
            expect.problem("pattern", quote(pattern), "a regular expression (%s)" % exc)
    expect.take("min_characters", _integer(1), 1)
    expect.take("language", _one_of(LANGUAGES), None)
    expect.close()


def _benchmark(root: _Section) -> None:
    benchmark = root.section("benchmark", required=False)
    names: set[str] = set()
    for workload in benchmark.sections("workloads", required=False):
        name = workload.take("name", _matching(_NAME, "a name of letters, digits, `.`, `_` and `-`"))
        if name in names:
            workload.problem("name", quote(name), "a name that no other workload has")
        names.add(name)
        workload.take("description", _text, "")
        options = workload.take("options", lambda v: None if isinstance(v, Mapping) and v else "a mapping of options")
        for option in options or {}:
            if not isinstance(option, str) or not _OPTION.match(option):
                workload.problem("options.%s" % option, quote(option), "an option's long name, without `--`")
            elif option in _BENCH_ELSEWHERE:
                workload.problem("options.%s" % option, "this option", "nothing: it is filled in at run time")
        for option in ("dataset-name", "num-prompts"):
            if options and option not in options:
                workload.problem("options.%s" % option, "nothing", "a value: the workload is not defined without it")
        baseline = workload.section("baseline", required=False)
        for metric, value in baseline.value.items():
            if metric not in METRICS:
                needed = "one of: %s" % ", ".join(METRICS)
                baseline.problem(str(metric), "an unknown metric" + did_you_mean(str(metric), METRICS), needed)
            elif not isinstance(value, (int, float)) or isinstance(value, bool):
                baseline.problem(metric, quote(value), "a number")
            baseline.out[metric] = value
        workload.close()
    benchmark.close()


def pictures(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every ``image_url`` mapping in the messages of a chat request, to be read or written in place."""
    messages = request.get("messages")
    found = []
    for message in messages if isinstance(messages, (list, tuple)) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, (list, tuple)) else ():
            if isinstance(part, Mapping) and isinstance(part.get("image_url"), dict):
                found.append(part["image_url"])
    return found
