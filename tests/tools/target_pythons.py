# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run target_smoke.py, and the module npu_info by Ansible, under every Python of a host that is on this machine.

A version that is missing is named and skipped; that none but the tools' own is there makes the whole step skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gate import SKIPPED, second_python

VERSIONS = (9, 10, 11, 12, 13)
ROOT = Path(__file__).resolve().parents[2]
SMOKE = Path(__file__).resolve().parent / "target_smoke.py"


def run_module(python: str) -> bool:
    """Whether npu_info, packed and sent as to a host, runs under that Python and finds it out."""
    env = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections")
    )
    argv = ["ansible", "all", "-i", "localhost,", "-c", "local", "-m", "ascend.fleet.npu_info"]
    options = ["-a", "gather_subset=system,versions timeout=20", "-e", "ansible_python_interpreter=" + python]
    done = subprocess.run(
        [str(Path(sys.executable).parent / argv[0]), *argv[1:], *options],
        cwd=ROOT, env=env, timeout=300, check=False, capture_output=True, text=True,
    )  # fmt: skip
    version = re.search(r"python_version: '?(3\.\d+)", done.stdout)
    wanted = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True,
                            text=True, check=True).stdout.strip()  # fmt: skip
    if done.returncode or version is None or version.group(1) != wanted:
        print(
            "npu_info under %s: status %s\n%s%s" % (python, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        )
        return False
    return True


def main() -> int:
    """The exit status is 0 when every Python that is here could run everything."""
    own = sys.version_info[1]
    tried, missing, failed = [], [], []
    for minor in VERSIONS:
        python = second_python(minor) or (sys.executable if minor == own else None)
        if python is None:
            missing.append("3.%d" % minor)
            continue
        # Isolated: neither this machine's packages nor its environment are the host's.
        done = subprocess.run([python, "-I", "-B", "-W", "error", str(SMOKE)], timeout=300, check=False)
        (failed if done.returncode or not run_module(python) else tried).append("3.%d" % minor)
    print("passed: %s; failed: %s" % (", ".join(tried) or "none", ", ".join(failed) or "none"))
    if missing:
        print("skipped, not on this machine: %s" % ", ".join(missing))
    if failed:
        return 1
    return 0 if len(tried) > 1 else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
