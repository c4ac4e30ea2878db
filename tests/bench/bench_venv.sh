#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# bench_venv.sh PYTHON: make (or find) the virtual environment with what the measurements compare with; prints its path.
# It stands apart from the tools: nothing that is compared with may get into them.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
requirements=.config/requirements-bench.txt
dir=.cache/venv-bench-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
want=$(sha256sum <"$requirements" | cut -d' ' -f1)
if [ "$(cat "$dir/.complete" 2>/dev/null)" != "$want" ] || ! "$dir/bin/python" -c '' 2>/dev/null; then
  echo "Installing what is compared with into $dir" >&2
  rm -rf "$dir"
  mkdir -p "$(dirname "$dir")"
  real=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
  "$real" -m venv "$dir" >&2
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
  echo "$want" >"$dir/.complete"
fi
echo "$dir"
