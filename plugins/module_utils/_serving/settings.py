# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator chooses beside the release."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .._release.ports import WATCHDOG_PORT

PROFILES = ("least_privilege", "guide")
DATA_ROOTS = {"least_privilege": "/var/lib/ascend-fleet", "guide": "/data/ascend-fleet"}


class ServingError(ValueError):
    """What was asked for cannot run; the message says what was found, what is needed and what to do."""


#: Settings that a template may have made a text.
_NUMBERS = frozenset(("replicas", "first_port", "stop_seconds", "chip_wait_seconds", "watchdog_port"))


@dataclass(frozen=True)
class Settings:
    """What the operator chooses beside the release. A layout needs neither ``image`` nor ``weights``."""

    image: str = ""
    weights: str = ""
    #: Identifies the files in that folder: an engine that has read other files is restarted.
    weights_content: str = ""
    profile: str = "least_privilege"
    data_root: Optional[str] = None
    media_path: Optional[str] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    api_key: str = ""
    replicas: Optional[int] = None
    skip_unhealthy: bool = False
    first_port: Optional[int] = None
    docker: Optional[str] = None
    docker_options: Sequence[str] = ()
    stop_seconds: int = 60
    #: How long a start waits for device nodes and healthy chips; 0 does not wait.
    chip_wait_seconds: int = 600
    #: What is done about an engine that stalls: ``observe``, ``restart`` or ``off``.
    watchdog: str = "off"
    #: Where the watchdog tells gateways what it has taken out of traffic, with ``restart``.
    watchdog_port: int = WATCHDOG_PORT
    #: Who reaches the replicas' own ports: ``open`` to everybody, or ``gateways`` alone and those in ``access_from``.
    access: str = "open"
    access_gateways: Sequence[str] = ()
    access_from: Sequence[str] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """The settings by these values of the role's variables; what is None or empty text keeps its default.

        Raises ValueError for a number that is none, TypeError for a name that is no setting.
        """
        given: dict[str, Any] = {name: value for name, value in values.items() if value not in (None, "")}
        given.update({name: int(given[name]) for name in _NUMBERS.intersection(given)})
        return cls(**given)

    @property
    def root(self) -> str:
        """The folder of the data, without a slash at its end."""
        return (self.data_root or DATA_ROOTS[self.profile]).rstrip("/")

    @property
    def media(self) -> str:
        """The one folder from which clients may name files."""
        return (self.media_path or self.root + "/media").rstrip("/")
