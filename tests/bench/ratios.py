# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every measurement returns."""

from __future__ import annotations

from dataclasses import dataclass


class Impossible(Exception):
    """This machine cannot make the measurement; the message says why."""


@dataclass(frozen=True)
class Ratio:
    """Two costs of the same run. ``aim`` says what the quotient ought to be, in words, where that was promised."""

    measured: str
    compared_with: str
    cost: float
    other_cost: float
    aim: str = ""

    @property
    def value(self) -> float:
        """Cost of what is measured, as a multiple of what it is compared with."""
        return self.cost / self.other_cost

    def words(self) -> str:
        """The quotient, the way round in which it is easy to read."""
        number = "%.2f ×" % self.value if self.value >= 0.1 else "1/%.0f" % (1 / self.value)
        return number + (" (%s)" % self.aim if self.aim else "")
