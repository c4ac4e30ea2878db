# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay beside the inventory what a site has of its own: variables, a certificate, API keys.

usage: site_files.py INVENTORY_FOLDER GROUP_VARS

GROUP_VARS: the scenario's own variables of groups, beside those of this folder.
"""

from __future__ import annotations

import ipaddress
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent


def certificate(folder: Path, address: str) -> None:
    """A certificate of its own authority, for the floating address."""
    if (folder / "certificate.pem").exists():
        return
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "30", "-subj", "/CN=gateway", "-addext", f"subjectAltName=IP:{address}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)


def main() -> int:
    """Write the files; what is there already stays."""
    inventory = Path(sys.argv[1])
    floating = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["vars"]["sim_spare_address"]
    site = inventory / "site"
    site.mkdir(exist_ok=True)
    certificate(site, str(ipaddress.ip_interface(floating).ip))
    keys = site / "keys.yml"
    if not keys.exists():
        keys.touch(mode=0o600)
        keys.write_text(yaml.safe_dump({"load": secrets.token_urlsafe(24)}))
    variables = inventory / "group_vars"
    shutil.rmtree(variables, ignore_errors=True)
    # The files of a group are read in the order of their names: the later one wins.
    for number, folder in enumerate(dict.fromkeys([HERE / "group_vars", Path(sys.argv[2]).resolve()])):
        for source in sorted(folder.iterdir()):
            (variables / source.stem).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, variables / source.stem / f"{number}-scenario.yml")
    here = {
        "vllm_gateway_floating_address": floating,
        "vllm_gateway_certificate": str(site / "certificate.pem"),
        "vllm_gateway_certificate_key": str(site / "key.pem"),
        "vllm_gateway_api_keys_file": str(keys),
    }
    (variables / "all" / "site.yml").write_text(yaml.safe_dump(here))
    return 0


if __name__ == "__main__":
    sys.exit(main())
