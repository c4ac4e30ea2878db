# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and read release files on the controller."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

import yaml

from ..module_utils._release import schema

SHIPPED = Path(__file__).resolve().parents[2] / "playbooks" / "releases"
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_PICTURE_LIMIT = 1024 * 1024


class _Loader(yaml.SafeLoader):
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
    return sorted({f.stem for folder in present for f in folder.iterdir() if f.suffix in (".yml", ".yaml")})


def find(name: str, where: Iterable[Path]) -> Path:
    """The file of the release called ``name``; ReleaseError lists the known names and the folders searched."""
    where = list(where)
    for folder in where:
        for suffix in (".yml", ".yaml"):
            path = folder / (name + suffix)
            if path.is_file() and os.sep not in name:
                return path
    known = names(where)
    found = "%s%s" % (schema.quote(name), schema.did_you_mean(name, known))
    needed = "one of: %s (searched: %s)" % (", ".join(known) or "none found", ", ".join(str(f) for f in where))
    raise schema.ReleaseError("fleet_release", [schema.Problem("fleet_release", found, needed)])


def load(path: Path) -> dict[str, Any]:
    """Read, validate and complete one release file; ReleaseError lists everything that is wrong with it."""
    where = "release file %s" % path
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except (OSError, UnicodeDecodeError) as exc:
        raise schema.ReleaseError(where, [schema.Problem("(whole file)", str(exc), "a readable file")])
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        at = "line %d, column %d" % (mark.line + 1, mark.column + 1) if mark else "(whole file)"
        said = str(getattr(exc, "problem", None) or exc)
        raise schema.ReleaseError(where, [schema.Problem(at, said, "YAML")])
    problems: list[schema.Problem] = []
    release: Optional[dict[str, Any]] = None
    try:
        release = schema.validate(data, name=path.stem, where=where)
    except schema.ReleaseError as exc:
        problems += exc.problems
    data_uris = _pictures(release if release is not None else data, path.parent, problems)
    if problems or release is None:
        raise schema.ReleaseError(where, problems)
    for question, uri in zip(release["smoke"].get("questions", ()), data_uris):
        question["picture_data"] = uri
    return release


def _pictures(data: Any, folder: Path, problems: list[schema.Problem]) -> list[Optional[str]]:
    """The picture of each smoke question as a data URI; None where it has none."""
    smoke = data.get("smoke") if isinstance(data, Mapping) else None
    questions = smoke.get("questions") if isinstance(smoke, Mapping) else None
    uris: list[Optional[str]] = []
    for index, question in enumerate(questions if isinstance(questions, list) else ()):
        picture = question.get("picture") if isinstance(question, Mapping) else None
        uris.append(None)
        if not isinstance(picture, str):
            continue
        at, file = "smoke.questions[%d].picture" % index, folder / picture
        if file.suffix.lower() not in _KINDS:
            problems.append(schema.Problem(at, schema.quote(picture), "a name in %s" % ", ".join(sorted(_KINDS))))
        elif not file.is_file():
            problems.append(schema.Problem(at, "no file %s" % file, "a picture beside the release"))
        elif file.stat().st_size > _PICTURE_LIMIT:
            found = "%s of %d bytes" % (file, file.stat().st_size)
            problems.append(schema.Problem(at, found, "at most %d bytes: it is sent to every host" % _PICTURE_LIMIT))
        else:
            content = base64.b64encode(file.read_bytes()).decode("ascii")
            uris[-1] = "data:%s;base64,%s" % (_KINDS[file.suffix.lower()], content)
    return uris


def by_name(name: Any, variables: Mapping[str, Any], extra: Iterable[str] = ()) -> dict[str, Any]:
    """The validated release of that name, wherever it lies."""
    if not isinstance(name, str) or not name.strip():
        problem = schema.Problem("fleet_release", schema.quote(name), "the name of a release")
        raise schema.ReleaseError("fleet_release", [problem])
    return load(find(name, folders(variables, extra)))
