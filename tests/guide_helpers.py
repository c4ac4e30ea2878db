# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody does by hand who follows the guide on a host: the guide's own lines, as the fixtures have them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tests.fleet_helpers import ROOT

GUIDE = ROOT / "tests" / "unit" / "fixtures" / "guide"
#: What a shell in the image has sourced.
ENVIRONMENT = "source /usr/local/Ascend/ascend-toolkit/set_env.sh; source /usr/local/Ascend/nnal/atb/set_env.sh; cd /"
FOLDER = "/data"
NAME = "qwen3.5"


def _lines(name: str) -> str:
    text = (GUIDE / name).read_text(encoding="utf-8")
    return "".join(line + "\n" for line in text.splitlines() if not line.startswith("#"))


def download(on: Callable[[str], str], origin: str, release: Mapping[str, Any], generation: str) -> None:
    """Clone weights and image archive below /data, and load the image; what is there already stays."""
    image = next(i for i in release["images"] if i["generation"] == generation)
    for repository, include in ((release["model"]["repository"], "*"), (image["repository"], image["path"])):
        path = repository.split("/", 3)[3]
        folder = f"{FOLDER}/{path.rpartition('/')[2].removesuffix('.git')}"
        url = f"{origin}/{path}"
        on(f"test -d {folder} || (mkdir -p {FOLDER} && GIT_LFS_SKIP_SMUDGE=1 git clone -q {url} {folder})")
        on(f"cd {folder} && git lfs install --local >/dev/null && git lfs pull --include {shlex.quote(include)}")
        if include != "*":
            on(f"docker image inspect {image['tag']} >/dev/null 2>&1 || docker load -q -i {folder}/{include}")


def run(on: Callable[[str], str], tag: str) -> None:
    """The guide's `docker run`."""
    text = _lines("docker_run.sh").replace('image_id=""', f'image_id="$(docker image inspect -f "{{{{.Id}}}}" {tag})"')
    on(text)


def serve(on: Callable[[str], str], weights: str) -> None:
    """The guide's `vllm serve`, typed in the container; its output goes to a file there."""
    text = _lines("vllm_serve.sh").replace('weight_path=""', f'weight_path="{weights}"')
    script = f"{ENVIRONMENT}\n{text.rstrip()} > /tmp/vllm.log 2>&1\n"
    on(f"docker exec -d {NAME} bash -c {shlex.quote(script)}")


def wait_until_ready(on: Callable[[str], str], port: int = 8010, seconds: int = 120) -> None:
    """Until its /health answers."""
    on(
        f"timeout {seconds} sh -c 'until curl -fs -o /dev/null http://127.0.0.1:{port}/health; do sleep 0.3; done' "
        f"|| {{ docker exec {NAME} tail -n 40 /tmp/vllm.log; exit 1; }}"
    )
