# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""npu-smi's own complaints: the error that a reader raises, and what the tool's codes and words mean."""

from __future__ import annotations

import re
from typing import Optional

from .._base.text import is_text, printable
from .hardware import RESET_SCOPE

_CODE = re.compile(r"\bret(?:\s+is|\s*=|\s*:)?\s*(-[0-9]{3,5})\b")


class NpuSmiError(ValueError):
    """npu-smi's output cannot be used.

    message: what is wrong, with the tool's own words or the line in question.
    meaning: what that means, where it is known.
    fix: what to do about it, where it is known.
    code: the tool's own (negative) error code, such as -8005, where there is one.
    kind: ``truncated``, ``no chips``, ``tool`` (the tool's own complaint) or ``layout`` (a table of an unknown form).

    Characters of the message that cannot be printed are escaped. ``str()`` gives message, meaning and fix as one text.
    """

    def __init__(
        self,
        message: str,
        meaning: Optional[str] = None,
        fix: Optional[str] = None,
        code: Optional[int] = None,
        kind: str = "tool",
    ) -> None:
        message = printable(message)
        super().__init__(message, meaning, fix, code, kind)
        self.message = message
        self.meaning = meaning
        self.fix = fix
        self.code = code
        self.kind = kind

    def __str__(self) -> str:
        """Return the message, its meaning and the fix as one text."""
        text = self.message
        for part in (self.meaning, self.fix):
            if part:
                text += ("" if text.endswith((".", "!", "?")) else ".") + " " + part
        return text


# --- what the tool's own complaints mean -----------------------------------------------------------------------------

_HELD_OR_STALE = (
    "The driver does not give npu-smi access to a card: another container holds it, or the driver was upgraded "
    "and the host has not been rebooted since."
)
_HELD_FIX = (
    "Look on the host for containers that were started with the card's /dev/davinciN or with --privileged and "
    "stop them; if there are none, reboot the host. Inside a container, look also whether /usr/local/dcmi and the "
    "driver's lib64 folder are mounted."
)
_CODES: dict[int, tuple[str, str]] = {
    -8005: (_HELD_OR_STALE, _HELD_FIX),
    -8020: (_HELD_OR_STALE, _HELD_FIX),
    -9005: (
        "npu-smi could not read the board type of a card. This happens where only some of the cards, or only some of "
        "the driver's device nodes, are visible, as in a container.",
        "Run npu-smi on the host as root, or give the container /dev/davinci_manager, /dev/devmm_svm and "
        "/dev/hisi_hdc beside its /dev/davinciN.",
    ),
    -8001: ("The driver refused a parameter.", "Check the card and chip numbers against `npu-smi info -m`."),
    -8002: ("npu-smi was not run with sufficient rights.", "Run it as root, or as a member of the driver's group."),
    -8006: (
        "A card did not answer in time.",
        "Look into dmesg; drain and stop every replica of the host, then reset the card or power-cycle the host (%s)."
        % RESET_SCOPE,
    ),
    -8007: ("There is no such card.", "Check the card number against `npu-smi info -l`."),
    -8008: (
        "The driver sees no such device: a card may have dropped off the bus.",
        "Compare `lspci -d 19e5:` with the number of cards built in.",
    ),
    -8012: ("A card is not ready yet.", "Wait until it has started, then ask again."),
    -8013: ("This is not supported inside a container.", "Run npu-smi on the host."),
    -8017: ("A card's firmware is being upgraded.", "Wait until the upgrade has ended, then ask again."),
    -8255: ("This device or driver does not support the question.", "Ask another one, or upgrade the driver."),
}
# The exit status is the code modulo 256.
_STATUS_TO_CODE = {code % 256: code for code in _CODES}

_SAYINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"error while loading shared libraries:\s*(\S+?):", re.I),
        "The dynamic loader does not find a library of the Ascend driver.",
        "Install the driver (its libraries lie in /usr/local/Ascend/driver/lib64), or set LD_LIBRARY_PATH to "
        "/usr/local/Ascend/driver/lib64:/usr/local/Ascend/driver/lib64/common:/usr/local/Ascend/driver/lib64/driver; "
        "in a container, mount that folder and /usr/local/dcmi from the host.",
    ),
    (
        re.compile(r"Is a directory", re.I),
        "A folder stands where the npu-smi program should be: a container was started with a mount of npu-smi from "
        "a host path that did not exist, and Docker created the folder.",
        "Remove the empty folder and install the driver again.",
    ),
    (
        re.compile(r"(?:npu-smi|command).*(?:not found|No such file or directory)|No such file or directory.*npu-smi"),
        "The program npu-smi is not there: the Ascend driver is not installed, or not visible in this container.",
        "Install the driver, or look in /usr/local/sbin and /usr/local/bin; in a container, mount npu-smi.",
    ),
    (
        re.compile(r"Exec format error|cannot execute binary file", re.I),
        "This npu-smi was built for another processor architecture.",
        "Install the driver package for this host's architecture.",
    ),
    (
        re.compile(r"Permission denied|Operation not permitted|must be root|as root|root (?:user|permission)", re.I),
        "npu-smi was not run with sufficient rights.",
        "Run it as root, or as a member of the driver's group (HwHiAiUser).",
    ),
    (
        re.compile(
            r"(?:not support|cannot be executed|occupied).*(?:virtual machine|\bVM\b|container|docker)"
            r"|(?:container|docker|\bVM\b).*(?:not support|cannot be executed)",
            re.I,
        ),
        "npu-smi does not answer this in a virtual machine or a container.",
        "Run it on the physical host.",
    ),
    (
        re.compile(r"There is no NPU card", re.I),
        "The driver does not see a single card.",
        "Compare `lspci -d 19e5:` with the number of cards built in; look into dmesg; install or reload the driver.",
    ),
    (
        re.compile(r"driver package may not be completely installed", re.I),
        "/etc/ascend_install.info does not say `Driver_Install_Status=complete`.",
        "Install the driver again.",
    ),
    (
        re.compile(r"does not support", re.I),
        "This device or driver does not support the question.",
        "Ask another one, or upgrade the driver.",
    ),
    (
        re.compile(r"Invalid card id|Error parameter of -i", re.I),
        "There is no card of that number, or it has dropped off the bus.",
        "Check the number against `npu-smi info -l`; compare `lspci -d 19e5:` with the number of cards built in.",
    ),
    (
        re.compile(r"Error parameter", re.I),
        "This npu-smi does not know the question.",
        "Compare with `npu-smi info -h`; another generation or version of the tool has other types.",
    ),
    (
        re.compile(r"DrvMngGetConsoleLogLevel failed"),
        "The driver's manager device could not be asked for its log level, and nothing came after that.",
        "Check that /dev/davinci_manager exists and that the driver is loaded (lsmod | grep drv).",
    ),
)
# Says only that a log level could not be read, or that nothing is wrong with the question: what follows decides.
HARMLESS = ("DrvMngGetConsoleLogLevel failed", "[WARNING]The driver package may not be completely installed")


def meaning_of(code: Optional[int]) -> tuple[Optional[str], Optional[str]]:
    """Return what a code means and what to do; None where unknown.

    npu-smi's own codes (-90xx) follow the driver interface's (-80xx).
    """
    if code is None:
        return None, None
    return _CODES.get(code) or _CODES.get(code + 1000) or (None, None)


def known_code(text: str) -> Optional[int]:
    codes = _CODE.findall(text)
    return int(codes[-1]) if codes else None


def explain_error(stdout: str, stderr: str = "", exit_status: Optional[int] = None) -> NpuSmiError:
    """Return (not raise) the error that npu-smi's words and exit status amount to.

    stdout, stderr: what it printed; its own complaints come on stdout, the loader's and the shell's on stderr.
    exit_status: npu-smi's, where known: its error code modulo 256 (-8005 gives 187); None when it did not end.

    The error's ``message`` holds the tool's own words in printed order, ``code`` the code it printed (or the one
    that the exit status stands for), ``meaning`` and ``fix`` what is known about them.
    """
    if not is_text(stdout + stderr):
        return NpuSmiError(
            "npu-smi printed something that is not text: %s" % (stdout + stderr)[:80],
            None,
            "Run `npu-smi info` on the host by hand; if it stays so, install the driver again.",
            None,
            "layout",
        )
    lines = [line.strip() for line in (stdout + "\n" + stderr).splitlines()]
    lines = [line for line in lines if line]
    telling = [line for line in lines if not line.startswith(HARMLESS)] or lines
    words = "; ".join(lines[:8])
    if len(lines) > 8:
        words += "; …"
    said = "\n".join(telling)
    code = known_code(said)
    if code is None and exit_status is not None:
        code = _STATUS_TO_CODE.get(exit_status)
    ended = "" if exit_status in (None, 0) else " (exit status %s)" % exit_status
    if not lines:
        meaning, fix = meaning_of(code)
        if meaning is not None:
            return NpuSmiError("npu-smi printed nothing%s" % ended, meaning, fix, code)
        return NpuSmiError(
            "npu-smi printed nothing%s" % ended,
            "Either its output was not captured, or it was ended before it answered.",
            "Run `npu-smi info` on the host as root.",
            code,
        )
    message = "npu-smi said%s: %s" % (ended, words)
    known = meaning_of(code)
    if known[0] is not None:
        return NpuSmiError(message, known[0], known[1], code)
    for pattern, meaning, fix in _SAYINGS:
        if pattern.search(said):
            return NpuSmiError(message, meaning, fix, code)
    return NpuSmiError(message, None, None, code)


class Notes:
    """What a reader of a table notes beside its data: warnings, and lines that are no part of a table."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.complaints: list[str] = []

    def warn(self, why: str, line: str) -> None:
        """Note a line that could not be read."""
        self.warnings.append(printable("%s: %s" % (why, line)))

    def beside(self) -> str:
        """Return the words for an error message: what else was printed beside the table."""
        return " (beside the table: %s)" % "; ".join(self.complaints[:4]) if self.complaints else ""

    def code(self) -> Optional[int]:
        """Return the tool's own error code, where one was printed beside the table."""
        return known_code("\n".join(self.complaints))

    def truncated(self, why: str, line: str) -> NpuSmiError:
        """Return (not raise) the error for a table that is cut."""
        return NpuSmiError(
            "the output of npu-smi is truncated: %s: %s%s" % (why, line, self.beside()),
            None,
            "Ask again and take the whole output; if it stays so, run `npu-smi info` on the host by hand.",
            self.code(),
            "truncated",
        )

    def no_chips(self, line: str) -> NpuSmiError:
        """Return (not raise) the error for a table without a chip."""
        meaning, fix = meaning_of(self.code())
        return NpuSmiError(
            "no chips in the table of npu-smi (it is empty or truncated): %s%s" % (line, self.beside()),
            meaning,
            fix or "Run `npu-smi info` on the host as root.",
            self.code(),
            "no chips",
        )
