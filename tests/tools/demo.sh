#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# demo.sh BIN: one A2 and one A3 host, simulated, from an installed driver to answering; then how to talk to them.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(realpath "$1")
export PATH=$bin:$PATH
unset ANSIBLE_COLLECTIONS_PATH ANSIBLE_CONFIG
"$bin/python" tests/sim/fleet --name demo up
ansible-playbook site.yml
"$bin/python" tests/tools/how_to_talk.py demo
