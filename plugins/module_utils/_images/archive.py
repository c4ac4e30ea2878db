# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what images an archive of ``docker save`` holds, without unpacking or loading it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from typing import IO, Any, Mapping, Optional, Sequence

# Configurations and manifests are kilobytes; anything larger is a layer.
_SMALL = 4 * 1024 * 1024
_SMALL_TOTAL = 64 * 1024 * 1024

#: The machine names of the kernel for the architectures of images.
MACHINES = {"arm64": "aarch64", "amd64": "x86_64", "aarch64": "aarch64", "x86_64": "x86_64"}


class ArchiveError(Exception):
    """The archive is not what it should be; the message says what was found and what is needed."""


def machine_of(architecture: str) -> str:
    """Return the kernel's name of an image's architecture: arm64 is aarch64."""
    return MACHINES.get(architecture.lower(), architecture.lower())


@dataclass(frozen=True)
class ArchivedImage:
    """One image of an archive.

    ``config_digest`` is the image ID for docker's own image store; with the containerd image store the ID is the
    digest of a manifest (``manifest_digests``, when the archive has any). ``diff_ids`` are the layers, ``settings`` is
    what is run in them, and how.
    """

    config_digest: str
    manifest_digests: tuple[str, ...]
    architecture: str
    os: str
    created: Optional[str]
    tags: tuple[str, ...]
    diff_ids: tuple[str, ...]
    layer_bytes: int
    settings: str

    @property
    def machine(self) -> str:
        """The architecture, as ``uname -m`` says it."""
        return machine_of(self.architecture)

    def is_image(self, inspected: Mapping[str, Any]) -> bool:
        """Whether ``inspected`` (an element of ``docker image inspect``) is this image, in either image store."""
        identity = str(inspected.get("Id") or "")
        if identity == self.config_digest or identity in self.manifest_digests:
            return True
        layers = tuple((inspected.get("RootFS") or {}).get("Layers") or ())
        return (
            bool(layers)
            and layers == self.diff_ids
            and settings_of(inspected.get("Config")) == self.settings
            and machine_of(str(inspected.get("Architecture") or "")) == self.machine
            and _same_instant(str(inspected.get("Created") or ""), self.created or "")
        )


def settings_of(config: Any) -> str:
    """The settings by which two images with equal layers differ.

    Archive and docker write them alike, except empty ones.
    """
    names = ("Cmd", "Entrypoint", "Env", "Labels", "User", "WorkingDir")
    found = config if isinstance(config, dict) else {}
    return json.dumps({name: found[name] for name in names if found.get(name)}, sort_keys=True)


def _same_instant(one: str, other: str) -> bool:
    # Docker writes the time of an image with more or fewer digits of a second than the configuration has.
    def plain(text: str) -> str:
        return re.sub(r"(?:\.0+|(\.\d*?)0+)(Z|[+-]\d\d:\d\d)$", r"\1\2", text)

    return plain(one) == plain(other)


def compression_of(head: bytes) -> str:
    """Return how a file that begins with ``head`` is compressed: none, gzip, zstd, xz or bzip2."""
    for magic, name in (
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"BZh", "bzip2"),
    ):
        if head.startswith(magic):
            return name
    return "none"


def read_archive(path: str) -> list[ArchivedImage]:
    """Return the images that the archive at ``path`` holds; raises ArchiveError when it is not whole.

    A plain tar is read by seeking from header to header: a few hundred reads, whatever its size. A compressed one has
    to be decompressed once from end to end.
    """
    try:
        with open(path, "rb") as handle:
            compression = compression_of(handle.read(8))
            handle.seek(0)
            if compression == "none":
                small, sizes, plain_end = _read_members(handle, "r:")
                _check_end(path, handle, plain_end)
            elif compression == "zstd":
                small, sizes = _read_zstd(path)
            else:
                mode = {"gzip": "r|gz", "xz": "r|xz", "bzip2": "r|bz2"}[compression]
                small, sizes, _end = _read_members(handle, mode)
    except FileNotFoundError as exc:
        raise ArchiveError("there is no file %s" % path) from exc
    except OSError as exc:
        raise ArchiveError("%s cannot be read: %s" % (path, exc.strerror or exc)) from exc
    except (tarfile.TarError, EOFError, ValueError) as exc:
        raise ArchiveError(
            "%s is not a whole tar archive: %s (%d bytes). Download it again." % (path, exc, os.path.getsize(path))
        ) from exc
    return images_of(path, small, sizes)


def _read_members(handle: IO[bytes], mode: str) -> tuple[dict[str, bytes], dict[str, int], int]:
    small: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    total = 0
    end = 0
    links: dict[str, str] = {}
    # tarfile's own types know the literal modes only.
    opened: tarfile.TarFile = tarfile.open(fileobj=handle, mode=mode)  # type: ignore[call-overload]  # noqa: SIM115
    with opened as archive:
        for member in archive:
            name = _plain_name(member.name)
            end = member.offset_data + (member.size + 511) // 512 * 512 if member.isreg() else member.offset_data
            if member.issym() or member.islnk():
                # docker save writes a layer that occurs twice as a link to the first.
                base = os.path.dirname(name) if member.issym() else ""
                links[name] = _plain_name(os.path.normpath(os.path.join(base, member.linkname)))
                continue
            if not member.isreg():
                continue
            sizes[name] = member.size
            if member.size <= _SMALL and total + member.size <= _SMALL_TOTAL and _may_be_json(name):
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                if len(content) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                if content[:1] in (b"{", b"["):
                    small[name] = content
                    total += len(content)
    for name, target in links.items():
        if target in sizes:
            sizes[name] = sizes[target]
        if target in small:
            small[name] = small[target]
    if not sizes:
        raise tarfile.ReadError("it holds no files")
    return small, sizes, end


def _plain_name(name: str) -> str:
    return name[2:] if name.startswith("./") else name


def _may_be_json(name: str) -> bool:
    return name.endswith(".json") or name == "oci-layout" or name.startswith("blobs/")


def _check_end(path: str, handle: IO[bytes], end: int) -> None:
    """A tar ends with two empty blocks; one that was cut between two members has every member and not these."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(min(end, size))
    if size < end or handle.read(1024) != b"\0" * 1024:
        raise tarfile.ReadError("unexpected end of data: it was cut")


def _read_zstd(path: str) -> tuple[dict[str, bytes], dict[str, int]]:
    program = shutil.which("zstd")
    if program is None:
        raise ArchiveError(
            "%s is compressed with zstd, and the program zstd is not installed on this host. Install the package zstd."
            % path
        )
    # A stream of many gigabytes, read as it comes, is nothing for AnsibleModule.run_command.
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        [program, "-d", "-c", "-q", "--", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise ArchiveError("%s cannot be read through %s: no pipe" % (path, program))
        try:
            small, sizes, _end = _read_members(process.stdout, "r|")
            while process.stdout.read(1024 * 1024):
                pass
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait() != 0:
            raise tarfile.ReadError("zstd: " + (said.splitlines() or ["it failed"])[-1])
    return small, sizes


# --- from members to images -----------------------------------------------------------------------------------------


def images_of(path: str, small: Mapping[str, bytes], sizes: Mapping[str, int]) -> list[ArchivedImage]:
    """Return the images described by an archive's small members; ``sizes`` is the size of every member."""
    manifests = _oci_manifests(small)
    if "manifest.json" in small:
        images = _docker_images(path, small, sizes, manifests)
    elif "index.json" in small:
        images = _oci_images(path, small, sizes, manifests)
    else:
        raise ArchiveError(
            "%s is a tar archive, but not of a container image: it has neither manifest.json nor index.json "
            "(found %s). Needed is what `docker save` writes." % (path, ", ".join(sorted(sizes)[:5]) or "nothing")
        )
    if not images:
        raise ArchiveError("%s holds no image" % path)
    return images


def _docker_images(
    path: str, small: Mapping[str, bytes], sizes: Mapping[str, int], manifests: Mapping[str, list[str]]
) -> list[ArchivedImage]:
    images = []
    entries = _json(path, "manifest.json", small["manifest.json"])
    if not isinstance(entries, list):
        raise ArchiveError("manifest.json in %s is not a list" % path)
    for entry in entries:
        name = str(entry.get("Config") or "")
        if name not in small:
            raise ArchiveError("%s is not whole: the image configuration %s is missing" % (path, name or "(unnamed)"))
        missing = [layer for layer in entry.get("Layers") or [] if layer not in sizes]
        if missing:
            raise ArchiveError(
                "%s is not whole: %d of %d layers are missing, the first is %s. Download it again."
                % (path, len(missing), len(entry["Layers"]), missing[0])
            )
        digest = "sha256:" + hashlib.sha256(small[name]).hexdigest()
        named = re.search(r"([0-9a-f]{64})(?:\.json)?$", name)
        if named and "sha256:" + named[1] != digest:
            raise ArchiveError(
                "%s is damaged: the configuration %s has the hash %s. Download it again." % (path, name, digest)
            )
        images.append(
            _image(
                path,
                name,
                small[name],
                digest,
                manifests.get(digest, []),
                [str(tag) for tag in entry.get("RepoTags") or []],
                sum(sizes[layer] for layer in entry.get("Layers") or []),
            )
        )
    return images


def _oci_images(
    path: str, small: Mapping[str, bytes], sizes: Mapping[str, int], manifests: Mapping[str, list[str]]
) -> list[ArchivedImage]:
    tags: dict[str, list[str]] = {}
    for descriptor in _list(_json(path, "index.json", small["index.json"]), "manifests"):
        annotations = descriptor.get("annotations") or {}
        tag = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name")
        if tag and ":" in tag:
            tags.setdefault(str(descriptor.get("digest")), []).append(_familiar(str(tag)))
    images = []
    for config_digest, digests in manifests.items():
        name = _blob(config_digest)
        if name not in small:
            raise ArchiveError("%s is not whole: the image configuration %s is missing" % (path, name))
        manifest = next((_parse(small[_blob(d)]) for d in digests if "config" in _parse(small[_blob(d)])), {})
        layers = [str(layer.get("digest")) for layer in _list(manifest, "layers")]
        missing = [layer for layer in layers if _blob(layer) not in sizes]
        if missing:
            raise ArchiveError(
                "%s is not whole: %d of %d layers are missing, the first is %s. Download it again."
                % (path, len(missing), len(layers), missing[0])
            )
        found = "sha256:" + hashlib.sha256(small[name]).hexdigest()
        if found != config_digest:
            raise ArchiveError(
                "%s is damaged: the configuration %s has the hash %s. Download it again." % (path, name, found)
            )
        if not isinstance(_parse(small[name]).get("rootfs"), dict):
            continue  # an attestation, not an image
        names = sorted({tag for digest in digests for tag in tags.get(digest, [])})
        images.append(
            _image(path, name, small[name], found, digests, names, sum(sizes[_blob(layer)] for layer in layers))
        )
    return images


def _oci_manifests(small: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return, by configuration digest, the digests of the manifests (and of the indexes above) that lead to it."""
    found: dict[str, list[str]] = {}

    def follow(digest: str, above: Sequence[str]) -> None:
        document = _parse(small.get(_blob(digest), b""))
        if len(above) > 4 or digest in above:
            return
        if isinstance(document.get("config"), dict):
            digests = found.setdefault(str(document["config"].get("digest")), [])
            digests.extend(d for d in (digest, *above) if d not in digests)
        for child in _list(document, "manifests"):
            follow(str(child.get("digest")), (digest, *above))

    for descriptor in _list(_parse(small.get("index.json", b"")), "manifests"):
        follow(str(descriptor.get("digest")), ())
    return found


def _image(
    path: str, name: str, content: bytes, digest: str, manifests: Sequence[str], tags: Sequence[str], layer_bytes: int
) -> ArchivedImage:
    config = _json(path, name, content)
    if not isinstance(config, dict) or not config.get("architecture"):
        raise ArchiveError("the image configuration %s in %s says no architecture" % (name, path))
    return ArchivedImage(
        config_digest=digest,
        manifest_digests=tuple(manifests),
        architecture=str(config["architecture"]),
        os=str(config.get("os") or "linux"),
        created=config.get("created"),
        tags=tuple(tags),
        diff_ids=tuple(str(d) for d in (config.get("rootfs") or {}).get("diff_ids") or ()),
        layer_bytes=layer_bytes,
        settings=settings_of(config.get("config")),
    )


def _familiar(tag: str) -> str:
    for prefix in ("docker.io/library/", "docker.io/"):
        if tag.startswith(prefix):
            return tag[len(prefix) :]
    return tag


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _json(path: str, name: str, content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError as exc:
        raise ArchiveError("%s is damaged: %s in it is not JSON: %s. Download it again." % (path, name, exc)) from exc


def _parse(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(document: Any, key: str) -> list[dict[str, Any]]:
    value = document.get(key) if isinstance(document, dict) else None
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def choose(images: Sequence[ArchivedImage], tag: str, path: str, machine: Optional[str] = None) -> ArchivedImage:
    """Return the image meant by ``tag``: the only one, the one that carries the tag, or the one for the machine."""
    if len(images) == 1:
        return images[0]
    tagged = [image for image in images if tag in image.tags]
    fitting = [image for image in (tagged or images) if machine is None or image.machine == machine]
    if len(fitting) == 1:
        return fitting[0]
    raise ArchiveError(
        "%s holds %d images (%s), and which one is meant by %s cannot be told"
        % (
            path,
            len(images),
            "; ".join("%s %s" % (",".join(i.tags) or i.config_digest, i.machine) for i in images),
            tag,
        )
    )
