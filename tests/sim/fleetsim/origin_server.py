# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The origin of a fleet: its container, and what lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import machine, origin
from .home import Home
from .images import FILES, EngineArchives, OriginImage
from .machine import LABEL
from .rootfs import Base
from .shell import FleetError, run, say, step, wait_for, write_atomic
from .spec import ARCHITECTURES, GENERATIONS, HostSpec, Placement, content_hash, other_architecture, tree_hash

# Asked inside the origin: does the LFS server itself answer a batch request (with 404: it has no such object)?
_BATCH = (
    """
import json, urllib.error, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:8080/%s.git/info/lfs/objects/batch",
    json.dumps({"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}).encode(),
    {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"},
)
try:
    urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    assert error.code < 500
"""
    % origin.IMAGE_REPOSITORY
)


class OriginServer:
    """The origin of a fleet."""

    def __init__(self, home: Home) -> None:
        self.home, self.docker, self.state = home, home.docker, home.state

    def bring(self, hosts: Sequence[HostSpec], placement: Placement, base: Base) -> None:
        image = OriginImage(self.docker, base, self.home.cache, self.home.log)

        def content() -> None:
            with self.home.lock("engine"):  # another fleet may make other archives, and remove these, a moment later
                self.content(hosts, base)

        machine.parallel([("content", content), ("image", image.ensure)])
        self.serve(image.name, placement)

    def content(self, hosts: Sequence[HostSpec], base: Base) -> None:
        archives = EngineArchives(self.docker, base, self.home.cache, self.home.architecture, self.home.log)
        wanted: dict[str, dict[str, Any]] = {}
        for generation in GENERATIONS:
            labels = [host.architecture for host in hosts if host.generation == generation]
            architecture = labels[0] if labels else self.home.architecture
            tag = origin.image_tag(generation)
            wanted[origin.image_path(generation)] = archives.ensure(generation, architecture, tag)
            if generation == "a2":  # the archive somebody takes by mistake, and the one of a mixed fleet
                other = other_architecture(architecture)
                path = origin.image_path(generation).replace(".tar", "-%s.tar" % ARCHITECTURES[other])
                wanted[path] = archives.ensure(generation, other, tag)
        root = self.state / "origin"
        key = content_hash(
            [*("%s %s" % (path, known["sha256"]) for path, known in sorted(wanted.items())),
             tree_hash(FILES / "model"), Path(origin.__file__).read_bytes()]
        )  # fmt: skip
        store = origin.Store(root)
        if self.home.memory.get("origin_key") != key or not store.bare(origin.IMAGE_REPOSITORY).exists():
            with step("origin: repositories and LFS objects"):
                root.mkdir(parents=True, exist_ok=True)
                (root / "files").mkdir(exist_ok=True)
                dummy = origin.dummy_weight(self.home.cache / "origin" / "dummy.safetensors")
                sources = {path: (Path(known["path"]), str(known["sha256"])) for path, known in wanted.items()}
                origin.fill(store, sources, dummy, FILES / "model")
            self.home.remember(origin_key=key, archives=wanted)

    def serve(self, image: str, placement: Placement) -> None:
        name = self.home.container("origin")
        config = self.state / "origin-config"
        origin.certificates(config, placement.origin)
        write_atomic(self.state / "origin-ca.pem", (config / "ca.pem").read_bytes())
        if not (config / "limits.conf").exists():
            write_atomic(config / "limits.conf", "")
        # The key tells this folder from one that was removed and made again under the same path: a container of before
        # still has the removed one mounted.
        key = (self.state / "id_ed25519.pub").read_text()
        fingerprint = content_hash([image, placement.origin, str(self.state), key])
        found = self.docker.inspect("container", name)
        if found and found[0]["Config"]["Labels"].get(LABEL + ".fingerprint") != fingerprint:
            self.docker("rm", "--force", "--volumes", name)
            found = []
        if not found:
            self.docker(
                "create", "--name", name, "--hostname", "origin", "--init", "--network", self.home.network,
                "--ip", placement.origin, "--network-alias", "origin", "--restart", "always", "--cap-add", "NET_ADMIN",
                "--volume", "%s:/srv/origin:ro" % (self.state / "origin"), "--volume", "%s:/etc/origin:ro" % config,
                *self.home.labels(host="origin", fingerprint=fingerprint), image,
            )  # fmt: skip
        self.docker("start", name)
        url = "http://%s:8080/%s.git" % (placement.origin, origin.IMAGE_REPOSITORY)
        fix = "look into it: tests/sim/fleet %sexec origin ps aux; docker logs %s" % (self.home.name_option(), name)
        wait_for("the origin answers at %s" % url,
                 lambda: run(["git", "ls-remote", url], check=False, timeout=20).returncode == 0
                 and self.docker("exec", name, "python3", "-c", _BATCH, check=False).returncode == 0,
                 60, fix)  # fmt: skip
        say("origin: ready at http://%s:8080" % placement.origin)

    def store(self) -> origin.Store:
        if not self.home.memory.get("origin"):
            raise FleetError(
                "fleet %s has no origin" % self.home.name, "start it: tests/sim/fleet %sup" % self.home.name_option()
            )
        return origin.Store(self.state / "origin")

    def add(self, repository: str, path: str, source: Path, plain: bool) -> dict[str, object]:
        return self.store().add(repository, path, source, plain)

    def limit(self, rate: str) -> None:
        """So many bytes a second for each connection that fetches an object; `none` lifts it."""
        self.store()
        text = "" if rate == "none" else "limit_rate %s;\n" % rate
        (self.state / "origin-config" / "limits.conf").write_text(text)
        self.docker("exec", self.home.container("origin"), "nginx", "-c", "/etc/nginx/origin.conf", "-s", "reload")

    def log_of_requests(self) -> str:
        return self.docker.text("exec", self.home.known_container("origin"), "cat", "/var/log/nginx/origin.log")
