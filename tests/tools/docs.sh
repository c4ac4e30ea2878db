#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# docs.sh BIN: the documentation of every plugin and role is complete and well formed; changelog fragments are valid.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$1:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.collections
antsibull-docs lint-collection-docs --plugin-docs .
antsibull-changelog lint
