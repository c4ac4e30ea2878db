# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What git and git-lfs say when they fail, and what the operator can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """The meaning of a failure: its kind, one sentence for the operator, and whether trying again can help."""

    kind: str
    message: str
    again: bool


#: What to do about an address at which something else than a git server answers.
NOT_GIT = (
    "the origin's address answers, but not as a git server: found a web page or the like. It is a captive portal, a "
    "proxy's or a login page, or the URL is not that of a repository. Open the URL from this host with curl, log in to "
    "the network or correct proxy and URL"
)

_NOISE = re.compile(r"^(Errors logged to|Use `git lfs logs|fetch: Fetching|\d\d:\d\d:\d\d\.\d+ )")
_SIGNATURES: tuple[tuple[str, str, str, bool], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        "disk",
        "the file system filled up during the download. Free room and run again: what is there is kept",
        False,
    ),
    (
        r"HTTP(?:/\S+)? 5\d\d|error: 5\d\d|HTTP code 5\d\d|Fatal error: Server error",
        "server",
        "the origin has a fault of its own (HTTP 5xx). Look at its log or wait, then run again; "
        "a mirror or a bundle does without it",
        True,
    ),
    (
        r"not valid: is this a git repository|invalid character '<'|bad line length character: <"
        r"|protocol error: bad line|Expected JSON type, got",
        "not-git",
        NOT_GIT,
        False,
    ),
    (
        r"certificate|x509|SSL routines|self.signed|unable to get local issuer",
        "tls",
        "the origin's TLS certificate is not trusted by this host. "
        "Name the file of the authority that signed it in ca_path (checking is never switched off)",
        False,
    ),
    (
        r"authentication failed|could not read (?:username|password)|invalid credentials|HTTP(?:/\S+)? 40[13]"
        r"|error: 40[13]|authentication required|authorization error|not authorized|returned error: 40[13]"
        r"|terminal prompts disabled|repository or object not found.*credentials needed",
        "token",
        "the origin asks for a valid token. Put it into a file with mode 0600 on the host and name that in token_file",
        False,
    ),
    (
        r"not our ref|unadvertised object|server does not allow request for",
        "commit",
        "the origin does not hand out that commit (any more): the branch was rewritten, or the hash is wrong",
        False,
    ),
    (
        r"couldn't find remote ref|remote branch .* not found|invalid refspec",
        "revision",
        "the origin has no such revision",
        False,
    ),
    (
        r"could not resolve host|failed to connect|connection refused|no route to host|network is unreachable"
        r"|connection timed out|couldn't connect|no such host|could not connect",
        "unreachable",
        "the origin cannot be reached from this host. Check its name, proxy and firewall, "
        "or set artifact_origin to a mirror that the host can reach",
        True,
    ),
    (
        r"empty reply from server|remote end hung up|unexpected disconnect|early EOF|connection reset|unexpected EOF"
        r"|\bEOF\b|server closed|operation too slow|connection was (?:closed|terminated)|transfer closed"
        r"|timeout awaiting response|deadline exceeded|i/o timeout",
        "silent",
        "the origin takes the connection and then gives no answer, or breaks off. Look at the origin and at proxies "
        "and firewalls between, then run again",
        True,
    ),
    (
        r"object does not exist|object not found|\(missing\)|404 not found.*object|\[404\] object",
        "object",
        "the origin has the pointer but not the object behind it: the mirror is incomplete",
        False,
    ),
    (
        r"repository .*not found|returned error: 404|does not appear to be a git repository|repository not found"
        r"|does not exist|not a git repository",
        "repository",
        "there is no repository at that URL",
        False,
    ),
    (
        r"expected oid [0-9a-f]+, got",
        "corrupt",
        "what arrived is not what the pointer promises: the origin is damaged, or a proxy answered in its place",
        True,
    ),
    (
        r"is not a git command|git-lfs: (?:command )?not found|git-lfs.*no such file",
        "git-lfs",
        "git-lfs is not installed on this host. Install the packages git and git-lfs",
        False,
    ),
)


def is_git_server(trace: str) -> bool:
    """Whether an answer over HTTP was a git server's, by the headers that GIT_TRACE_CURL printed.

    A web page in its place is read by git as a repository without any branch.
    """
    return re.search(r"content-type: *application/x-git-upload-pack-advertisement", trace, re.IGNORECASE) is not None


def explain(output: str) -> Explanation:
    """Say what the output of a failed git or git-lfs command means."""
    for expression, kind, message, again in _SIGNATURES:
        if re.search(expression, output, re.IGNORECASE):
            return Explanation(kind, message, again)
    return Explanation("unknown", "git did not succeed", True)


def last_words(output: str, count: int = 3) -> str:
    """Return the last lines of a command's output that say something, on one line, without credentials.

    What is not printable is escaped: a terminal must not take it for a command.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not _NOISE.match(line)]
    said = re.sub(r"://[^/@\s]+@", "://", " | ".join(lines[-count:]))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in said)
