# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments: what a host runs or is to run, kept on it by content.

A deployment is a release with its lock merged in, the units that serve it on this host, and their secrets. With one of
them a host goes back without the controller's files and without any network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Any, Collection, Mapping, Sequence

from .._base.files import remove, write_atomically

SCHEMA = 1
#: Where a host keeps what belongs to its changes, and in it the deployments.
FOLDER = "/var/lib/ascend-fleet"
DEPLOYMENTS = "deployments"
#: So many deployments a host keeps, those that are needed included.
KEPT = 5
_NAME = re.compile(r"([0-9a-f]{64})\.json\Z")
#: What every unit of a deployment has, as the filter vllm_replicas returns it.
_OF_UNIT = ("name", "replica", "container_name", "config_hash", "image", "content", "environment", "directories")


class DeploymentError(Exception):
    """A deployment cannot be kept or read; the message says which, what was found and what to do."""


def canonical(data: Any) -> str:
    """The one text of this data: JSON with sorted keys and no blanks. ValueError where JSON cannot say it."""
    # Through JSON first: there every key is text, and only texts have an order.
    plain = json.loads(json.dumps(data, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(data: Any) -> str:
    """SHA-256 of the canonical text of this data, in hexadecimal digits."""
    return hashlib.sha256(canonical(data).encode("utf-8", "surrogateescape")).hexdigest()


def digest_of(release_digest: str, units: Sequence[Mapping[str, Any]], secrets: Mapping[str, Any]) -> str:
    """What identifies a deployment: equal exactly when release, units and secrets are equal.

    release_digest: ``sha256_of`` the whole release. units: as the filter vllm_replicas returns them; what they hold of
    secrets is left out, as the filter does. Secrets count by a digest of their own.
    """
    public = [{key: value for key, value in unit.items() if key != "secrets"} for unit in units]
    texts = {str(key): str(value) for key, value in secrets.items()}
    return sha256_of({"release": release_digest, "units": public, "secrets": sha256_of(texts)})


def short(digest: str) -> str:
    """What is shown of a digest."""
    return digest[:16]


@dataclass(frozen=True)
class Deployment:
    """What a host runs or is to run. ``release``: as the lookup ascend.fleet.release returns it, lock and all."""

    release: Mapping[str, Any]
    units: Sequence[Mapping[str, Any]]
    secrets: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of its release."""
        return str(self.release.get("release") or "")

    @property
    def digest(self) -> str:
        """What identifies it: 64 hexadecimal digits."""
        return digest_of(sha256_of(self.release), self.units, self.secrets)

    @property
    def unit_names(self) -> list[str]:
        """The names of its units, such as ``vllm-qwen3.5@0.service``."""
        return [str(unit["name"]) for unit in self.units]

    @property
    def replicas(self) -> list[dict[str, Any]]:
        """Where its replicas serve, as vllm_ready takes them."""
        return [{"unit": u["name"], "url": u["url"], "served_model_name": u["served_model_name"]} for u in self.units]

    @classmethod
    def of(
        cls, release: Mapping[str, Any], units: Sequence[Mapping[str, Any]], secrets: Mapping[str, Any]
    ) -> Deployment:
        """A deployment of these parts. DeploymentError that lists everything that is missing in them."""
        wrong = [] if isinstance(release.get("release"), str) else ["the release has no name"]
        wrong += [] if units else ["there is no unit"]
        for index, unit in enumerate(units):
            missing = [key for key in (*_OF_UNIT, "url", "served_model_name") if key not in unit]
            if missing:
                wrong.append("units[%d] has no %s" % (index, ", ".join(missing)))
        if wrong:
            raise DeploymentError(
                "found a deployment that is not whole: %s; needed a release, its units and their secrets. Fix: take "
                "them from the filter ascend.fleet.vllm_replicas" % "; ".join(wrong)
            )
        public = [{key: value for key, value in unit.items() if key != "secrets"} for unit in units]
        return cls(dict(release), public, {str(k): str(v) for k, v in secrets.items()})


# - files -


def path_of(digest: str, folder: str = FOLDER) -> str:
    """The file of a deployment."""
    return os.path.join(folder, DEPLOYMENTS, "%s.json" % digest)


def is_kept(digest: str, folder: str = FOLDER) -> bool:
    """Whether the host has this deployment."""
    return os.path.isfile(path_of(digest, folder))


def keep(deployment: Deployment, folder: str = FOLDER) -> bool:
    """Keep a deployment; returns whether that is news. DeploymentError where it cannot be written."""
    digest = deployment.digest
    path = path_of(digest, folder)
    try:
        if read(digest, folder).digest == digest:
            return False
    except DeploymentError:
        pass  # missing or damaged: it is written again
    data = {
        "schema": SCHEMA,
        "digest": digest,
        "release": deployment.release,
        "units": list(deployment.units),
        "secrets": deployment.secrets,
    }
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomically(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n", 0o600)
    except OSError as exc:
        raise DeploymentError(
            "found %s: %s; needed to keep the deployment there. Fix: run as root, and see `df`"
            % (exc.filename or path, exc.strerror or exc)
        ) from exc
    return True


def read(digest: str, folder: str = FOLDER) -> Deployment:
    """A kept deployment. DeploymentError where it is missing, damaged, or of a newer schema."""
    path = path_of(digest, folder)
    data = _load(path)
    schema = data.get("schema")
    if schema != SCHEMA:
        raise DeploymentError(
            "found %s of schema %r; needed schema %d. Fix: use the version of ascend.fleet that wrote it"
            % (path, schema, SCHEMA)
        )
    parts = data.get("release"), data.get("units"), data.get("secrets")
    whole = isinstance(parts[0], dict) and isinstance(parts[1], list) and isinstance(parts[2], dict)
    found = Deployment(parts[0] or {}, parts[1] or [], parts[2] or {}) if whole else None
    if found is None or found.digest != digest:
        raise DeploymentError(
            "found %s damaged: its content is not what its name says; needed the deployment as it was kept. Fix: "
            "remove that file; site.yml keeps what runs anew, and a deployment that is gone cannot be gone back to"
            % path
        )
    return found


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError as exc:
        raise DeploymentError(
            "found no %s; needed the deployment that the host's state names. Fix: site.yml keeps what runs anew; a "
            "deployment that is gone cannot be gone back to" % path
        ) from exc
    except OSError as exc:
        raise DeploymentError(
            "found %s unreadable: %s; needed to read it. Fix: run as root" % (path, exc.strerror)
        ) from exc
    except ValueError as exc:
        raise DeploymentError(
            "found %s damaged: it is not JSON (%s); needed the deployment as it was kept. Fix: remove that file"
            % (path, exc)
        ) from exc
    return data if isinstance(data, dict) else {}


def kept(folder: str = FOLDER) -> dict[str, float]:
    """When each kept deployment was written, by digest."""
    place = os.path.join(folder, DEPLOYMENTS)
    found = {}
    try:
        names = sorted(os.listdir(place))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise DeploymentError("found %s unreadable: %s. Fix: run as root" % (place, exc.strerror)) from exc
    for name in names:
        match = _NAME.match(name)
        if match:
            found[match[1]] = os.stat(os.path.join(place, name)).st_mtime
    return found


def superfluous(written: Mapping[str, float], needed: Collection[str], keep_count: int = KEPT) -> list[str]:
    """Which kept deployments may go: all but the latest ``keep_count``, and never one that is needed."""
    latest = sorted(written, key=lambda digest: (digest in needed, written[digest], digest), reverse=True)
    return sorted(digest for digest in latest[max(keep_count, 0) :] if digest not in needed)


def prune(needed: Collection[str], folder: str = FOLDER, keep_count: int = KEPT) -> list[str]:
    """Remove kept deployments that may go; returns their digests."""
    going = superfluous(kept(folder), needed, keep_count)
    for digest in going:
        remove(path_of(digest, folder))
    return going


def in_use_text(needed: Collection[str], folder: str = FOLDER) -> str:
    """Every text that names images and folders of these deployments. DeploymentError where one cannot be read."""
    found = [read(digest, folder) for digest in sorted(needed)]
    return "\n".join(json.dumps(list(deployment.units), ensure_ascii=False) for deployment in found)
