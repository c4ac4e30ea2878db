# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the packages of driver and firmware leave on a host: version files, their user, the network's configuration."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING

from sim_state import chip_index

if TYPE_CHECKING:
    from sim_state import State

FIRMWARE_INFO = "/usr/local/Ascend/firmware/version.info"
DRIVER_USER = "HwHiAiUser"
FIRMWARE_OF_PACKAGE = {
    "24.1.0": "7.5.0.3.220",
    "25.0.rc1.1": "7.7.0.1.231",
    "25.2.0": "7.8.0.7.220",
    "25.5.0": "7.8.0.5.201",
    "25.5.1": "7.8.0.6.201",
}

INSTALL_INFO_TEXT = """UserName=HwHiAiUser
UserGroup=HwHiAiUser
Firmware_Install_Type=full
Firmware_Install_Path_Param=/usr/local/Ascend
Driver_Install_Type=full
Driver_Install_Path_Param=/usr/local/Ascend
Driver_Install_For_All=yes
Driver_Install_Mode=normal
Driver_Install_Status=complete
"""


def driver_info(version: str) -> str:
    return f"""Version={version}
ascendhal_version=7.35.23
aicpu_version=1.0
tdt_version=1.0
log_version=1.0
prof_version=2.0
dvppkernels_version=1.1
tsfw_version=1.0
Innerversion=V100R001C22SPC005B220
compatible_version=[V100R001C19],[V100R001C20],[V100R001C21],[V100R001C22],[V100R001C23]
compatible_version_fw=[7.0.0,7.8.99]
package_version={version}
"""


def firmware_info(version: str, package_version: str) -> str:
    return f"""Version={version}
firmware_version=1.0
package_version={package_version}
compatible_version_drv=[24.1.rc3,24.1.rc3.],[25.0.rc1,25.0.rc1.],[25.2.0,25.2.0.],[25.5.0,25.5.0.]
"""


def hccn_conf(state: State, seed: int) -> str:
    text = ""
    for chip in state["chips"]:
        index = chip_index(chip)
        text += (
            f"address_{index}=29.{seed}.{137 + index % 2}.{10 + index}\nnetmask_{index}=255.255.0.0\n"
            f"netdetect_{index}=29.{seed}.0.1\ngateway_{index}=29.{seed}.0.1\nsend_arp_status_{index}=1\n"
        )
    return text


def driver_owner() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(DRIVER_USER)
        return entry.pw_uid, entry.pw_gid
    except KeyError:
        return 0, 0


def ensure_driver_user() -> None:
    """User and group of the driver, id 1000 where that is free, as the driver package makes them."""
    if os.environ.get("ASCEND_SIM_ROOT") or os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(DRIVER_USER)
        return
    except KeyError:
        pass
    wanted = [] if any(entry.pw_uid == 1000 for entry in pwd.getpwall()) else ["-u", "1000"]
    group = ["-g", "1000"] if wanted else []
    subprocess.run(["groupadd", *group, DRIVER_USER], check=False, capture_output=True)
    subprocess.run(
        ["useradd", *wanted, "-g", DRIVER_USER, "-d", f"/home/{DRIVER_USER}", "-m", "-s", "/bin/bash", DRIVER_USER],
        check=False,
        capture_output=True,
    )
