# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a release: what the release leaves open, as it was resolved once. Data in, data or every mistake out.

A release leaves an image open where its revision is a branch or a tag, or where it names no sha256 or image ID; it
leaves the model open where its revision is a branch or a tag. The lock has one entry for each of them: the fields of
the release that it was resolved for, the commit, and of each file needed the SHA-256 and the size in bytes. An image's
ID is known once its archive was read, and joins the lock then.

An image for an architecture that no host has may be nowhere, and is not resolved. The lock remembers which hosts of its
generation were seen to need it not (``unused``); it is open again for a host that is not among them.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._npu.hardware import GENERATIONS
from . import checks
from .problems import Problem, ReleaseError, quote
from .schema import ARCHITECTURES

VERSION = 1
MODEL, ANY = "model", "any"
#: Which fields of the release an entry was resolved for.
IMAGE_FIELDS = ("repository", "revision", "path")
MODEL_FIELDS = ("repository", "revision", "include", "exclude")

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}\Z")
_COMMIT_WORDS = "a commit: 40 or 64 hexadecimal digits"
_SHA256_WORDS = "64 hexadecimal digits"

Lock = dict[str, Any]


class LockError(Exception):
    """The release cannot be locked; the message says what was found, what is needed and what to do."""


@dataclass(frozen=True)
class Answer:
    """What one host holds of an entry, or what a source has told it: ``files`` are (SHA-256, bytes) by path."""

    entry: str
    host: str
    commit: str
    files: Mapping[str, tuple[str, int]]
    image_id: Optional[str] = None


# --- entries --------------------------------------------------------------------------------------------------------


def image_entry(generation: str, architecture: str) -> str:
    """Return the name of an image's entry.

    >>> image_entry("a2", "any")
    'image a2/any'
    """
    return "image %s/%s" % (generation, architecture)


def entries(release: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parts of a release that it leaves open, by their entries' names."""
    found: dict[str, Mapping[str, Any]] = {}
    for image in release["images"]:
        if not (_COMMIT.match(image["revision"]) and image.get("sha256") and image.get("image_id")):
            found[image_entry(image["generation"], image["architecture"])] = image
    if not _COMMIT.match(release["model"]["revision"]):
        found[MODEL] = release["model"]
    return found


def locked_entries(lock: Optional[Lock]) -> dict[str, dict[str, Any]]:
    """Return the entries of a lock by their names; none where there is no lock."""
    if lock is None:
        return {}
    found = {image_entry(image["generation"], image["architecture"]): image for image in lock["images"]}
    if lock["model"] is not None:
        found[MODEL] = lock["model"]
    return found


def commit_of(lock: Optional[Lock], repository: str, revision: str) -> Optional[str]:
    """Return the commit that the lock has for a revision of a repository, in any entry; None where it has none."""
    for entry in locked_entries(lock).values():
        if (entry["repository"], entry["revision"]) == (repository, revision):
            return str(entry["commit"])
    return None


def unused_by(lock: Optional[Lock]) -> dict[str, set[str]]:
    """Return the images that were not needed when the lock was made, by their entries' names: by which hosts."""
    unused = (lock or {}).get("unused") or ()
    return {image_entry(u["generation"], u["architecture"]): set(u["hosts"]) for u in unused}


def open_entries(release: Mapping[str, Any], lock: Optional[Lock], hosts: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the entries of a release that these hosts, by generation, may need and that the lock does not hold."""
    held, unused = locked_entries(lock), unused_by(lock)

    def is_open(name: str, part: Mapping[str, Any]) -> bool:
        if name in held or name == MODEL:
            return name not in held
        mine = set(hosts.get(part["generation"], ()))
        return part["generation"] in hosts and not (name in unused and mine <= unused[name])

    return [name for name, part in entries(release).items() if is_open(name, part)]


def is_needed(release: Mapping[str, Any], entry: str, machines: Iterable[tuple[str, str]]) -> bool:
    """Return whether one of these machines, generation and architecture, needs an entry."""
    part = entries(release)[entry]
    architecture = part.get("architecture", ANY)
    return architecture == ANY or (part["generation"], architecture) in set(machines)


# --- the file -------------------------------------------------------------------------------------------------------


def validate(data: Any, *, name: str, where: str) -> Lock:
    """Return the lock of the release ``name``, or raise ReleaseError with every mistake. ``where`` names the file."""
    problems: list[Problem] = []
    if not isinstance(data, Mapping):
        raise ReleaseError(where, [Problem("(whole file)", quote(data), "a mapping that begins with `release: NAME`")])
    root = checks.Section(data, "", problems)
    root.take("version", checks.integer(VERSION, VERSION))
    found = root.take("release", checks.text)
    if found not in (None, name):
        root.problem("release", quote(found), '"%s", as the file is called' % name)
    seen: set[str] = set()
    for image in root.sections("images", required=False):
        generation = image.take("generation", checks.one_of(tuple(GENERATIONS)))
        architecture = image.take("architecture", checks.one_of(ARCHITECTURES))
        if generation and architecture and image_entry(generation, architecture) in seen:
            image.problem("generation", "%s/%s once more" % (generation, architecture), "one entry for each")
        seen.add(image_entry(str(generation), str(architecture)))
        image.take("repository", checks.repository)
        image.take("revision", checks.text)
        image.take("path", checks.relative)
        image.take("commit", checks.matching(_COMMIT, _COMMIT_WORDS))
        image.take("sha256", checks.matching(_SHA256, _SHA256_WORDS))
        image.take("size_bytes", checks.integer(1))
        image.take("image_id", checks.matching(_IMAGE_ID, "sha256: and 64 hexadecimal digits, or null"), None)
        image.close()
    for image in root.sections("unused", required=False):
        image.take("generation", checks.one_of(tuple(GENERATIONS)))
        image.take("architecture", checks.one_of(ARCHITECTURES))
        image.take("hosts", checks.texts)
        image.close()
    if data.get(MODEL) is None:
        root.out[MODEL] = None
    else:
        _validate_model(root.section(MODEL))
    root.close()
    if problems:
        raise ReleaseError(where, problems)
    return root.out


def _validate_model(model: checks.Section) -> None:
    model.take("repository", checks.repository)
    model.take("revision", checks.text)
    model.take("include", checks.texts)
    model.take("exclude", checks.texts, [])
    model.take("commit", checks.matching(_COMMIT, _COMMIT_WORDS))
    files = model.section("files")
    if isinstance(model.value.get("files"), Mapping) and not files.value:
        model.problem("files", "an empty mapping", "the model's files")
    for path in files.value:
        needed = checks.relative(path)
        if needed:
            files.problem(str(path), quote(path), needed)
            files.out[path] = {}
            continue
        file = files.section(path)
        file.take("sha256", checks.matching(_SHA256, _SHA256_WORDS))
        file.take("size_bytes", checks.integer(0))
        file.close()
    model.close()


def mismatches(release: Mapping[str, Any], lock: Lock) -> list[Problem]:
    """Return where the release is another one than that which the lock was made for."""
    problems: list[Problem] = []
    locked = locked_entries(lock)
    for name, part in entries(release).items():
        held = locked.get(name)
        if held is None:
            continue
        fields = MODEL_FIELDS if name == MODEL else IMAGE_FIELDS
        for key in fields:
            if held[key] != part[key]:
                problems.append(
                    Problem("%s: %s" % (name, key), _shown(held[key]), "%s, as in the release" % _shown(part[key]))
                )
        if name != MODEL:
            for key in ("sha256", "size_bytes", "image_id"):
                if part.get(key) and held[key] and part[key] != held[key]:
                    problems.append(
                        Problem("%s: %s" % (name, key), _shown(held[key]), "%s, as in the release" % _shown(part[key]))
                    )
    return problems


def _mismatch(name: str, key: str, held: Any, wanted: Any) -> Problem:
    return Problem("%s: %s" % (name, key), _shown(held), "%s, as in the release" % _shown(wanted))


def _shown(value: Any) -> str:
    return "[%s]" % ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else quote(value)


def apply(release: Mapping[str, Any], lock: Optional[Lock]) -> dict[str, Any]:
    """Return the release with what the lock holds: ``commit``, and of an image sha256, size and ID, of a model files.

    What neither holds is None; the revision stays the release's: it names folders and requests on hosts.
    """
    merged = copy.deepcopy(dict(release))
    held, unused = locked_entries(lock), unused_by(lock)
    for image in merged["images"]:
        name = image_entry(image["generation"], image["architecture"])
        entry = held.get(name, {})
        if name in unused and name not in held:
            image["unused"] = True  # not held to anything: no host is to fetch it
        image["commit"] = entry.get("commit")
        for key in ("sha256", "size_bytes", "image_id"):
            image[key] = image.get(key) or entry.get(key)
    entry = held.get(MODEL, {})
    merged[MODEL]["commit"] = entry.get("commit")
    merged[MODEL]["files"] = copy.deepcopy(entry.get("files") or {})
    return merged


# --- making one -----------------------------------------------------------------------------------------------------


def agree(answers: Sequence[Answer]) -> dict[str, Answer]:
    """Return one answer for each entry that hosts have said something of; LockError where they differ."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.entry, []).append(answer)
    chosen: dict[str, Answer] = {}
    differences = []
    for entry, group in groups.items():
        contents: dict[Any, list[str]] = {}
        images: dict[str, list[str]] = {}
        words: dict[Any, str] = {}
        for answer in group:
            content = (answer.commit, tuple(sorted(answer.files.items())))
            words[content] = _describe(answer)
            contents.setdefault(content, []).append(answer.host)
            if answer.image_id:
                images.setdefault(answer.image_id, []).append(answer.host)
        found: tuple[tuple[str, Mapping[Any, list[str]]], ...] = (("", contents), (" (image ID)", images))
        for what, values in found:
            if len(values) > 1:
                said = "; ".join("%s on %s" % (words.get(v, v), ", ".join(hosts)) for v, hosts in values.items())
                differences.append("%s%s: found %s" % (entry, what, said))
        first = group[0]
        chosen[entry] = Answer(entry, first.host, first.commit, first.files, next(iter(images), None))
    if differences:
        raise LockError(
            "hosts hold different bytes of one release, so it cannot be locked to what runs. %s. Needed one of each. "
            "Fix: run once with --limit HOST for a host that is right, and the others follow it in the next run; or "
            "with -e fleet_relock=true, and all follow what the source has now." % ". ".join(differences)
        )
    return chosen


def _describe(answer: Answer) -> str:
    """The answer in words."""
    if len(answer.files) == 1:
        ((sha256, _size),) = answer.files.values()
        return "commit %s with sha256 %s" % (answer.commit, sha256)
    total = sum(size for _sha256, size in answer.files.values())
    return "commit %s with %d files of %d bytes" % (answer.commit, len(answer.files), total)


def extend(release: Mapping[str, Any], lock: Optional[Lock], answers: Mapping[str, Answer]) -> Lock:
    """Return the lock with what was learned. An entry that it holds already is left as it is.

    Entries of parts that the release does not leave open any more are left out. LockError where an answer does not have
    the file that the release names.
    """
    held = locked_entries(lock)
    made: Lock = {"version": VERSION, "release": release["release"], "images": [], "unused": [], MODEL: None}
    for name, part in entries(release).items():
        entry = copy.deepcopy(held.get(name))
        answer = answers.get(name)
        if entry is None and answer is not None:
            entry = _new_entry(name, part, answer)
        if entry is None:
            made["unused"] += [u for u in (lock or {}).get("unused") or () if _entry_of(u) == name]
            continue
        if name == MODEL:
            made[MODEL] = entry
        else:
            made["images"].append(entry)
    return made


def _entry_of(image: Mapping[str, Any]) -> str:
    return image_entry(image["generation"], image["architecture"])


def leave_out(
    release: Mapping[str, Any], lock: Optional[Lock], machines: Mapping[str, tuple[str, str]]
) -> Optional[Lock]:
    """Return the lock with the images that none of these hosts needs, for which nothing is to be asked again.

    machines: generation and architecture by host. An architecture that is not known is empty; nothing is concluded from
    it. Where there is no lock, and nothing to leave out, there is none afterwards.
    """
    held, before = locked_entries(lock), unused_by(lock)
    made = copy.deepcopy(lock) if lock is not None else extend(release, None, {})
    made["unused"] = []
    for name, part in entries(release).items():
        if name == MODEL or name in held or part["architecture"] == ANY:
            continue
        mine = {host: machine[1] for host, machine in machines.items() if machine[0] == part["generation"]}
        hosts = before.get(name, set())
        if part["architecture"] in mine.values():
            hosts = set()
        elif "" not in mine.values():
            hosts = hosts | set(mine)
        if hosts:
            about = {key: part[key] for key in ("generation", "architecture")}
            made["unused"].append({**about, "hosts": sorted(hosts)})
    return made if lock is not None or made["unused"] else None


def _new_entry(name: str, part: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    if name == MODEL:
        files = {p: {"sha256": sha256, "size_bytes": size} for p, (sha256, size) in sorted(answer.files.items())}
        return {**{key: copy.deepcopy(part[key]) for key in MODEL_FIELDS}, "commit": answer.commit, "files": files}
    if part["path"] not in answer.files:
        raise LockError(
            "%s: found no %s in what %s says of commit %s; needed its SHA-256. Fix: correct the path in the release"
            % (name, part["path"], answer.host, answer.commit)
        )
    sha256, size = answer.files[part["path"]]
    about = {key: part[key] for key in ("generation", "architecture", *IMAGE_FIELDS)}
    return {
        **about,
        "commit": answer.commit,
        "sha256": sha256,
        "size_bytes": size,
        "image_id": part.get("image_id") or answer.image_id,
    }


def keep_image_ids(made: Lock, former: Optional[Lock]) -> Lock:
    """Return a renewed lock with the image IDs of the former one where the archive is the same."""
    ids = {image["sha256"]: image["image_id"] for image in (former or {"images": []})["images"]}
    images = [dict(image, image_id=image["image_id"] or ids.get(image["sha256"])) for image in made["images"]]
    return dict(made, images=images)


def add_image_ids(lock: Lock, loaded: Mapping[str, Mapping[str, str]]) -> Lock:
    """Return the lock with the IDs of loaded images: ``loaded`` has for each entry the ID by host.

    LockError where a host has loaded another image than the lock or another host says.
    """
    made = copy.deepcopy(lock)
    for name, image in locked_entries(made).items():
        ids = loaded.get(name, {}) if name != MODEL else {}
        wanted = (image["image_id"] if ids else None) or next(iter(ids.values()), None)
        others = {host: found for host, found in ids.items() if found != wanted}
        if others:
            raise LockError(
                "%s: found %s; needed %s, as %s has it. Fix: remove the archive on these hosts and run again; it is "
                "fetched and loaded anew."
                % (
                    name,
                    "; ".join("%s on %s" % (found, host) for host, found in sorted(others.items())),
                    wanted,
                    "the lock" if image["image_id"] else "host %s" % next(iter(ids)),
                )
            )
        if ids:
            image["image_id"] = wanted
    return made
