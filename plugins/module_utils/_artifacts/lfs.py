# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be decided about a git-lfs repository without touching it: pointers, selections, plans, explanations."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence
from urllib.parse import urlsplit, urlunsplit

from .._base.progress import human_bytes

POINTER_MAX_BYTES = 1024
_POINTER_VERSION = re.compile(r"^version https://(?:git-lfs\.github\.com/spec/v1|hawser\.github\.com/spec/v1)$")
_OID = re.compile(r"^[0-9a-f]{64}$")
_COMMIT = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")


class ArtifactError(Exception):
    """Something the operator has to know; the message says what was found, what is needed and what to do."""


# --- pointers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pointer:
    """What a git-lfs pointer file says: the SHA-256 and the size of the content it stands for."""

    oid: str
    size: int


def parse_pointer(content: bytes) -> Optional[Pointer]:
    """Return the pointer that ``content`` is, or None when it is an ordinary file."""
    if len(content) > POINTER_MAX_BYTES or not content.startswith(b"version "):
        return None
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
    if not lines or not _POINTER_VERSION.match(lines[0]):
        return None
    fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    method, _colon, oid = fields.get("oid", "").partition(":")
    size = fields.get("size", "")
    if method != "sha256" or not _OID.match(oid) or not re.match(r"^\d+$", size):
        return None
    return Pointer(oid, int(size))


def is_commit(revision: str) -> bool:
    """Whether ``revision`` is a full commit hash rather than the name of a branch or tag."""
    return bool(_COMMIT.match(revision))


# --- the tree and what is chosen of it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class TreeEntry:
    """One file of a commit."""

    path: str
    mode: str
    blob: str


def parse_ls_tree(text: str) -> list[TreeEntry]:
    """Read ``git ls-tree -r -z``: the regular files of a commit; links and submodules are left out."""
    entries = []
    for record in text.split("\0"):
        head, tab, path = record.partition("\t")
        words = head.split()
        if not tab or len(words) < 3:
            continue
        if words[1] == "blob" and words[0] in ("100644", "100755"):
            entries.append(TreeEntry(path, words[0], words[2]))
    return entries


def check_path(path: str) -> None:
    """Refuse a path that would leave the folder it is meant for, or touch git's own."""
    parts = path.split("/")
    if "\ufffd" in path or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise ArtifactError("the repository holds a file named %r, which cannot be written safely" % path)


def _expression(pattern: str) -> str:
    out = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            out.append("(?:.*/)?")
            position += 3
            continue
        if pattern.startswith("**", position):
            out.append(".*")
            position += 2
            continue
        character = pattern[position]
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        else:
            out.append(re.escape(character))
        position += 1
    return "".join(out)


def matches(path: str, pattern: str) -> bool:
    """Whether ``pattern`` names ``path``.

    A pattern without a slash is a file name in any folder; with a slash it is the whole path. ``*`` and ``?`` stay
    within one folder, ``**`` crosses folders, and a pattern that names a folder takes everything under it.
    """
    wanted = pattern.strip("/")
    if path == wanted:
        return True
    expression = _expression(wanted)
    if "/" not in pattern.rstrip("/"):
        expression = "(?:.*/)?" + expression
    return re.fullmatch("%s(?:/.*)?" % expression, path, re.DOTALL) is not None


def select(
    entries: Sequence[TreeEntry], include: Sequence[str], exclude: Sequence[str] = ()
) -> tuple[list[TreeEntry], list[str]]:
    """Return the entries that ``include`` names and ``exclude`` does not, and the patterns that named nothing."""
    chosen = [
        entry
        for entry in entries
        if any(matches(entry.path, p) for p in include) and not any(matches(entry.path, p) for p in exclude)
    ]
    unmatched = [p for p in include if not any(matches(entry.path, p) for entry in entries)]
    return chosen, unmatched


def near_names(wanted: str, names: Iterable[str], count: int = 5) -> list[str]:
    """Return the names most like ``wanted``: by the whole path, or by the file name alone."""
    every = list(names)
    close = difflib.get_close_matches(wanted, every, n=count, cutoff=0.5)
    base = wanted.rsplit("/", 1)[-1]
    by_base = {name.rsplit("/", 1)[-1]: name for name in every}
    for name in difflib.get_close_matches(base, list(by_base), n=count, cutoff=0.6):
        if by_base[name] not in close:
            close.append(by_base[name])
    return close[:count]


# --- what is needed, and what is already there ----------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A file that must be present: ``blob`` is git's object, ``oid`` and ``size`` those of the content."""

    path: str
    blob: str
    oid: str
    size: int
    lfs: bool


@dataclass(frozen=True)
class Partial:
    """A file of unfinished bytes left by an earlier download."""

    file: str
    size: int


@dataclass
class Rescue:
    """What to do with unfinished bytes so that git-lfs goes on from them."""

    keep: dict[str, Partial] = field(default_factory=dict)
    whole: dict[str, Partial] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)

    @property
    def bytes_kept(self) -> int:
        """How many bytes need not be downloaded again."""
        return sum(p.size for p in self.keep.values()) + sum(p.size for p in self.whole.values())


_PARTIAL_NAME = re.compile(r"^(?P<oid>[0-9a-f]{64})(?P<rest>.*)$")


def plan_rescue(found: Iterable[Partial], sizes: Mapping[str, int]) -> Rescue:
    """Decide about the files in git-lfs' ``incomplete`` and ``tmp`` folders.

    git-lfs goes on only from ``<oid>.part``. A kill leaves ``<oid><random>`` instead, which it never looks at again
    and never deletes. So for every object still wanted (``sizes`` by oid) the largest piece is kept, a piece that
    is as large as the object is taken for a candidate of the whole object (its hash decides), and the others go.
    Pieces of objects that are not wanted now are left alone when git-lfs would still use them (``.part``).
    """
    rescue = Rescue()
    candidates: dict[str, list[Partial]] = {}
    for partial in found:
        match = _PARTIAL_NAME.match(partial.file.rsplit("/", 1)[-1])
        if not match:
            continue
        if match["oid"] in sizes:
            candidates.setdefault(match["oid"], []).append(partial)
        elif match["rest"] != ".part":
            rescue.delete.append(partial.file)
    for oid, pieces in candidates.items():
        size = sizes[oid]
        # On equal size the one that already has the right name wins.
        pieces.sort(key=lambda p: (p.size, p.file.endswith(".part")), reverse=True)
        best: Optional[Partial] = None
        for piece in pieces:
            if best is None and 0 < piece.size <= size:
                best = piece
            else:
                rescue.delete.append(piece.file)
        if best is not None:
            (rescue.whole if best.size == size else rescue.keep)[oid] = best
    return rescue


# --- repositories ---------------------------------------------------------------------------------------------------


def check_repository(url: str) -> None:
    """Refuse a URL that carries a secret: it would stand in process lists and in the clone's configuration."""
    parts = urlsplit(url)
    if parts.password is not None or (parts.username is not None and parts.scheme in ("http", "https")):
        raise ArtifactError(
            "the repository URL for %s carries a user name or password. Write it without, "
            "put the token into a file with mode 0600 on the host and name that file in token_file."
            % (parts.hostname or "the origin")
        )


def check_revision(revision: str) -> None:
    """Refuse what git would not take for the name of one branch, tag or commit."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", revision) or ".." in revision:
        raise ArtifactError("the revision is %r; needed is a branch, a tag or a full commit hash" % revision)


def rewrite_origin(url: str, origin: str) -> str:
    """Return ``url`` with its scheme and host replaced by those of ``origin``; a path of ``origin`` comes first.

    >>> rewrite_origin("https://modelers.cn/Qwen-AI/Qwen3.5-27B.git", "http://mirror:8080/lfs/")
    'http://mirror:8080/lfs/Qwen-AI/Qwen3.5-27B.git'
    """
    if not origin:
        return url
    base, parts = urlsplit(origin), urlsplit(url)
    if not base.scheme:
        raise ArtifactError(
            "artifact_origin is %r: needed is a base URL with its scheme, like http://mirror.example:8080" % origin
        )
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + "/" + parts.path.lstrip("/"), "", ""))


def repository_name(url: str) -> str:
    """Return the last part of the repository's path, without ``.git``."""
    name = urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]
    return name[:-4] if name.endswith(".git") else name


def repository_folder(url: str, revision: str) -> str:
    """Return a folder name for the repository at ``revision``.

    Two revisions never share a folder: the files of one may be in use while the other is staged. The host is no part
    of it: the same repository on a mirror is the same repository.
    """
    path = urlsplit(url).path.strip("/")
    if path.endswith(".git"):
        path = path[:-4]
    return safe_name(path.replace("/", "--")) + revision_suffix(revision)


def revision_suffix(revision: str) -> str:
    """Return what a revision adds to a folder's name: nothing for the default branches."""
    return "" if revision in ("main", "master") else "@" + safe_name(revision[:12] if is_commit(revision) else revision)


def safe_name(text: str) -> str:
    """Return ``text`` as one folder name."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", text)
    return name if name.strip(".") else "_" + name


# --- what was done, remembered --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A file that was verified: as long as size, time and inode are the same, so is its content."""

    oid: str
    size: int
    mtime_ns: int
    inode: int
    lfs: bool


@dataclass
class State:
    """What an earlier run verified (``files``), and which request asked for which files, and when (``requests``)."""

    files: dict[str, Record] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)


def request_key(name: str, revision: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    """Return the key under which a request is remembered."""
    text = json.dumps([name, revision, sorted(include), sorted(exclude)])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def load_state(text: str, used_at: float = 0.0) -> State:
    """Read the state file; one that is damaged or of another version counts as empty: everything is verified anew.

    ``used_at`` is for requests of which an earlier version of this file did not say when they were used.
    """
    try:
        data = json.loads(text)
        if data["version"] != 1:
            return State()
        return State(
            files={path: Record(**record) for path, record in data["files"].items()},
            requests={
                key: {
                    "revision": str(r["revision"]),
                    "commit": str(r["commit"]),
                    "files": dict(r["files"]),
                    "used_at": float(r.get("used_at", used_at)),
                }
                for key, r in data["requests"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return State()


def dump_state(state: State) -> str:
    """Write the state file."""
    return (
        json.dumps(
            {
                "version": 1,
                "files": {path: vars(record) for path, record in sorted(state.files.items())},
                "requests": state.requests,
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def remembered_commit(state: State, key: str, revision: str) -> Optional[str]:
    """Return the commit that ``revision`` was: for this request, or else for another one of the same repository."""
    if key in state.requests:
        return str(state.requests[key]["commit"])
    for request in state.requests.values():
        if request["revision"] == revision:
            return str(request["commit"])
    return None


# --- manifests: what a store says of a request ----------------------------------------------------------------------


@dataclass(frozen=True)
class Manifest:
    """The files of one request at one commit."""

    repository: str
    revision: str
    commit: str
    files: tuple[Wanted, ...]


def dump_manifest(manifest: Manifest) -> str:
    """Write a manifest."""
    files = [{"path": w.path, "oid": w.oid, "size": w.size, "lfs": w.lfs} for w in manifest.files]
    about = {"repository": manifest.repository, "revision": manifest.revision, "commit": manifest.commit}
    return json.dumps({"version": 1, **about, "files": files}, indent=1) + "\n"


def parse_manifest(text: str) -> Optional[Manifest]:
    """Read a manifest; None when it is none. Every name and hash in it is checked: it came over the network."""
    try:
        data = json.loads(text)
        if data["version"] != 1 or not is_commit(data["commit"]):
            return None
        files = []
        for entry in data["files"]:
            path, oid, size = str(entry["path"]), str(entry["oid"]), entry["size"]
            if not _OID.match(oid) or not isinstance(size, int) or size < 0 or "\0" in path:
                return None
            check_path(path)
            files.append(Wanted(path, "", oid, size, bool(entry["lfs"])))
        return Manifest(str(data["repository"]), str(data["revision"]), data["commit"], tuple(files))
    except (ValueError, KeyError, TypeError, AttributeError, ArtifactError):
        return None


def content_id(files: Mapping[str, str]) -> str:
    """Return what identifies files (path: oid) together: equal exactly when every name and every byte is."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode("utf-8")).hexdigest()


def listing(files: Mapping[str, tuple[str, int]]) -> str:
    """Return files (path: oid, size) as the text of a diff."""
    return "".join("%s %d %s\n" % (oid, size, path) for path, (oid, size) in sorted(files.items()))


# --- a folder of weights --------------------------------------------------------------------------------------------

INDEX_FILE = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken", "tiktoken.model")


def model_problems(sizes: Mapping[str, int], index: Optional[str]) -> list[str]:
    """Say what a folder of weights lacks. ``sizes`` is bytes by path, ``index`` the text of the shards' index."""
    problems = []
    for name in ("config.json", "tokenizer_config.json"):
        if name not in sizes:
            problems.append("%s is missing" % name)
    if not any(matches(path, name) for path in sizes for name in _TOKENIZERS):
        problems.append("no tokenizer: none of %s" % ", ".join(_TOKENIZERS))
    shards = {path for path in sizes if path.endswith(".safetensors")}
    if index is None:
        if not shards:
            problems.append("no weights: neither %s nor any *.safetensors" % INDEX_FILE)
        elif INDEX_FILE not in sizes and len(shards) > 1:
            problems.append("%s is missing, though there are %d shards" % (INDEX_FILE, len(shards)))
        return problems
    try:
        data = json.loads(index)
        named = sorted({str(shard) for shard in data["weight_map"].values()})
        total = (data.get("metadata") or {}).get("total_size")
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        return [*problems, "%s cannot be read: %s" % (INDEX_FILE, exc)]
    missing = [shard for shard in named if shard not in sizes]
    if missing:
        problems.append(
            "%d of the %d shards that %s names are missing: %s" % (len(missing), len(named), INDEX_FILE, _some(missing))
        )
    elif isinstance(total, (int, float)) and sum(sizes[s] for s in named) < total:
        problems.append(
            "the shards hold %s, but %s says %s of weights"
            % (human_bytes(sum(sizes[s] for s in named)), INDEX_FILE, human_bytes(int(total)))
        )
    return problems


def _some(names: Sequence[str], count: int = 20) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else "%s and %d more" % (shown, len(names) - count)


# --- what git and git-lfs say when they fail ------------------------------------------------------------------------


@dataclass(frozen=True)
class Explanation:
    """The meaning of a failure: its kind, one sentence for the operator, and whether trying again can help."""

    kind: str
    message: str
    again: bool


_SIGNATURES: tuple[tuple[str, str, str, bool], ...] = (
    (
        r"no space left on device|disk quota exceeded",
        "disk",
        "the file system filled up during the download. Free room and run again: what is there is kept",
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
        "what arrived is not what the pointer promises",
        True,
    ),
    (
        r"is not a git command|git-lfs: (?:command )?not found|git-lfs.*no such file",
        "git-lfs",
        "git-lfs is not installed on this host. Install the packages git and git-lfs",
        False,
    ),
)


def explain(output: str) -> Explanation:
    """Say what the output of a failed git or git-lfs command means."""
    for expression, kind, message, again in _SIGNATURES:
        if re.search(expression, output, re.IGNORECASE):
            return Explanation(kind, message, again)
    return Explanation("unknown", "git did not succeed", True)


def last_words(output: str, count: int = 3) -> str:
    """Return the last lines of a command's output that say something, on one line, without credentials."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not re.match(r"^(Errors logged to|Use `git lfs logs|fetch: Fetching)", line)]
    return re.sub(r"://[^/@\s]+@", "://", " | ".join(lines[-count:]))
