# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``vllm`` command."""

from __future__ import annotations

import sys

from . import VERSION, options

HELP = (
    options.MAIN_USAGE
    + """
vLLM CLI

positional arguments:
  {chat,complete,serve,bench,collect-env,run-batch}

options:
  -h, --help            show this help message and exit
  -v, --version         show program's version number and exit
"""
)


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    if given[0] in ("-v", "--version"):
        sys.stdout.write(f"{VERSION}\n")
        return 0
    if given[0] == "serve":
        from . import serve

        return serve.serve(given[1:])
    if given[:2] == ["bench", "serve"]:
        from . import bench

        return bench.run(given[2:])
    sys.stderr.write(
        f"{options.MAIN_USAGE}vllm: error: argument subparser: invalid choice: {given[0]!r} "
        "(choose from 'chat', 'complete', 'serve', 'bench', 'collect-env', 'run-batch')\n"
    )
    return 2
