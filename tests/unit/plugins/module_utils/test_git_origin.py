# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""git and git-lfs against origins that are no origins, and with a configuration that would trust anybody."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import git as _git
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts import git_errors
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.deadline import Deadline, Run
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.git import Git, verification_options
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.repository import Repository
from ansible_collections.ascend.fleet.plugins.module_utils._artifacts.request import Request

pytestmark = pytest.mark.skipif(
    shutil.which("git-lfs") is None or shutil.which("git") is None or shutil.which("openssl") is None,
    reason="git, git-lfs and openssl are needed",
)
OID = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
PORTAL = b"<!DOCTYPE html><html><body>Log in to the network</body></html>"


class Server:
    """Answers every request with the same thing, or with nothing."""

    def __init__(self, status: int, body: bytes, content_type: str, certificate: Path | None = None) -> None:
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *words: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *words: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "http%s://127.0.0.1:%d" % ("s" if certificate else "", self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def pointers(folder: Path, origin: str) -> str:
    """Make a repository with one commit that holds a pointer; return the commit."""
    env = dict(os.environ, GIT_DIR=str(folder), GIT_INDEX_FILE=str(folder / "our-index"))
    for who in ("AUTHOR", "COMMITTER"):
        env.update({"GIT_%s_NAME" % who: "t", "GIT_%s_EMAIL" % who: "t"})

    def git(*argv: str, text: str = "") -> str:
        return subprocess.run(
            ["git", *argv], env=env, input=text, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q", "--bare", str(folder))
    git("config", "remote.origin.url", origin)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 5\n" % OID
    blob = git("hash-object", "-w", "--stdin", text=pointer)
    git("update-index", "--add", "--cacheinfo", "100644,%s,w.bin" % blob)
    return git("commit-tree", git("write-tree"), text="one")


def client(tmp_path: Path, url: str, **more: Any) -> Git:
    own = tmp_path / "own"
    own.mkdir(exist_ok=True)
    request = Request(url + "/A/b.git", "main", str(tmp_path / "dest"), **more)
    return Git(request, Run(Deadline(60), sleep=lambda seconds: None), str(tmp_path / "git"), str(own), str(own))


# --- who answers ------------------------------------------------------------------------------------------------------

ANSWERS = [
    (200, PORTAL, "text/html", "not-git", "captive portal"),
    (200, b"{}", "application/json", "not-git", "not as a git server"),
    (500, b"Internal Server Error", "text/plain", "server", "a fault of its own"),
    (503, PORTAL, "text/html", "server", "a fault of its own"),
    (0, b"", "", "silent", "gives no answer"),
]


@pytest.mark.parametrize(("status", "body", "content_type", "kind", "words"), ANSWERS)
def test_an_origin_that_is_none_is_told_by_what_it_answers(
    home: Path, status: int, body: bytes, content_type: str, kind: str, words: str
) -> None:
    server = Server(status, body, content_type)
    try:
        with pytest.raises(ArtifactError, match=words):
            Repository(
                Request(server.url + "/A/b.git", "main", str(home / "dest")), sleep=lambda seconds: None
            ).ensure()
    finally:
        server.close()
    assert server.requests


@pytest.mark.parametrize(("status", "body", "content_type", "kind", "words"), [ANSWERS[0], *ANSWERS[2:]])
def test_so_is_one_that_git_lfs_asks(
    home: Path, status: int, body: bytes, content_type: str, kind: str, words: str
) -> None:
    server = Server(status, body, content_type)
    try:
        commit = pointers(home / "git", server.url + "/A/b.git")
        git = client(home, server.url)
        done = git(["lfs", "fetch", "origin", commit], check=False)
    finally:
        server.close()
    assert server.requests
    assert not done.ok
    assert git_errors.explain(done.stderr + done.stdout).kind == kind
    assert words in str(git.failure(done, "downloading"))


# --- who is trusted ---------------------------------------------------------------------------------------------------


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Server]:
    """A server with a certificate that nobody has signed."""
    certificate = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(certificate), "-out", str(tmp_path / "public.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    with certificate.open("a") as handle:
        handle.write((tmp_path / "public.pem").read_text())
    server = Server(200, PORTAL, "text/html", certificate)
    yield server
    server.close()


def trust_by_variable(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")


def trust_by_count(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    for name, value in (("COUNT", "1"), ("KEY_0", "http.sslVerify"), ("VALUE_0", "false")):
        monkeypatch.setenv("GIT_CONFIG_" + name, value)


def trust_by_parameters(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'http.sslVerify'='false'")


def trust_by_user(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / ".gitconfig").write_text("[http]\n\tsslVerify = false\n")


def trust_by_user_for_the_url(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / ".gitconfig").write_text('[http "%s/"]\n\tsslverify = false\n' % url)


def trust_by_user_for_the_repository(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / ".gitconfig").write_text('[http "%s/A/b.git"]\n\tsslVerify = false\n' % url)


def trust_by_include(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / "more").write_text('[http "%s"]\n\tsslVerify = false\n' % url)
    (home / ".gitconfig").write_text('[includeIf "gitdir:%s/"]\n\tpath = more\n' % home)


def trust_by_system(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> None:
    (home / "system").write_text("[http]\n\tsslVerify = false\n")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(home / "system"))


WAYS = [
    trust_by_variable,
    trust_by_count,
    trust_by_parameters,
    trust_by_user,
    trust_by_user_for_the_url,
    trust_by_user_for_the_repository,
    trust_by_include,
    trust_by_system,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_nothing_inherited_switches_verification_off(
    home: Path, liar: Server, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch, home, liar.url)
    commit = pointers(home / "git", liar.url + "/A/b.git")
    # What the way is good for, so that this test can fail: git itself talks to the liar then.
    subprocess.run(
        ["git", "ls-remote", liar.url + "/A/b.git"],
        env=dict(os.environ, GIT_DIR=str(home / "git")),
        capture_output=True,
        check=False,
    )
    assert liar.requests
    del liar.requests[:]
    git = client(home, liar.url)
    for argv in (["fetch", "origin", "main"], ["lfs", "fetch", "origin", commit]):
        done = git(argv, check=False)
        assert not done.ok
        assert git_errors.explain(done.stderr + done.stdout).kind == "tls", done.stderr
    assert liar.requests == []
    trusting = client(home, liar.url, ca_path=str(home / "public.pem"))
    trusting(["fetch", "origin", "main"], check=False)
    assert liar.requests, "an authority that is named is trusted"


def test_verification_options_name_every_key_that_is_set() -> None:
    text = "http.sslverify\nfalse\0http.https://h/.sslverify\nfalse\0core.bare\ntrue\0HTTP.https://x/.SSLVerify\nno\0"
    assert verification_options(text, "https://h/A/b.git") == [
        "-c", "http.sslVerify=true", "-c", "http.sslverify=true",
        "-c", "http.https://h/.sslverify=true", "-c", "HTTP.https://x/.SSLVerify=true",
    ]  # fmt: skip
    with pytest.raises(ArtifactError, match="which no option can override"):
        verification_options("http.https://h/a=b/.sslverify\nfalse\0", "https://h/A/b.git")
    rewrite = "url.http://h/.insteadof\nhttps://h/\0"
    with pytest.raises(ArtifactError, match="needed an origin with HTTPS"):
        verification_options(rewrite, "https://h/A/b.git")
    assert verification_options(rewrite, "https://other/A/b.git") == ["-c", "http.sslVerify=true"]


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_token_helper_is_no_file_that_has_to_be_executable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A /tmp without execution: the helper is given to a shell, and git gets what the file says."""
    token = home / "to'ken"
    token.write_text("s3cret'\nsecond line\n")
    token.chmod(0o600)
    pointers(home / "git", "https://host.example/A/b.git")
    git = client(home, "https://host.example", token_file=str(token))
    for host, expected in (("host.example", ["password=s3cret'"]), ("other.example", [])):
        done = git(["credential", "fill"], stdin="protocol=https\nhost=%s\n\n" % host, check=False)
        assert [line for line in done.stdout.splitlines() if line.startswith("password=")] == expected
    assert "s3cret" not in repr(git._credentials)
    assert [path for path in Path(_git.__file__).parent.glob("*.py") if "0o700" in path.read_text()] == [
        Path(_git.__file__).parent / "swarm.py"
    ]
