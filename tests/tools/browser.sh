#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# browser.sh PYTHON: the tests of the report's page in a real Chromium. Where there is none, Debian's and Ubuntu's is installed.
# ASCEND_REPORT_PAGES names more pages to look at (paths with colons between them). Ends with 77 where there cannot be one.
set -euo pipefail
cd "$(dirname "$0")/../.."
found() {
  [ -x "${CHROMIUM:-}" ] || command -v chromium || command -v chromium-browser || command -v google-chrome
}
if ! found > /dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "found no chromium; needed one. Fix: apt-get install chromium, or CHROMIUM=/path/to/it"
    exit 77
  fi
  export DEBIAN_FRONTEND=noninteractive
  get=(apt-get -o DPkg::Lock::Timeout=300)
  "${get[@]}" install -y --no-install-recommends chromium || { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends chromium; }
fi
exec "$1" -m pytest -q -p no:cacheprovider --rootdir=. tests/browser
