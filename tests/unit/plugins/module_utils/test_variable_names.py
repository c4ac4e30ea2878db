# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names count as misspelt ones of ours, and which are somebody else's."""

from __future__ import annotations

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._release.inventory import PREFIXES
from ansible_collections.ascend.fleet.plugins.module_utils._release.names import closest, distance, misspelt
from ansible_collections.ascend.fleet.plugins.module_utils._release.variables import RULES

#: As other collections, roles and sites name theirs.
_NAMES = """
    ansible_become ansible_become_password ansible_connection ansible_host ansible_port ansible_python_interpreter
    ansible_ssh_private_key_file ansible_user ansible_ssh_common_args ansible_facts_parallel
    artifact artifacts artifacts_dir artifacts_path artifact_name artifact_version artifact_url artifact_server
    artifactory_url artifactory_token artifact_repository
    api_key api_token apt_mirror apt_packages backup_root base_url bundle bundle_path ca_path cluster_name
    chrony_servers cuda_version data_root datacenter decommission_date docker_daemon_options docker_options
    docker_registry docker_users docker_version docker_data_root driver_version environment_name etcd_version
    firewall_ports first_port fleet flavor generation gpu_generation_name gateway_port grafana_port
    haproxy_frontend_port hccl_port host_generation http_proxy https_proxy huggingface_token image image_name
    image_tag image_registry inventory_name k3s_version kernel_version kube_version ldap_server location
    loki_port media_path mirror mirror_url mirror_list model model_dir model_name model_path model_revision
    models_dir model_registry monitoring_port nfs_server nginx_port nginx_worker_processes node_exporter_port
    node_name no_proxy npu_count npu_type ntp_servers org_name owner packages pip_index_url
    prometheus_port proxy_url rack region release release_name replicas replica_count root_password serial_number
    serve_port service_port site_name smoke_test ssh_port ssl_certificate swarm_name swarm_port swarm_managers
    sysctl_settings timezone token token_file tracker_url users vault_token vllm vllm_dir vllm_host vllm_logs
    vllm_model vllm_name vllm_token vllm_url vllm_user vllm_version vllm_workers zabbix_server zone
"""
FOREIGN = _NAMES.split()


def test_there_are_enough_of_them():
    assert len(set(FOREIGN)) >= 100


def test_somebody_elses_name_is_not_taken_for_ours():
    assert {name: found for name in FOREIGN if (found := closest(name, RULES)) is not None} == {}
    assert [name for name in FOREIGN if name.startswith(PREFIXES)] == []


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("vllm_serv_api_key", "vllm_serve_api_key"),
        ("vllm_serve_apikey", "vllm_serve_api_key"),
        ("vlmm_serve_api_key", "vllm_serve_api_key"),
        ("VLLM_SERVE_API_KEY", "vllm_serve_api_key"),
        ("vllm-serve-api-key", "vllm_serve_api_key"),
        ("vllm_serve_key_api", "vllm_serve_api_key"),
        ("vllm_api_key", "vllm_serve_api_key"),
        ("serve_api_key", "vllm_serve_api_key"),
        ("model_artifact_root", "model_artifacts_root"),
        ("models_artifacts_root", "model_artifacts_root"),
        ("flet_profile", "fleet_profile"),
        ("feet_profile", "fleet_profile"),
        ("fleet_porfile", "fleet_profile"),
        ("fleetprofile", "fleet_profile"),
        ("flat_release", "fleet_release"),
        ("npu_generations", "npu_generation"),
        ("npu_prefligth_ignore", "npu_preflight_ignore"),
        ("artefact_origin", "artifact_origin"),
        ("artifact_swarm_form", "artifact_swarm_from"),
        ("artifact_miror_port", "artifact_mirror_port"),
        ("decomission_images", "decommission_images"),
    ],
)
def test_a_misspelt_name_finds_the_right_one(name, right):
    assert closest(name, RULES) == right
    assert misspelt({name, right, "else"}, RULES) == {name: right}


def test_a_letter_left_out_twice_or_swapped_is_found():
    for right in sorted(RULES)[::3]:
        for at in (1, len(right) // 2, len(right) - 2):
            slips = [
                right[:at] + right[at + 1 :],
                right[:at] + right[at] + right[at:],
                right[:at] + right[at + 1] + right[at] + right[at + 2 :],
            ]
            for slip in slips:
                assert slip in RULES or closest(slip, RULES), slip


def test_distance_counts_and_stops():
    assert distance("abc", "abc", 2) == 0
    assert distance("abc", "acb", 2) == 1
    assert distance("abcd", "bd", 2) == 2
    assert distance("abcdef", "uvwxyz", 2) == 3
    assert distance("", "abc", 2) == 3
