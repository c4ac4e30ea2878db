#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible_lint.sh BIN: ansible-lint of the checkout with the production profile, offline.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$1:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.collections exec ansible-lint --offline --profile production --strict -q --nocolor
