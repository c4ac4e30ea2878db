# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pointers, selections, plans and explanations, without any repository."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import (
    errors,
    git_errors,
    names,
    rescue,
    state,
    takeover,
    tree,
    weights,
)
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.rescue import Partial
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.tree import Pointer, TreeEntry

OID = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
OTHER = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"

REQUEST = Request("https://modelers.cn/A/b.git", "main", "/nonexistent/b")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 20483297280\n" % OID.encode(),
            Pointer(OID, 20483297280),
        ),
        (
            b"version https://hawser.github.com/spec/v1\noid sha256:%s\nsize 5\n" % OID.encode(),
            Pointer(OID, 5),
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\next-0-foo sha256:%s\noid sha256:%s\nsize 5\n"
            % (OTHER.encode(), OID.encode()),
            Pointer(OID, 5),
        ),
        (b"version https://git-lfs.github.com/spec/v1\r\noid sha256:%s\r\nsize 5\r\n" % OID.encode(), Pointer(OID, 5)),
        (b'{"architectures": ["Qwen3_5ForConditionalGeneration"]}', None),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:short\nsize 5\n", None),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize many\n" % OID.encode(), None),
        (b"version https://git-lfs.github.com/spec/v1\n", None),
        (b"version https://example.org/other/v9\noid sha256:%s\nsize 5\n" % OID.encode(), None),
        (b"version \xff\xfe\n", None),
        (b"", None),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 5\n" % OID.encode() + b"x" * 2000, None),
    ],
)
def test_parse_pointer(content: bytes, expected: Pointer | None) -> None:
    assert tree.parse_pointer(content) == expected


def test_parse_ls_tree_leaves_out_links_and_submodules() -> None:
    text = (
        "100644 blob 1111111111111111111111111111111111111111\tconfig.json\0"
        "100755 blob 2222222222222222222222222222222222222222\ttools/run me.sh\0"
        "120000 blob 3333333333333333333333333333333333333333\tlink\0"
        "160000 commit 4444444444444444444444444444444444444444\tsub\0"
    )
    assert [(e.path, e.mode, e.blob[0]) for e in tree.parse_ls_tree(text)] == [
        ("config.json", "100644", "1"),
        ("tools/run me.sh", "100755", "2"),
    ]


@pytest.mark.parametrize(
    "path", ["../evil", "a/../../b", "/etc/passwd", ".git/config", "a/.GIT/hooks", "a//b", "\ufffd"]
)
def test_check_path_refuses(path: str) -> None:
    with pytest.raises(errors.ArtifactError):
        tree.check_path(path)


def test_check_path_accepts_dots_in_names() -> None:
    tree.check_path("a..b/.gitattributes")


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("vllm-image/A2.tar", "vllm-image/A2.tar", True),
        ("vllm-image/A2.tar", "/vllm-image/A2.tar", True),
        ("vllm-image/A2.tar", "A2.tar", True),
        ("vllm-image/A2.tar", "*.tar", True),
        ("vllm-image/A2.tar", "vllm-image", True),
        ("vllm-image/A2.tar", "vllm-image/", True),
        ("vllm-image/A2.tar", "vllm-image/*", True),
        ("vllm-image/A2.tar", "*", True),
        ("vllm-image/A2.tar", "vllm-image/A3.tar", False),
        ("vllm-image/A2.tar", "vllm", False),
        ("a/b/c.txt", "a/*.txt", False),
        ("a/b/c.txt", "a/**/*.txt", True),
        ("a/c.txt", "a/**/*.txt", True),
        ("a/b/c.txt", "**", True),
        ("model-00001-of-00002.safetensors", "model-0000?-of-*.safetensors", True),
        ("big,[1] file.txt", "big,[1] file.txt", True),
        ("b1.txt", "b[1].txt", False),
        ("a.tar\n", "a.tar", False),
    ],
)
def test_matches(path: str, pattern: str, expected: bool) -> None:
    assert tree.matches(path, pattern) is expected


def entries(*paths: str) -> list[TreeEntry]:
    return [TreeEntry(path, "100644", "0" * 40) for path in paths]


def test_select_names_what_matched_nothing() -> None:
    chosen, unmatched = tree.select(
        entries("config.json", "a.safetensors", "picture.png"), ["*.json", "*.safetensors", "*.bin"], ["a.*"]
    )
    assert [e.path for e in chosen] == ["config.json"]
    assert unmatched == ["*.bin"]


def test_near_names() -> None:
    names = ["vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar", "vllm-image/Vllm-ascend-Qwen3_5-A3-Ubuntu-v0.tar", "x"]
    assert tree.near_names("Vllm-ascend-Qwen3_5-A2-Ubuntu-v1.tar", names)[0] == names[0]
    assert tree.near_names("completely different", names) == []


def test_rescue_takes_the_largest_orphan_and_deletes_the_rest() -> None:
    found = rescue.plan_rescue(
        [
            Partial("/i/%s123" % OID, 100),
            Partial("/i/%s456" % OID, 900),
            Partial("/i/%s.part" % OID, 300),
            Partial("/tmp/%s789" % OTHER, 0),
            Partial("/i/%s.part" % ("a" * 64), 5),
            Partial("/i/%s999" % ("b" * 64), 5),
            Partial("/i/unrelated", 5),
        ],
        {OID: 1000, OTHER: 50},
    )
    assert found.keep == {OID: Partial("/i/%s456" % OID, 900)}
    assert found.whole == {}
    assert sorted(found.delete) == sorted(
        ["/i/%s123" % OID, "/i/%s.part" % OID, "/tmp/%s789" % OTHER, "/i/%s999" % ("b" * 64)]
    )
    assert found.bytes_kept == 900


def test_rescue_of_a_whole_and_of_a_too_large_piece() -> None:
    found = rescue.plan_rescue(
        [Partial("/i/%s1" % OID, 1000), Partial("/i/%s2" % OID, 1001), Partial("/i/%s2" % OTHER, 7)],
        {OID: 1000, OTHER: 5},
    )
    assert found.whole == {OID: Partial("/i/%s1" % OID, 1000)}
    assert sorted(found.delete) == sorted(["/i/%s2" % OID, "/i/%s2" % OTHER])


def test_rescue_prefers_the_right_name_on_equal_size() -> None:
    found = rescue.plan_rescue([Partial("/i/%s1" % OID, 10), Partial("/i/%s.part" % OID, 10)], {OID: 1000})
    assert found.keep[OID].file.endswith(".part")


@pytest.mark.parametrize(
    ("url", "origin", "expected"),
    [
        ("https://modelers.cn/A/b.git", "", "https://modelers.cn/A/b.git"),
        ("https://modelers.cn/A/b.git", "http://172.30.0.2:8080", "http://172.30.0.2:8080/A/b.git"),
        ("https://modelers.cn/A/b.git", "http://mirror/lfs/", "http://mirror/lfs/A/b.git"),
        ("https://modelers.cn/A/b.git?x=1", "file:///srv/mirror", "file:///srv/mirror/A/b.git"),
    ],
)
def test_rewrite_origin(url: str, origin: str, expected: str) -> None:
    assert names.rewrite_origin(url, origin) == expected


def test_rewrite_origin_wants_a_scheme() -> None:
    with pytest.raises(errors.ArtifactError, match="artifact_origin"):
        names.rewrite_origin("https://modelers.cn/A/b.git", "mirror.example")


@pytest.mark.parametrize("url", ["https://user:secret@host/a.git", "https://token@host/a.git"])
def test_a_url_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        names.check_repository(url)
    assert "secret" not in str(caught.value)
    assert "token@" not in str(caught.value)


@pytest.mark.parametrize("revision", ["main", "v1.0", "feature/x", "a" * 40])
def test_check_revision_accepts(revision: str) -> None:
    names.check_revision(revision)


@pytest.mark.parametrize("revision", ["", "--upload-pack=x", "+main", "a:b", "a..b", "a b", "main^", "main\n"])
def test_check_revision_refuses(revision: str) -> None:
    with pytest.raises(errors.ArtifactError, match="revision"):
        names.check_revision(revision)


def test_check_repository_accepts_ssh_users() -> None:
    names.check_repository("ssh://git@host/a.git")


@pytest.mark.parametrize(
    ("url", "revision", "expected"),
    [
        ("https://modelers.cn/Eco-Tech/m.git", "main", "Eco-Tech--m"),
        ("http://mirror:8080/Eco-Tech/m.git", "main", "Eco-Tech--m"),
        ("https://modelers.cn/Eco-Tech/m", "v1.0/rc", "Eco-Tech--m@v1.0-rc"),
        ("https://modelers.cn/Eco-Tech/m.git", "a" * 40, "Eco-Tech--m@" + "a" * 12),
    ],
)
def test_repository_folder(url: str, revision: str, expected: str) -> None:
    assert names.repository_folder(url, revision) == expected


@pytest.mark.parametrize(("text", "expected"), [("..", "_.."), ("a/b c", "a-b-c"), ("Qwen3.5-27B", "Qwen3.5-27B")])
def test_safe_name(text: str, expected: str) -> None:
    assert names.safe_name(text) == expected


def test_state_survives_writing_and_reading() -> None:
    remembered = state.State(
        files={"a": state.Record(OID, 3, 1700000000000000001, 42, True)},
        requests={"k": {"revision": "main", "commit": "c" * 40, "files": {"a": OID}, "used_at": 5.5}},
    )
    assert state.load_state(state.dump_state(remembered), 7.0) == remembered
    # A file of before it said when requests were used.
    del remembered.requests["k"]["used_at"]
    assert state.load_state(state.dump_state(remembered), 7.0).requests["k"]["used_at"] == 7.0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 2}', '{"version": 1, "files": {"a": {"oid": 1}}, "requests": {}}']
)
def test_a_damaged_state_counts_as_empty(text: str) -> None:
    assert state.load_state(text) == state.State()


def test_remembered_commit_holds_for_every_request_of_a_revision() -> None:
    remembered = state.State(requests={REQUEST.key: {"revision": "main", "commit": "c", "files": {}}})
    assert takeover.remembered_commit(remembered, REQUEST) == "c"
    assert takeover.remembered_commit(remembered, replace(REQUEST, paths=("a",))) == "c"
    assert takeover.remembered_commit(remembered, replace(REQUEST, revision="v2")) is None


def index_of(*shards: str, total: int = 0) -> str:
    return json.dumps({"metadata": {"total_size": total}, "weight_map": {"w%d" % n: s for n, s in enumerate(shards)}})


WHOLE = {"config.json": 1, "tokenizer_config.json": 1, "tokenizer.json": 1, weights.INDEX_FILE: 1, "m1.safetensors": 10}


@pytest.mark.parametrize(
    ("sizes", "index", "expected"),
    [
        (WHOLE, index_of("m1.safetensors"), []),
        (dict(WHOLE, **{"m1.safetensors": 10}), index_of("m1.safetensors", total=10), []),
        (WHOLE, index_of("m1.safetensors", total=11), ["the shards hold 10 B"]),
        (WHOLE, index_of("m1.safetensors", "m2.safetensors"), ["1 of the 2 shards", "m2.safetensors"]),
        (WHOLE, "{", ["cannot be read"]),
        (WHOLE, '{"weight_map": []}', ["cannot be read"]),
        ({"m1.safetensors": 10}, None, ["config.json is missing", "tokenizer_config.json is missing", "no tokenizer"]),
        ({"config.json": 1, "tokenizer_config.json": 1, "vocab.json": 1}, None, ["no weights"]),
        (
            {"config.json": 1, "tokenizer_config.json": 1, "vocab.json": 1, "a.safetensors": 1, "b.safetensors": 1},
            None,
            [weights.INDEX_FILE + " is missing, though there are 2 shards"],
        ),
        ({"config.json": 1, "tokenizer_config.json": 1, "qwen.tiktoken": 1, "model.safetensors": 1}, None, []),
    ],
)
def test_model_problems(sizes: dict[str, int], index: str | None, expected: list[str]) -> None:
    problems = weights.model_problems(sizes, index)
    assert bool(problems) == bool(expected)
    for part in expected:
        assert part in "; ".join(problems)


# What git 2.39 and git-lfs 3.3 say.
@pytest.mark.parametrize(
    ("output", "kind", "again"),
    [
        (
            "fatal: unable to access 'http://h:9/x.git/': Failed to connect to h port 9: Connection refused",
            "unreachable",
            True,
        ),
        ("fatal: unable to access 'https://h/x.git/': Could not resolve host: h", "unreachable", True),
        (
            "fatal: unable to access 'https://h/x/': server certificate verification failed. "
            "CAfile: /etc/ssl/certs/ca-certificates.crt CRLfile: none",
            "tls",
            False,
        ),
        ("x509: certificate signed by unknown authority", "tls", False),
        ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate", "tls", False),
        ("fatal: could not read Username for 'http://h:1': terminal prompts disabled", "token", False),
        ("fatal: Authentication failed for 'http://h/m.git/'", "token", False),
        ("batch response: Authentication required: Authorization error: http://h/info/lfs", "token", False),
        ("fatal: repository 'http://h/none.git/' not found", "repository", False),
        ("fatal: '/srv/x.git' does not appear to be a git repository", "repository", False),
        ("fatal: couldn't find remote ref mian", "revision", False),
        ("error: Server does not allow request for unadvertised object 2ac9", "commit", False),
        ("fatal: remote error: upload-pack: not our ref 2ac9523e", "commit", False),
        ("[bf3d] Object does not exist\nerror: failed to fetch some objects", "object", False),
        ("[bf3d] Object does not exist on the server: [404] Object does not exist on the server", "object", False),
        ("expected OID bf3d7408, got 5cea420a after 30000000 bytes written", "corrupt", True),
        ("write /x/.git/lfs/incomplete/bf3d: no space left on device", "disk", False),
        ("git: 'lfs' is not a git command. See 'git --help'.", "git-lfs", False),
        ("LFS: unexpected EOF", "silent", True),
        ("fatal: unable to access 'http://h/x/': Empty reply from server", "silent", True),
        ("fatal: unable to access 'http://h/x/': The requested URL returned error: 500", "server", True),
        ("batch response: Fatal error: Server error: http://h/info/lfs/objects/batch", "server", True),
        ("fatal: http://h/x/info/refs not valid: is this a git repository?", "not-git", False),
        ("git-lfs says a word that nobody knows", "unknown", True),
    ],
)
def test_explain(output: str, kind: str, again: bool) -> None:
    found = git_errors.explain(output)
    assert (found.kind, found.again) == (kind, again)
    assert found.message


def test_last_words_are_printable() -> None:
    assert git_errors.last_words("fatal: \x1b[2J\x07 ü") == "fatal: \\x1b[2J\\x07 ü"


def test_last_words_leave_out_noise_and_secrets() -> None:
    text = "fetch: Fetching reference x\nfatal: https://u:pw@h/ failed\n\nErrors logged to '/x'.\nUse `git lfs logs`\n"
    assert git_errors.last_words(text) == "fatal: https://h/ failed"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(28, "No space left on device", "/d/x"),
            "found No space left on device at /d/x; needed room on the file",
        ),
        (
            OSError(30, "Read-only file system", "/d"),
            "needed a file system that can be written. Fix: mount it writable",
        ),
        (OSError(5, "Input/output error"), "bringing it failed: found Input/output error; needed a disk that reads"),
        (
            OSError(13, "Permission denied", "/a", None, "/b"),
            "at /a and /b; needed the right to do that. Fix: run as a user",
        ),
        (OSError(999, "Odd"), "found Odd; needed that to succeed"),
    ],
)
def test_an_error_of_the_operating_system_says_what_failed(error: OSError, words: str) -> None:
    assert words in errors.describe_os_error(error, "bringing it")
