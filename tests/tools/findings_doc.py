#!/usr/bin/env python3
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/findings.md from the catalogue: ``python tests/tools/findings_doc.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "findings.md"

HEAD = """# Findings

<!-- Written by tests/tools/findings_doc.py from plugins/module_utils/_preflight/, _drift/ and _bench/. Do not edit. -->

`playbooks/preflight.yml` (and the start of `site.yml`) checks every host for all of these and reports them at once.
An **error** keeps the host out of the run; a **warning** does not. The ids are stable. What you accept on purpose goes
into the inventory, for one host, a group or all, and is then reported as ignored:

```yaml
npu_preflight_ignore: [SYS-008, NET-002]   # 32 GiB suffice for our model; no parameter network here
```

A site's own checks, `SITE-…`, are data in the inventory: [site_checks.md](site_checks.md).

%d checks: %d errors, %d warnings.
"""

DRIFT = """
## Drift

`playbooks/drift.yml` finds these, and `playbooks/status.yml` with `-e fleet_status_drift=true`; [drift.md](drift.md)
says what is compared with what. They are ignored by the same variable.

| id | | finding | what to do |
|---|---|---|---|
"""

BENCHMARK = """
## Performance

`playbooks/benchmark.yml` finds these; [benchmark.md](benchmark.md) says what is compared with what. An **error** fails
the host at the end, unless `vllm_bench_fail_on` is `none`.

| id | | finding | what to do |
|---|---|---|---|
"""


def render() -> str:
    """The text of docs/findings.md."""
    from ansible_collections.ascend.fleet.plugins.module_utils._bench.findings import CATALOGUE as benchmark
    from ansible_collections.ascend.fleet.plugins.module_utils._drift.findings import catalogue as drift
    from ansible_collections.ascend.fleet.plugins.module_utils._preflight.catalogue import catalogue as all_checks

    catalogue = all_checks()
    errors = sum(c["severity"] == "error" for c in catalogue)
    out = [HEAD % (len(catalogue), errors, len(catalogue) - errors)]
    for area in dict.fromkeys(c["area"] for c in catalogue):
        out.append("\n## %s\n\n| id | | finding | what to do |\n|---|---|---|---|\n" % (area[0].upper() + area[1:]))
        for check in (c for c in catalogue if c["area"] == area):
            out.append(row(check["id"], check["severity"], check["title"], check["what"], check["fix"]))
    out.append(DRIFT)
    out += [row(c["id"], c["severity"], c["title"], c["what"], c["fix"]) for c in drift()]
    out.append(BENCHMARK)
    out += [row(k.id, k.severity, k.title, k.what, k.fix) for k in benchmark.values()]
    return "".join(out)


def row(identity: str, severity: str, title: str, what: str, fix: str) -> str:
    """One finding as a row of its table."""
    cells = (identity, severity, "**%s.** %s" % (title, what), fix)
    return "| %s |\n" % " | ".join(cell.replace("|", "\\|") for cell in cells)


def main() -> None:
    """Write the file."""
    sys.path.insert(0, str(ROOT / "tests"))
    import conftest  # noqa: F401 - makes the checkout importable as the collection

    TARGET.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
