# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every variable that an operator may set, with the check of its value: one rule for each, for whoever reads it.

The argument specifications of the roles say the type to Ansible; the rules here say what the value must be, so that a
mistake is found before the first host is asked. A value may come from ``-e NAME=VALUE`` and is text then: numbers and
booleans are also taken as text. None counts as not set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .._base.progress import MODES
from .._npu.hardware import GENERATIONS
from . import schema, serve_options, site_checks
from .checks import Check, matching, one_of
from .problems import Problem, quote
from .value_checks import (
    FIRST_PORT,
    LAST_PORT,
    address,
    address_and_port,
    address_with_prefix,
    boolean,
    controller_file,
    controller_path,
    docker_options,
    empty_or,
    key,
    line,
    list_of,
    maintenance,
    mapping,
    moment,
    number,
    path,
    port_range,
    replica_numbers,
    share,
    source,
    url,
    whole,
)

PROFILES = ("least_privilege", "guide")
WATCHDOG_MODES = ("observe", "restart", "off")
ACCESS_MODES = ("open", "gateways")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_:~=-]*\Z")
_FINDING = re.compile(r"[A-Z]{3,4}-\d{3}\Z")
_RELEASE = re.compile(r"[a-z0-9][a-z0-9_]*\Z")
_TASK_FILE = re.compile(r"/[^\x00-\x1f\x7f]*\.ya?ml\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OWNER = re.compile(r"[^\s@]+@[^\s@]+\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}\Z")
_NETWORK_NAME = re.compile(r"[A-Za-z0-9.-]+\Z|[0-9A-Fa-f:]+\Z")
_HOST_PORT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}\Z")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]+\Z")
_OPTION = re.compile(r"--[a-z][a-z-]*(?:=[A-Za-z0-9/._-]+)?\Z")
_NAME_OF_CHANGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_UNIT = re.compile(r"[A-Za-z0-9:_.@-]+\.(?:service|timer|socket)\Z")
_DAY = 86400


@dataclass(frozen=True)
class Rule:
    """What a variable must be. A secret's value is never repeated."""

    check: Check
    secret: bool = False
    #: Data that the collection itself makes, or that is given to a role that is used alone: not judged.
    is_data: bool = False


_PORT = Rule(whole(FIRST_PORT, LAST_PORT))
_BOOLEAN = Rule(boolean)
_PATH_RULE = Rule(path)
_MAYBE_PATH = Rule(empty_or(path))
_CONTROLLER_PATH = Rule(empty_or(controller_path))
_CONTROLLER_FILE = Rule(empty_or(controller_file))
_SECONDS = Rule(whole(1, 30 * _DAY))
_KEEP = Rule(whole(0, 1000))
_GIB = Rule(number(0, 1048576))
_PACKAGES = Rule(list_of(matching(_PACKAGE, "a package's name"), "packages' names"))
_ORIGIN = Rule(empty_or(url("https", "http", "ssh", "file")), secret=True)  # one with a password is a mistake
_ARCHITECTURE = one_of(("aarch64", "x86_64"))
_ARCHITECTURES = Rule(list_of(_ARCHITECTURE, "architectures"))
_GENERATION = one_of(tuple(GENERATIONS))
_USER = matching(re.compile(r"[^\s:@/]+\Z"), "a user name without blanks, `:`, `@` and `/`")
_DATA = Rule(lambda value: None, is_data=True)


def _watchdog(value: Any) -> Optional[str]:
    if value is False:
        return '"off" in quotes: without them YAML reads a boolean'
    return one_of(WATCHDOG_MODES)(value)


def _tolerances(value: Any) -> Optional[str]:
    """How much worse each number of a benchmark may be."""
    if not isinstance(value, Mapping):
        return "a mapping of numbers of a benchmark to shares, such as {output_throughput: 0.1}"
    for name, share_of_it in value.items():
        if name not in schema.METRICS or not str(name).endswith(("_ms", "_throughput", "duration", "_per_s")):
            return "names of times and rates that `vllm bench serve` writes, such as output_throughput"
        if number(0, 100)(share_of_it):
            return "a share for %s, such as 0.1 for ten per cent" % name
    return None


def _bake_minutes(value: Any) -> Optional[str]:
    """How long a new release serves beside the old one until it is judged: after the canary, and after later waves."""
    needed = "a list of one or two numbers of minutes, such as [10, 2]: after the canary, and after each later wave"
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 2:
        return needed
    return needed if any(number(0, 1440)(minutes) for minutes in value) else None


RULES: dict[str, Rule] = {
    # of the whole fleet
    "artifact_origin": _ORIGIN,
    "artifact_swarm_from": Rule(whole(0, 1000000)),
    "fleet_accept_outage": _BOOLEAN,
    "fleet_batches": Rule(list_of(share, "numbers of hosts or percentages")),
    "fleet_bake_minutes": Rule(_bake_minutes),
    "fleet_bundle": _CONTROLLER_PATH,
    "fleet_canary": Rule(list_of(line, "hosts")),
    "fleet_domain": Rule(line),
    "fleet_ignore_variables": Rule(list_of(matching(_NAME, "a variable's name"), "variables' names")),
    "fleet_lease_take_over": Rule(empty_or(matching(_OWNER, "who holds the fleet, such as alice@controller"))),
    "fleet_lock_path": _CONTROLLER_PATH,
    "fleet_maintenance": Rule(maintenance),
    "fleet_max_unavailable": Rule(share),
    "fleet_min_available": Rule(share),
    "fleet_profile": Rule(one_of(PROFILES)),
    "fleet_progress": Rule(one_of(MODES)),
    "fleet_promote": _BOOLEAN,
    "fleet_release": Rule(
        matching(re.compile(r"[a-z0-9][a-z0-9_]*\Z"), "the name of a release, such as qwen3_5_27b_v0")
    ),
    "fleet_relock": _BOOLEAN,
    "fleet_reports": _CONTROLLER_PATH,
    "fleet_smoke_json": Rule(line),
    "fleet_until": Rule(empty_or(moment)),
    "fleet_upgrade_bench": Rule(one_of(("quick", "none"))),
    "npu_generation": Rule(_GENERATION),
    # of the playbooks bundle, decommission and restart
    "bundle_architectures": _ARCHITECTURES,
    "bundle_ca_path": _MAYBE_PATH,
    "bundle_generations": Rule(list_of(_GENERATION, "generations")),
    "bundle_origin": _ORIGIN,
    "bundle_python": _BOOLEAN,
    "bundle_releases": _DATA,
    "bundle_token_file": _MAYBE_PATH,
    "decommission_artifacts": _BOOLEAN,
    "decommission_confirm": _BOOLEAN,
    "decommission_cut_requests": _BOOLEAN,
    "decommission_images": _BOOLEAN,
    "decommission_roots": Rule(list_of(path, "folders")),
    # of the playbook diagnose
    "diagnose_device_logs": _BOOLEAN,
    "diagnose_redact_addresses": _BOOLEAN,
    "diagnose_size_mb": Rule(whole(1, 4096)),
    "diagnose_timeout_seconds": Rule(whole(1, _DAY)),
    # of the playbooks drain, undrain, status and drift
    "drain_by": Rule(line),
    "drain_reason": Rule(line),
    "drain_replicas": Rule(replica_numbers),
    "fleet_status_drift": _BOOLEAN,
    "fleet_status_json": _CONTROLLER_PATH,
    "fleet_drift_json": _CONTROLLER_PATH,
    "fleet_query": Rule(line),
    "restart_replicas": Rule(replica_numbers),
    # of the playbook benchmark
    "benchmark_hosts": Rule(share),
    # of the role artifact_fetch
    "artifact_fetch_requests": _DATA,
    # of the role artifact_mirror
    "artifact_mirror_address": Rule(address),
    "artifact_mirror_architectures": _ARCHITECTURES,
    "artifact_mirror_bundle": _CONTROLLER_PATH,
    "artifact_mirror_ca_path": _MAYBE_PATH,
    "artifact_mirror_certificate": _MAYBE_PATH,
    "artifact_mirror_generations": Rule(list_of(_GENERATION, "generations")),
    "artifact_mirror_keep": _KEEP,
    "artifact_mirror_key": _MAYBE_PATH,
    "artifact_mirror_origin": _ORIGIN,
    "artifact_mirror_packages": _PACKAGES,
    "artifact_mirror_port": _PORT,
    "artifact_mirror_refresh": _BOOLEAN,
    "artifact_mirror_releases": _DATA,
    "artifact_mirror_root": _PATH_RULE,
    "artifact_mirror_share": _BOOLEAN,
    "artifact_mirror_sources_ca_path": _MAYBE_PATH,
    "artifact_mirror_timeout": _SECONDS,
    "artifact_mirror_token_file": _MAYBE_PATH,
    "artifact_mirror_token_user": Rule(_USER),
    "artifact_mirror_tracker_packages": _PACKAGES,
    "artifact_mirror_tracker_port": _PORT,
    "artifact_mirror_tracker_url": Rule(empty_or(url("http", "https", "udp")), secret=True),
    "artifact_mirror_url": Rule(empty_or(url("https", "http")), secret=True),
    # of the role fleet_monitoring
    "fleet_monitoring_address": Rule(address_and_port),
    "fleet_monitoring_alertmanagers": Rule(list_of(matching(_HOST_PORT, "HOST:PORT"), "Alertmanagers")),
    "fleet_monitoring_artifacts_gib": _GIB,
    "fleet_monitoring_artifacts_path": _PATH_RULE,
    "fleet_monitoring_certificate_days": Rule(whole(1, 365)),
    "fleet_monitoring_docker_gib": _GIB,
    "fleet_monitoring_docker_path": _PATH_RULE,
    "fleet_monitoring_error_share": Rule(number(0, 1)),
    "fleet_monitoring_fleet": Rule(line),
    "fleet_monitoring_host_address": Rule(matching(_NETWORK_NAME, "an IP address or a name, without a port")),
    "fleet_monitoring_hot_celsius": Rule(whole(1, 150)),
    "fleet_monitoring_interval_seconds": Rule(whole(5, 3600)),
    "fleet_monitoring_node_exporter_packages": _PACKAGES,
    "fleet_monitoring_node_exporter_port": _PORT,
    "fleet_monitoring_npu_exporter_address": Rule(address),
    "fleet_monitoring_npu_exporter_binary": _CONTROLLER_FILE,
    "fleet_monitoring_npu_exporter_port": _PORT,
    "fleet_monitoring_npu_exporter_user": Rule(_USER),
    "fleet_monitoring_out_minutes": Rule(whole(1, 43200)),
    "fleet_monitoring_packages": _PACKAGES,
    "fleet_monitoring_path": _PATH_RULE,
    "fleet_monitoring_prometheus": Rule(one_of(("install", "files"))),
    "fleet_monitoring_queue_requests": Rule(whole(0, 1000000)),
    "fleet_monitoring_retention_days": Rule(whole(1, 3650)),
    "fleet_monitoring_runbooks": Rule(url("https", "http")),
    "fleet_monitoring_slow_seconds": Rule(whole(30, _DAY)),
    "fleet_monitoring_source": Rule(one_of(("npu_smi", "npu_exporter", "none"))),
    "fleet_monitoring_start_minutes": Rule(whole(1, 1440)),
    "fleet_monitoring_state": Rule(one_of(("present", "absent"))),
    "fleet_monitoring_textfile_path": _PATH_RULE,
    "fleet_monitoring_without_alerts": Rule(list_of(matching(_NAME, "an alert's name"), "alerts' names")),
    # of the role npu_driver
    "npu_driver_arguments": Rule(
        list_of(matching(_OPTION, "an option such as --upgrade"), "options of the installers")
    ),
    "npu_driver_ask_minutes": Rule(number(1, 1440)),
    "npu_driver_bmc": Rule(empty_or(matching(_NETWORK_NAME, "an IP address or a name"))),
    "npu_driver_bundle": _CONTROLLER_PATH,
    "npu_driver_ca_path": _MAYBE_PATH,
    "npu_driver_change": Rule(empty_or(matching(_NAME_OF_CHANGE, "a name such as 20261130T061500Z-driver"))),
    "npu_driver_disk_gib": _GIB,
    "npu_driver_folder": _MAYBE_PATH,
    "npu_driver_origin": _ORIGIN,
    "npu_driver_origin_fallback": _BOOLEAN,
    "npu_driver_pollers": Rule(list_of(matching(_UNIT, "a unit such as npu-exporter.service"), "names of units")),
    "npu_driver_quick_benchmark": _BOOLEAN,
    "npu_driver_reboot_timeout_seconds": _SECONDS,
    "npu_driver_reboots": Rule(whole(1, 5)),
    "npu_driver_release": _DATA,
    "npu_driver_retry": _BOOLEAN,
    "npu_driver_root": _PATH_RULE,
    "npu_driver_settle_seconds": Rule(whole(0, 7200)),
    "npu_driver_sources": Rule(list_of(line, "stores")),
    "npu_driver_sources_ca_path": _MAYBE_PATH,
    "npu_driver_token_file": _MAYBE_PATH,
    # of the role npu_preflight
    "npu_preflight_artifacts_gib": _GIB,
    "npu_preflight_artifacts_path": _PATH_RULE,
    "npu_preflight_docker_gib": _GIB,
    "npu_preflight_fail_on": Rule(one_of(("error", "warning"))),
    "npu_preflight_ignore": Rule(list_of(matching(_FINDING, "a finding's ID, such as SYS-008"), "findings' IDs")),
    "npu_preflight_json_path": Rule(line),
    "npu_preflight_junit_path": Rule(line),
    "npu_preflight_memory_gib": _GIB,
    "npu_preflight_require_host_cann": _BOOLEAN,
    "npu_preflight_site_checks": Rule(list_of(mapping, "checks")),
    "npu_preflight_takeover": _BOOLEAN,
    "npu_preflight_timeout_seconds": Rule(number(1, 3600)),
    # of the role model_artifacts
    "model_artifacts_adopt": Rule(list_of(path, "folders")),
    "model_artifacts_architecture": Rule(empty_or(_ARCHITECTURE)),
    "model_artifacts_bundle": _CONTROLLER_PATH,
    "model_artifacts_ca_path": _MAYBE_PATH,
    "model_artifacts_generation": Rule(_GENERATION),
    "model_artifacts_keep": _KEEP,
    "model_artifacts_origin": _ORIGIN,
    "model_artifacts_origin_fallback": _BOOLEAN,
    "model_artifacts_packages": _PACKAGES,
    "model_artifacts_refresh": _BOOLEAN,
    "model_artifacts_rehash": _BOOLEAN,
    "model_artifacts_release": _DATA,
    "model_artifacts_root": _PATH_RULE,
    "model_artifacts_seed_minutes": Rule(whole(0, 10080)),
    "model_artifacts_sources": Rule(list_of(line, "stores")),
    "model_artifacts_sources_ca_path": _MAYBE_PATH,
    "model_artifacts_swarm_packages": _PACKAGES,
    "model_artifacts_swarm_ports": Rule(port_range),
    "model_artifacts_timeout": _SECONDS,
    "model_artifacts_token_file": _MAYBE_PATH,
    "model_artifacts_token_user": Rule(_USER),
    "model_artifacts_trackers": Rule(list_of(url("http", "https", "udp"), "trackers' URLs")),
    # of the role vllm_bench
    "vllm_bench_client_image": Rule(line),
    "vllm_bench_concurrent": _BOOLEAN,
    "vllm_bench_docker_options": Rule(docker_options),
    "vllm_bench_fail_on": Rule(one_of(("error", "none"))),
    "vllm_bench_kind": Rule(one_of(("full", "quick"))),
    "vllm_bench_percentiles": Rule(list_of(whole(1, 99), "percentiles from 1 to 99")),
    "vllm_bench_release": _DATA,
    "vllm_bench_missing": _BOOLEAN,
    "vllm_bench_renew_baseline": _BOOLEAN,
    "vllm_bench_repeats": Rule(whole(1, 100)),
    "vllm_bench_replicas": Rule(replica_numbers),
    "vllm_bench_reports_path": _CONTROLLER_PATH,
    "vllm_bench_timeout_seconds": _SECONDS,
    "vllm_bench_tolerances": Rule(_tolerances),
    "vllm_bench_traffic": Rule(one_of(("drain", "out", "serving"))),
    "vllm_bench_warm_ups": Rule(whole(0, 10000)),
    "vllm_bench_workloads": Rule(list_of(line, "names of workloads")),
    # of the role vllm_gateway
    "vllm_gateway_address": Rule(address),
    "vllm_gateway_answer_seconds": Rule(whole(10, _DAY)),
    "vllm_gateway_api_keys_file": _CONTROLLER_FILE,
    "vllm_gateway_certificate": _CONTROLLER_FILE,
    "vllm_gateway_certificate_key": _CONTROLLER_FILE,
    "vllm_gateway_floating_address": Rule(empty_or(address_with_prefix)),
    "vllm_gateway_floating_interface": Rule(empty_or(matching(_INTERFACE, "the name of a network interface"))),
    "vllm_gateway_floating_packages": _PACKAGES,
    "vllm_gateway_floating_router_id": Rule(whole(1, 255)),
    "vllm_gateway_host_address": Rule(matching(_NETWORK_NAME, "an IP address or a name, without a port")),
    "vllm_gateway_max_body_mb": Rule(whole(0, 100000)),
    "vllm_gateway_metrics_address": Rule(empty_or(address_and_port)),
    "vllm_gateway_packages": _PACKAGES,
    "vllm_gateway_paths": Rule(
        list_of(matching(_URL_PATH, "a path such as /v1/completions"), "paths, none of them empty")
    ),
    "vllm_gateway_placement": Rule(one_of(("gateways", "hosts", "none"))),
    "vllm_gateway_port": _PORT,
    "vllm_gateway_queue_seconds": Rule(whole(1, 86400)),
    "vllm_gateway_slowstart_seconds": Rule(whole(0, 3600)),
    "vllm_gateway_state": Rule(one_of(("present", "absent"))),
    "vllm_gateway_tls_min_version": Rule(one_of(("TLSv1.2", "TLSv1.3"))),
    "vllm_gateway_traffic": Rule(one_of(("haproxy", "external", "none"))),
    "vllm_gateway_traffic_tasks": Rule(empty_or(matching(_TASK_FILE, "the absolute path of a task file (.yml)"))),
    # of the role vllm_image
    "vllm_image_archive": _MAYBE_PATH,
    "vllm_image_entry": _DATA,
    "vllm_image_keep": _KEEP,
    "vllm_image_load_timeout": _SECONDS,
    "vllm_image_release": _DATA,
    "vllm_image_root": _PATH_RULE,
    "vllm_image_verify": _BOOLEAN,
    "vllm_image_verify_threads": _BOOLEAN,
    "vllm_image_verify_timeout": _SECONDS,
    # of the role vllm_serve
    "vllm_serve_access": Rule(one_of(ACCESS_MODES)),
    "vllm_serve_access_from": Rule(list_of(source, "addresses, networks or names, such as 192.0.2.30")),
    "vllm_serve_answers": _DATA,
    "vllm_serve_api_key": Rule(key, secret=True),
    "vllm_serve_chip_wait_seconds": Rule(whole(0, 7200)),
    "vllm_serve_chips_free_seconds": _SECONDS,
    "vllm_serve_quick_benchmark": _BOOLEAN,
    "vllm_serve_data_root": _MAYBE_PATH,
    "vllm_serve_docker_options": Rule(docker_options),
    "vllm_serve_drain_timeout_seconds": Rule(whole(1, _DAY)),
    "vllm_serve_environment": Rule(mapping, secret=True),
    "vllm_serve_first_port": _PORT,
    "vllm_serve_first_token_timeout_seconds": Rule(whole(0, 7200)),
    "vllm_serve_image": Rule(line),
    "vllm_serve_max_unavailable": Rule(share),
    "vllm_serve_media_path": _MAYBE_PATH,
    "vllm_serve_options": Rule(mapping),
    "vllm_serve_profile": Rule(one_of(PROFILES)),
    "vllm_serve_ready_timeout_seconds": _SECONDS,
    "vllm_serve_release": _DATA,
    "vllm_serve_replicas": Rule(whole(1, 64)),
    "vllm_serve_restart": Rule(replica_numbers),
    "vllm_serve_silence_timeout_seconds": _SECONDS,
    "vllm_serve_skip_unhealthy": _BOOLEAN,
    "vllm_serve_stop_seconds": Rule(whole(1, 3600)),
    "vllm_serve_warm_up_requests": Rule(whole(0, 1000)),
    "vllm_serve_watchdog": Rule(_watchdog),
    "vllm_serve_watchdog_port": _PORT,
    "vllm_serve_weights": _MAYBE_PATH,
    "vllm_serve_weights_content": Rule(line),
    # of the role vllm_smoke
    "vllm_smoke_api_key": Rule(key, secret=True),
    "vllm_smoke_first_token_timeout_seconds": _SECONDS,
    "vllm_smoke_json_path": Rule(line),
    "vllm_smoke_questions": Rule(list_of(mapping, "questions")),
    "vllm_smoke_release": _DATA,
    "vllm_smoke_replicas": _DATA,
    "vllm_smoke_token_timeout_seconds": _SECONDS,
}


def check_values(values: Mapping[str, Any], components: Sequence[Mapping[str, Any]] = ()) -> list[Problem]:
    """The mistakes in the values of variables, each looked at alone; a variable without a rule passes.

    ``components`` are the versions inside the images that will run the options in ``vllm_serve_options``.
    """
    problems: list[Problem] = []
    for name, value in values.items():
        rule = RULES.get(name)
        if rule is None or value is None:
            continue
        needed = rule.check(value)
        if needed:
            problems.append(Problem(name, "a value that is not shown" if rule.secret else quote(value), needed))
        elif name == "vllm_serve_options":
            problems += serve_options.check_serve_options(value, name, components=components)
        elif name == "npu_preflight_site_checks":
            problems += site_checks.problems_of(value, name)
        elif name == "vllm_smoke_questions":
            problems += schema.check_questions(value, name)
        elif name == "vllm_serve_environment":
            for variable, content in value.items():
                # The value may be a token.
                found = serve_options.check_variable(variable, content, "%s.%s" % (name, variable))
                problems += [Problem(p.path, "a value that is not shown", p.needed) for p in found]
    return problems
