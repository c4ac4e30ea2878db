# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the origin serves: git repositories whose large files are LFS pointers, and the objects they point at."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .shell import FleetError, run, sha256_file

IMAGE_REPOSITORY = "Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp"
MODEL_REPOSITORY = "Qwen-AI/Qwen3.5-27B"
LFS_PATTERNS = ("*.safetensors", "*.tar", "*.bin", "*.gguf")
# A commit's date is part of its ID: a fixed one gives the same IDs for the same content.
WHEN = "1771200000 +0000"
WHO = "origin <origin@example.invalid>"
SHARDS = 4
WEIGHT_FILES = 94
DUMMY_WEIGHT_BYTES = 64 << 20


def pointer(oid: str, size: int) -> bytes:
    """A Git LFS pointer, as the specification writes it."""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (oid.encode(), size)


def attributes(extra: Iterable[str] = ()) -> bytes:
    patterns = [*LFS_PATTERNS, *extra]
    line = "%s filter=lfs diff=lfs merge=lfs -text\n"
    return "".join(line % name.replace(" ", "[[:space:]]") for name in patterns).encode()


def tracked(path: str) -> bool:
    return path.endswith(tuple(pattern[1:] for pattern in LFS_PATTERNS))


def image_path(generation: str) -> str:
    return "vllm-image/Vllm-ascend-Qwen3_5-%s-Ubuntu-v0.tar" % generation.upper()


def image_tag(generation: str) -> str:
    return "vllm-ascend:qwen3_5-v0-%s" % generation


def fast_import(files: Mapping[str, bytes], message: str, parent: bool = False, deleted: Sequence[str] = ()) -> bytes:
    """One commit on main, in the language of git fast-import."""
    text = message.encode()
    lines = [
        b"commit refs/heads/main\ncommitter %s %s\n" % (WHO.encode(), WHEN.encode()),
        b"data %d\n%s\n" % (len(text), text),
    ]
    if parent:
        lines.append(b"from refs/heads/main^0\n")
    lines += [b"D %s\n" % path.encode() for path in deleted]
    for path, data in sorted(files.items()):
        name = json.dumps(path, ensure_ascii=False).encode()
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
    return b"".join(lines)


def safetensors(tensors: Mapping[str, tuple[str, list[int], bytes]]) -> bytes:
    """A true .safetensors file: header length, header, data."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def noise(seed: str, size: int) -> bytes:
    """Bytes that look like weights (nothing compresses them) and are the same every time."""
    return hashlib.shake_128(seed.encode()).digest(size)


def model_shards(count: int = SHARDS, rows: int = 512, columns: int = 1024) -> tuple[dict[str, bytes], bytes]:
    """Small weights under the names of a sharded checkpoint, and their index."""
    files: dict[str, bytes] = {}
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(1, count + 1):
        name = "model-%05d-of-%05d.safetensors" % (number, count)
        parts = ("gate_proj", "up_proj", "down_proj")
        names = ["model.language_model.layers.%d.mlp.%s.weight" % (number - 1, part) for part in parts]
        if number == 1:
            names.insert(0, "model.language_model.embed_tokens.weight")
        tensors = {tensor: ("BF16", [rows, columns], noise(tensor, rows * columns * 2)) for tensor in names}
        files[name] = safetensors(tensors)
        weight_map.update(dict.fromkeys(tensors, name))
        total += sum(len(data) for _, _, data in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    return files, (json.dumps(index, indent=2) + "\n").encode()


def absent_weights() -> dict[str, tuple[str, int]]:
    """Pointers of weights nobody may fetch: hundreds of gigabytes by their sizes, and no object behind them."""
    found = {}
    for number in range(2, WEIGHT_FILES + 1):
        name = "model-%05d-of-%05d.safetensors" % (number, WEIGHT_FILES)
        found[name] = (hashlib.sha256(name.encode()).hexdigest(), 4_200_000_000 + number * 1_048_576)
    return found


class Store:
    """Bare repositories and LFS objects below one folder: git/OWNER/REPO.git and lfs/OWNER/REPO/OID."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def bare(self, repository: str) -> Path:
        return self.root / "git" / (repository + ".git")

    def init(self, repository: str) -> Path:
        path = self.bare(repository)
        if not (path / "HEAD").exists():
            run(["git", "init", "-q", "--bare", "--initial-branch=main", path])
            for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.uploadpack"):
                run(["git", "-C", path, "config", name, "true"])
            run(["git", "-C", path, "config", "http.receivepack", "false"])
        return path

    def head(self, repository: str) -> str | None:
        done = run(["git", "-C", self.bare(repository), "rev-parse", "-q", "--verify", "refs/heads/main"], check=False)
        return done.stdout.decode().strip() or None

    def put_object(self, repository: str, source: Path, oid: str) -> None:
        """An object into the store: linked where that is possible, copied where it is not; whole or not at all."""
        target = self.root / "lfs" / repository / oid
        if target.exists() and target.stat().st_size == source.stat().st_size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(oid + ".tmp")
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            run(["cp", "--sparse=always", source, temporary])
        temporary.replace(target)

    def put_bytes(self, repository: str, data: bytes) -> bytes:
        """The pointer of an object that is small enough to be in memory."""
        oid = hashlib.sha256(data).hexdigest()
        target = self.root / "lfs" / repository / oid
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(oid + ".tmp")
            temporary.write_bytes(data)
            temporary.replace(target)
        return pointer(oid, len(data))

    def commit(self, repository: str, files: Mapping[str, bytes], message: str, deleted: Sequence[str] = ()) -> str:
        path = self.init(repository)
        stream = fast_import(files, message, parent=self.head(repository) is not None, deleted=deleted)
        run(["git", "-C", path, "fast-import", "--quiet", "--force"], input_bytes=stream)
        return self.head(repository) or ""

    def show(self, repository: str, path: str) -> bytes:
        return run(["git", "-C", self.bare(repository), "show", "refs/heads/main:%s" % path], check=False).stdout

    def add(self, repository: str, path: str, source: Path, plain: bool = False) -> dict[str, object]:
        """A file at a path of a repository (made when it is not there), as an LFS object or plainly."""
        repository = repository.strip("/").removesuffix(".git")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", repository):
            raise FleetError("%r is no OWNER/REPOSITORY" % repository, "give for example Test-Org/thing")
        if not source.is_file():
            raise FleetError("no such file: %s" % source, "give a file that exists")
        if plain:
            files = {path: source.read_bytes()}
            return {"commit": self.commit(repository, files, "Add %s" % path), "repository": repository, "path": path}
        oid, size = sha256_file(source), source.stat().st_size
        # Not a link: the file stays the caller's, who may change it.
        target = self.root / "lfs" / repository / oid
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            run(["cp", "--sparse=always", source, target.with_name(oid + ".tmp")])
            target.with_name(oid + ".tmp").replace(target)
        old = self.show(repository, ".gitattributes") if self.bare(repository).exists() else b""
        new = old or attributes()
        if not tracked(path) and attributes([path]).splitlines()[-1] not in new.splitlines():
            new += attributes([path]).splitlines()[-1] + b"\n"
        files = {path: pointer(oid, size), ".gitattributes": new}
        commit = self.commit(repository, files, "Add %s" % path)
        return {"commit": commit, "repository": repository, "path": path, "oid": oid, "size": size}


def fill(store: Store, archives: Mapping[str, tuple[Path, str]], dummy: Path, model_files: Path) -> None:
    """The guide's two repositories, anew. ``archives``: path in the image repository -> archive and its sha256."""
    for repository in (IMAGE_REPOSITORY, MODEL_REPOSITORY):
        run(["rm", "-rf", store.bare(repository), store.root / "lfs" / repository])
    files: dict[str, bytes] = {".gitattributes": attributes(), "README.md": b"# Qwen3.5-397B-A17B-w8a8-mtp\n"}
    for path, (source, oid) in archives.items():
        store.put_object(IMAGE_REPOSITORY, source, oid)
        files[path] = pointer(oid, source.stat().st_size)
    dummy_oid = sha256_file(dummy)
    store.put_object(IMAGE_REPOSITORY, dummy, dummy_oid)
    files["model-00001-of-%05d.safetensors" % WEIGHT_FILES] = pointer(dummy_oid, dummy.stat().st_size)
    files.update({name: pointer(oid, size) for name, (oid, size) in absent_weights().items()})
    files["config.json"] = b'{"architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe"}\n'
    store.commit(IMAGE_REPOSITORY, files, "Add images and weights")

    shards, index = model_shards()
    files = {".gitattributes": attributes(), "README.md": b"# Qwen3.5-27B\n", "model.safetensors.index.json": index}
    files.update({name: store.put_bytes(MODEL_REPOSITORY, data) for name, data in shards.items()})
    files.update({path.name: path.read_bytes() for path in sorted(model_files.iterdir()) if path.is_file()})
    store.commit(MODEL_REPOSITORY, files, "Add model")


def dummy_weight(path: Path) -> Path:
    """A weight file nobody may fetch: a true header, then a hole of zeros."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        header = b'{"__metadata__":{"format":"pt"}}'
        temporary.write_bytes(struct.pack("<Q", len(header)) + header)
        os.truncate(temporary, DUMMY_WEIGHT_BYTES)
        temporary.replace(path)
    return path


def certificates(folder: Path, address: str) -> None:
    """A certificate authority of the fleet's own, and the origin's certificate from it."""
    authority, server = folder / "ca.pem", folder / "server.pem"
    if server.exists() and (folder / "address").exists() and (folder / "address").read_text() == address:
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
         "-subj", "/CN=simulated fleet CA", "-keyout", folder / "ca.key", "-out", authority], timeout=60)  # fmt: skip
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=origin",
         "-keyout", folder / "server.key", "-out", folder / "server.csr"], timeout=60)  # fmt: skip
    (folder / "extensions").write_text("subjectAltName=IP:%s,DNS:origin\nextendedKeyUsage=serverAuth\n" % address)
    run(["openssl", "x509", "-req", "-in", folder / "server.csr", "-CA", authority, "-CAkey", folder / "ca.key",
         "-CAcreateserial", "-days", "3650", "-extfile", folder / "extensions", "-out", server],
        timeout=60)  # fmt: skip
    (folder / "address").write_text(address)
