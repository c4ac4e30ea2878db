# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release: everything that is deployed together. Plain data in, validated data or every mistake at once out."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from .._npu.hardware import GENERATIONS
from . import checks, packages, upgrade
from .problems import Problem, ReleaseError, did_you_mean, quote
from .serve_options import check_serve_options, check_variable

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

_BENCH_ELSEWHERE = ("model", "served-model-name", "host", "port", "base-url", "tokenizer", "result-dir", "save-result")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_NAME_WORDS = "a name of letters, digits, `.`, `_` and `-`"
_RELEASE_NAME = re.compile(r"[a-z0-9][a-z0-9_]*\Z")
_SIZE = re.compile(r"\d+[bkmgBKMG]?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}\Z")
_TAG = re.compile(r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


def validate(data: Any, *, name: Optional[str] = None, where: str = "release") -> dict[str, Any]:
    """Return the release with every default filled in, or raise ReleaseError with every mistake.

    ``name`` is what the release is asked for by (its file's name); ``where`` is what messages call it.
    """
    problems: list[Problem] = []
    if not isinstance(data, Mapping):
        raise ReleaseError(where, [Problem("(whole file)", quote(data), "a mapping that begins with `release: NAME`")])
    root = checks.Section(data, "", problems)
    found = root.take("release", checks.matching(_RELEASE_NAME, "a name of lower-case letters, digits and _"))
    if name is not None and found is not None and found != name:
        root.problem("release", quote(found), '"%s", as the file is called' % name)
    root.take("description", checks.text, "")
    root.take("source", checks.texts, [])
    _versions(root)
    _images(root)
    _model(root)
    _serve(root)
    _smoke(root)
    _benchmark(root)
    upgrade.read_section(root)
    root.close()
    if problems:
        raise ReleaseError(where, problems)
    return root.out


def _versions(root: checks.Section) -> None:
    for key, version in (("driver", "version"), ("firmware", "package_version"), ("cann", "version")):
        section = root.section(key)
        section.take(version, checks.version)
        if key in packages.KINDS:
            packages.read_packages(section, key)
        section.close()


def _images(root: checks.Section) -> None:
    seen: dict[tuple[Any, Any], str] = {}
    for image in root.sections("images"):
        generation = image.take("generation", checks.one_of(tuple(GENERATIONS)))
        architecture = image.take("architecture", checks.one_of(ARCHITECTURES), "any")
        image.take("repository", checks.repository)
        image.take("revision", checks.text, "main")
        image.take("path", checks.relative)
        image.take("sha256", checks.matching(_SHA256, "64 hexadecimal digits, or null"), None)
        image.take("size_bytes", checks.integer(1), None)
        image.take("tag", checks.matching(_TAG, "an image name with its tag, such as vllm-ascend:qwen3_5-v0-a2"))
        image.take("image_id", checks.matching(_IMAGE_ID, "sha256: and 64 digits, or null"), None)
        components = image.section("components", required=False)
        for component in list(components.value):
            components.take(component, checks.version)
        image.take("reported_components", checks.texts, [])
        image.close()
        if generation is None:
            continue
        for other in ARCHITECTURES if architecture == "any" else ("any", architecture):
            if (generation, other) in seen:
                needed = "one image per generation and architecture; %s is one already" % seen[(generation, other)]
                image.problem("generation", "%s, architecture %s" % (generation, architecture), needed)
                break
        seen[(generation, architecture)] = image.path


def _model(root: checks.Section) -> None:
    model = root.section("model")
    model.take("name", checks.matching(_NAME, _NAME_WORDS + ": it becomes a folder"))
    model.take("repository", checks.repository)
    model.take("revision", checks.text, "main")
    model.take("include", checks.texts, ["*"])
    model.take("exclude", checks.texts, [])
    model.close()


def _serve(root: checks.Section) -> None:
    serve = root.section("serve")
    serve.take("served_model_name", checks.matching(_NAME, _NAME_WORDS + ": units bear it"))
    serve.take("host", checks.text, "0.0.0.0")  # noqa: S104 - the guide's own value
    serve.take("port", checks.integer(1024, 65535), 8010)
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
    container.take("shm_size", checks.matching(_SIZE, "a size as docker reads it, such as 100g"), "100g")
    container.close()
    serve.take("ready_timeout_seconds", checks.integer(1), 2700)
    serve.take("silence_timeout_seconds", checks.integer(1), 600)
    serve.close()


def _smoke(root: checks.Section) -> None:
    smoke = root.section("smoke", required=False)
    for question in smoke.sections("questions", required=False):
        _question(question, root.out["serve"].get("served_model_name"))
    _unique_names(smoke, "questions", "question")
    smoke.close()


def check_questions(value: Any, name: str) -> list[Problem]:
    """The mistakes in smoke questions outside of a release, as written under ``name``.

    They need not say what to expect, and may carry a picture in ``picture_data``, as the module vllm_probe takes them.
    """
    problems: list[Problem] = []
    root = checks.Section({name: value}, "", problems)
    for question in root.sections(name):
        question.take("picture_data", checks.text, None)
        _question(question, None, expected=False)
    _unique_names(root, name, "question")
    return problems


def _question(question: checks.Section, served: Optional[str], *, expected: bool = True) -> None:
    question.take("name", checks.matching(_NAME, _NAME_WORDS))
    endpoint = question.take("endpoint", checks.one_of(ENDPOINTS))
    request = question.take("request", lambda v: None if isinstance(v, Mapping) and v else "the request's body")
    content = {"/v1/completions": "prompt", "/v1/chat/completions": "messages"}.get(endpoint or "")
    if request and content and content not in request:
        question.problem("request.%s" % content, "nothing", "what %s is to be asked" % endpoint)
    if request and served and request.get("model", served) != served:
        question.problem("request.model", quote(request["model"]), '"%s", or nothing' % served)
    picture = question.take("picture", checks.relative, None)
    if picture and request and not pictures(request):
        question.problem("picture", quote(picture), "a message of the request with an image_url to put it into")
    question.take("timeout_seconds", checks.integer(1), 300)
    _expect(question.section("expect", required=expected))
    question.close()


def _unique_names(parent: checks.Section, key: str, noun: str) -> None:
    names = [entry["name"] for entry in parent.out[key]]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            parent.problem("%s[%d].name" % (key, index), quote(name), "a name that no other %s has" % noun)


def _expect(expect: checks.Section) -> None:
    pattern = expect.take("pattern", checks.text, None)
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as exc:
            expect.problem("pattern", quote(pattern), "a regular expression (%s)" % exc)
    expect.take("min_characters", checks.integer(1), 1)
    expect.take("language", checks.one_of(LANGUAGES), None)
    expect.close()


def _benchmark(root: checks.Section) -> None:
    benchmark = root.section("benchmark", required=False)
    for workload in benchmark.sections("workloads", required=False):
        workload.take("name", checks.matching(_NAME, _NAME_WORDS))
        workload.take("description", checks.text, "")
        options = workload.take("options", lambda v: None if isinstance(v, Mapping) and v else "a mapping of options")
        for option in options or {}:
            if not isinstance(option, str) or not checks.OPTION_NAME.match(option):
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
    _unique_names(benchmark, "workloads", "workload")
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
