# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath expressions of operators: read, judged before they are used, and applied. For the controller alone.

The library jmespath is asked for only where somebody has written an expression.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Sequence

from ansible.utils.display import Display

from ..module_utils._base.text import printable
from ..module_utils._release.problems import did_you_mean

try:
    import jmespath
    import jmespath.exceptions
    import jmespath.functions

    MISSING: Optional[str] = None
except ImportError as _error:
    MISSING = str(_error)


class QueryError(ValueError):
    """An expression cannot be used; the message says what was found, what is needed and what to do."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with an expression, and from which column on, counted from 1."""

    words: str
    column: int

    def pointer(self, expression: str) -> str:
        """The expression with a mark below the column, as two lines."""
        # What is not one column wide would move the mark; line breaks cannot be pointed into.
        shown = printable(expression.replace("\n", " "))
        return "%s\n%s^" % (shown, " " * (self.column - 1))


def need_library(wanted_by: str) -> None:
    """QueryError where the library is missing. ``wanted_by``: what needs it."""
    if MISSING is not None:
        raise QueryError(
            "found no library jmespath for %s on the controller (%s); needed by %s. Fix: `%s -m pip install jmespath`, "
            "or the distribution's package python3-jmespath" % (sys.executable, MISSING, wanted_by, sys.executable)
        )


def mistake_in(expression: str, roots: Sequence[str] = ()) -> Optional[Mistake]:
    """What is wrong with an expression; None where nothing is.

    Functions that do not exist, or that are given too few or too many arguments, are mistakes, and so is a first name
    that is none of ``roots``: it could never find anything.
    """
    try:
        parsed = jmespath.compile(expression).parsed
    except jmespath.exceptions.LexerError as exc:
        return Mistake(str(exc.message), int(exc.lexer_position) + 1)
    except jmespath.exceptions.IncompleteExpressionError:
        return Mistake("the expression ends too early", len(expression) + 1)
    except jmespath.exceptions.ParseError as exc:
        return Mistake("unexpected `%s`" % exc.token_value, int(exc.lex_position) + 1)
    except jmespath.exceptions.JMESPathError as exc:
        return Mistake(" ".join(str(exc).split()), 1)
    for call in _calls(parsed):
        words = _wrong_call(call)
        if words:
            return Mistake(words, _column(expression, call["value"]))
    for name in _first_names(parsed) if roots else ():
        if name not in roots:
            words = "`%s` is none of %s%s" % (name, ", ".join(roots), did_you_mean(name, roots))
            return Mistake(words, _column(expression, name))
    return None


def checked(expression: str, wanted_by: str, roots: Sequence[str] = ()) -> None:
    """QueryError with a pointer where an expression, or the library, cannot be used."""
    need_library(wanted_by)
    mistake = mistake_in(expression, roots)
    if mistake:
        raise QueryError(
            "found a mistake at column %d of %s: %s; needed a JMESPath expression. Fix: correct it there:\n%s"
            % (mistake.column, wanted_by, mistake.words, mistake.pointer(expression))
        )


def select(expression: str, data: Any) -> Any:
    """What an expression that was checked selects. QueryError where it meets data that it cannot read."""
    try:
        return jmespath.search(expression, data)
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError, RecursionError) as exc:
        raise QueryError(" ".join(str(exc).split())) from exc


def show(report: Mapping[str, Any], expression: str, variable: str = "fleet_query") -> Any:
    """Print just what an expression selects from a report: a text as it is, everything else as JSON. QueryError.

    Returns what was selected, for the result of the task.
    """
    checked(expression, variable)
    try:
        found = select(expression, report)
    except QueryError as exc:
        raise QueryError(
            "found that %s cannot be applied: %s; needed an expression that fits the report. Fix: correct it, or look "
            "at the whole report as JSON" % (variable, exc)
        ) from exc
    text = found if isinstance(found, str) else json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
    Display().display(printable(text, keep="\n"))
    return found


# - the tree of an expression -


def _nodes(parsed: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(parsed, Mapping):
        yield parsed
        for child in parsed.get("children") or []:
            yield from _nodes(child)


def _calls(parsed: Any) -> Iterator[Mapping[str, Any]]:
    return (node for node in _nodes(parsed) if node.get("type") == "function_expression")


def _wrong_call(call: Mapping[str, Any]) -> Optional[str]:
    table = jmespath.functions.Functions.FUNCTION_TABLE
    name = str(call["value"])
    if name not in table:
        return "there is no function `%s`%s" % (name, did_you_mean(name, table))
    signature, given = table[name]["signature"], len(call.get("children") or [])
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if given < len(signature) or (given > len(signature) and not variadic):
        return "`%s` takes %d argument(s), and not %d" % (name, len(signature), given)
    return None


def _first_names(parsed: Mapping[str, Any]) -> Iterator[str]:
    """The names that are looked up in the data itself, and not in what was selected before."""
    kind, children = parsed.get("type"), parsed.get("children") or []
    if kind == "field":
        yield str(parsed["value"])
    elif kind in (
        "subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection", "flatten",
    ):  # fmt: skip
        yield from _first_names(children[0])
    elif kind != "expref":
        for child in children:
            if isinstance(child, Mapping):
                yield from _first_names(child)


def _column(expression: str, name: str) -> int:
    match = re.search(r"(?<![\w.])\"?%s\b" % re.escape(name), expression)
    return match.start() + 1 if match else 1
