# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mirrors a host asks, and what a mirror holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .._release import packages
from . import plan

#: One of those that web servers may use under SELinux; not among the ports of replicas and gateway.
DEFAULT_PORT = 8008
DEFAULT_ROOT = "/var/lib/ascend-fleet/mirror"
DEFAULT_TRACKER_PORT = 6969


@dataclass(frozen=True)
class Mirror:
    """One host of the group ``artifact_mirrors``."""

    host: str
    url: str
    root: str = DEFAULT_ROOT
    tracker: str = ""


def mirror_of(host: str, variables: Mapping[str, Any]) -> Mirror:
    """Return the mirror that a host's variables describe."""
    root = str(variables.get("artifact_mirror_root") or DEFAULT_ROOT).rstrip("/")
    address = str(variables.get("ansible_host") or host)
    if ":" in address:
        address = "[%s]" % address
    url = str(variables.get("artifact_mirror_url") or "")
    if not url:
        scheme = "https" if variables.get("artifact_mirror_certificate") else "http"
        url = "%s://%s:%s" % (scheme, address, variables.get("artifact_mirror_port") or DEFAULT_PORT)
    tracker = str(variables.get("artifact_mirror_tracker_url") or "")
    if not tracker:
        port = variables.get("artifact_mirror_tracker_port") or DEFAULT_TRACKER_PORT
        tracker = "http://%s:%s/announce" % (address, port)
    return Mirror(host, url.rstrip("/"), root, tracker)


def store_of(mirror: Mirror) -> str:
    """Return the folder that a mirror serves."""
    return os.path.join(mirror.root, "store")


def sources(mirrors: Sequence[Mirror], host: str, hosts: Sequence[str]) -> list[str]:
    """Return where a host asks, in order.

    Hosts are spread over the mirrors: each begins with another one. A host that is a mirror itself takes from its own
    folder first.
    """
    own = [store_of(mirror) for mirror in mirrors if mirror.host == host]
    others = [mirror.url for mirror in mirrors if mirror.host != host]
    if others:
        first = (list(hosts).index(host) if host in hosts else 0) % len(others)
        others = others[first:] + others[:first]
    return own + others


def trackers(mirrors: Sequence[Mirror], hosts: Sequence[str], least: int) -> list[str]:
    """Return where hosts find each other: nowhere when they are fewer than ``least``, or ``least`` is 0.

    In the same order for all of them, as hosts that ask different trackers do not meet.
    """
    if not 0 < least <= len(set(hosts)):
        return []
    return list(dict.fromkeys(mirror.tracker for mirror in mirrors))


def earlier(mirrors: Sequence[Mirror], host: str) -> list[str]:
    """Return where a mirror asks before the origin: those before it in the inventory, which were filled before it."""
    hosts = [mirror.host for mirror in mirrors]
    return [mirror.url for mirror in mirrors[: hosts.index(host) if host in hosts else 0]]


def requests(
    releases: Sequence[Mapping[str, Any]],
    generations: Sequence[str],
    architectures: Sequence[str],
    *,
    root: str,
    origin: str = "",
    options: Optional[Mapping[str, Any]] = None,
) -> list[dict[str, Any]]:
    """Return what hosts of these generations and architectures (none named: all) will ask for, each once.

    Without named architectures, an archive that the lock leaves out is too: no host of the fleet needs it.

    ``options`` are further arguments of lfs_artifact for each request; those that are empty are left out.
    """
    wanted = []
    for release in releases:
        for image in release.get("images") or []:
            architecture = str(image.get("architecture") or "any")
            named = architecture in ("any", *architectures)
            fits = named if architectures else not image.get("unused")
            if image["generation"] in generations and fits:
                wanted.append(plan.image_request(image, root=root, origin=origin))
        wanted.append(plan.weights_request(release["model"], root=root, origin=origin))
        for package in [p for kind in packages.KINDS for p in (release.get(kind) or {}).get("packages") or ()]:
            architecture = str(package.get("architecture") or "any")
            fits = not architectures or architecture in ("any", *architectures)
            if package.get("repository") and package["generation"] in generations and fits:
                wanted.append(plan.package_request(package, root=root, origin=origin))
    found: dict[str, dict[str, Any]] = {}
    for request in wanted:
        key = plan.request_key(request)
        found.setdefault(key, plan.with_options(request, options or {}))
    return list(found.values())
