# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated silicon prints what the real tools print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tests" / "sim" / "silicon" / "ascend_sim.py"
CAPTURES = ROOT / "tests" / "unit" / "fixtures" / "sim"
sys.path.insert(0, str(PROGRAM.parent))

from sim_commands import main_ascend_sim
from sim_tools import TOOLS

NAMES = sorted(path.stem for path in CAPTURES.glob("*.json"))


class Host:
    """A host below a folder; /proc is empty unless the test wants the real one."""

    def __init__(self, root: Path, proc: str | None = None) -> None:
        self.root = root
        (root / "proc").mkdir()
        (root / "bin").mkdir()
        for name in ("npu-smi", "lspci", "ascend-sim", "hccn_tool"):
            (root / "bin" / name).symlink_to(PROGRAM)
        self.env = {
            **os.environ,
            "ASCEND_SIM_ROOT": str(root),
            "ASCEND_SIM_PROC": proc or str(root / "proc"),
        }

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """The tool, called in this process."""
        tool = TOOLS.get(argv[0], main_ascend_sim)
        stdout, stderr = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ASCEND_SIM_ROOT", self.env["ASCEND_SIM_ROOT"])
            patch.setenv("ASCEND_SIM_PROC", self.env["ASCEND_SIM_PROC"])
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                status = tool(list(argv[1:]))
        return subprocess.CompletedProcess(argv, status, stdout.getvalue(), stderr.getvalue())

    def start(self, *argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """The tool as a program, called by its name."""
        return subprocess.run(
            [sys.executable, str(self.root / "bin" / argv[0]), *argv[1:]],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def sim(self, *argv: str) -> str:
        done = self.run("ascend-sim", *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def npu_smi(self, *argv: str) -> str:
        done = self.run("npu-smi", *argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def a2(host: Host) -> Host:
    host.sim("install", "--generation", "a2")
    return host


@pytest.fixture
def a3(host: Host) -> Host:
    host.sim("install", "--generation", "a3")
    return host


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_host_is_reproduced_byte_for_byte(host: Host, name: str) -> None:
    host.sim("install", "--capture", str(CAPTURES / f"{name}.json"))
    assert host.npu_smi("info").encode() == (CAPTURES / f"{name}.txt").read_bytes()


def test_the_program_goes_by_its_name(a2: Host) -> None:
    assert a2.start("npu-smi", "-v").stdout == "npu-smi version: 25.2.0\n"
    a2.sim("break", "dcmi-8020")
    assert a2.start("npu-smi", "info").returncode == 172
    installed = subprocess.run(
        [str(a2.root / "usr/local/sbin/npu-smi"), "info"], env=a2.env, capture_output=True, text=True, check=False
    )
    assert installed.returncode == 172
    assert "ret is -8020" in installed.stdout


def test_the_table_is_rendered_from_values(host: Host, tmp_path: Path) -> None:
    """Another value in the configuration gives another text in that place alone."""
    values = json.loads((CAPTURES / "910b3-x8-25.2.0-1proc.json").read_text())
    values["chips"][2]["temperature"] = 77
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(values))
    host.sim("install", "--capture", str(changed))
    expected = (CAPTURES / "910b3-x8-25.2.0-1proc.txt").read_text().split("\n")
    found = host.npu_smi("info").split("\n")
    different = [(old, new) for old, new in zip(expected, found) if old != new]
    assert len(different) == 1
    assert "77" in different[0][1]


def test_captures_of_every_layout_are_there() -> None:
    layouts = {json.loads((CAPTURES / f"{name}.json").read_text())["layout"] for name in NAMES}
    assert layouts == {"91", "96", "104", "114"}


# ------------------------------------------------------------------------------------------------- sub-commands


def test_lists_start_with_a_tab(a2: Host) -> None:
    lines = a2.npu_smi("info", "-l").split("\n")
    assert lines[0] == "\tTotal Count                    : 8"
    assert lines[1] == ""
    assert lines[2:4] == ["\tNPU ID                         : 0", "\tChip Count                     : 1"]


def test_mapping_of_two_dies_has_a_phy_id(a3: Host) -> None:
    lines = a3.npu_smi("info", "-m").splitlines()
    assert lines[0].split("  ")[0] == "\tNPU ID"
    assert [line.split() for line in lines[1:4]] == [
        ["0", "0", "0", "0", "Ascend910"],
        ["0", "1", "1", "1", "Ascend910"],
        ["0", "2", "-", "-", "Mcu"],
    ]
    assert len(lines) == 1 + 8 * 3


def test_chip_id_opens_a_block_of_common_and_closes_one_of_usages(a3: Host) -> None:
    common = a3.npu_smi("info", "-t", "common", "-i", "1").split("\n\n")
    usages = a3.npu_smi("info", "-t", "usages", "-i", "1").split("\n\n")
    assert all(block.startswith("\tChip ID") for block in common[1:3])
    assert common[3].startswith("\tChip Name                      : mcu")
    assert all("\tChip ID" in block.rstrip("\n").split("\n")[-1] for block in usages[1:])


@pytest.mark.parametrize("kind", ["board", "common", "usages", "health", "memory", "temp", "power", "proc-mem"])
def test_key_value_lines(a2: Host, kind: str) -> None:
    for line in a2.npu_smi("info", "-t", kind, "-i", "3").splitlines():
        assert line == "" or line.startswith("\t")
        if line:
            assert line[31:34] == " : "


def test_errors_of_memory_are_printed_as_a_real_tool_prints_them(a2: Host) -> None:
    real = (CAPTURES.parent / "npu_smi" / "sub" / "ecc-i1-910.txt").read_text()
    assert sorted(a2.npu_smi("info", "-t", "ecc", "-i", "1").splitlines()) == sorted(real.splitlines())


def test_health_of_one_chip(a2: Host) -> None:
    a2.sim("break", "alarm", "2")
    text = a2.npu_smi("info", "-t", "health", "-i", "2", "-c", "0")
    assert text.splitlines()[0] == "\tHealth Status                  : Alarm"
    assert "80E3A203" in text


def test_topology(a2: Host) -> None:
    lines = a2.npu_smi("info", "-t", "topo").splitlines()
    assert lines[0].split() == [f"NPU{n}" for n in range(8)] + ["CPU", "Affinity"]
    assert lines[1].split() == ["NPU0", "X"] + ["HCCS"] * 7 + ["144-167"]
    assert "Legend:" in lines


def test_pci_functions(a2: Host) -> None:
    lines = a2.run("lspci", "-D", "-n", "-d", "19e5:").stdout.splitlines()
    assert lines[0] == "0000:01:00.0 1200: 19e5:d802 (rev 20)"
    assert len(lines) == 8
    named = a2.run("lspci").stdout.splitlines()
    assert named[0] == "01:00.0 Processing accelerators: Huawei Technologies Co., Ltd. Device d802 (rev 20)"
    assert a2.run("lspci", "-D", "-n", "-d", "10de:").stdout == ""


def test_pci_functions_of_two_dies(a3: Host) -> None:
    lines = a3.run("lspci", "-D", "-n", "-d", "19e5:").stdout.splitlines()
    assert len(lines) == 16
    assert all(" 1200: 19e5:d803 " in line for line in lines)


def test_addresses_of_the_cards(a2: Host) -> None:
    conf = (a2.root / "etc" / "hccn.conf").read_text()
    address = a2.run("hccn_tool", "-i", "3", "-ip", "-g").stdout.splitlines()[0].partition(":")[2]
    assert f"address_3={address}\n" in conf
    assert a2.run("hccn_tool", "-i", "3", "-link", "-g").stdout == "link status: UP\n"


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("fault", "status", "stdout", "stderr"),
    [
        ("dcmi-8005", 187, "dcmi module initialize failed. ret is -8005\n", ""),
        (
            "dcmi-8020",
            172,
            "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n"
            "dcmi model initialized failed, because the device is used. ret is -8020\n",
            "",
        ),
        (
            "board-9005",
            211,
            "DrvMngGetConsoleLogLevel failed. (ret=4)\nnpu get board type failed. ret is -9005\n",
            "",
        ),
        (
            "missing-library",
            127,
            "",
            "npu-smi: error while loading shared libraries: libdrvdsmi_host.so: "
            "cannot open shared object file: No such file or directory\n",
        ),
        ("reboot-pending", 187, "dcmi module initialize failed. ret is -8005\n", ""),
    ],
)
def test_errors_in_the_tool_s_own_words(a2: Host, fault: str, status: int, stdout: str, stderr: str) -> None:
    before = a2.npu_smi("info")
    a2.sim("break", fault)
    done = a2.run("npu-smi", "info")
    assert (done.returncode, done.stdout, done.stderr) == (status, stdout, stderr)
    a2.sim("mend", fault)
    assert a2.npu_smi("info") == before


def test_a_card_that_is_not_there(a2: Host) -> None:
    done = a2.run("npu-smi", "info", "-t", "board", "-i", "99")
    assert done.returncode != 0
    assert done.stdout.startswith("Invalid card id.\nError parameter of -i\nUsage: npu-smi info <watch|proc|-h")


def test_a_truncated_table_ends_in_the_middle(a2: Host) -> None:
    whole = a2.npu_smi("info")
    a2.sim("break", "truncated")
    cut = a2.npu_smi("info")
    assert whole.startswith(cut)
    assert len(cut) < len(whole)
    assert not cut.endswith("+\n")


def test_a_hung_tool_never_answers(a2: Host) -> None:
    a2.sim("break", "hung")
    with pytest.raises(subprocess.TimeoutExpired):
        a2.start("npu-smi", "info", timeout=1)


def test_a_lost_card_is_still_on_the_bus(a3: Host) -> None:
    a3.sim("break", "card-lost", "5")
    assert "0000:A4:00.0" not in a3.npu_smi("info")
    assert a3.npu_smi("info", "-l").splitlines()[0].endswith(": 7")
    assert len(a3.run("lspci", "-D", "-n", "-d", "19e5:").stdout.splitlines()) == 16


@pytest.mark.parametrize("word", ["Warning", "Alarm", "Critical"])
def test_health_words(a2: Host, word: str) -> None:
    a2.sim("break", word.lower(), "6")
    rows = [line for line in a2.npu_smi("info").splitlines() if line.startswith("| 6     910B3")]
    assert len(rows) == 1
    assert rows[0].split("|")[2].strip() == word


def test_an_incomplete_driver_package_is_warned_of_in_the_last_line(a2: Host) -> None:
    a2.sim("break", "driver-incomplete")
    assert a2.npu_smi("info").splitlines()[-1].startswith("[WARNING]The driver package may not be completely installed")


def test_every_fault_is_mended_and_breaking_twice_is_breaking_once(a2: Host) -> None:
    def files() -> dict[str, str]:
        return {
            str(path.relative_to(a2.root)): path.read_text(errors="replace")
            for folder in ("etc", "usr")
            for path in sorted((a2.root / folder).rglob("*"))
            if path.is_file() and not path.name.startswith(".ascend-sim")
        }

    before, table = files(), a2.npu_smi("info")
    nodes = sorted(path.name for path in (a2.root / "dev").iterdir())
    known = [line.split()[0] for line in a2.sim("faults", "--known").splitlines()]
    need_a_real_host = {"card-held", "process-held", "docker-down", "disk-full", "port-taken"}
    for name in sorted(set(known) - need_a_real_host):
        a2.sim("break", name)
        a2.sim("break", name)
        assert a2.sim("faults").split()[0] == name
        a2.sim("mend")
        assert a2.sim("faults") == ""
        assert files() == before, name
        assert a2.npu_smi("info") == table, name
        assert sorted(path.name for path in (a2.root / "dev").iterdir()) == nodes, name


def test_boot_makes_the_nodes_again_and_loads_the_installed_driver(a2: Host) -> None:
    for path in (a2.root / "dev").iterdir():
        path.unlink()
    info = a2.root / "usr/local/Ascend/driver/version.info"
    info.write_text(info.read_text().replace("25.2.0", "25.5.0"))
    assert a2.run("npu-smi", "info").returncode == 187
    a2.sim("boot")
    assert "npu-smi 25.5.0" in a2.npu_smi("info")
    names = {path.name for path in (a2.root / "dev").iterdir()}
    assert names == {f"davinci{n}" for n in range(8)} | {"davinci_manager", "devmm_svm", "hisi_hdc"}


def test_a_late_driver_comes_up_after_docker(a2: Host) -> None:
    a2.sim("break", "late-driver", "0.1")
    assert "davinci0" in {path.name for path in (a2.root / "dev").iterdir()}
    for path in (a2.root / "dev").iterdir():
        path.unlink()
    a2.sim("boot")
    assert a2.run("npu-smi", "info").returncode == 187
    assert list((a2.root / "dev").iterdir()) == []
    (a2.root / "run").mkdir()
    (a2.root / "run" / "docker.sock").touch()
    deadline = time.monotonic() + 20
    while a2.run("npu-smi", "info").returncode and time.monotonic() < deadline:
        time.sleep(0.05)
    assert a2.run("npu-smi", "info").returncode == 0
    assert (a2.root / "dev/davinci7").exists()


def test_a_broken_node_stays_away_over_a_boot(a2: Host) -> None:
    a2.sim("break", "device-node", "7")
    a2.sim("boot")
    assert not (a2.root / "dev/davinci7").exists()
    a2.sim("mend", "device-node")
    assert (a2.root / "dev/davinci7").exists()


def test_version_files_as_on_a_host(a2: Host) -> None:
    driver = (a2.root / "usr/local/Ascend/driver/version.info").read_text()
    firmware = (a2.root / "usr/local/Ascend/firmware/version.info").read_text()
    assert driver.startswith("Version=25.2.0\n")
    assert driver.endswith("package_version=25.2.0\n")
    assert "compatible_version_fw=[7.0.0,7.8.99]\n" in driver
    assert firmware.startswith("Version=7.8.0.7.220\n")
    assert "package_version=25.2.0\n" in firmware
    assert "Driver_Install_Status=complete\n" in (a2.root / "etc/ascend_install.info").read_text()


# ---------------------------------------------------------------------------------------------------- live holders


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Host, subprocess.Popen[bytes]]]:
    """A host whose /proc shows one holder of card 4 and nothing else."""
    host = Host(tmp_path)
    host.sim("install", "--generation", "a2")
    holder = subprocess.Popen(
        [sys.executable, str(PROGRAM), "hold", "4", "18429", "--name", "a-very-long-process-name"], env=host.env
    )
    link = tmp_path / "proc" / str(holder.pid)
    link.symlink_to(f"/proc/{holder.pid}")
    deadline = time.monotonic() + 10
    while "18429" not in host.npu_smi("info") and time.monotonic() < deadline:
        time.sleep(0.05)
    yield host, holder
    holder.send_signal(signal.SIGKILL)
    holder.wait()


def test_a_holder_is_shown_for_as_long_as_it_lives(held: tuple[Host, subprocess.Popen[bytes]]) -> None:
    host, holder = held
    text = host.npu_smi("info")
    row = f"| 4       0                 | {holder.pid:<13} | a-very-long-pro          | 18429                   |"
    assert row in text
    assert f"{3402 + 18429}/ 65536" in text
    assert "No running processes found in NPU 4" not in text
    holder.kill()
    holder.wait()
    assert "No running processes found in NPU 4" in host.npu_smi("info")


def test_in_a_container_the_nodes_and_mounts_decide(a2: Host) -> None:
    """Without the host's state file the tool sees what docker passes in: nodes and the driver's folders."""
    (a2.root / "var/lib/ascend-sim/state.json").unlink()
    for n in range(4):
        (a2.root / f"dev/davinci{n}").unlink()
    assert a2.npu_smi("info", "-l").splitlines()[0].endswith(": 4")
    (a2.root / "dev/davinci_manager").unlink()
    assert a2.run("npu-smi", "info").returncode == 187
    (a2.root / "usr/local/dcmi/libdcmi.so").unlink()
    done = a2.run("npu-smi", "info")
    assert done.returncode == 127
    assert "libdcmi.so" in done.stderr


# ------------------------------------------------------------------------------- packages of driver and firmware


@pytest.fixture
def package(tmp_path: Path) -> Path:
    out = tmp_path / "driver.run"
    builder = PROGRAM.parent / "build_package.py"
    subprocess.run([sys.executable, str(builder), "driver", "25.5.0", str(out)], check=True)
    return out


def installer(package: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(package), *argv], capture_output=True, text=True, check=False, timeout=20)


def test_a_package_knows_its_version_and_checks_itself(package: Path) -> None:
    assert installer(package, "--version").stdout == "25.5.0\n"
    assert installer(package, "--check").returncode == 0
    assert installer(package, "--bogus").returncode == 1
    assert installer(package).stdout.startswith("Usage: ")


def test_a_damaged_package_is_refused(package: Path) -> None:
    package.write_bytes(package.read_bytes()[:-20])
    done = installer(package, "--check")
    assert done.returncode == 1
    assert "damaged" in done.stdout


def build(folder: Path, *argv: str) -> Path:
    builder = PROGRAM.parent / "build_package.py"
    done = subprocess.run(
        [sys.executable, str(builder), *argv, str(folder)], check=True, capture_output=True, text=True
    )
    return Path(done.stdout.strip())


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("driver", "25.5.0"), "Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run"),
        (("driver", "25.5.0", "--architecture", "x86_64"), "Ascend-hdk-910b-npu-driver_25.5.0_linux-x86_64.run"),
        (("firmware", "25.5.0", "--generation", "a3"), "Atlas-A3-hdk-npu-firmware_7.8.0.5.201.run"),
        (("driver", "25.5.0", "--generation", "a9"), "Ascend-hdk-310p-npu-driver_25.5.0_linux-aarch64.run"),
    ],
)
def test_packages_bear_the_vendors_names(tmp_path: Path, argv: tuple[str, ...], name: str) -> None:
    found = build(tmp_path, argv[0], argv[1], *argv[2:])
    assert found.name == name
    assert installer(found, "--check").returncode == 0


def test_a_corrupt_package_is_refused_by_itself(tmp_path: Path) -> None:
    assert installer(build(tmp_path, "driver", "25.5.0", "--fault", "corrupt"), "--check").returncode == 1


def test_the_same_package_is_the_same_file(tmp_path: Path) -> None:
    first = build(tmp_path, "driver", "25.5.0").read_bytes()
    assert build(tmp_path, "driver", "25.5.0").read_bytes() == first


INSTALLED = "/usr/local/Ascend/firmware"


def test_what_needs_a_second_boot_runs_after_it(a2: Host) -> None:
    info = a2.root / INSTALLED.lstrip("/") / "version.info"
    before = info.read_text()
    info.write_text(before.replace("Version=7.8.0.7.220", "Version=7.8.0.5.201"))
    (info.parent / ".ascend-sim-boots-without").write_text("1\n")

    def runs() -> str:
        return a2.npu_smi("info", "-t", "board", "-i", "0")

    a2.run("ascend-sim", "boot")
    assert "7.8.0.7.220" in runs()
    a2.run("ascend-sim", "boot")
    assert "7.8.0.5.201" in runs()
    # One that never runs.
    info.write_text(before)
    (info.parent / ".ascend-sim-boots-without").write_text("1000000\n")
    for _boot in range(3):
        a2.run("ascend-sim", "boot")
        assert "7.8.0.5.201" in runs()
