# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os.uname() that says the architecture this host stands for, when that is not the machine's own."""

import os


def _relabel() -> None:
    try:
        with open("/etc/ascend-sim-architecture") as source:
            label = source.read().strip()
    except OSError:
        return
    if not label:
        return
    real = os.uname

    def uname() -> os.uname_result:
        return os.uname_result((*tuple(real())[:4], label))

    os.uname = uname


_relabel()
