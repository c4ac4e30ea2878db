# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of text, line by line, before the text is kept anywhere.

Two ways at once: what looks like a secret (by the name before it, or by its shape), and what is known to be one on this
host (`learn`), wherever it stands. Rather too much is taken out than too little.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence
from urllib.parse import quote

from .._base.text import printable

MASK = "[redacted]"
#: A line is read up to this length, and kept up to this one: what a cut leaves of a secret is cut off with it.
READ_CHARACTERS, KEPT_CHARACTERS = 65536, 16384
#: Shorter values are not redacted: they also occur as ordinary words.
_LEAST = 6

# The last part of a name whose value is a secret: `HF_TOKEN`, `apiKey`, `db.password`. `max_tokens` is none.
_NAME_OF_ONE = (
    r"(?:api[\s_-]?key|(?:access|secret|private|auth|encryption|account|shared)[_-]?key|(?<=[A-Za-z0-9][_-])key|token"
    r"|secret|passw(?:or)?d|passphrase|pwd|credentials?|session[_-]?id|signature)"
)
_HEADER_NAME = (
    r"(?:(?:proxy-)?authorization|(?:set-)?cookie2?|cookiejar|x-api-key|api-key|x-amz-security-token|private-token"
    r"|x-(?:[a-z]{1,20}-){0,3}(?:token|secret|key|signature))"
)
_NAMED = re.compile(
    r"""(?P<open>\\*["'])?(?P<name>%s|%s)(?P<close>\\*["'])?(?P<sep>\s*(?:=>|[:=])\s*|\s*,\s*)(?:b(?=["']))?(?P<quote>\\*["'])?"""
    % (_HEADER_NAME, _NAME_OF_ONE),
    re.IGNORECASE,
)
_HEADER = re.compile(_HEADER_NAME + r"\Z", re.IGNORECASE)
_PLAIN_VALUE = re.compile(r"[^\s,;&\"'<>)}\]]+")
# What is no secret: nothing, a switch, a number of a few digits, and what was taken out before.
_NO_SECRET = re.compile(r"(?:None|null|nil|true|false|no|yes|\d{1,5}|\[redacted\]?|\*+|-)?\Z", re.IGNORECASE)
# `--api-key K1 K2`, also as words of a list: every word up to the next option.
_OPTION = re.compile(
    r"(--(?:[a-z0-9]{1,40}[_-]){0,6}(?:api)?(?:key|token|password|passwd|secret|passphrase|credentials?)(?![\w-]))"
    r"((?:[\s\"',=\\\[]+(?!-)[^\s\"',\\\]]+){1,8})",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\s\"',=\\\[\]]+")
_SCHEME = re.compile(r"\b(bearer\s+)(?!\[redacted\])[^\s\"',;)}\]]+", re.IGNORECASE)
_BASIC = re.compile(r"\b(Basic\s+)(?=[a-z+/]*[A-Z0-9+/=])[A-Za-z0-9+/_-]{8,}={0,2}")
_USER_OF_URL = re.compile(
    r"\b([a-z][a-z0-9+.-]{1,20}://)(?!\[redacted\]@)(?:[^\s/\"'<>]{1,512}|[^\s/@:\"'<>]{0,100}:[^\s@\"'<>]{1,400})@",
    re.I,
)
_QUERY = re.compile(
    r"([?&;](?:[\w.%-]{0,40}?)(?:key|token|sig|signature|secret|password|passwd|pwd|auth|authorization|credential|code"
    r"|ticket|session(?:_?id)?)=)(?!\[redacted\])[^&\s\"'#;<>]+",
    re.IGNORECASE,
)
#: What is a secret by its shape: keys of known services, and signed tokens.
_SHAPES = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{12,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|A(?:KIA|SIA)[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|ms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{12,})"
)
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")

_BODY, _HEX = re.compile(r"\s*[A-Za-z0-9+/]{60,76}={0,2}\s*\Z"), re.compile(r"\s*[0-9a-f]+\s*\Z")

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_MAC = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")
_VERSION_BEFORE = re.compile(r"(?:version|npu-smi|release|v)[\s\"':=]{0,6}\Z", re.IGNORECASE)

#: Variables of an environment whose values are shown; every other one is taken out of what docker says.
_HARMLESS = re.compile(
    r"(?:PATH|LD_LIBRARY_PATH|PYTHONPATH|HOME|LANG|LC_ALL|TZ|HOSTNAME|OMP_\w+|TASK_QUEUE_ENABLE|CPU_AFFINITY_CONF"
    r"|(?:VLLM|HCCL|ASCEND|ASDOPS|ATB|LCCL|TORCH|PYTORCH|NPU|HF_HUB|TRANSFORMERS|TOOLCHAIN|CANN|TBE|OPP)_\w+"
    r"|HF_HOME|MASTER_PORT|GLOO_\w+|NO_PROXY|no_proxy)\Z"
)
_SECRET_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|PASSPHRASE|CREDENTIALS?|AUTH|COOKIE)\Z", re.I)


class Redactor:
    """Takes out secrets. ``addresses``: IP and MAC addresses too, each under a name of its own, made with ``salt``."""

    def __init__(self, secrets: Iterable[str] = (), *, addresses: bool = False, salt: str = "") -> None:
        self._known: set[str] = set()
        self._pattern: Optional[re.Pattern[str]] = None
        self._addresses = addresses
        self._salt = salt
        #: How many places were taken out.
        self.count = 0
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Values that are secret wherever they stand, also quoted for a URL or JSON, or in Base64."""
        for secret in secrets:
            value = secret.strip()
            if len(value) < _LEAST or _NO_SECRET.match(value):
                continue
            encoded = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode().rstrip("=")
            forms = (value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1], repr(value)[1:-1], encoded)
            self._known.update(forms)
        words = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def stream(self) -> Callable[[str], str]:
        """A function for the lines of one text, in their order: it knows when it is inside of a private key."""
        inside = False

        def line(text: str) -> str:
            nonlocal inside
            if inside:
                inside = not _PEM_END.search(text)
                return MASK
            if _PEM_BEGIN.search(text):
                inside = not _PEM_END.search(text)
                self.count += 1
                return _PEM_BEGIN.split(text)[0] + MASK
            return self.line(text)

        return line

    def text(self, text: str) -> str:
        """A whole text of several lines."""
        line = self.stream()
        return "".join(line(part.rstrip("\n")) + ("\n" if part.endswith("\n") else "") for part in _lines(text))

    def line(self, text: str) -> str:
        """One line, safe to show, without secrets, and not longer than KEPT_CHARACTERS."""
        text = printable(text[:READ_CHARACTERS], keep="\t")
        if _BODY.match(text) and not _HEX.match(text):
            self.count += 1
            return MASK  # of a key whose first line was not seen
        if self._pattern is not None:
            text = self._sub(self._pattern, MASK, text)
        text = self._sub(_USER_OF_URL, r"\1%s@" % MASK, text)
        text = self._sub(_QUERY, r"\1" + MASK, text)
        text = _OPTION.sub(self._option, text)
        text = self._named(text)
        text = self._sub(_SCHEME, r"\1" + MASK, text)
        text = self._sub(_BASIC, r"\1" + MASK, text)
        text = self._sub(_SHAPES, MASK, text)
        if self._addresses:
            text = self._without_addresses(text)
        if len(text) > KEPT_CHARACTERS:
            return "%s… (%d characters left out)" % (text[:KEPT_CHARACTERS], len(text) - KEPT_CHARACTERS)
        return text

    # - parts of a line -

    def _sub(self, pattern: re.Pattern[str], replacement: str, text: str) -> str:
        text, count = pattern.subn(replacement, text)
        self.count += count
        return text

    def _option(self, found: re.Match[str]) -> str:
        self.count += 1
        return found.group(1) + _WORD.sub(lambda word: MASK if MASK[1:-1] not in word.group() else "redacted", found[2])

    def _named(self, text: str) -> str:
        """Values that follow the name of a secret or of a header with one."""
        done: list[str] = []
        at = 0
        while True:
            found = _NAMED.search(text, at)
            if not found:
                return "".join(done) + text[at:]
            end = self._value_end(text, found)
            value = text[found.end() : end]
            done.append(text[at : found.end()])
            at = found.end()
            if end > at and not _NO_SECRET.match(value):
                done.append(MASK)
                self.count += 1
                at = end

    @staticmethod
    def _value_end(text: str, found: re.Match[str]) -> int:
        """Where the value ends that begins behind ``found``; its begin where there is none."""
        begin, is_header = found.end(), _HEADER.match(found["name"])
        if found["sep"].strip() == "," and not found["close"]:
            return begin  # a name in a list of words
        if found["quote"]:
            end = _closing(text, begin, found["quote"])
            return len(text) if end < 0 else end
        if found["open"] and not found["close"]:
            end = text.find(found["open"], begin)
            if end >= 0:
                return end
        if is_header:
            return len(text)
        if text.count('"', 0, begin) % 2 and '"' in text[begin:]:
            return text.index('"', begin)  # a name within quotes: the value may hold blanks
        value = _PLAIN_VALUE.match(text, begin)
        return value.end() if value else begin

    def _without_addresses(self, text: str) -> str:
        text = _MAC.sub(lambda m: self._address("mac", m.group()), text)
        text = _IPV4.sub(lambda m: m.group() if _VERSION_BEFORE.search(text[: m.start()][-16:]) else self._ip(m), text)
        return _IPV6.sub(self._ip, text)

    def _ip(self, found: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(found.group())
        except ValueError:
            return found.group()
        if address.is_loopback or address.is_unspecified or found.group().startswith("255."):
            return found.group()
        return self._address("address", str(address))

    def _address(self, kind: str, value: str) -> str:
        """The same name for the same address, which tells nothing without the salt."""
        self.count += 1
        return "[%s %s]" % (kind, hashlib.sha256((self._salt + value.lower()).encode()).hexdigest()[:8])


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").splitlines(True) if text else []


def _closing(text: str, begin: int, mark: str) -> int:
    """Where a quoted value ends: at the same quote, with as many backslashes before it."""
    at = begin
    while True:
        at = text.find(mark, at)
        if at < 0:
            return -1
        if at == 0 or text[at - 1] != "\\" or mark.startswith("\\"):
            return at
        at += 1


# - data -


def environment(values: Sequence[Any]) -> list[str]:
    """``NAME=value`` words of docker: the values of all but harmless names are taken out."""
    found = []
    for word in values:
        name, equals, value = str(word).partition("=")
        shown = bool(_HARMLESS.match(name)) and not _SECRET_VARIABLE.search(name)
        found.append(name + equals + (value if shown or not value else MASK))
    return found


def without_environment(raw: Any) -> Any:
    """Docker's description of a container with the environment taken out; everything else as it is."""
    if isinstance(raw, Mapping):
        return {
            str(k): environment(v) if str(k) == "Env" and isinstance(v, (list, tuple)) else without_environment(v)
            for k, v in raw.items()
        }
    if isinstance(raw, (list, tuple)):
        return [without_environment(v) for v in raw]
    return raw


def secrets_of_environment(values: Iterable[Any]) -> list[str]:
    """The secret values among ``NAME=value`` words and lines."""
    found = []
    for word in values:
        name, equals, value = str(word).strip().partition("=")
        if equals and _SECRET_VARIABLE.search(name.strip()):
            found.append(value.strip().strip("\"'"))
    return found


def secrets_of_argv(words: Sequence[Any]) -> list[str]:
    """The secret values in a command line: of `--api-key`, and of variables handed over as `-e NAME=value`."""
    found, taking = [], False
    for word in map(str, words):
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            taking = bool(_SECRET_VARIABLE.search(name)) and not equals
            if equals and _SECRET_VARIABLE.search(name):
                found.append(value)
        elif taking:
            found.append(word)
    return found + secrets_of_environment(word for word in map(str, words) if not word.startswith("-"))
