#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an installer of a driver or a firmware for simulated hosts, a good one or one with a fault.

build_package.py driver|firmware VERSION OUT.run [--generation a2|a3|a9] [--architecture aarch64|x86_64]
                 [--status 0|2] [--fault NAME] [--silent SECONDS]

The file is laid out as Makeself lays out its archives: a shell script with the variables label, script, filesizes,
skip, MD5 and SHA, and behind it a compressed tar. The script unpacks it and starts install.sh.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import sys
import tarfile
from dataclasses import dataclass

from sim_driver import FIRMWARE_OF_PACKAGE, driver_info, firmware_info

#: How packages are called, by generation. There is no a9: it stands for a card that no host has.
PRODUCTS = {"a2": "Ascend-hdk-910b", "a3": "Atlas-A3-hdk", "a9": "Ascend-hdk-310p"}
FAULTS = {
    "corrupt": "a byte of the payload is another one, the header's sums are those of before",
    "half-way": "the installer fails after 60 %, and leaves an incomplete installation",
    "second-reboot": "the new version runs after the second boot only",
    "old-version-runs": "the new version never runs",
    "user-taken": "the installer wants to make a user whose id is taken, and fails",
}
#: Boots after which what was installed still does not run.
_BOOTS_WITHOUT = {"second-reboot": 1, "old-version-runs": 1000000}

HEADER = r"""#!/bin/sh
# A self-extracting archive of a simulated host, laid out as Makeself lays out its own.
MD5="@MD5@"
SHA="@SHA@"
label="@LABEL@"
script="./install.sh"
scriptargs=""
targetdir="@KIND@"
filesizes="@SIZE@"
skip="@SKIP@"
payload() { tail -c "$filesizes" "$0"; }
verify() {
    printf 'Verifying archive integrity...'
    if [ "$(payload | sha256sum | cut -d' ' -f1)" != "$SHA" ]; then
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
mode=
for argument in "$@"; do
    case $argument in
        --full|--run|--upgrade|--uninstall) mode=$argument ;;
        --install-for-all|--quiet) ;;
        --version) echo "@VERSION@"; exit 0 ;;
        --check) verify; exit 0 ;;
        --help|-h) usage; exit 0 ;;
        *) echo "[@NAME@] [ERROR]: ERR_NO:0x0004;ERR_DES:Unrecognized parameters: $argument"; exit 1 ;;
    esac
done
[ -n "$mode" ] || { usage; exit 1; }
[ "$(id -u)" = 0 ] || { echo "[@NAME@] [ERROR]: ERR_NO:0x0093;ERR_DES:Permission denied, run as root"; exit 1; }
verify
folder=$(mktemp -d "${TMPDIR:-/tmp}/selfgz.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
payload | tar -xz -C "$folder" || exit 1
echo "Uncompressing @LABEL@  100%"
(cd "$folder" && sh "$script" "$@")
exit $?
"""

INSTALL = r"""#!/bin/sh
# Installer of a simulated Ascend @KIND@; options and exit statuses as the real package has them.
KIND=@KIND@ NAME=@NAME@ ARCHITECTURE=@ARCHITECTURE@ STATUS=@STATUS@ FAULT=@FAULT@ SILENT=@SILENT@ BOOTS=@BOOTS@
HOME_DIR=/usr/local/Ascend/$KIND
INFO=/etc/ascend_install.info
LOG=/var/log/ascend_seclog/ascend_install.log
say() { echo "[$NAME] [$(date '+%Y-%m-%d %H:%M:%S')] [$1]: $2" | tee -a "$LOG"; }
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
    esac
done
mkdir -p "$(dirname $LOG)"
say INFO "Start time: $(date '+%Y-%m-%d %H:%M:%S')"
# Every start is noted: an installer that runs twice shows.
echo "$NAME $(date +%s) $$" >> /var/log/ascend_seclog/ascend-sim-starts.log
if [ "$ARCHITECTURE" != any ] && [ "$(uname -m)" != "$ARCHITECTURE" ]; then
    say ERROR "ERR_NO:0x0080;ERR_DES:the package is for $ARCHITECTURE, the host is $(uname -m)"
    exit 1
fi
if [ "$FAULT" = user-taken ]; then
    say ERROR 'ERR_NO:0x0091;ERR_DES:useradd: UID 1000 is not unique; HwHiAiUser could not be created'
    exit 1
fi
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
    [ $percent != 30 ] || sleep "$SILENT"
    if [ $percent = 60 ] && [ "$FAULT" = half-way ]; then
        say ERROR 'ERR_NO:0x0085;ERR_DES:upgrade of the device failed'
        exit 1
    fi
    sleep "${ASCEND_SIM_STEP_SECONDS:-0.5}"
done
cp version.info "$HOME_DIR/version.info.new"
mv "$HOME_DIR/version.info.new" "$HOME_DIR/version.info"
rm -f "$HOME_DIR/.ascend-sim-boots-without"
[ "$BOOTS" = 0 ] || echo "$BOOTS" > "$HOME_DIR/.ascend-sim-boots-without"
set_info "${NAME}_Install_Type" full
set_info "${NAME}_Install_Path_Param" /usr/local/Ascend
[ $KIND != driver ] || set_info Driver_Install_For_All $for_all
set_info "${NAME}_Install_Status" complete
say INFO "upgradePercentage:100%"
say INFO "$NAME package installed successfully! The new version takes effect after the system is rebooted."
say INFO "End time: $(date '+%Y-%m-%d %H:%M:%S')"
[ -z "$STATUS" ] || was=$STATUS
exit $was
"""


@dataclass(frozen=True)
class Wanted:
    """What is to be built. status: what the installer ends with; empty: 0 for a first installation, else 2."""

    kind: str
    version: str
    generation: str = "a2"
    architecture: str = "aarch64"
    status: str = ""
    fault: str = ""
    silent: float = 0.0

    @property
    def of_architecture(self) -> str:
        """The architecture that the package is for; firmware is for all."""
        return "any" if self.kind == "firmware" else self.architecture


def firmware_of(version: str) -> str:
    """The firmware's own version in the package of this version."""
    return FIRMWARE_OF_PACKAGE.get(version, "7.8.0.7.220")


def file_name(wanted: Wanted) -> str:
    """How the vendor calls such a package: firmware by its own version, the driver with its architecture."""
    if wanted.kind == "firmware":
        return f"{PRODUCTS[wanted.generation]}-npu-firmware_{firmware_of(wanted.version)}.run"
    return f"{PRODUCTS[wanted.generation]}-npu-driver_{wanted.version}_linux-{wanted.architecture}.run"


def package(wanted: Wanted) -> bytes:
    """The whole file."""
    values = {
        "KIND": wanted.kind,
        "NAME": wanted.kind.capitalize(),
        "VERSION": wanted.version,
        "LABEL": file_name(wanted)[: -len(".run")],
        "ARCHITECTURE": wanted.of_architecture,
        "STATUS": wanted.status,
        "FAULT": wanted.fault,
        "SILENT": f"{wanted.silent:g}",
        "BOOTS": str(_BOOTS_WITHOUT.get(wanted.fault, 0)),
    }
    payload = _payload(wanted, _filled(INSTALL, values))
    values["SKIP"] = str(HEADER.count("\n"))
    values["SIZE"] = str(len(payload))
    values["MD5"] = hashlib.md5(payload, usedforsecurity=False).hexdigest()
    values["SHA"] = hashlib.sha256(payload).hexdigest()
    if wanted.fault == "corrupt":
        middle = len(payload) // 2
        payload = payload[:middle] + bytes([payload[middle] ^ 0xFF]) + payload[middle + 1 :]
    return _filled(HEADER, values).encode() + payload


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _payload(wanted: Wanted, script: str) -> bytes:
    """The tar behind the header, the same for the same package."""
    if wanted.kind == "driver":
        info = driver_info(wanted.version)
    else:
        info = firmware_info(firmware_of(wanted.version), wanted.version)
    scene = "os=linux\n" + (f"arch={wanted.architecture}\n" if wanted.kind == "driver" else "")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, text in (("./install.sh", script), ("./version.info", info), ("./scene.info", scene)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(tar.getvalue(), mtime=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("driver", "firmware"))
    parser.add_argument("version", help="package version, such as 25.5.0")
    parser.add_argument("out", metavar="OUT.run", help="the file, or a folder for a file of the vendor's name")
    parser.add_argument("--generation", choices=sorted(PRODUCTS), default="a2")
    parser.add_argument("--architecture", choices=("aarch64", "x86_64"), default="aarch64")
    parser.add_argument("--status", choices=("", "0", "2"), default="", help="what the installer ends with")
    faults = "; ".join(f"{name}: {words}" for name, words in FAULTS.items())
    parser.add_argument("--fault", choices=("", *FAULTS), default="", help=faults.replace("%", "%%"))
    parser.add_argument("--silent", type=float, default=0.0, metavar="SECONDS", help="so long the installer is silent")
    given = parser.parse_args()
    wanted = Wanted(
        given.kind, given.version, given.generation, given.architecture, given.status, given.fault, given.silent
    )
    out = os.path.join(given.out, file_name(wanted)) if os.path.isdir(given.out) else given.out
    with open(out, "wb") as stream:
        stream.write(package(wanted))
    os.chmod(out, 0o755)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
