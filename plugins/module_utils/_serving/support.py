# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files that every serving unit of a host uses: what it waits for before a start, and what it says when it fails.

The programs are plain shell, because they must run at boot whatever Python a host has.
"""

from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

from .._npu.hardware import MANAGER_NODES
from .container import CONFIG_DIR
from .unit_file import MARK, RESTART_MAX_SECONDS, RESTART_SECONDS

FAILURE_UNIT = "ascend-fleet-failed@.service"
_WAIT = "wait-for-chips.sh"
_DELAY = "delay-start.sh"
_REPORT = "report-failure.sh"
_LIMITS = "keep-within-limits.sh"
#: What the log folder and the cache folder of a replica may hold, in MiB, before old files go.
LOG_MB, CACHE_MB = 1024, 20480
_HEAD = "#!/bin/sh\n%s changes here are overwritten.\n" % MARK

_WAIT_TEXT = r"""# Wait until the device nodes of one replica exist and npu-smi says that its chips work.
# Usage: wait-for-chips.sh SECONDS NPU_SMI|- DEVICE_NODE... NPU:CHIP...
# Ends with 0 as soon as everything is ready, with 1 after SECONDS. With - in place of NPU_SMI health is not asked for.
set -u
seconds=$1
npu_smi=$2
shift 2
lock=${ASCEND_FLEET_LOCK:-/run/ascend-fleet-npu-smi.lock}
pause=${ASCEND_FLEET_PAUSE:-10}

# What earlier starts have left; nothing of it can keep this start from going on.
sh "${0%/*}/@LIMITS@" 2>/dev/null || :

uptime() { cut -d. -f1 /proc/uptime; }  # the wall clock may jump while a host boots

# Print the first thing that is not ready.
not_ready() {
    for word in "$@"; do
        case $word in
        /*) [ -c "$word" ] || { echo "no device node $word"; return; } ;;
        esac
    done
    [ "$npu_smi" = - ] && return
    [ -x "$npu_smi" ] || { echo "no program $npu_smi"; return; }
    for word in "$@"; do
        case $word in
        /*) continue ;;
        esac
        # One query at a time on a host: all replicas start together, and npu-smi is slow while the driver comes up.
        answer=$(flock -w 60 "$lock" timeout -k 5 30 "$npu_smi" info -t health -i "${word%%:*}" -c "${word##*:}" 2>&1)
        status=$?
        if [ $status -ne 0 ]; then
            echo "npu-smi info -t health -i ${word%%:*} -c ${word##*:} ended with status $status:" \
                "$(printf '%s\n' "$answer" | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c1-200)"
            return
        fi
        words=$(printf '%s\n' "$answer" | sed -n 's/^[[:space:]]*Health[^:]*:[[:space:]]*\([A-Za-z]*\).*/\1/p')
        for health in $words; do
            case $health in
            OK | Warning) ;;
            *) echo "NPU ${word%%:*} chip ${word##*:} has health $health"; return ;;
            esac
        done
    done
}

until=$(($(uptime) + seconds))
said=
said_at=0
while :; do
    found=$(not_ready "$@")
    [ -n "$found" ] || exit 0
    now=$(uptime)
    if [ "$now" -ge "$until" ]; then
        echo "found $found after $seconds s; needed all chips of this replica. Fix: see dmesg and npu-smi info" >&2
        exit 1
    fi
    if [ "$found" != "$said" ] || [ "$now" -ge $((said_at + 60)) ]; then
        echo "waiting for chips, $((until - now)) s at most: $found"
        said=$found
        said_at=$now
    fi
    sleep "$pause"
done
"""

_LIMITS_TEXT = r"""# Keep what engines have written within limits: CANN's logs and the caches of every replica.
# Usage: keep-within-limits.sh [UNIT_DIR]
# CANN limits the logs of one process; each start has new processes. While a folder is too large, its oldest files go.
# Engines can write there: no link is followed, and find removes by descriptor.
set -u
units=${1:-/etc/systemd/system}

# keep FOLDER MIB MINUTES...: remove files older than so many minutes, fewer and fewer, until it holds so many MiB.
keep() {
    where=$1
    limit=$2
    shift 2
    [ -d "$where" ] && [ ! -L "$where" ] || return 0
    (
        real=$(cd -P -- "${where%/*}" && pwd -P)/${where##*/}
        cd -P -- "$where" && [ "$(pwd -P)" = "$real" ] || exit 0
        for minutes in "$@"; do
            size=$(du -smx . 2>/dev/null | cut -f1)
            [ "${size:-0}" -gt "$limit" ] || exit 0
            find . -xdev -type f -mmin "+$minutes" -delete 2>/dev/null
        done
    )
    return 0
}

for unit in "$units"/vllm-*@*.service; do
    [ -f "$unit" ] && head -n 1 "$unit" | grep -q "^@MARK@" || continue
    folder=$(sed -n 's/^Directory=//p' "$unit" | head -n 1)
    case $folder in
    *..*) continue ;;
    /*/replicas/*) ;;
    *) continue ;;
    esac
    keep "$folder/log" "${ASCEND_FLEET_LOG_MB:-@LOG_MB@}" 43200 10080 4320 1440 360 60 10
    keep "$folder/cache" "${ASCEND_FLEET_CACHE_MB:-@CACHE_MB@}" 129600 43200 20160 10080 4320 1440
done
"""

_DELAY_TEXT = r"""# Wait longer before each further start, where systemd cannot (RestartSteps= came with version 254).
# Usage: delay-start.sh UNIT
set -u
restarts=$(systemctl show --property=NRestarts --value -- "$1") || restarts=0
delay=@SECONDS@
while [ "${restarts:-0}" -gt 1 ] && [ "$delay" -lt @MAX_SECONDS@ ]; do
    delay=$((delay * 2))
    restarts=$((restarts - 1))
done
[ "$delay" -le @MAX_SECONDS@ ] || delay=@MAX_SECONDS@
# systemd itself has waited for the first @SECONDS@ seconds.
[ "$delay" -gt @SECONDS@ ] || exit 0
echo "restart ${restarts}: waiting for $((delay - @SECONDS@)) s more before the start"
exec sleep $((delay - @SECONDS@))
"""

_REPORT_TEXT = r"""# Say in the journal of a unit that it has failed for good.
# Usage: report-failure.sh UNIT
set -u
# Between two starts a unit has not failed: systemd starts it again.
systemctl is-failed --quiet -- "$1" || exit 0
result=$(systemctl show --property=Result --value -- "$1")
text="found $1 failed ($result) and not started again; needed it serving."
text="$text Fix: see journalctl -u $1, remove the cause, then systemctl restart $1 or run site.yml"
printf 'MESSAGE=%s\nPRIORITY=3\nSYSLOG_IDENTIFIER=ascend-fleet\nOBJECT_SYSTEMD_UNIT=%s\n' "$text" "$1" |
    logger --journald 2>/dev/null || printf '<3>%s\n' "$text"
"""

_FAILURE_UNIT_TEXT = """%s changes here are overwritten.
[Unit]
Description=Report that %%i has failed

[Service]
Type=oneshot
ExecStart=/bin/sh %s %%i
"""


def support_files(unit_dir: str, config_dir: str) -> dict[str, str]:
    """Path and text of every file that the units use."""
    delay = _DELAY_TEXT.replace("@SECONDS@", str(RESTART_SECONDS)).replace("@MAX_SECONDS@", str(RESTART_MAX_SECONDS))
    limits = _LIMITS_TEXT.replace("@MARK@", MARK).replace("@LOG_MB@", str(LOG_MB))
    return {
        os.path.join(config_dir, _LIMITS): _HEAD + limits.replace("@CACHE_MB@", str(CACHE_MB)),
        os.path.join(config_dir, _WAIT): _HEAD + _WAIT_TEXT.replace("@LIMITS@", _LIMITS),
        os.path.join(config_dir, _DELAY): _HEAD + delay,
        os.path.join(config_dir, _REPORT): _HEAD + _REPORT_TEXT,
        os.path.join(unit_dir, FAILURE_UNIT): _FAILURE_UNIT_TEXT % (MARK, os.path.join(config_dir, _REPORT)),
    }


def support_mode(path: str) -> int:
    """The mode of such a file: only units are for everybody to read."""
    return 0o644 if path.endswith((".service", ".timer")) else 0o600


def delay_argv(unit: str) -> list[str]:
    """The command that delays a start where systemd cannot."""
    return ["/bin/sh", "%s/%s" % (CONFIG_DIR, _DELAY), unit]


def wait_argv(node: Mapping[str, Any], device_nodes: Sequence[str], indices: Sequence[int], seconds: int) -> list[str]:
    """The command that waits for the chips ``indices`` of ``node``, for ``seconds`` at most."""
    chips = {int(d["index"]): d for d in node.get("devices") or [] if d.get("index") is not None}
    named = ["%d:%d" % (chips[i]["npu_id"], chips[i]["chip_id"]) for i in indices]
    npu_smi = (node.get("npu_smi") or {}).get("path") or "-"
    program = "%s/%s" % (CONFIG_DIR, _WAIT)
    return ["/bin/sh", program, str(seconds), npu_smi, *MANAGER_NODES, *device_nodes, *named]
