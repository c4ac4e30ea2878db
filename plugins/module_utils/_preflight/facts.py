# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks look at: the node, the release, and what was chosen for the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from .._host import by_hand
from .._host.docker import has_pinned_ids
from .._npu import hardware as _hardware
from .words import GIB

# Below this the host's memory cannot take the weights of the model through the page cache while the engine starts.
DEFAULT_MEMORY_BYTES = 64 * GIB


@dataclass(frozen=True)
class Facts:
    """Everything that a check may look at.

    plan: ``replicas`` as the planner of serving lays them out, ``error``, why it cannot, ``spans_hosts``, whether one
    engine runs on several hosts, ``profile``, ``leaves_out_unhealthy``, whether it was made around chips that do not
    work, ``closes_ports``, whether only gateways shall reach the replicas, and ``gateway_port``, where a gateway on
    the host itself answers; None: nothing is served.
    fleet_tls: whether TLS is on (true, false) between cards, every state that is found on hosts of this release.
    fleet_drivers: the driver versions that are found on hosts of this release.
    required_bytes: bytes still to be written, by path; the key ``docker`` stands for docker's own folder.
    table: the compatibility table. system: what is known of the operating system, ``packages`` and ``install``.
    """

    node: Mapping[str, Any]
    release: Mapping[str, Any]
    generation: Optional[str] = None
    plan: Optional[Mapping[str, Any]] = None
    required_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    require_host_cann: bool = False
    fleet_tls: frozenset[bool] = frozenset()
    fleet_drivers: frozenset[str] = frozenset()
    table: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)

    def install(self, *names: str) -> str:
        """How what has these names is installed on the host's operating system."""
        known = self.system.get("packages") or {}
        wanted = [p for name in names for p in known.get(name, [name])]
        how = self.system.get("install") or "install the packages"
        text = "%s %s" % (how, " ".join(wanted))
        return text if how.startswith("install") else "`%s`" % text

    @property
    def replicas(self) -> list[Mapping[str, Any]]:
        """The replicas that will serve on this host."""
        return list((self.plan or {}).get("replicas") or [])

    @property
    def spans_hosts(self) -> bool:
        """Whether one engine runs on several hosts, so that the cards' own network is needed."""
        return bool((self.plan or {}).get("spans_hosts"))

    def is_left_out(self, device: Mapping[str, Any]) -> bool:
        """Whether the replicas are planned around this chip, so that its fault stops nothing."""
        if not (self.plan or {}).get("leaves_out_unhealthy"):
            return False
        return all(device["index"] not in replica["indices"] for replica in self.replicas)

    @property
    def card_ports(self) -> list[Mapping[str, Any]]:
        """What hccn_tool says of each chip's network port; a chip that did not answer is left out."""
        return list((self.node.get("hccn") or {}).get("links") or [])

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The chips of the table."""
        return list(self.node.get("devices") or [])

    @property
    def davinci(self) -> list[dict[str, Any]]:
        """The device nodes of the chips."""
        return [n for n in self.node.get("device_nodes") or [] if n["index"] is not None]

    @property
    def smi(self) -> Mapping[str, Any]:
        """What became of npu-smi."""
        return self.node.get("npu_smi") or {}

    @property
    def docker(self) -> Mapping[str, Any]:
        """The docker daemon."""
        return self.node.get("docker") or {}

    @property
    def hardware(self) -> Optional[Mapping[str, Any]]:
        """What the generation consists of."""
        found: Optional[Mapping[str, Any]] = _hardware.GENERATIONS.get(self.generation or "")
        return found

    @property
    def by_hand(self) -> list[Mapping[str, Any]]:
        """Containers that were started by hand as in the guide and stand in the way of our replicas."""
        names = {str(replica["container_name"]) for replica in self.replicas}
        return [c for c in self._look_alike["containers"] if by_hand.concerns(c, names)]

    @property
    def by_hand_names(self) -> set[str]:
        """Their names: what else is found of them is said once, with how they are taken over."""
        return {str(c["name"]) for c in self.by_hand}

    def unlike_the_guide(self, name: str) -> str:
        """Why a container that looks like one of the guide is not taken for one; empty for any other container."""
        reasons = [r for c in self._look_alike["others"] if c["name"] == name for r in c["reasons"]]
        return "; it cannot be taken over: %s" % ", and ".join(reasons) if reasons else ""

    @property
    def _look_alike(self) -> Mapping[str, list[dict[str, Any]]]:
        return by_hand.started_by_hand(self.node, self.release, self.generation)

    @property
    def cann(self) -> str:
        """The CANN version that the release's image carries."""
        return str((self.release.get("cann") or {}).get("version") or "")

    @property
    def images(self) -> list[Mapping[str, Any]]:
        """The release's images for this host's generation and architecture."""
        return [
            i
            for i in self.release.get("images") or []
            if (self.generation is None or i.get("generation") == self.generation)
            and i.get("architecture") in ("any", None, self.node.get("architecture"))
        ]

    @property
    def has_pinned_ids(self) -> bool:
        """Whether docker knows images by the IDs that a release pins."""
        known: bool = has_pinned_ids(self.docker)
        return known

    @property
    def has_driver(self) -> bool:
        """Whether a driver is installed, as far as is known; without one its consequences are not worth a word."""
        return bool(self.version("driver")) or "versions" not in (self.node.get("gathered") or [])

    def version(self, part: str) -> Mapping[str, Any]:
        """The version file of ``driver`` or ``firmware``."""
        return (self.node.get("versions") or {}).get(part) or {}

    def tuning(self, sysctl: str) -> Any:
        """A kernel setting, None where the kernel has none."""
        return ((self.node.get("tuning") or {}).get("sysctl") or {}).get(sysctl)
