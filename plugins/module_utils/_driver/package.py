# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a package of driver or firmware (``.run``) says of itself: a shell script of Makeself with an archive behind it.

Nothing of it is run. Three places speak: the file's name, the variables of the script, and the files ``version.info``
and ``scene.info`` in the archive. Where two of them differ, the package is not what it seems, and that is an error.
What no place says is None.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from dataclasses import dataclass, replace
from typing import IO, Any, Optional

from .._npu import version_files

DRIVER, FIRMWARE = "driver", "firmware"
KINDS = (FIRMWARE, DRIVER)  # in the order in which an upgrade installs them
#: The script of Makeself has some ten kilobytes.
_HEADER_BYTES = 1 << 20
_BLOCK = 1 << 20
_INFO_BYTES = 1 << 16
_VARIABLE = re.compile(r"^(label|filesizes|SHA|MD5|skip)=\"?([^\"\n]*)\"?\s*$", re.MULTILINE)
_LINES = re.compile(r"head -n (\d+) \"\$0\"")
#: ``Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64``, ``Atlas-A3-hdk-npu-firmware_7.8.0.5.201``
_NAME = re.compile(
    r"(?P<product>[A-Za-z0-9][A-Za-z0-9._-]*?)-npu-(?P<kind>driver|firmware)_(?P<version>\d[0-9A-Za-z.]*)"
    r"(?:_linux-(?P<arch>aarch64|x86[-_]64))?\Z"
)
#: Words of a product's name, and the generation that it is for. What is for other cards is named by its product.
_PRODUCTS = (
    (re.compile(r"(?:\A|[-_])(?:a3|910c|910_93)(?:[-_]|\Z)", re.IGNORECASE), "a3"),
    (re.compile(r"(?:\A|[-_])(?:a2|910b)(?:[-_]|\Z)", re.IGNORECASE), "a2"),
)
#: A key of version.info that only packages of one kind have.
_KIND_OF_KEY = (("compatible_version_drv", FIRMWARE), ("compatible_version_fw", DRIVER))


class PackageError(Exception):
    """The file is no whole package; the message says what was found, what was needed and what to do."""


@dataclass(frozen=True)
class Package:
    """A package. version: of a driver its own; of a firmware the firmware's (7.x). package_version: of the bundle.

    generation: of the hosts that it is for; ``other`` for cards of none. sha256: of the whole file.
    """

    path: str
    sha256: str
    size_bytes: int
    kind: Optional[str] = None
    product: Optional[str] = None
    generation: Optional[str] = None
    architecture: Optional[str] = None
    version: Optional[str] = None
    package_version: Optional[str] = None
    label: str = ""
    #: Of a driver: from and until which firmware (7.x) it accepts.
    firmware_ranges: tuple[tuple[str, str], ...] = ()

    @property
    def release_version(self) -> Optional[str]:
        """What a release compares: the driver's version, or the version of the firmware's package."""
        return self.package_version if self.kind == FIRMWARE else self.version

    def described(self) -> dict[str, Any]:
        """As data."""
        ranges = [list(bounds) for bounds in self.firmware_ranges]
        return {**self.__dict__, "firmware_ranges": ranges, "release_version": self.release_version}


def generation_of(product: str) -> str:
    """The generation that a product's name stands for; ``other`` where it is none that releases name."""
    return next((generation for words, generation in _PRODUCTS if words.search(product)), "other")


def named(name: str) -> dict[str, Optional[str]]:
    """What a name or a label says: product, kind, version, architecture; all None where it is no such name."""
    match = _NAME.match(name[: -len(".run")] if name.endswith(".run") else name)
    if match is None:
        return dict.fromkeys(("product", "kind", "version", "architecture"))
    said = match.groupdict()
    architecture = said.pop("arch")
    return {**said, "architecture": architecture.replace("x86-64", "x86_64") if architecture else None}


def read(path: str) -> Package:
    """Read a package, whole. PackageError, OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(_HEADER_BYTES)
        variables, offset = _header(path, head)
        payload = hashlib.sha256()
        _check_size(path, variables, size - offset)
        stream.seek(0)
        at = 0
        while True:
            block = stream.read(_BLOCK)
            if not block:
                break
            digest.update(block)
            payload.update(block[max(0, offset - at) :])
            at += len(block)
        wanted = variables.get("SHA", "").lower()
        if len(wanted) == 64 and wanted != payload.hexdigest():
            raise _damaged(path, "an archive of sha256 %s" % payload.hexdigest(), "%s, as its header says" % wanted)
        inside = _contents(path, stream, offset)
    found = Package(path, digest.hexdigest(), size, label=variables.get("label", ""))
    return _agreed(found, named(os.path.basename(path)), named(found.label), inside)


def _damaged(path: str, found: str, needed: str) -> PackageError:
    fix = "fetch it again from the vendor, and compare its sha256 with the one that the vendor names"
    return PackageError("found %s in %s; needed %s. Fix: %s" % (found, path, needed, fix))


def _header(path: str, head: bytes) -> tuple[dict[str, str], int]:
    """The variables of the script, and where the archive begins."""
    text = head.decode("utf-8", "replace")
    variables = dict(_VARIABLE.findall(text))
    lines = variables.get("skip") or next(iter(_LINES.findall(text)), "")
    if not head.startswith(b"#!") or "filesizes" not in variables or not lines.isdigit():
        raise _damaged(path, "no header of Makeself", "a package as the vendor publishes it (.run)")
    offset = 0
    for _line in range(int(lines)):
        end = head.find(b"\n", offset)
        if end < 0:
            raise _damaged(path, "a header that ends before its line %s" % lines, "a whole file")
        offset = end + 1
    return variables, offset


def _check_size(path: str, variables: dict[str, str], left: int) -> None:
    sizes = variables["filesizes"].split()
    if not sizes or not all(size.isdigit() for size in sizes):
        raise _damaged(path, "filesizes=%r" % variables["filesizes"], "the sizes of its archives")
    expected = sum(int(size) for size in sizes)
    if left != expected:
        raise _damaged(path, "an archive of %d bytes" % left, "%d, as its header says" % expected)


def _contents(path: str, stream: IO[bytes], offset: int) -> dict[str, str]:
    """The keys of version.info and scene.info in the archive, in lower case; empty where it has none."""
    stream.seek(offset)
    texts: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if name not in ("version.info", "scene.info") or not member.isfile() or name in texts:
                    continue
                # Files of parts lie deeper.
                if len([part for part in member.name.split("/") if part not in ("", ".")]) <= 2:
                    handle = archive.extractfile(member)
                    texts[name] = handle.read(_INFO_BYTES).decode("utf-8", "replace") if handle else ""
                if len(texts) == 2:
                    break
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise _damaged(path, "an archive that cannot be read (%s)" % exc, "a whole one") from exc
    scene = version_files.parse_pairs(texts.get("scene.info", ""))
    pairs = version_files.parse_pairs(texts.get("version.info", ""))
    architecture = (scene.get("arch") or "").replace("x86-64", "x86_64")
    return {
        "firmware_ranges": pairs.get("compatible_version_fw") or "",
        "version": pairs.get("version") or "",
        "package_version": pairs.get("package_version") or "",
        "architecture": architecture,
        # Each of the two says which versions of the other it goes with.
        "kind": next((kind for key, kind in _KIND_OF_KEY if key in pairs), ""),
    }


def _agreed(
    found: Package, name: dict[str, Optional[str]], label: dict[str, Optional[str]], inside: dict[str, str]
) -> Package:
    """The package with what its places say. PackageError where they differ."""
    said: dict[str, Optional[str]] = {}
    for key in ("kind", "product", "architecture", "version"):
        places = (("its name", name[key]), ("its header", label[key]), ("its archive", inside.get(key) or None))
        words = {where: value for where, value in places if value}
        if len(set(words.values())) > 1:
            raise PackageError(
                "found %s of %s; needed one. Fix: fetch the package again under the vendor's own name"
                % (" and ".join("the %s %s in %s" % (key, value, where) for where, value in words.items()), found.path)
            )
        said[key] = next(iter(words.values()), None)
    product = said["product"]
    return replace(
        found,
        kind=said["kind"],
        product=product,
        generation=generation_of(product) if product else None,
        architecture=said["architecture"],
        version=said["version"],
        firmware_ranges=tuple(
            (r[0], r[1]) for r in version_files.parse_ranges(inside["firmware_ranges"]) if len(r) == 2
        ),
        package_version=inside["package_version"] or (said["version"] if said["kind"] == DRIVER else None),
    )
