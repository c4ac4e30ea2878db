#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The silicon of a simulated Ascend server.

The program is four tools by the name it is called with:

* ``npu-smi``    prints what the real tool prints, rendered from a state file and from the processes that hold cards;
* ``lspci``      lists the PCI functions of the NPUs (``lspci -D -n -d 19e5:``);
* ``hccn_tool``  answers the few queries about the NPU network ports that are asked in practice;
* ``ascend-sim`` sets a host up (``install``), restores its device nodes after a boot (``boot``) and breaks or mends it.

A process holds HBM of card N for as long as it keeps a memfd named ``ascend-hbm:N:MEGABYTES`` open, so a card is busy
exactly as long as its holder lives, whatever kills the holder.

``ASCEND_SIM_ROOT`` prefixes every path that is read or written (tests), ``ASCEND_SIM_PROC`` names another ``/proc``.
Standard library only: it runs on the hosts and, mounted like the real tool, inside their containers. What the first
three need lies in ``sim_tools``, ``sim_text`` and ``sim_state``, compiled once: they are started often. ``ascend-sim``
begins in ``sim_commands``.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from sim_tools import TOOLS, run


def main() -> int:
    name = os.path.basename(sys.argv[0])
    if name in TOOLS:
        return run(TOOLS[name])
    from sim_commands import main_ascend_sim  # the other tools do without all that it imports

    return run(main_ascend_sim)


if __name__ == "__main__":
    sys.exit(main())
