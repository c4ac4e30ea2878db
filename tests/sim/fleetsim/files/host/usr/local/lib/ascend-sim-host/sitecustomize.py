# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is special about Python on a simulated host.

os.uname() says the architecture this host stands for, when that is not the machine's own. And what Ansible sends, which
Python compiles anew at every task, is compiled once: many hosts share the processors of one machine.
"""

import os


def _relabel() -> None:
    try:
        with open("/etc/ascend-sim-architecture") as source:
            label = source.read().strip()
    except OSError:
        return
    if not label:
        return
    real = os.uname

    def uname() -> os.uname_result:
        return os.uname_result((*tuple(real())[:4], label))

    os.uname = uname


def _compile_once(folder: str) -> None:
    """Keep the code of what is imported from archives, by its text. Only root writes what root will run."""
    import _imp
    import marshal
    import zipimport

    real = getattr(zipimport, "_compile_source", None)
    if real is None or os.geteuid() != 0:
        return

    def compile_source(path, source):  # type: ignore[no-untyped-def]
        known = "%s/%s" % (folder, _imp.source_hash(0, source).hex())
        try:
            with open(known, "rb") as file:
                code = marshal.load(file)
        except (OSError, EOFError, ValueError, TypeError):
            code = real(path, source)
            new = "%s.%d" % (known, os.getpid())
            try:
                os.makedirs(folder, 0o700, exist_ok=True)
                with open(new, "wb") as file:
                    marshal.dump(code, file)
                os.rename(new, known)
            except OSError:
                pass  # no room, or a read-only system: it is compiled again next time
        else:
            _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
        return code

    zipimport._compile_source = compile_source  # type: ignore[attr-defined]


_relabel()
_compile_once("/run/ascend-sim-compiled")
