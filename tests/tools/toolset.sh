#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# toolset.sh PYTHON [DIR]: make (or find) the virtual environment with the pinned tools for PYTHON; prints its path.
# Python 3.11 gets ansible-core 2.19, Python 3.12 and later 2.21.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
minor=$("$python" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)')
case $minor in
  11) core=2.19 ;;
  1[2-9]) core=2.21 ;;
  *) echo "$python is Python 3.$minor. The controller needs Python 3.11 (ansible-core 2.19) or 3.12+ (ansible-core 2.21):" \
          "install one and call make with PYTHON=/path/to/python3.11" >&2; exit 2 ;;
esac
dir=${2:-.cache/venv-3.$minor}
requirements=(.config/requirements-core-$core.txt .config/requirements-tools.txt)
want=$(cat "${requirements[@]}" | sha256sum | cut -d' ' -f1)
mkdir -p "$(dirname "$dir")"
# Two that find it missing at once: the second waits for the first.
exec 9>"$dir.lock"
flock 9
if [ "$(cat "$dir/.complete" 2>/dev/null)" != "$want" ] || ! "$dir/bin/python" -c '' 2>/dev/null; then
  echo "Installing the tools (ansible-core $core) into $dir" >&2
  rm -rf "$dir"
  # The interpreter itself, not a version manager's shim: ansible-test starts it with another HOME.
  real=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
  if ! "$real" -m venv "$dir" >/dev/null 2>&1; then
    echo "Installing python3-venv, which $real needs" >&2
    { apt-get update -q && apt-get install -q -y python3-venv; } >&2
    "$real" -m venv "$dir" >&2
  fi
  uv=$(grep '^uv==' .config/requirements-tools.txt)
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$uv" >&2
  "$dir/bin/uv" pip install --quiet --python "$dir/bin/python" $(printf -- '--requirement %s ' "${requirements[@]}") >&2
  echo "$want" >"$dir/.complete"
fi
echo "$dir"
