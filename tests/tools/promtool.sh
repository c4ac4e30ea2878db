#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# promtool.sh PYTHON: the alert rules and the dashboards' queries, by Debian's promtool. Each alert has a case in which it fires and one in
# which it is silent. Where promtool is missing its package is unpacked into .cache: nothing is installed, and no service is started.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
if ! command -v promtool >/dev/null; then
  folder=$PWD/.cache/promtool
  if [ ! -x "$folder/usr/bin/promtool" ]; then
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    (cd "$folder.new" && apt-get download -q prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
    mv "$folder.new" "$folder"
  fi
  export PATH=$folder/usr/bin:$PATH
fi
promtool --version | head -n 1
export REQUIRE_PROMTOOL=1
exec "$python" -m pytest -q -p no:cacheprovider -n 0 tests/unit/plugins/module_utils/test_monitoring_alerts.py \
  tests/unit/plugins/module_utils/test_monitoring_dashboards.py tests/unit/plugins/module_utils/test_monitoring_collector.py \
  tests/unit/plugins/module_utils/test_monitoring_prometheus.py tests/unit/plugins/plugin_utils/test_monitoring.py
