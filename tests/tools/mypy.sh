#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mypy.sh MYPY: strict typing of all plugins, of the simulator, of the load client, and of the gate. mypy finds ansible_collections.ascend.fleet
# through .collections/. The two engines have files of one name, hence two calls.
set -euo pipefail
cd "$(dirname "$0")/../.."
mypy=("$1" --config-file pyproject.toml)
export MYPYPATH=$PWD/.collections:tests/sim/engine:tests/sim/silicon:tests/sim:tests/load:tests/tools
"${mypy[@]}" .collections/ansible_collections/ascend/fleet/plugins tests/sim/fleetsim tests/sim/silicon tests/sim/engine/*.py \
  tests/sim/engine/sim_vllm tests/load/client.py tests/load/serving_load \
  tests/fleet_helpers.py tests/serving_helpers.py tests/upgrade_helpers.py tests/driver_helpers.py molecule/upgrade/releases.py tests/tools/gate*.py
MYPYPATH=tests/sim/real_engine:tests/sim/real_engine/stand_ins "${mypy[@]}" tests/sim/real_engine
