# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of CANN: the release's own and the host's."""

from __future__ import annotations

from typing import Iterator

from .._release import compatibility
from .check import ERROR, WARNING, Check, Found, check
from .driver import advice_of
from .facts import Facts
from .words import same


@check(
    "CANN-001",
    ERROR,
    "The host has no CANN of the release's version",
    what="Only where npu_preflight_require_host_cann is set: serving itself uses the image's CANN.",
    fix="install the CANN toolkit of the release's version, or set npu_preflight_require_host_cann: false",
    needs=("versions",),
)
def _host_cann(f: Facts) -> Iterator[Found]:
    installed = [c["version"] for c in (f.node.get("versions") or {}).get("cann") or [] if c.get("version")]
    if f.require_host_cann and f.cann and not any(same(v, f.cann) for v in installed):
        yield Found("CANN %s" % ", ".join(installed) if installed else "no CANN", "CANN %s" % f.cann)


@check(
    "CANN-002",
    WARNING,
    "The release's vllm-ascend was built for another CANN",
    what="The released images of this vllm-ascend carry another CANN than the release names.",
    fix="correct cann.version or components.vllm_ascend in the release",
)
def _vllm_ascend_cann(f: Facts) -> Iterator[Found]:
    for image in f.images:
        version = (image.get("components") or {}).get("vllm_ascend")
        wanted = compatibility.cann_for(f.table, str(version)) if version else None
        if wanted and f.cann and not same(wanted, f.cann):
            yield Found("vllm-ascend %s with CANN %s" % (version, f.cann), "CANN %s for it" % wanted)
            return


@check(
    "CANN-003",
    ERROR,
    "The release's own driver and CANN do not go together",
    what="The release pins a driver that is known not to work with its CANN.",
    fix="correct driver.version or cann.version in the release",
)
def _release_pair(f: Facts) -> Iterator[Found]:
    wanted = (f.release.get("driver") or {}).get("version")
    if wanted and f.cann:
        level = compatibility.driver_level(f.table, f.cann, str(wanted))
        if level == compatibility.INCOMPATIBLE:
            known = compatibility.drivers_for(f.table, f.cann)
            yield Found("driver %s with CANN %s" % (wanted, f.cann), ", or ".join(known) or "another driver")


@check(
    "CANN-004",
    WARNING,
    "The host's own CANN and its driver do not know each other",
    what="Advice of the host's own files: neither lists the other's inner version in compatible_version. Serving uses "
    "the image's CANN; programs that run on the host itself are concerned.",
    fix="install a CANN and a driver that were released together, or remove the host's CANN if nothing uses it",
    needs=("versions",),
)
def _host_cann_advice(f: Facts) -> Iterator[Found]:
    yield from advice_of(f, "cann_driver")


CHECKS: tuple[Check, ...] = (
    _host_cann,
    _vllm_ascend_cann,
    _release_pair,
    _host_cann_advice,
)
