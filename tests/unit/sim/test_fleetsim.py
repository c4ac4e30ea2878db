# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated fleet's pure parts: specifications, addresses, inventory, archives, origin content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
import yaml

SIM = Path(__file__).resolve().parents[2] / "sim"
sys.path.insert(0, str(SIM))

from fleetsim import cli, images, inventory, machine, origin, spec
from fleetsim.shell import FleetError, end_children, lock, read_json, run, wait_for, write_atomic
from fleetsim.spec import HostSpec

# ---------------------------------------------------------------- hosts


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


# ---------------------------------------------------------------- network


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


def test_hosts_keep_their_addresses_when_others_come_and_go() -> None:
    first = spec.place("172.30.0.0/24", ["a", "b"], {})
    assert first == {"a": "172.30.0.11", "b": "172.30.0.12"}
    second = spec.place("172.30.0.0/24", ["b", "c", "d"], first)
    assert second == {"b": "172.30.0.12", "c": "172.30.0.11", "d": "172.30.0.13"}
    assert spec.Placement("172.30.0.0/24").origin == "172.30.0.2"


def test_a_network_has_an_end() -> None:
    with pytest.raises(FleetError, match="more hosts than"):
        spec.place("172.30.0.0/24", ["h%d" % number for number in range(260)], {})


# ---------------------------------------------------------------- containers

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


# ---------------------------------------------------------------- inventory


def test_the_inventory_says_how_to_reach_every_host() -> None:
    hosts = spec.parse_hosts(["a2-1", "a3-1", "gw:groups=gateways", "a2-2:groups=canary"], "x86_64")
    addresses = spec.place("172.30.0.0/24", [host.name for host in hosts], {})
    text = inventory.render("demo", hosts, addresses, Path("/checkout with space/.sim/demo"), "http://172.30.0.2:8080")
    data = yaml.safe_load(text)["all"]
    assert data["vars"]["ansible_connection"] == "ssh"
    assert data["vars"]["artifact_origin"] == "http://172.30.0.2:8080"
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
    assert "artifact_origin" not in data["all"]["vars"]
    assert data["all"]["children"]["npu_hosts"]["children"]["atlas_a3"]["hosts"] == {}


# ---------------------------------------------------------------- machine

TARGETS = """\
http://mirror.example/debian/|bookworm|main|Debian
http://mirror.example/debian/|bookworm-updates|main|Debian
http://mirror.example/debian-security/|bookworm-security|main|Debian
https://other.example/repo|nodistro|main|Node Source
http://mirror.example/debian|bookworm|contrib|Debian
"""


def test_the_mirror_is_this_machines_own_and_only_the_distributions() -> None:
    main, lines = machine.parse_targets(TARGETS, "bookworm")
    assert main == "http://mirror.example/debian"
    assert lines == (
        "deb http://mirror.example/debian bookworm main contrib",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security bookworm-security main",
    )
    other = machine.Mirror("bookworm", None, main, lines).sources_for("trixie")
    assert other.splitlines()[2] == "deb http://mirror.example/debian-security trixie-security main"
    assert machine.parse_targets("", "bookworm") == ("", ())


def test_missing_packages_are_found_by_their_files() -> None:
    assert machine.missing_packages(lambda path: True) == []
    assert machine.missing_packages(lambda path: "dockerd" not in path) == ["docker.io"]
    assert machine.missing_packages(lambda path: path != "/usr/bin/dockerd") == []  # the other place will do


RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o br-0123456789ab -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 172.30.0.0/24 ! -o br-0123456789ab -j MASQUERADE
COMMIT
"""


def test_dockers_firewall_rules_are_told_from_the_machines() -> None:
    assert machine.foreign_rules(RULES) == ["-A INPUT -p tcp --dport 22 -j ACCEPT"]
    assert machine.foreign_rules("") == []
    assert machine.flushed(RULES).splitlines() == [
        "*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", "COMMIT",
        "*nat", ":POSTROUTING ACCEPT [0:0]", "COMMIT",
    ]  # fmt: skip


def test_a_process_is_known_by_pid_and_start() -> None:
    assert machine.process_start(os.getpid()) == machine.process_start(os.getpid())
    child = subprocess.Popen(["true"])
    wait_for("the child is a zombie or gone", lambda: machine.process_start(child.pid) is None, 10)
    child.wait()
    assert machine.process_start(2**22 + 1) is None


def test_side_by_side_jobs_all_end_before_the_error_is_raised() -> None:
    ended: list[str] = []

    def fails() -> None:
        raise FleetError("the first job failed", "do this")

    with pytest.raises(FleetError, match="the first job failed"):
        machine.parallel([("one", fails), ("two", lambda: ended.append("two"))])
    assert ended == ["two"]


# ---------------------------------------------------------------- origin


def test_a_pointer_is_one_by_the_specification() -> None:
    assert origin.pointer("ab" * 32, 12) == (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12\n"
    )


def test_shards_are_true_safetensors_and_the_index_points_into_them() -> None:
    files, index_text = origin.model_shards(count=3, rows=4, columns=8)
    index = json.loads(index_text)
    assert sorted(files) == ["model-0000%d-of-00003.safetensors" % number for number in (1, 2, 3)]
    assert set(index["weight_map"].values()) == set(files)
    total = 0
    for tensor, name in index["weight_map"].items():
        data = files[name]
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        start, end = header[tensor]["data_offsets"]
        assert header[tensor]["dtype"] == "BF16"
        assert end - start == 4 * 8 * 2
        assert 8 + length + end <= len(data)
        total += end - start
    assert total == index["metadata"]["total_size"]
    assert origin.model_shards(count=3, rows=4, columns=8)[0] == files  # the same every time


def test_the_weights_nobody_may_fetch_are_hundreds_of_gigabytes() -> None:
    absent = origin.absent_weights()
    assert len(absent) == 93
    assert sum(size for _oid, size in absent.values()) > 300e9
    assert all(re.fullmatch("[0-9a-f]{64}", oid) for oid, _size in absent.values())


def test_a_repository_of_the_origin_is_a_real_one(tmp_path: Path) -> None:
    store = origin.Store(tmp_path / "origin")
    source = tmp_path / "thing.tar"
    source.write_bytes(b"x" * 5000)
    first = store.add("Some-Org/thing", "folder/ein Bild.tar", source)
    assert first["oid"] == hashlib.sha256(b"x" * 5000).hexdigest()
    assert (tmp_path / "origin/lfs/Some-Org/thing" / str(first["oid"])).read_bytes() == source.read_bytes()
    plain = tmp_path / "notes.txt"
    plain.write_text("notes\n")
    second = store.add("/Some-Org/thing.git", "notes.txt", plain, plain=True)
    third = store.add("Some-Org/thing", "weights.pt", source)
    assert len({first["commit"], second["commit"], third["commit"]}) == 3
    assert store.show("Some-Org/thing", "folder/ein Bild.tar") == origin.pointer(str(first["oid"]), 5000)
    assert store.show("Some-Org/thing", "notes.txt") == b"notes\n"
    lines = store.show("Some-Org/thing", ".gitattributes").decode().splitlines()
    assert lines.count("weights.pt filter=lfs diff=lfs merge=lfs -text") == 1
    checkout = tmp_path / "clone"
    environment = {"GIT_LFS_SKIP_SMUDGE": "1"}
    run(["git", "clone", "-q", store.bare("Some-Org/thing"), checkout], env=environment)
    attribute = run(["git", "-C", checkout, "check-attr", "filter", "weights.pt", "folder/ein Bild.tar", "notes.txt"])
    assert attribute.stdout.decode().splitlines() == [
        "weights.pt: filter: lfs", "folder/ein Bild.tar: filter: lfs", "notes.txt: filter: unspecified",
    ]  # fmt: skip


@pytest.mark.parametrize("repository", ["thing", "../x/y z", "a//b", ""])
def test_only_owner_and_name_make_a_repository(tmp_path: Path, repository: str) -> None:
    source = tmp_path / "file"
    source.write_text("x")
    with pytest.raises(FleetError, match="is no OWNER/REPOSITORY"):
        origin.Store(tmp_path / "origin").add(repository, "file", source)


def test_the_guides_repositories_hold_what_the_guide_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "DUMMY_WEIGHT_BYTES", 4096)
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"archive")
    oid = hashlib.sha256(b"archive").hexdigest()
    store = origin.Store(tmp_path / "origin")
    dummy = origin.dummy_weight(tmp_path / "dummy.safetensors")
    for _round in range(2):  # made again, it is the same
        origin.fill(store, {origin.image_path("a2"): (archive, oid)}, dummy, images.FILES / "model")
        heads = {name: store.head(name) for name in (origin.IMAGE_REPOSITORY, origin.MODEL_REPOSITORY)}
    origin.fill(store, {origin.image_path("a2"): (archive, oid)}, dummy, images.FILES / "model")
    assert heads == {name: store.head(name) for name in heads}
    path = "vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar"
    assert store.show("Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp", path) == origin.pointer(oid, 7)
    assert json.loads(store.show("Qwen-AI/Qwen3.5-27B", "config.json"))["model_type"] == "qwen3_5"
    assert store.show("Qwen-AI/Qwen3.5-27B", "model-00004-of-00004.safetensors").startswith(b"version https://git-lfs")


# ---------------------------------------------------------------- archives


def test_an_archive_of_another_architecture_is_one_docker_can_load(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("engine\n")
    target = tmp_path / "image.tar"
    config = {"Entrypoint": ["/entrypoint.sh"], "WorkingDir": "/vllm-workspace"}
    images.write_archive(tree, "vllm-ascend:test", config, "aarch64", target, tmp_path / "log")
    run(["tar", "-xf", target, "-C", tmp_path])
    with tarfile.open(target) as archive:
        read = {name: (tmp_path / name).read_bytes() for name in archive.getnames()}
    manifest = json.loads(read["manifest.json"])[0]
    assert manifest["RepoTags"] == ["vllm-ascend:test"]
    document = json.loads(read[manifest["Config"]])
    assert document["architecture"] == "arm64"
    assert document["config"]["WorkingDir"] == "/vllm-workspace"
    layer = read[manifest["Layers"][0]]
    assert document["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert images.image_id(target) == "sha256:" + manifest["Config"].removesuffix(".json")
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert "./etc/hostname" in inner.getnames()


def test_an_image_configuration_as_changes_of_docker_import() -> None:
    config = {
        "Env": ["PATH=/usr/bin:/bin", "NAME=a value"], "WorkingDir": "/vllm-workspace",
        "Entrypoint": ["/e.sh"], "Cmd": ["bash", "-l"], "Labels": {"k": "v"},
    }  # fmt: skip
    assert images.docker_changes(config) == [
        'ENV PATH="/usr/bin:/bin"', 'ENV NAME="a value"', 'LABEL "k"="v"', "WORKDIR /vllm-workspace",
        'ENTRYPOINT ["/e.sh"]', 'CMD ["bash", "-l"]',
    ]  # fmt: skip


# ---------------------------------------------------------------- small things


def test_a_tree_has_the_hash_of_what_counts(tmp_path: Path) -> None:
    (tmp_path / "tree/__pycache__").mkdir(parents=True)
    program = tmp_path / "tree/program"
    program.write_text("one")
    before = spec.tree_hash(tmp_path / "tree")
    (tmp_path / "tree/__pycache__/x.pyc").write_text("compiled")
    (tmp_path / "tree/.mypy_cache").mkdir()
    (tmp_path / "tree/.mypy_cache/x").write_text("cache")
    assert spec.tree_hash(tmp_path / "tree") == before
    program.chmod(0o755)
    executable = spec.tree_hash(tmp_path / "tree")
    program.write_text("two")
    assert len({before, executable, spec.tree_hash(tmp_path / "tree")}) == 3
    assert spec.content_hash(["ab", "c"]) != spec.content_hash(["a", "bc"])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, "one", 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one", 0o600)

    def no_space(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "two")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_broken_state_is_no_state(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert read_json(path) == {}
    assert read_json(tmp_path / "absent.json") == {}


def test_a_failed_command_is_quoted_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"exit status 3: sh -c 'echo last words >&2; exit 3'\n  last words") as caught:
        run(["sh", "-c", "echo last words >&2; exit 3"], fix="do that")
    assert caught.value.fix == "do that"
    with pytest.raises(FleetError, match=r"(?s)exit status 1: .*the whole log: .*/log/MainThread.log"):
        run(["false"], log=tmp_path / "log")
    with pytest.raises(FleetError, match="no end after"):
        run(["sleep", "5"], timeout=0.1)
    with pytest.raises(FleetError, match="no-such-program is missing"):
        run(["no-such-program"])


def test_what_runs_in_another_thread_ends_with_us(tmp_path: Path) -> None:
    started = tmp_path / "started"
    errors: list[FleetError] = []

    def job() -> None:
        try:
            run(["sh", "-c", "sleep 60 & echo $! >%s; wait" % started])
        except FleetError as error:
            errors.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    wait_for("the job runs", lambda: started.exists() and started.read_text().strip(), 10)
    grandchild = int(started.read_text())
    end_children()
    thread.join(10)
    assert "exit status -9" in str(errors[0])
    wait_for("the grandchild has ended", lambda: machine.process_start(grandchild) is None, 10)


def test_waiting_ends_with_an_error(tmp_path: Path) -> None:
    answers = iter([None, "", "yes"])
    assert wait_for("an answer", lambda: next(answers), 5) == "yes"
    with pytest.raises(FleetError, match="an answer: not so after"):
        wait_for("an answer", lambda: None, 0.1)
    with lock(tmp_path / "lock", "test"):
        pass


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["up"], {"command": "up", "host": [], "name": "demo", "no_origin": False}),
        (["--name", "x", "up", "--host", "a2-1", "--host", "a3-1"], {"host": ["a2-1", "a3-1"], "name": "x"}),
        (["down", "--cache"], {"cache": True}),
        (["break", "a2-1", "alarm", "3"], {"host": "a2-1", "what": "alarm", "argument": "3"}),
        (["mend", "a2-1"], {"host": "a2-1", "what": None}),
        (["exec", "a2-1", "ls", "-l"], {"host": "a2-1", "argv": ["ls", "-l"]}),
    ],
)
def test_the_command_line(argv: list[str], expected: dict[str, object]) -> None:
    options = vars(cli.parser().parse_args(argv))
    assert {key: options[key] for key in expected} == expected


def test_a_bad_fleet_name_is_an_error_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--name", "Not/Good", "status"]) == 1
    said = capsys.readouterr().err
    assert "fleet name 'Not/Good'" in said
    assert "to do:" in said
