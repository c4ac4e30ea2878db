# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the options and environment of `vllm serve`, of a release and of an inventory alike."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, Optional, Sequence

from . import checks, vllm_options
from .problems import Problem, did_you_mean, quote

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
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


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
        if not isinstance(option, str) or not checks.OPTION_NAME.match(option):
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


def _needed_value(option: str, value: Any, kind: Optional[str]) -> Optional[str]:
    if kind == "flag":
        return None if isinstance(value, bool) else "true, or false for --no-%s" % option
    if kind == "switch":
        return None if value is True else "true, or null to leave it out"
    if kind == "json":
        return checks.json_object(value)
    if option in vllm_options.COUNTS:
        return checks.integer(1)(value)
    if option in vllm_options.WHOLE:
        return checks.integer(0)(value)
    if option in vllm_options.PORTS:
        return checks.integer(1024, 65535)(value)
    if option in vllm_options.NUMBERS:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        return None if good else "a number, 0 or more"
    if kind is not None and option in vllm_options.CHOICES:
        return checks.one_of(vllm_options.CHOICES[option])(value)
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
