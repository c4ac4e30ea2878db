# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the questions of the procedure as curl commands for a simulated fleet.  usage: how_to_talk.py FLEET"""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ROOT / "playbooks" / "releases"


def main() -> None:
    """One text question and one picture question per host."""
    status = subprocess.run(
        [sys.executable, "tests/sim/fleet", "--name", sys.argv[1], "status", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    release = yaml.safe_load((RELEASES / "qwen3_5_27b_v0.yml").read_text(encoding="utf-8"))
    serve, questions = release["serve"], release["smoke"]["questions"]
    print("\nBoth questions of the procedure, from this machine:\n")
    for host in json.loads(status.stdout)["hosts"]:
        for question in questions:
            url = f"http://{host['address']}:{serve['port']}{question['endpoint']}"
            body = json.dumps({"model": serve["served_model_name"], **question["request"]}, ensure_ascii=False)
            remote = [
                part["image_url"]["url"]
                for message in question["request"].get("messages", ())
                if isinstance(message["content"], list)
                for part in message["content"]
                if part["type"] == "image_url"
            ]
            if question.get("picture"):
                # The picture goes through a file: as a data URI it would fill the screen.
                picture = (RELEASES / question["picture"]).read_bytes()
                body = body.replace(remote[0], "data:image/png;base64," + base64.b64encode(picture).decode())
                file = ROOT / ".sim" / sys.argv[1] / f"{question['name']}.json"
                file.write_text(body, encoding="utf-8")
                body = f"@{file.relative_to(ROOT)}"
            print(f"# {host['name']}: {question['name']}")
            print(f"curl {url} -H 'Content-Type: application/json' -d {shlex.quote(body)}\n")
    print(
        "Look around:  tests/sim/fleet status · tests/sim/fleet exec a2-1 -- npu-smi info · tests/sim/fleet break a2-1"
    )
    playbook = os.path.relpath(Path(sys.executable).with_name("ansible-playbook"), ROOT)
    print(f"Run again:    {playbook} site.yml     (changes nothing)")
    print("Remove it:    make demo-down")


if __name__ == "__main__":
    main()
