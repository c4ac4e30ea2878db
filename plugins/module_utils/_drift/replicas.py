# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what a host is to run, of its units' files, and of the containers that run."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from .._host.docker import has_pinned_ids
from .._host.systemd import short_name
from .._preflight.check import ERROR, WARNING, Found
from .check import Check, Facts, check
from .compare import (
    PROXIES,
    Expected,
    command_differences,
    mount_words,
    mounts_of,
    security,
    some,
    text_differences,
    variable_differences,
)

BRING_BACK = (
    "run site.yml on the host, which brings it back; if it is meant, change the release or the host's variables"
)


#: Messages of planners.
_SENTENCE = re.compile(r"found (.*?); needed (.*?)(?:\. Fix: (.*))?\Z", re.DOTALL)


def _named(units: Any) -> str:
    return ", ".join(short_name(str(name)) for name in units)


def _name(unit: Mapping[str, Any]) -> str:
    """The name of a unit, for people."""
    return short_name(str(unit["name"]))


@check(
    "DRF-001",
    ERROR,
    "The host runs another release",
    what="A unit says that it is of another release than the inventory's. What runs for it is then not compared with "
    "this release.",
    fix="upgrade the host with upgrade.yml or site.yml, or correct fleet_release",
)
def _release(f: Facts) -> Iterator[Found]:
    for release in sorted({str(u.get("release")) for u in f.units if not f.is_of_release(u)}):
        units = [u["name"] for u in f.units if str(u.get("release")) == release]
        yield Found("%s of %s" % (_named(units), release), f.name)


@check(
    "DRF-002",
    ERROR,
    "A replica is not deployed",
    what="The release makes a replica on this host for which there is no unit.",
    fix="run site.yml on the host, or set vllm_serve_replicas",
)
def _missing(f: Facts) -> Iterator[Found]:
    there = {str(u["name"]) for u in f.units}
    missing = [name for name in f.planned or {} if name not in there]
    if missing and f.serving.get("units") is not None:
        yield Found("no %s" % _named(missing), "%d replicas of %s" % (len(f.planned or {}), f.name))


@check(
    "DRF-003",
    ERROR,
    "A unit is deployed that the release does not make",
    what="A unit of this collection that site.yml would remove: left by a change of vllm_serve_replicas, of the "
    "model or of the profile.",
    fix=BRING_BACK,
)
def _surplus(f: Facts) -> Iterator[Found]:
    own = [u["name"] for u in f.units if f.is_of_release(u)]
    surplus = [name for name in own if f.planned is not None and name not in f.planned]
    if surplus:
        yield Found(_named(surplus), _named(f.planned or {}) or "no unit")


@check(
    "DRF-004",
    ERROR,
    "What the host is to run cannot be worked out",
    what="The planner cannot lay out the release's replicas on this host, so units and containers are not compared.",
    fix="see what preflight.yml says of the host",
)
def _no_plan(f: Facts) -> Iterator[Found]:
    if f.planned is None:
        match = _SENTENCE.match(f.plan_error)
        found, needed, fix = match.groups() if match else (f.plan_error or "no plan", "a plan of the replicas", None)
        yield Found(found, needed, fix)


@check(
    "DRF-005",
    ERROR,
    "What runs on the host cannot be read",
    what="Units, systemd or docker did not answer. What is not known is not taken for well.",
    fix="repair what did not answer, and run drift.yml again",
)
def _unread(f: Facts) -> Iterator[Found]:
    if not f.serving:
        yield Found("nothing about the units", "the subset `serving` of npu_info")
    for subject, words in sorted(f.errors.items()):
        yield Found("%s: %s" % (subject, words), "an answer")
    docker = f.node.get("docker") or {}
    if docker.get("error") and "docker" not in f.errors:
        yield Found("docker: %s" % docker["error"], "an answer")
    smi = f.node.get("npu_smi") or {}
    if smi.get("error"):
        yield Found(str(smi["error"]), "an answer")


@check(
    "DRF-006",
    WARNING,
    "The weights are not those of the lock",
    what="The folder of the weights holds another commit than the one to which the lock holds the release.",
    fix="run site.yml on the host, or renew the lock with -e fleet_relock=true",
)
def _weights(f: Facts) -> Iterator[Found]:
    wanted = (f.release.get("model") or {}).get("commit")
    for disk in f.node.get("disk") or []:
        for artifact in disk.get("artifacts") or []:
            commits = sorted({str(r["commit"]) for r in artifact.get("requests") or [] if r.get("commit")})
            if wanted and artifact.get("folder") in f.weights and commits and wanted not in commits:
                yield Found("commit %s" % ", ".join(c[:12] for c in commits), "commit %s" % str(wanted)[:12])


@check(
    "DRF-011",
    ERROR,
    "A unit is not as the release makes it",
    what="The unit's file was edited, or release, variables or host have changed since it was written. Own settings "
    "belong into `systemctl edit`.",
    fix=BRING_BACK,
)
def _text(f: Facts) -> Iterator[Found]:
    for unit, wanted in [] if "systemd" in f.errors else f.pairs:  # the text depends on the version of systemd
        is_so, should = _text_differences(unit, wanted)
        if is_so or should:
            words = some(is_so or ["no such line"], " | ")
            yield Found("%s: %s" % (_name(unit), words), some(should or ["no such line"], " | "))


def _text_differences(unit: Mapping[str, Any], wanted: Expected) -> tuple[list[str], list[str]]:
    """How the text of a unit differs, but for the hash of its configuration.

    Where that alone differs, a secret does, which is a finding of its own.
    """
    found = str(unit["content"])
    if unit.get("config_hash"):
        found = found.replace(str(unit["config_hash"]), "HASH")
    return text_differences(found, wanted.content.replace(wanted.config_hash, "HASH"))


@check(
    "DRF-012",
    WARNING,
    "A unit is changed by settings of the host",
    what="Files of `systemctl edit` or `systemctl set-property` change the unit on this host alone.",
    fix="move what they say to the inventory, and remove them with `systemctl revert`; or ignore this finding",
)
def _drop_ins(f: Facts) -> Iterator[Found]:
    for unit in f.units:
        if unit["drop_ins"]:
            yield Found("%s: %s" % (_name(unit), some(unit["drop_ins"])), "no such file")


@check(
    "DRF-013",
    ERROR,
    "A unit's variables are not as the release makes them",
    what="The file of variables that the container is started with differs. It takes effect at the next start.",
    fix=BRING_BACK,
)
def _variables(f: Facts) -> Iterator[Found]:
    for unit, wanted in f.pairs:
        name = _name(unit)
        if unit["environment"] is None:
            yield Found("%s: no file of variables" % name, "%d variables" % len(wanted.environment))
            continue
        is_so, should = variable_differences(unit["environment"], wanted.environment)
        if is_so:
            yield Found("%s: %s" % (name, some(is_so)), some(should))


@check(
    "DRF-014",
    ERROR,
    "A secret of a unit is another one",
    what="Everything that is shown is as the release makes it, and the hash of the unit's configuration is not: the "
    "API key or another secret variable has another value. Values are never shown.",
    fix="run site.yml on the host, or correct the secret in the inventory",
)
def _secret(f: Facts) -> Iterator[Found]:
    for unit, wanted in f.pairs:
        shown = not any(_text_differences(unit, wanted)) and dict(unit["environment"] or {}) == dict(wanted.environment)
        if shown and unit.get("config_hash") != wanted.config_hash:
            yield Found("%s: another secret" % _name(unit), "the one of the inventory")


@check(
    "DRF-021",
    ERROR,
    "Nothing runs for a unit",
    what="The unit has no running container: it is stopped, fails, or is just being started.",
    fix="see `systemctl status` and the journal of the unit; start it, or run site.yml",
)
def _not_running(f: Facts) -> Iterator[Found]:
    if "docker" not in f.errors:
        for unit in f.units:
            if not unit.get("container"):
                state = unit.get("active") or "in an unknown state"
                yield Found("%s: %s, no container" % (_name(unit), state), "a running container")


@check(
    "DRF-022",
    ERROR,
    "The image is not the release's",
    what="The running container was made of another image than the one that release and lock pin by its ID.",
    fix=BRING_BACK,
)
def _image(f: Facts) -> Iterator[Found]:
    wanted = f.image.get("image_id")
    # In containerd's store images have other IDs than the ones that releases pin.
    if wanted and has_pinned_ids(f.node.get("docker") or {}):
        for unit, container, _expected in f.running:
            if container["image_id"] != wanted:
                yield Found("%s: %s" % (_name(unit), _id(container["image_id"])), _id(str(wanted)))


def _id(image: str) -> str:
    return image[:19] if image.startswith("sha256:") else image


@check(
    "DRF-023",
    ERROR,
    "The options of the engine are not the release's",
    what="The running engine was started with other options than release and variables say.",
    fix=BRING_BACK,
)
def _command(f: Facts) -> Iterator[Found]:
    for unit, container, wanted in f.running:
        is_so, should = command_differences(container["command"], wanted.command)
        if is_so:
            yield Found("%s: %s" % (_name(unit), some(is_so)), some(should))


@check(
    "DRF-024",
    ERROR,
    "The variables of the engine are not the release's",
    what="The running container has other variables than release and inventory say. Those of the image do not count.",
    fix=BRING_BACK,
)
def _environment(f: Facts) -> Iterator[Found]:
    handed = any(p.get("containers") for p in f.node.get("proxies") or [])
    for unit, container, wanted in f.running:
        given = {**wanted.environment, **wanted.more_environment}
        aside = PROXIES - set(given) if handed else ()
        # Where the image's environment is unknown, every variable may come from the image.
        inherited = container["environment"] if "docker" in f.errors else container["inherited"]
        is_so, should = variable_differences(container["environment"], given, list(inherited), aside)
        if is_so:
            yield Found("%s: %s" % (_name(unit), some(is_so)), some(should))


@check(
    "DRF-025",
    ERROR,
    "The mounts of the container are not the release's",
    what="The running container sees other folders of the host. With options in vllm_serve_docker_options that mount "
    "by other means, mounts that are too many are not told.",
    fix=BRING_BACK,
)
def _mounts(f: Facts) -> Iterator[Found]:
    for unit, container, wanted in f.running:
        there = mounts_of(container)
        surplus = frozenset() if wanted.opaque else there - wanted.mounts
        missing = wanted.mounts - there
        if surplus or missing:
            is_so = mount_words(surplus) or ["no %s" % words for words in mount_words(missing)]
            should = mount_words(missing) or ["no such mount"]
            yield Found("%s: %s" % (_name(unit), some(is_so)), some(should))


@check(
    "DRF-026",
    ERROR,
    "The rights of the container are not the release's",
    what="Devices, privileges, network or shared memory of the running container differ.",
    fix=BRING_BACK,
)
def _rights(f: Facts) -> Iterator[Found]:
    for unit, container, wanted in f.running:
        pairs = [
            ("privileged", str(container["privileged"]).lower(), str(wanted.privileged).lower()),
            ("network", str(container["network_mode"]), wanted.network_mode),
            ("shm", str(container["shm_bytes"]), str(wanted.shm_bytes or container["shm_bytes"])),
            ("security options", *map(some, security(container["security_options"], wanted.security_options))),
        ]
        if not wanted.opaque:
            pairs.append(("devices", " ".join(container["devices"]), " ".join(sorted(wanted.devices))))
        wrong = [p for p in pairs if p[1] != p[2]]
        if wrong:
            yield Found(
                "%s: %s" % (_name(unit), "; ".join("%s %s" % (p[0], p[1] or "none") for p in wrong)),
                "; ".join("%s %s" % (p[0], p[2] or "none") for p in wrong),
            )


@check(
    "DRF-027",
    WARNING,
    "A container has another configuration than its unit",
    what="The unit was changed and not restarted since, or its secrets were: that takes effect at the next start.",
    fix="run site.yml, or restart.yml when it suits",
)
def _outdated(f: Facts) -> Iterator[Found]:
    for unit in f.units:
        container = unit.get("container")
        if container and container.get("config_hash") != unit.get("config_hash"):
            yield Found("%s: a container of before" % _name(unit), "one that its unit has started")


CHECKS: tuple[Check, ...] = (
    _release,
    _missing,
    _surplus,
    _no_plan,
    _unread,
    _weights,
    _text,
    _drop_ins,
    _variables,
    _secret,
    _not_running,
    _image,
    _command,
    _environment,
    _mounts,
    _rights,
    _outdated,
)
