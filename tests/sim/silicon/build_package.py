#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an installer of a driver or a firmware for simulated hosts.

build_package.py driver|firmware VERSION OUT.run
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys

from sim_driver import FIRMWARE_OF_PACKAGE, driver_info, firmware_info

MARKER = "__PAYLOAD_BELOW__"
SCRIPT = r"""#!/bin/sh
# Installer of a simulated Ascend @KIND@; options and exit statuses as the real package has them.
KIND=@KIND@ NAME=@NAME@ VERSION=@VERSION@ SUM=@SUM@
HOME_DIR=/usr/local/Ascend/$KIND
INFO=/etc/ascend_install.info
LOG=/var/log/ascend_seclog/ascend_install.log
say() { echo "[$NAME] [$(date '+%Y-%m-%d %H:%M:%S')] [$1]: $2" | tee -a "$LOG"; }
payload() { sed '1,/^@MARKER@$/d' "$0"; }
verify() {
    printf 'Verifying archive integrity...'
    if [ "$(payload | sha256sum | cut -d' ' -f1)" != "$SUM" ]; then
        echo ' Error in SHA256 checksums: the package is damaged'
        exit 1
    fi
    echo '  100%   SHA256 checksums are OK. All good.'
}
usage() {
    echo "Usage: $0 [options]"
    echo '  --help | -h         Print this message'
    echo '  --version           Print the version'
    echo '  --check             Check integrity of the archive'
    echo '  --full              Install completely'
    echo '  --upgrade           Upgrade what is installed'
    echo '  --uninstall         Uninstall'
    echo '  --install-for-all   Install for all users'
    echo '  --quiet             Quiet install mode, skip human-computer interactions'
}
set_info() { # KEY VALUE
    touch $INFO
    sed "/^$1=/d" $INFO > $INFO.new
    [ -z "$2" ] || echo "$1=$2" >> $INFO.new
    mv $INFO.new $INFO
}
mode= for_all=no
for argument in "$@"; do
    case $argument in
        --full|--run) mode=full ;;
        --upgrade) mode=upgrade ;;
        --uninstall) mode=uninstall ;;
        --install-for-all) for_all=yes ;;
        --quiet) ;;
        --version) echo "$VERSION"; exit 0 ;;
        --check) verify; exit 0 ;;
        --help|-h) usage; exit 0 ;;
        *) echo "[$NAME] [ERROR]: ERR_NO:0x0004;ERR_DES:Unrecognized parameters: $argument"; exit 1 ;;
    esac
done
[ -n "$mode" ] || { usage; exit 1; }
[ "$(id -u)" = 0 ] || { echo "[$NAME] [ERROR]: ERR_NO:0x0093;ERR_DES:Permission denied, run as root"; exit 1; }
mkdir -p "$(dirname $LOG)"
verify
echo "Uncompressing ASCEND $NAME RUN PACKAGE  100%"
say INFO "Start time: $(date '+%Y-%m-%d %H:%M:%S')"
if ! id HwHiAiUser > /dev/null 2>&1; then
    say ERROR 'ERR_NO:0x0091;ERR_DES:HwHiAiUser not exists! Please add HwHiAiUser user'
    exit 1
fi
if ! ascend-sim idle > /dev/null 2>&1; then
    busy='The davinci nodes are occupied by some processes, please stop processes and install or uninstall again'
    say ERROR "ERR_NO:0x0080;ERR_DES:$busy"
    exit 1
fi
if [ $mode = uninstall ]; then
    rm -rf "$HOME_DIR/version.info"
    set_info "${NAME}_Install_Status" ''
    say INFO "$NAME package uninstalled successfully! Uninstallation takes effect after the system is rebooted."
    exit 0
fi
if [ $mode = upgrade ] && [ ! -f "$HOME_DIR/version.info" ]; then
    say ERROR "ERR_NO:0x0080;ERR_DES:There is no $KIND installed on the current system, use --full"
    exit 1
fi
was=0
[ -f "$HOME_DIR/version.info" ] && was=2
set_info "${NAME}_Install_Status" ''
mkdir -p "$HOME_DIR"
for percent in 10 30 60 90; do
    say INFO "upgradePercentage:$percent%"
    sleep "${ASCEND_SIM_STEP_SECONDS:-0.5}"
done
payload > "$HOME_DIR/version.info.new"
mv "$HOME_DIR/version.info.new" "$HOME_DIR/version.info"
set_info "${NAME}_Install_Type" full
set_info "${NAME}_Install_Path_Param" /usr/local/Ascend
[ $KIND != driver ] || set_info Driver_Install_For_All $for_all
set_info "${NAME}_Install_Status" complete
say INFO "upgradePercentage:100%"
say INFO "$NAME package installed successfully! The new version takes effect after the system is rebooted."
say INFO "End time: $(date '+%Y-%m-%d %H:%M:%S')"
exit $was
@MARKER@
"""


def package(kind: str, version: str) -> str:
    """The whole text of the installer."""
    if kind == "driver":
        payload = driver_info(version)
    else:
        payload = firmware_info(FIRMWARE_OF_PACKAGE.get(version, "7.8.0.7.220"), version)
    text = SCRIPT
    values = {
        "KIND": kind,
        "NAME": kind.capitalize(),
        "VERSION": version,
        "SUM": hashlib.sha256(payload.encode()).hexdigest(),
        "MARKER": MARKER,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text + payload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("driver", "firmware"))
    parser.add_argument("version", help="package version, such as 25.5.0")
    parser.add_argument("out", metavar="OUT.run")
    options = parser.parse_args()
    with open(options.out, "w", encoding="utf-8") as stream:
        stream.write(package(options.kind, options.version))
    os.chmod(options.out, 0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
