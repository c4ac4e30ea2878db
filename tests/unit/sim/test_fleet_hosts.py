# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated host may be, where it lies on the network, its container, and the inventory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))

from fleetsim import images, inventory, spec
from fleetsim.shell import FleetError, run
from fleetsim.spec import HostSpec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a2-1:generation=a2", HostSpec("a2-1", "a2", architecture="x86_64")),
        ("a3-7", HostSpec("a3-7", "a3", architecture="x86_64")),  # the name says it
        (
            "n1:generation=a3,driver=25.5.0,architecture=arm64",
            HostSpec("n1", "a3", driver="25.5.0", architecture="aarch64"),
        ),
        ("gw:groups=gateways+monitors", HostSpec("gw", None, architecture="x86_64", groups=("gateways", "monitors"))),
        ("a2-3:groups=canary", HostSpec("a2-3", "a2", architecture="x86_64", groups=("canary",))),
        ("bare:generation=none", HostSpec("bare", None, architecture="x86_64")),
        ("a2-1:disk=512m,os=trixie", HostSpec("a2-1", "a2", architecture="x86_64", disk="512m", os="trixie")),
    ],
)
def test_a_host_is_described_in_one_word(text: str, expected: HostSpec) -> None:
    assert spec.parse_host(text, "x86_64") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A2:generation=a2", "name 'A2'"),
        ("a2-1:generation=a5", "generation 'a5' is unknown"),
        ("a2-1:color=red", "'color=red' is not understood"),
        ("a2-1:driver", "'driver' is not understood"),
        ("n1:driver=25.2.0", "no generation"),
        ("a2-1:architecture=riscv64", "architecture 'riscv64' is unknown"),
        ("a2-1:disk=much", "disk 'much' is no size"),
        ("gw:groups=Bad-Group", "'Bad-Group' is no inventory group's name"),
        (":generation=a2", "name ''"),
        ("a2-1\n:generation=a2", "name 'a2-1\\n'"),
    ],
)
def test_a_wrong_description_says_what_is_wrong_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(FleetError) as caught:
        spec.parse_host(text, "x86_64")
    assert message in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("texts", [["a2-1", "a2-1:driver=25.5.0"], ["origin:generation=a2"]])
def test_names_are_unique_and_the_origins_is_taken(texts: list[str]) -> None:
    with pytest.raises(FleetError, match="twice or reserved"):
        spec.parse_hosts(texts, "x86_64")


def test_a_description_has_a_fingerprint_of_everything_in_it() -> None:
    one = spec.parse_host("a2-1", "x86_64")
    others = ["a2-1:driver=25.5.0", "a2-1:architecture=aarch64", "a2-1:disk=1g", "a2-2", "a2-1:generation=a3"]
    prints = {one.fingerprint(), *(spec.parse_host(text, "x86_64").fingerprint() for text in others)}
    assert len(prints) == len(others) + 1
    assert one.fingerprint() == spec.parse_host("a2-1:generation=a2", "x86_64").fingerprint()


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], "172.30.0.0/24"),
        (["172.30.0.0/24", "192.0.2.0/24"], "172.30.1.0/24"),
        (["172.30.0.0/16"], "172.29.0.0/24"),
        (["172.30.0.128/25", "default", "", "fd00::/64"], "172.30.1.0/24"),
    ],
)
def test_the_network_is_one_that_is_free(used: list[str], expected: str) -> None:
    assert spec.free_subnet(used) == expected


def test_no_free_network_is_an_error() -> None:
    with pytest.raises(FleetError, match="no private /24 is free"):
        spec.free_subnet(["172.16.0.0/12"])


def test_the_network_of_before_is_taken_again_where_nobody_has_it() -> None:
    assert spec.free_subnet(["172.30.0.0/24"], "172.29.7.0/24") == "172.29.7.0/24"
    assert spec.free_subnet(["172.29.7.0/24"], "172.29.7.0/24") == "172.30.0.0/24"


def test_hosts_keep_their_addresses_when_others_come_and_go() -> None:
    first = spec.place("172.30.0.0/24", ["a", "b"], {})
    assert first == {"a": "172.30.0.11", "b": "172.30.0.12"}
    second = spec.place("172.30.0.0/24", ["b", "c", "d"], first)
    assert second == {"b": "172.30.0.12", "c": "172.30.0.11", "d": "172.30.0.13"}
    assert spec.Placement("172.30.0.0/24").origin == "172.30.0.2"
    assert spec.Placement("172.30.0.0/24").spare == "172.30.0.252/24"


def test_a_network_has_an_end() -> None:
    with pytest.raises(FleetError, match="more hosts than"):
        spec.place("172.30.0.0/24", ["h%d" % number for number in range(260)], {})


WITH = "CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n"
WITHOUT = WITH.replace("1ffffffffff", "1fffeffffff")


def test_the_capability_is_read_from_the_kernels_sets() -> None:
    assert spec.has_capability(WITH, spec.CAP_SYS_RESOURCE)
    assert not spec.has_capability(WITHOUT, spec.CAP_SYS_RESOURCE)
    assert spec.has_capability(WITHOUT, spec.CAP_SYS_RESOURCE + 1)
    assert not spec.has_capability("", spec.CAP_SYS_RESOURCE)


def test_only_a_machine_without_the_capability_drops_it() -> None:
    assert "SYS_RESOURCE" not in spec.container_options(True)
    words = spec.container_options(False)
    assert words[words.index("--cap-drop") + 1] == "SYS_RESOURCE"
    assert "--privileged" not in words


WRAPPER = images.FILES / "host/usr/local/lib/ascend-sim-host/runc"


@pytest.mark.parametrize(
    ("words", "asks", "expected"),
    [
        (["--root", "/r", "create", "--bundle", "{dir}", "x"], '["CAP_KILL","CAP_SYS_RESOURCE","CAP_CHOWN"]',
         '["CAP_KILL","CAP_CHOWN"]'),
        (["exec", "--process", "{dir}/config.json", "x"], '["CAP_SYS_RESOURCE","CAP_CHOWN"]', '["CAP_CHOWN"]'),
        (["exec", "--process", "{dir}/config.json", "x"], '["CAP_CHOWN","CAP_SYS_RESOURCE"]', '["CAP_CHOWN"]'),
        (["create", "--bundle", "{dir}", "x"], '["CAP_SYS_RESOURCE"]', "[]"),
        (["state", "x"], '["CAP_SYS_RESOURCE"]', '["CAP_SYS_RESOURCE"]'),
    ],
)  # fmt: skip
def test_the_runc_wrapper_takes_one_capability_out(tmp_path: Path, words: list[str], asks: str, expected: str) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"process":{"capabilities":{"bounding":%s,"effective":%s}}}' % (asks, asks))
    real = tmp_path / "runc"
    real.write_text('#!/bin/sh\necho "$@"\n')
    real.chmod(0o755)
    script = tmp_path / "wrapper"
    script.write_text(WRAPPER.read_text().replace("/usr/sbin/runc", str(real)))
    argv = [word.format(dir=tmp_path) for word in words]
    done = subprocess.run(["sh", str(script), *argv], capture_output=True, text=True, check=True)
    assert done.stdout.split() == argv
    assert config.read_text() == '{"process":{"capabilities":{"bounding":%s,"effective":%s}}}' % (expected, expected)


def test_another_architecture_is_what_python_says_on_such_a_host(tmp_path: Path) -> None:
    source = (images.FILES / "host/usr/local/lib/ascend-sim-host/sitecustomize.py").read_text()
    label = tmp_path / "label"
    label.write_text("mips64\n")
    (tmp_path / "sitecustomize.py").write_text(source.replace("/etc/ascend-sim-architecture", str(label)))
    ask = "import os, platform; print(os.uname().machine, platform.machine(), os.uname()[4], os.uname().sysname)"
    argv = [sys.executable, "-c", ask]
    done = subprocess.run(argv, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mips64", "mips64", "mips64", "Linux"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only what root sends is compiled once")
def test_what_ansible_sends_is_compiled_once(tmp_path: Path) -> None:
    source = (images.FILES / "host/usr/local/lib/ascend-sim-host/sitecustomize.py").read_text()
    kept = tmp_path / "kept"
    (tmp_path / "sitecustomize.py").write_text(source.replace("/run/ascend-sim-compiled", str(kept)))

    def ask(archive: str, text: str) -> str:
        with zipfile.ZipFile(tmp_path / archive, "w") as sink:
            sink.writestr("sent.py", text)
        argv = [sys.executable, "-c", "import sent; print(sent.ask())"]
        env = {"PYTHONPATH": "%s:%s" % (tmp_path, tmp_path / archive)}
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.strip()

    text = "def ask():\n    return 'first ' + ask.__code__.co_filename\n"
    assert ask("a.zip", text) == "first %s/a.zip/sent.py" % tmp_path
    first = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert len(first) == 1
    # From another archive: the same code, under its own path. Another text is another code, and so is a broken file.
    assert ask("b.zip", text) == "first %s/b.zip/sent.py" % tmp_path
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == first
    assert ask("a.zip", text.replace("first", "second")).startswith("second ")
    assert len(list(kept.iterdir())) == 2
    next(iter(first)).write_bytes(b"broken")
    assert ask("a.zip", text).startswith("first ")


def test_the_inventory_says_how_to_reach_every_host() -> None:
    hosts = spec.parse_hosts(["a2-1", "a3-1", "gw:groups=gateways", "a2-2:groups=canary"], "x86_64")
    addresses = spec.place("172.30.0.0/24", [host.name for host in hosts], {})
    state, spare = Path("/checkout with space/.sim/demo"), "172.30.0.252/24"
    text = inventory.render("demo", hosts, addresses, state, "http://172.30.0.2:8080", spare)
    data = yaml.safe_load(text)["all"]
    assert data["vars"]["ansible_connection"] == "ssh"
    assert data["vars"]["artifact_origin"] == "http://172.30.0.2:8080"
    assert data["vars"]["sim_spare_address"] == "172.30.0.252/24"
    arguments = shlex.split(data["vars"]["ansible_ssh_common_args"])
    assert "StrictHostKeyChecking=yes" in arguments
    known = run(["ssh", *arguments, "-G", "example.invalid"]).stdout.decode()
    assert "userknownhostsfile /checkout with space/.sim/demo/known_hosts" in known.replace('"', "")
    assert data["vars"]["ansible_ssh_private_key_file"] == "/checkout with space/.sim/demo/id_ed25519"
    npu = data["children"]["npu_hosts"]["children"]
    assert npu["atlas_a2"]["hosts"] == {
        "a2-1": {"ansible_host": "172.30.0.11"},
        "a2-2": {"ansible_host": "172.30.0.14"},
    }
    assert npu["atlas_a3"]["hosts"] == {"a3-1": {"ansible_host": "172.30.0.12"}}
    assert data["children"]["gateways"]["hosts"] == {"gw": {"ansible_host": "172.30.0.13"}}
    assert data["children"]["canary"]["hosts"] == {"a2-2": None}


def test_an_inventory_without_origin_or_a3() -> None:
    hosts = spec.parse_hosts(["a2-1"], "x86_64")
    data = yaml.safe_load(inventory.render("x", hosts, {"a2-1": "10.0.0.1"}, Path("/s"), None))
    assert not {"artifact_origin", "sim_spare_address"} & set(data["all"]["vars"])
    assert data["all"]["children"]["npu_hosts"]["children"]["atlas_a3"]["hosts"] == {}
