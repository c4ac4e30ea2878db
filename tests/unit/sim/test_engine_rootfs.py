# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in's image holds lies where the real image has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BUILDER = Path(__file__).resolve().parents[2] / "sim" / "engine" / "build_rootfs.py"
SITE = "usr/local/lib/python3.11/dist-packages"


def build(root: Path, *more: str) -> dict[str, object]:
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    if not (root / "usr/bin/python3").is_symlink():
        (root / "usr/bin/python3").symlink_to("python3.11")
    done = subprocess.run([sys.executable, str(BUILDER), str(root), *more], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_cann_lies_at_all_its_places(tmp_path: Path, architecture: str) -> None:
    build(tmp_path, "--architecture", architecture)
    ascend = tmp_path / "usr/local/Ascend"
    for home in ("cann-8.5.0", "cann", "ascend-toolkit/latest"):
        text = (ascend / home / f"{architecture}-linux/ascend_toolkit_install.info").read_text()
        assert "version=8.5.0\n" in text
        assert f"arch={architecture}\n" in text
    assert "ASCEND_TOOLKIT_HOME=" in (ascend / "cann-8.5.0/set_env.sh").read_text()


def found_versions(root: Path) -> dict[str, str]:
    program = (
        "import importlib.metadata as m, json, sys; "
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions(path=[sys.argv[1]])}))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(root / SITE)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_components_have_the_pinned_versions(tmp_path: Path) -> None:
    build(tmp_path)
    assert found_versions(tmp_path) == {
        "torch": "2.9.0+cpu",
        "torchvision": "0.24.0",
        "torch_npu": "2.9.0",
        "transformers": "5.2.0.dev0",
        "vllm": "0.16.0rc2.dev55+g65bb4942b.empty",
        "vllm_ascend": "0.14.0rc2.dev119+g52aa9c006",
    }


def test_another_release_is_built_over_the_first(tmp_path: Path) -> None:
    build(tmp_path)
    build(tmp_path, "--component", "vllm=0.17.0", "--component", "vllm_ascend=0.17.0rc1")
    versions = found_versions(tmp_path)
    assert (versions["vllm"], versions["vllm_ascend"], versions["torch"]) == ("0.17.0", "0.17.0rc1", "2.9.0+cpu")
    vllm = tmp_path / "usr/local/lib/ascend-sim-engine/vllm"
    done = subprocess.run([sys.executable, str(vllm), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "0.17.0\n"


@pytest.mark.parametrize(("generation", "word"), [("a2", "'A2'"), ("a3", "'A3'")])
def test_the_generation_is_baked_in(tmp_path: Path, generation: str, word: str) -> None:
    build(tmp_path, "--generation", generation)
    text = (tmp_path / "vllm-workspace/vllm-ascend/vllm_ascend/_build_info.py").read_text()
    assert f"__device_type__ = {word}\n" in text


def test_the_trap_of_the_working_directory(tmp_path: Path) -> None:
    """From /vllm-workspace the source tree hides the package; from elsewhere it is found."""
    build(tmp_path)
    finder = (tmp_path / SITE / "_ascend_sim_editable.py").read_text()
    assert "'vllm': '/vllm-workspace/vllm'" in finder
    (tmp_path / SITE / "_ascend_sim_editable.py").write_text(
        finder.replace("/vllm-workspace", str(tmp_path / "vllm-workspace"))
    )
    program = f"import sys; sys.path.append({str(tmp_path / SITE)!r}); import _ascend_sim_editable as e; e.install(); "
    program += "import vllm.benchmarks.serve"

    def run(cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False)

    trapped = run(tmp_path / "vllm-workspace")
    assert trapped.returncode == 1
    assert "No module named 'vllm.benchmarks" in trapped.stderr
    assert run(tmp_path).returncode == 0


def test_the_image_s_configuration(tmp_path: Path) -> None:
    config = build(tmp_path)
    assert config["WorkingDir"] == "/vllm-workspace"
    assert "set_env.sh" in str(config["Entrypoint"])
    printed = subprocess.run(
        [sys.executable, str(BUILDER), "--print-config"], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == config
