# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet under constant load that goes from release to release: what runs where, and what each change has cost."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fleet_helpers import ROOT, derived_archive, fleet
from tests.serving_helpers import Play, Serving

sys.path.insert(0, str(ROOT / "molecule" / "upgrade"))

import releases
from serving_load import table, upgrades
from serving_load.journal import Entry, read

FOLDER = ROOT / ".cache" / "upgrade"
UPGRADE, ROLLBACK = "playbooks/upgrade.yml", "playbooks/rollback.yml"
STATE = "/var/lib/ascend-fleet/state.json"
#: Whose failures those are that got no answer within the time that the client waits.
LATE = upgrades.LATE
#: How long each cohort is watched, in minutes: the canary, and the later waves. No benchmark unless a row asks for it.
SHORT = ("-e", '{"fleet_bake_minutes": [0.2, 0]}', "-e", "fleet_upgrade_bench=none")
#: A row may take so long: eight replicas, one after the other on most hosts.
TIMEOUT = 1500
#: An upgrade that did not come to its good end. 4 is Ansible's own for a host that cannot be reached.
BAD, BAD_OR_LOST = (2,), (2, 4)


class Upgrading(Serving):
    """The fleet of the scenario `upgrade`."""

    def __init__(
        self, inventory: str, replicas: Mapping[str, int], gateways: tuple[str, ...], concurrency: int
    ) -> None:
        super().__init__(inventory, replicas, gateways, concurrency, FOLDER)
        self.replicas = dict(replicas)
        self.bad: dict[str, tuple[str, ...]] = {}

    # -- releases

    def have_releases(self, scratch: Path) -> None:
        """Write every release; those with new images when these are in the origin."""
        archives = json.loads(fleet("status", "--json"))["origin"]["archives"]
        for name in releases.wants_new_images():
            images = []
            for image in releases.release(releases.BASE_RELEASE)["images"]:
                path, tag = f"vllm-image/{name}-{image['generation']}.tar", f"vllm-ascend:{name}-{image['generation']}"
                archive = derived_archive(archives[image["path"]]["path"], scratch / "archive.tar", tag)
                repository = image["repository"].split("/", 3)[3].removesuffix(".git")
                added = json.loads(fleet("origin-add", repository, path, str(archive)))
                archive.unlink()
                images.append(dict(image, revision=added["commit"], path=path, tag=tag))
            releases.write(self.inventory, name, images)
            self._lock_to_newer_weights(name, scratch)

    def _lock_to_newer_weights(self, name: str, scratch: Path) -> None:
        """Hold a release to a commit of the weights that the others are not held to: the branch has moved."""
        model = str(releases.release(name)["model"]["repository"]).split("/", 3)[3].removesuffix(".git")
        notice = scratch / "NOTICE.md"
        notice.write_text(f"weights of {name}\n", encoding="utf-8")
        fleet("origin-add", model, notice.name, str(notice), "--plain")
        self.play("playbooks/lock.yml", "-e", f"fleet_release={name}", "-e", "fleet_relock=true")

    def weights_of(self, host: str) -> set[str]:
        """The folders from which the engines of a host serve."""
        form = "docker inspect --format '{{json .Args}}'"
        text = self.on(host, f"{form} $(docker ps -q --filter name=vllm-)")
        return {word for line in text.splitlines() for word in json.loads(line) if "/models/" in word}

    def running(self) -> dict[str, str]:
        """The release of every engine's container that runs, as ``a2-1:0``."""
        return {name: release for host in self.replicas for name, release in self.running_on(host).items()}

    def running_on(self, host: str) -> dict[str, str]:
        names = "docker ps -q --filter name=vllm-"
        form = "docker inspect --format '{{json .Name}} {{json .Config.Env}}'"
        text = self.on(host, f'found=$({names}); [ -z "$found" ] || {form} $found')
        return dict(replica_of(host, line) for line in text.splitlines())

    def one_release(self) -> str:
        """The release of the whole fleet; an error where it is not one, or a replica does not run."""
        found = self.running()
        assert len(found) == self.count, found
        assert len(set(found.values())) == 1, found
        return next(iter(found.values()))

    def other_release(self) -> str:
        """The good release that the fleet does not run."""
        return "upgrade_base" if self.one_release() == "upgrade_good" else "upgrade_good"

    def state(self, host: str) -> dict[str, Any]:
        """What the host knows of its changes; empty where nothing was ever noted."""
        text = self.on(host, f"[ ! -e {STATE} ] || cat {STATE}")
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def outcomes(self, release: str) -> dict[str, str]:
        """How the last upgrade to a release ended, by host; hosts that had none are left out."""
        found = {}
        for host in self.replicas:
            for entry in self.state(host).get("history") or []:
                if (entry["kind"], entry["release"]) == ("upgrade", release):
                    found[host] = entry["outcome"]
        return found

    # -- changes

    def upgrade(self, release: str, *options: str, status: tuple[int, ...] = (0,)) -> str:
        """Run upgrade.yml to its end; what it printed."""
        return self.play(UPGRADE, "-e", f"fleet_release={release}", *SHORT, *options, timeout=TIMEOUT, status=status)

    @contextmanager
    def upgrading(self, release: str, *options: str, status: tuple[int, ...] = (0,)) -> Iterator[Play]:
        """An upgrade that runs, and has a replica out of traffic now."""
        words = ("-e", f"fleet_release={release}", *SHORT, *options)
        with self.playing(UPGRADE, *words, timeout=TIMEOUT, status=status) as play:
            play.reaches(self.one_is_out, TIMEOUT)
            yield play

    def one_is_out(self) -> bool:
        """Whether a replica does not answer: its engine is being replaced."""
        return not all(self.look().healthy.values())

    @contextmanager
    def change(
        self, name: str, bad: tuple[str, ...] = (), settled: int | Collection[int] | None = None
    ) -> Iterator[None]:
        """A row of the table. ``bad``: whose failures are counted apart."""
        self.bad[name] = bad
        with self.event(name, settled, timeout=240, note=self.describe):
            yield

    def describe(self) -> str:
        """The state after a row: which release the replicas run, and how many of them."""
        found = list(self.running().values())
        counts = [f"{found.count(release)}/{self.count} {release}" for release in sorted(set(found))]
        return ", ".join(counts) or f"0/{self.count}"

    # -- what was noticed

    def _entries(self) -> list[Entry]:
        with self.log.open(encoding="utf-8") as lines:
            return read(lines)

    def changes(self) -> list[upgrades.Upgrade]:
        return upgrades.upgrades(self._entries(), self.bad)

    def change_row(self, name: str) -> upgrades.Upgrade:
        return next(one for one in reversed(self.changes()) if one.event == name)

    def stop(self) -> str:
        """End the client; the table of the upgrades, which is written down with everything behind it."""
        super().stop()
        entries = self._entries()
        found = upgrades.upgrades(entries, self.bad)
        text = upgrades.render(found)
        errors = [f"{one.event}: {words}" for one in found for words in one.row.errors]
        (self.folder / "table.md").write_text("\n".join([text, *errors]) + "\n")
        (self.folder / "table.json").write_text(upgrades.as_json(found, entries))
        return text


def replica_of(host: str, line: str) -> tuple[str, str]:
    """Replica and release of a container, from its name and environment; ``unknown`` where its release has no name."""
    name, variables = line.split(" ", 1)
    number = re.search(r"-(\d+)$", json.loads(name))
    assert number, line
    environment = dict(text.partition("=")[::2] for text in json.loads(variables))
    return f"{host}:{number[1]}", environment.get(releases.FINGERPRINT, "unknown")


def lowest_allowed(row: table.Row, out: int) -> bool:
    """Whether never more than so many were out of service."""
    return row.lowest_in_service is not None and row.lowest_in_service >= row.replicas - out
