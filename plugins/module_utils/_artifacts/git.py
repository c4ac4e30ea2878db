# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client of git and git-lfs: argv, environment, token, deadlines, and errors in words."""

from __future__ import annotations

import functools
import os
import re
import shutil
import stat
from typing import Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .._base import command
from . import git_errors
from .deadline import Run
from .errors import ArtifactError
from .request import Request

_METADATA_SECONDS = 600.0
#: What of the caller's GIT_* variables is kept: how to reach and how to trust the origin. None of these switches the
#: verification of certificates off; GIT_SSL_NO_VERIFY, GIT_CONFIG_*, GIT_DIR and the like are dropped.
_INHERITED = re.compile(
    r"^GIT_(?:SSL_CAINFO|SSL_CAPATH|SSL_CERT|SSL_KEY|SSL_VERSION|PROXY_SSL_\w+|HTTP_PROXY_AUTHMETHOD|SSH|SSH_COMMAND"
    r"|SSH_VARIANT|EXEC_PATH|CONFIG_NOSYSTEM|CONFIG_GLOBAL|CONFIG_SYSTEM)$"
)
_VERIFY_KEY = re.compile(r"^http\.(?:.*\.)?sslverify$", re.IGNORECASE | re.DOTALL)
_REWRITE_KEY = re.compile(r"^url\.(http:.*)\.insteadof$", re.IGNORECASE | re.DOTALL)


class Git:
    """git on one repository (``git_dir``); ``own_dir`` is the folder in which it runs."""

    def __init__(self, request: Request, run: Run, git_dir: str, own_dir: str, work_tree: str) -> None:
        self.request = request
        self.git_dir = git_dir
        self.own_dir = own_dir
        self._work_tree = work_tree
        self._run = run

    def __call__(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[str] = None,
        cwd: Optional[str] = None,
        timeout: float = _METADATA_SECONDS,
    ) -> command.Completed:
        """Run git; with ``check`` ArtifactError when it fails."""
        # Both only work within our own folder, and the rest of the configuration is read when they have.
        options = [] if argv[0] in ("init", "config") else self._verification
        done = self._execute([*options, *self._credentials, *argv], argv[0] == "lfs", env, stdin, cwd, timeout)
        if check and not done.ok:
            raise self.failure(done, "git %s" % argv[0])
        return done

    def failure(self, done: command.Completed, doing: str) -> ArtifactError:
        """Say what the failure of a command means."""
        output = done.stderr + "\n" + done.stdout
        explanation = git_errors.explain(output)
        said = git_errors.last_words(output)
        if done.timed_out:
            return ArtifactError(
                "%s from %s did not end within its deadline. What arrived is kept; run again to go on from there, "
                "or raise timeout. Last words: %s" % (doing, self.request.repository, said or "none")
            )
        return ArtifactError(
            "%s from %s failed: %s. git said: %s"
            % (doing, self.request.repository, explanation.message, said or "nothing (status %s)" % done.exit_status)
        )

    def _execute(
        self,
        argv: Sequence[str],
        is_lfs: bool,
        env: Optional[Mapping[str, str]],
        stdin: Optional[str],
        cwd: Optional[str],
        timeout: float,
    ) -> command.Completed:
        options = [
            "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null",
            "-c", "core.autocrlf=false", "-c", "advice.detachedHead=false",
            "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false",
            "-c", "lfs.activitytimeout=60",
        ]  # fmt: skip
        environment: dict[str, Optional[str]] = {
            name: None for name in os.environ if name.startswith("GIT_") and not _INHERITED.match(name)
        }
        environment.update(
            GIT_DIR=self.git_dir,
            GIT_WORK_TREE=self._work_tree if os.path.isdir(self._work_tree) else self.own_dir,
            GIT_LFS_SKIP_SMUDGE="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_ASKPASS="/bin/false",
            GIT_HTTP_LOW_SPEED_LIMIT="1",
            GIT_HTTP_LOW_SPEED_TIME="120",
        )
        if self.request.ca_path:
            name = "GIT_SSL_CAPATH" if os.path.isdir(self.request.ca_path) else "GIT_SSL_CAINFO"
            environment[name] = self.request.ca_path
        environment.update(env or {})
        if is_lfs and urlsplit(self.request.repository).scheme in ("", "file"):
            # git-lfs hands its environment on to the git that reads the origin's folder: it must not name ours.
            environment["GIT_DIR"] = environment["GIT_WORK_TREE"] = None
            cwd = self._work_tree
        return command.run(
            ["git", *options, *argv],
            timeout=max(1.0, min(timeout, self._run.deadline.left())),
            env=environment,
            cwd=cwd or self.own_dir,
            stdin=stdin,
            pass_fds=self._run.lock_fds,
        )

    @functools.cached_property
    def _verification(self) -> list[str]:
        """The options that keep certificates verified, whatever the user's and the system's configuration says."""
        if urlsplit(self.request.repository).scheme in ("", "file"):
            return []
        done = self._execute(["config", "--list", "--null"], False, None, None, None, _METADATA_SECONDS)
        if not done.ok:
            raise self.failure(done, "reading git's configuration")
        return verification_options(done.stdout, self.request.repository)

    @property
    def _credentials(self) -> list[str]:
        """Let git and git-lfs ask for the token, for this origin only; nothing secret in argv.

        git gives the helper to a shell: no file has to be executable, so a /tmp without execution is no obstacle.
        """
        parts = urlsplit(self.request.repository)
        if not self.request.token_file or parts.scheme not in ("http", "https"):
            return []
        check_secret_file(self.request.token_file)
        helper = (
            "!f() { test \"$1\" = get || exit 0; printf 'username=%%s\\n' %s; "
            "printf 'password=%%s\\n' \"$(head -n 1 %s)\"; }; f"
        ) % (_quote(self.request.token_user), _quote(self.request.token_file))
        scope = "credential.%s://%s.helper=" % (parts.scheme, parts.netloc)
        return ["-c", "credential.helper=", "-c", scope, "-c", scope + helper]


def verification_options(configuration: str, url: str) -> list[str]:
    """Return the options that make git and git-lfs verify certificates against its own configuration.

    ``configuration`` is what ``git config --list --null`` prints. git takes the most specific of http.URL.sslVerify, so
    every key that is set there has to be overridden by its name. ArtifactError where it leads from HTTPS to HTTP.
    """
    keys = ["http.sslVerify"]
    for entry in configuration.split("\0"):
        key, _newline, value = entry.partition("\n")
        if _VERIFY_KEY.match(key) and key not in keys:
            if "=" in key:
                raise ArtifactError(
                    "git's configuration on this host has %s, which no option can override; needed are verified "
                    "certificates. Fix: remove it with git config --global (or --system) --unset-all %s"
                    % (key, _quote(key))
                )
            keys.append(key)
        rewrite = _REWRITE_KEY.match(key)
        if rewrite and value and url.startswith("https://") and url.startswith(value):
            raise ArtifactError(
                "git's configuration on this host leads %s to %s: found %s=%s; needed an origin with HTTPS. "
                "Fix: remove it with git config --global (or --system) --unset-all %s"
                % (url, rewrite.group(1), key, value, _quote(key))
            )
    return [word for key in keys for word in ("-c", key + "=true")]


def check_secret_file(name: str) -> None:
    """Refuse a token file that is not there, or that others can read."""
    try:
        mode = os.stat(name).st_mode
    except OSError as exc:
        raise ArtifactError("the token file %s cannot be read: %s" % (name, exc.strerror)) from exc
    if mode & 0o077:
        raise ArtifactError(
            "the token file %s has mode %04o, so others can read it: needed is 0600. Run: chmod 600 %s"
            % (name, stat.S_IMODE(mode), name)
        )
    if not os.access(name, os.R_OK):
        raise ArtifactError(
            "the token file %s cannot be read by the user of this run; needed is its owner. Fix: correct its owner, or "
            "run as that one" % name
        )


def missing_programs() -> list[str]:
    """Those of git and git-lfs that this host has not."""
    return [name for name in ("git", "git-lfs") if shutil.which(name) is None]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
