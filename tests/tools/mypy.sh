#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mypy.sh MYPY: strict typing of the pure code. mypy finds ansible_collections.ascend.fleet through .collections/.
set -euo pipefail
cd "$(dirname "$0")/../.."
MYPYPATH=$PWD/.collections exec "$1" --config-file pyproject.toml .collections/ansible_collections/ascend/fleet/plugins/module_utils
