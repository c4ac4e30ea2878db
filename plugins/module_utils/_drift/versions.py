# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of versions against the release, and of every host against the majority of its generation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .._images.contents import same_cann, same_version
from .._preflight.check import ERROR, WARNING, Found
from .._preflight.words import same
from .check import Check, Facts, check
from .compare import mount_words, mounts_of, options_of, some

#: Kernel settings that change how engines run and do not depend on the size of the host.
SYSCTLS = (
    "kernel.numa_balancing",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
    "vm.zone_reclaim_mode",
)
#: Variables that differ between the replicas of one host, or between hosts alike.
_OWN_VARIABLES = frozenset(
    (
        "HCCL_IF_BASE_PORT", "MASTER_PORT", "VLLM_CACHE_ROOT", "HF_HOME", "ASCEND_PROCESS_LOG_PATH",
        "ASCEND_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "NO_PROXY", "no_proxy", "HOSTNAME",
    )
)  # fmt: skip


def _version(node: Mapping[str, Any], part: str, key: str = "version") -> Optional[str]:
    found = ((node.get("versions") or {}).get(part) or {}).get(key)
    return str(found) if found else None


@check(
    "DRF-031",
    WARNING,
    "The driver is not the release's",
    what="Another driver may work (preflight.yml tells), and is not what the release was made with.",
    fix="install the release's driver: firmware first, then driver, then reboot",
)
def _driver(f: Facts) -> Iterator[Found]:
    wanted = (f.release.get("driver") or {}).get("version")
    found = _version(f.node, "driver")
    if wanted and not (found and same(found, wanted)):
        yield Found("driver %s" % found if found else "no driver", "driver %s" % wanted)


@check(
    "DRF-032",
    WARNING,
    "The firmware is not the release's",
    what="Compared by the version of its package; the firmware's own version is another number.",
    fix="install the release's firmware, and reboot",
)
def _firmware(f: Facts) -> Iterator[Found]:
    wanted = (f.release.get("firmware") or {}).get("package_version")
    found = _version(f.node, "firmware", "package_version")
    if wanted and not (found and same(found, wanted)):
        yield Found("firmware package %s" % found if found else "no firmware package", "package %s" % wanted)


@check(
    "DRF-033",
    ERROR,
    "CANN in the image is not the release's",
    what="As it was recorded when the image was verified. A warning where nothing is recorded.",
    fix="load the release's own image with site.yml, or correct cann.version in the release",
)
def _cann(f: Facts) -> Iterator[Found]:
    wanted = str((f.release.get("cann") or {}).get("version") or "")
    for contents in _contents(f):
        if contents is None:
            yield Found(
                "no record of what the image holds",
                "CANN %s" % wanted,
                "run site.yml with vllm_image_verify: true, which records it",
                WARNING,
            )
        elif wanted and not any(same_cann(wanted, version) for version in contents["cann"]):
            yield Found("CANN %s" % (", ".join(contents["cann"]) or "of no version"), "CANN %s" % wanted)


@check(
    "DRF-034",
    WARNING,
    "Components in the image are not the release's",
    what="vllm, vllm_ascend, torch_npu and others, as they were recorded when the image was verified.",
    fix="load the release's own image with site.yml, or correct the components in the release",
)
def _components(f: Facts) -> Iterator[Found]:
    for contents in _contents(f):
        wanted = (f.image.get("components") or {}) if contents else {}
        there = (contents or {}).get("components") or {}
        wrong = [n for n in sorted(wanted) if n in there and not same_version(str(wanted[n]), str(there[n]))]
        if wrong:
            yield Found(some(["%s %s" % (n, there[n]) for n in wrong]), some(["%s %s" % (n, wanted[n]) for n in wrong]))


def _contents(f: Facts) -> list[Optional[Mapping[str, Any]]]:
    """What the images of the running replicas hold, each once."""
    found: list[Optional[Mapping[str, Any]]] = []
    for unit in f.units:
        if unit.get("container") and f.is_of_release(unit) and unit.get("contents") not in found:
            found.append(unit.get("contents"))
    return found


# - against the majority -


@dataclass(frozen=True)
class Subject:
    """What hosts alike have in common. ``value``: a text, None: not known. ``alike``: what hosts must share for it."""

    id: str
    title: str
    what: str
    fix: str
    value: Callable[[Mapping[str, Any]], Optional[str]]
    alike: tuple[Callable[[Mapping[str, Any]], Optional[str]], ...] = ()


def _kernel(node: Mapping[str, Any]) -> Optional[str]:
    return str(node["kernel"]) if node.get("kernel") else None


def _docker(node: Mapping[str, Any]) -> Optional[str]:
    found = node.get("docker") or {}
    return "%s %s" % (found.get("engine") or "docker", found["server_version"]) if found.get("server_version") else None


def _system(node: Mapping[str, Any]) -> Optional[str]:
    found = node.get("os") or {}
    return "%s %s" % (found["id"], found.get("version_id") or "") if found.get("id") else None


def _architecture(node: Mapping[str, Any]) -> Optional[str]:
    return str(node["architecture"]) if node.get("architecture") else None


def _settings(node: Mapping[str, Any]) -> Optional[str]:
    tuning = node.get("tuning") or {}
    sysctl = tuning.get("sysctl") or {}
    words = ["%s=%s" % (name, sysctl[name]) for name in SYSCTLS if sysctl.get(name) not in (None, "")]
    words += ["transparent_hugepage=%s" % tuning["transparent_hugepage"]] if tuning.get("transparent_hugepage") else []
    words += ["cpu_governors=%s" % "+".join(tuning["cpu_governors"])] if tuning.get("cpu_governors") else []
    words += ["cgroup_version=%s" % tuning["cgroup_version"]] if tuning.get("cgroup_version") else []
    return "\n".join(words) or None


def _units(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((node.get("serving") or {}).get("units") or [])


def _containers(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [u["container"] for u in _units(node) if u.get("container")]


def _joined(values: Sequence[str]) -> Optional[str]:
    """One text of what the replicas of a host have; None where none runs."""
    return "\n".join(sorted(set("\n".join(values).splitlines()))) or None


def _release(node: Mapping[str, Any]) -> Optional[str]:
    return _joined([str(u.get("release")) for u in _units(node)])


def _image(node: Mapping[str, Any]) -> Optional[str]:
    return _joined([str(c["image_id"]) for c in _containers(node)])


def _command(node: Mapping[str, Any]) -> Optional[str]:
    found = []
    for container in _containers(node):
        options = {name: text for name, text in options_of(container["command"]).items() if name != "--port"}
        found += [("%s %s" % pair).strip() for pair in options.items()]
    return _joined(found)


def _variables(node: Mapping[str, Any]) -> Optional[str]:
    found = []
    for container in _containers(node):
        aside = _OWN_VARIABLES | set(container["inherited"])
        found += ["%s=%s" % pair for pair in container["environment"].items() if pair[0] not in aside]
    return _joined(found)


def _mounts(node: Mapping[str, Any]) -> Optional[str]:
    """The mounts that all replicas have, without the folder of each."""
    found = []
    for container in _containers(node):
        found += [words for words in mount_words(mounts_of(container)) if "/replicas/" not in words]
    return _joined(found)


_MEANT = "bring the host to what the others have; if the difference is meant, ignore this finding on the host"
SUBJECTS: tuple[Subject, ...] = (
    Subject(
        "DRF-041",
        "The release differs from the fleet's majority",
        "Most hosts of the generation run another release: an upgrade that has not come to its end, or was forgotten.",
        "see status.yml; go on with upgrade.yml, or go back with rollback.yml",
        _release,
    ),
    Subject(
        "DRF-042",
        "The image differs from the fleet's majority",
        "Most hosts of the generation, of this architecture and release, run another image.",
        "lock the release with lock.yml, which pins the image by its ID, and run site.yml",
        _image,
        (_release, _architecture),
    ),
    Subject(
        "DRF-043",
        "The options of the engine differ from the fleet's majority",
        "Most hosts of the generation run the same release with other options; ports do not count. Variables of the "
        "host alone are the usual reason.",
        _MEANT,
        _command,
        (_release,),
    ),
    Subject(
        "DRF-044",
        "The variables of the engine differ from the fleet's majority",
        "Most hosts of the generation run the same release with other variables; ports and folders of a replica do not "
        "count.",
        _MEANT,
        _variables,
        (_release, _architecture),
    ),
    Subject(
        "DRF-045",
        "The mounts differ from the fleet's majority",
        "Most hosts of the generation, of this architecture, mount other folders into containers of the same release.",
        _MEANT,
        _mounts,
        (_release, _architecture),
    ),
    Subject(
        "DRF-046",
        "The driver differs from the fleet's majority",
        "Most hosts of the generation have another driver.",
        "install the driver of the others, or theirs here; then reboot",
        lambda node: _version(node, "driver"),
    ),
    Subject(
        "DRF-047",
        "The firmware differs from the fleet's majority",
        "Most hosts of the generation have another firmware package.",
        "install the firmware of the others, or theirs here; then reboot",
        lambda node: _version(node, "firmware", "package_version"),
    ),
    Subject(
        "DRF-048",
        "The kernel differs from the fleet's majority",
        "Most hosts of the generation, of this operating system and architecture, run another kernel. The driver's "
        "modules are built for one.",
        "bring the host to the kernel of the others, and reboot",
        _kernel,
        (_system, _architecture),
    ),
    Subject(
        "DRF-049",
        "Docker differs from the fleet's majority",
        "Most hosts of the generation and of this operating system run another version of docker.",
        "bring the host to the version of the others",
        _docker,
        (_system,),
    ),
    Subject(
        "DRF-050",
        "Kernel settings differ from the fleet's majority",
        "Settings that change how engines run: %s, transparent huge pages, CPU governors and the version of cgroups."
        % ", ".join(SYSCTLS),
        "set them as on the others, in /etc/sysctl.d",
        _settings,
    ),
    Subject(
        "DRF-051",
        "The operating system differs from the fleet's majority",
        "Most hosts of the generation and of this architecture have another operating system, or version of it.",
        _MEANT,
        _system,
        (_architecture,),
    ),
)


def odd_ones(
    nodes: Mapping[str, Mapping[str, Any]], generations: Mapping[str, Optional[str]]
) -> dict[str, dict[str, list[Found]]]:
    """By host and id, where a host differs from the majority of those alike.

    Where no value has a majority, every host of the group is named. Hosts of which the value is not known do not
    count: that it is not known is a finding of its own.
    """
    found: dict[str, dict[str, list[Found]]] = {host: {} for host in nodes}
    for subject in SUBJECTS:
        groups: dict[tuple[Optional[str], ...], dict[str, str]] = {}
        for host, node in nodes.items():
            try:
                value = subject.value(node)
                key = (generations.get(host), *(part(node) for part in subject.alike))
            except Exception:  # noqa: S112 - strange data of one host, which its own checks name, hides no other
                continue
            if value is not None:
                groups.setdefault(key, {})[host] = value
        for key, values in groups.items():
            for host, words in _odd(values, " ".join(str(k) for k in key if k)).items():
                found[host][subject.id] = [words]
    return found


def _odd(values: Mapping[str, str], group: str) -> dict[str, Found]:
    counted = Counter(values.values())
    if len(counted) < 2:
        return {}
    (common, count), total = counted.most_common(1)[0], len(values)
    has_majority = 2 * count > total
    found = {}
    for host, value in values.items():
        if has_majority and value == common:
            continue
        if has_majority:
            is_so, should = _only_differences(value, common)
            found[host] = Found(is_so, "%s, as on %d of %d hosts of %s" % (should, count, total, group))
        else:
            is_so, _should = _only_differences(value, next(v for v in counted if v != value))
            found[host] = Found(is_so, "the same on all %d hosts of %s, which have no majority" % (total, group))
    return found


def _only_differences(value: str, common: str) -> tuple[str, str]:
    """Of lists, a line each, what only one of them has."""
    left, right = value.splitlines(), common.splitlines()
    if len(left) < 2 and len(right) < 2:
        return value, common
    mine, theirs = [w for w in left if w not in right], [w for w in right if w not in left]
    return some(mine) or "less", some(theirs) or "no such"


def _of_subject(subject: Subject) -> Check:
    return Check(subject.id, WARNING, subject.title, subject.what, subject.fix, lambda f: f.odd.get(subject.id) or [])


CHECKS: tuple[Check, ...] = (_driver, _firmware, _cann, _components, *(_of_subject(s) for s in SUBJECTS))
