# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifying a loaded image: it is run once to say what it holds, and that is compared with what a release says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._host.docker import Docker, DockerError
from . import contents as _contents
from . import records

#: What programs print where docker's seccomp profile refuses the system call clone3, with which glibc starts threads.
_NO_THREADS = re.compile(r"can't start new thread|pthread_create failed|Operation not permitted", re.IGNORECASE)


class VerifyError(Exception):
    """The image cannot be verified, or is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Wanted:
    """What the image must be. ``components`` and ``cann``: versions; None or missing: not compared.

    ``threads``: whether a program in the image must be able to start threads without privileges.
    ``record``: folder of the records, None for none. ``timeout``: seconds for the container.
    """

    image: str
    machine: str
    components: Mapping[str, str] = field(default_factory=dict)
    reported_components: Sequence[str] = ()
    cann: Optional[str] = None
    generation: Optional[str] = None
    threads: bool = True
    record: Optional[str] = None
    timeout: float = 300.0

    @property
    def packages(self) -> list[str]:
        """The Python packages whose versions are asked for."""
        return sorted({*self.components, *self.reported_components})


@dataclass(frozen=True)
class Verified:
    """What is known of the image. ``contents`` is None only in check mode, where an image is not run."""

    message: str
    image_id: Optional[str] = None
    contents: Optional[dict[str, Any]] = None
    remembered: bool = False


def verify(wanted: Wanted, docker: Docker, *, check: bool) -> Verified:
    """Verify an image; raises VerifyError, or DockerError where docker does not answer."""
    image = docker.inspect_image(wanted.image)
    if image is None:
        if check:
            return Verified("docker does not have %s yet" % wanted.image)
        raise VerifyError("found no image %s in docker; needed it there. Fix: load it first" % wanted.image)
    image_id = str(image["id"])
    contents = records.recall_contents(wanted.record, image_id, wanted.packages) if wanted.record else None
    if contents is not None and wanted.threads and contents.get("thread_error", "not tried") is not None:
        contents = None  # threads were not tried, or not needed when they were
    remembered = contents is not None
    if contents is None:
        if check:
            return Verified("%s was not run yet, so what it holds is not known" % image_id, image_id)
        contents = read_contents(image_id, wanted.packages, wanted.timeout, docker)
        if wanted.threads and contents["thread_error"]:
            # Not recorded: it is docker's fault and not the image's, and the next run tries again.
            raise VerifyError(_no_threads(wanted.image, contents["thread_error"], docker))
        if wanted.record:
            records.write_record(wanted.record, image_id, contents)
    problems = _contents.problems_of(
        contents,
        components={str(k): str(v) for k, v in wanted.components.items()},
        cann=wanted.cann,
        generation=wanted.generation,
        machine=wanted.machine,
    )
    if problems:
        raise VerifyError(
            "the image %s (%s) is not what the release says: %s. Fix: load the release's own image, or correct the "
            "release" % (", ".join(image["tags"]) or "without a tag", image_id, "; ".join(problems))
        )
    return Verified("%s holds what the release says" % wanted.image, image_id, contents, remembered)


def read_contents(image_id: str, packages: Sequence[str], timeout: float, docker: Docker) -> dict[str, Any]:
    """Run the image and return what it holds (see ``contents.parse_contents``)."""
    container = "ascend-fleet-verify-%d" % os.getpid()
    try:
        said = docker.run(
            container, _contents.RUN_OPTIONS, image_id, _contents.program_words(packages), timeout=timeout
        )
        found: dict[str, Any] = _contents.parse_contents(said)
    except _contents.ContentsError as exc:
        raise VerifyError("the image %s: %s" % (image_id, exc)) from exc
    except DockerError as exc:
        if exc.timed_out:
            raise VerifyError(
                "found no answer of the image %s within %d seconds; needed what it holds. Fix: raise timeout"
                % (image_id, timeout)
            ) from exc
        if exc.completed is None:
            raise
        raise VerifyError(_why_it_does_not_run(image_id, exc, docker)) from exc
    return found


def _why_it_does_not_run(image_id: str, exc: DockerError, docker: Docker) -> str:
    done = exc.completed
    if done is None:
        return str(exc)
    said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
    if _NO_THREADS.search(done.stderr):
        return _no_threads(image_id, said, docker)
    hint = ""
    if "exec format error" in said:
        hint = " It is for another architecture than this host."
    elif "executable file not found" in said:
        hint = " It has no python3 on its PATH, so it is no serving image."
    return "the image %s does not run (status %s): %s.%s" % (image_id, done.exit_status, said, hint)


def _no_threads(image: str, said: str, docker: Docker) -> str:
    try:
        version = str(docker.info()["server_version"] or "of an unknown version")
    except DockerError:
        version = "of an unknown version"
    return (
        "found that a program in the image %s cannot start threads under docker %s without privileges (%s); needed "
        "docker 20.10.10 or later, or a distribution's package with the same seccomp profile, and libseccomp 2.5 or "
        "later. Fix: update the packages of docker and libseccomp and restart docker. Containers of "
        "fleet_profile=guide are privileged and not concerned" % (image, version, said)
    )
