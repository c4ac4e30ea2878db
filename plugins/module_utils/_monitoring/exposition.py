# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as Prometheus reads them: text of the exposition format, without timestamps, which the textfile collector
of node_exporter refuses."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Union

Number = Union[int, float]

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


class Metrics:
    """Collects samples of the metrics that ``catalogue`` describes, and writes them in its order.

    catalogue: what each metric is, by its name. All are gauges: what a host says of this moment.
    """

    def __init__(self, catalogue: Mapping[str, str]) -> None:
        self._catalogue = catalogue
        self._samples: dict[str, dict[str, str]] = {}

    def add(self, name: str, value: Optional[Number], labels: Optional[Mapping[str, str]] = None) -> None:
        """Add a sample. A value that is not known has none: it is left out, never written as 0.

        A second sample with the same labels is left out: one of them could not be read by anybody.
        """
        if name not in self._catalogue:
            raise KeyError("the metric %s is not described" % name)
        if value is None:
            return
        self._samples.setdefault(name, {}).setdefault(label_text(labels or {}), number_text(value))

    def text(self) -> str:
        """All samples, each metric under its description."""
        lines = []
        for name, meaning in self._catalogue.items():
            samples = self._samples.get(name)
            if samples:
                lines += ["# HELP %s %s" % (name, meaning), "# TYPE %s gauge" % name]
                lines += ["%s%s %s" % (name, labels, value) for labels, value in samples.items()]
        return "\n".join(lines) + "\n" if lines else ""


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as they stand behind a name."""
    wrong = [name for name in labels if not _LABEL_NAME.match(name)]
    if wrong:
        raise ValueError("found the label %r; needed letters, digits and _" % wrong[0])
    if not labels:
        return ""
    return "{%s}" % ",".join('%s="%s"' % (name, _escaped(value)) for name, value in labels.items())


def number_text(value: Number) -> str:
    """A whole number without a point, any other with the digits that it needs."""
    return "%d" % value if float(value).is_integer() else repr(float(value))


def _escaped(value: str) -> str:
    # What is no UTF-8 would make node_exporter refuse the whole file.
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
