# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and read release files on the controller."""

from __future__ import annotations

import base64
import copy
import os
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

import yaml

from ..module_utils._release import schema
from ..module_utils._release.problems import Problem, ReleaseError, did_you_mean, quote

SHIPPED = Path(__file__).resolve().parents[2] / "playbooks" / "releases"
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_PICTURE_LIMIT = 1024 * 1024
#: Files with modification time in ns and size in bytes; None for one that is not there.
_Signature = dict[Path, Optional[tuple[int, int]]]


# The parser of libyaml is ten times as fast; PyYAML is also built without it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):
    """YAML in which a key that appears twice is an error instead of a surprise."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _value in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if isinstance(key, (str, int, float, bool)) and key in seen:
            problem = "the key `%s` of line %d once more" % (key, seen[key])
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen[key] = line
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def folders(variables: Mapping[str, Any], extra: Iterable[str] = ()) -> list[Path]:
    """The folders in which releases are looked for, best first: the user's own hide shipped ones of the same name."""
    found = [Path(str(f)).expanduser() for f in extra]
    inventories = [variables.get("inventory_dir")]
    for source in variables.get("ansible_inventory_sources") or ():
        # A source may also be a list of hosts ("a,b"), which is no path.
        path = Path(str(source))
        if path.exists():
            inventories.append(str(path if path.is_dir() else path.parent))
    found += [Path(str(i)) / "releases" for i in inventories if i and Path(str(i)).is_dir()]
    if variables.get("playbook_dir"):
        found.append(Path(str(variables["playbook_dir"])) / "releases")
    found.append(SHIPPED)
    return list(dict.fromkeys(Path(os.path.abspath(f)) for f in found))


def names(where: Iterable[Path]) -> list[str]:
    """The names of all releases in these folders."""
    present = [folder for folder in where if folder.is_dir()]
    found = {f.stem for folder in present for f in folder.iterdir() if f.suffix in (".yml", ".yaml")}
    return sorted(name for name in found if not name.endswith(".lock"))


def find(name: str, where: Iterable[Path]) -> Path:
    """The file of the release called ``name``; ReleaseError lists the known names and the folders searched."""
    where = list(where)
    for folder in where:
        for suffix in (".yml", ".yaml"):
            path = folder / (name + suffix)
            if path.is_file() and os.sep not in name:
                return path
    known = names(where)
    found = "%s%s" % (quote(name), did_you_mean(name, known))
    needed = "one of: %s (searched: %s)" % (", ".join(known) or "none found", ", ".join(str(f) for f in where))
    raise ReleaseError("fleet_release", [Problem("fleet_release", found, needed)])


#: One entry for each file: what it and its pictures looked like when it was read, and the release.
_read: dict[Path, tuple[_Signature, dict[str, Any]]] = {}


def load(path: Path) -> dict[str, Any]:
    """Read, validate and complete one release file; ReleaseError lists everything that is wrong with it.

    A file is read once per process, and again when it or one of its pictures has another size or modification time.
    The caller gets a release of its own.
    """
    known = _read.get(path)
    if known is None or known[0] != _signature(known[0]):
        _read[path] = known = _load(path)
    return copy.deepcopy(known[1])


def _signature(files: Iterable[Path]) -> _Signature:
    found: _Signature = {}
    for file in files:
        try:
            about = file.stat()
            found[file] = (about.st_mtime_ns, about.st_size)
        except OSError:
            found[file] = None
    return found


def read_yaml(path: Path, where: str) -> Any:
    """Read a YAML file in which no key appears twice; ReleaseError says what is wrong with ``where``."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - derived from a safe loader
    except (OSError, UnicodeDecodeError) as exc:
        raise ReleaseError(where, [Problem("(whole file)", str(exc), "a readable file")])
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        at = "line %d, column %d" % (mark.line + 1, mark.column + 1) if mark else "(whole file)"
        said = str(getattr(exc, "problem", None) or exc)
        raise ReleaseError(where, [Problem(at, said, "YAML")])


def _load(path: Path) -> tuple[_Signature, dict[str, Any]]:
    where = "release file %s" % path
    signature = _signature([path])  # before the file is read: one that changes meanwhile is read again
    data = read_yaml(path, where)
    problems: list[Problem] = []
    release: Optional[dict[str, Any]] = None
    try:
        release = schema.validate(data, name=path.stem, where=where)
    except ReleaseError as exc:
        problems += exc.problems
    files = _picture_files(release if release is not None else data, path.parent)
    signature.update(_signature(file for file in files if file))
    data_uris = [_picture(index, file, problems) if file else None for index, file in enumerate(files)]
    if problems or release is None:
        raise ReleaseError(where, problems)
    for question, uri in zip(release["smoke"].get("questions", ()), data_uris):
        question["picture_data"] = uri
    return signature, release


def _picture_files(data: Any, folder: Path) -> list[Optional[Path]]:
    """The picture of each smoke question; None where it has none."""
    smoke = data.get("smoke") if isinstance(data, Mapping) else None
    questions = smoke.get("questions") if isinstance(smoke, Mapping) else None
    questions = questions if isinstance(questions, list) else []
    pictures = [q.get("picture") if isinstance(q, Mapping) else None for q in questions]
    return [folder / picture if isinstance(picture, str) else None for picture in pictures]


def _picture(index: int, file: Path, problems: list[Problem]) -> Optional[str]:
    """A picture as a data URI; None, with a problem more, where that cannot be."""
    at = "smoke.questions[%d].picture" % index
    if file.suffix.lower() not in _KINDS:
        problems.append(Problem(at, quote(file.name), "a name in %s" % ", ".join(sorted(_KINDS))))
    elif not file.is_file():
        problems.append(Problem(at, "no file %s" % file, "a picture beside the release"))
    elif file.stat().st_size > _PICTURE_LIMIT:
        found = "%s of %d bytes" % (file, file.stat().st_size)
        problems.append(Problem(at, found, "at most %d bytes: it is sent to every host" % _PICTURE_LIMIT))
    else:
        return "data:%s;base64,%s" % (_KINDS[file.suffix.lower()], base64.b64encode(file.read_bytes()).decode("ascii"))
    return None


def by_name(name: Any, variables: Mapping[str, Any], extra: Iterable[str] = ()) -> dict[str, Any]:
    """The validated release of that name, wherever it lies."""
    if not isinstance(name, str) or not name.strip():
        problem = Problem("fleet_release", quote(name), "the name of a release")
        raise ReleaseError("fleet_release", [problem])
    return load(find(name, folders(variables, extra)))
