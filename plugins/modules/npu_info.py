#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about an NPU server in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npu_info
version_added: 0.1.0
short_description: Gather everything about an Ascend NPU server in one call
description:
  - Reads C(npu-smi), the device nodes, the PCI bus, the version files of driver, firmware and CANN, the holders of
    the cards, docker, disks, ports, systemd, what runs for each unit of this collection, and a few kernel settings,
    joins them and returns one structure.
  - Every external command has a deadline. What cannot be read is data (RV(node.problems), C(node.npu_smi.error),
    C(node.docker.error)), never a failure of the module, so that a broken host can be described like any other.
author:
  - ascend.fleet contributors (@ascend-fleet)
options:
  gather_subset:
    description:
      - Which parts to read. C(all) is everything, C(min) only what the host is (name, architecture, operating system);
        a name with C(!) before it is left out.
      - C(board) (firmware and faults, one call of C(npu-smi) per card) and C(topology) need C(npu).
      - The names are C(npu), C(board), C(topology), C(versions), C(docker), C(disk), C(network), C(systemd), C(system),
        C(serving).
    type: list
    elements: str
    default: [all]
  paths:
    description: Paths whose file systems are measured; for one that is not there yet, the folder that would hold it.
    type: list
    elements: path
    default: [/var/lib/ascend-fleet]
  ports:
    description: TCP ports to report listeners of. An empty list reports every listening port.
    type: list
    elements: int
    default: []
  timeout:
    description: Deadline of each external command, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and returns the same as otherwise.
    support: full
  diff_mode:
    description: Changes nothing, therefore has no difference to show.
    support: none
  platform:
    description: Linux servers.
    support: full
    platforms: linux
notes:
  - Run it as root. Without root the holders of the cards are not seen.
  - Where the driver prints no Phy-ID, the number of a chip's device node is inferred from the order of the chips.
seealso:
  - plugin: ascend.fleet.preflight_findings
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read everything about the node
  ascend.fleet.npu_info:
  register: about

- name: Show which cards are held, and by whom
  ansible.builtin.debug:
    msg: "{{ about.node.devices | selectattr('holders') | items2dict(key_name='index', value_name='holders') }}"

- name: Read only the cards, without a call per card
  ascend.fleet.npu_info:
    gather_subset: [npu]
    timeout: 15
  register: about
"""

RETURN = r"""
node:
  description: The node.
  returned: always
  type: dict
  contains:
    hostname:
      description: Name of the host.
      type: str
      sample: npu-01
    architecture:
      description: Architecture as the kernel names it.
      type: str
      sample: aarch64
    kernel:
      description: Release of the kernel.
      type: str
      sample: 5.10.0-216.0.0.115.oe2203sp4.aarch64
    os:
      description: Operating system.
      type: dict
      sample: {id: openEuler, version_id: "22.03", pretty_name: "openEuler 22.03 (LTS-SP4)", like: []}
    python_version:
      description: Version of the Python that ran the module.
      type: str
      sample: 3.9.9
    effective_uid:
      description: User id the module ran as.
      type: int
      sample: 0
    clock:
      description: The host's clock, in seconds since 1970.
      type: int
      sample: 1790000000
    boot_time:
      description: When the host was started, in seconds since 1970.
      type: int
      sample: 1789000000
    virtualization:
      description: Kind of container the host itself is, if any.
      type: str
      sample: null
    npu_smi:
      description:
        - What C(npu-smi info) said and how it ended. C(error) is null when its table could be read whole.
        - C(error_kind) is C(missing), C(directory), C(hung), C(truncated), C(no chips), C(layout) or C(tool) (a
          complaint of the tool). Characters of C(raw) that cannot be printed are escaped.
      type: dict
      sample:
        path: /usr/local/sbin/npu-smi
        exit_status: 0
        timed_out: false
        error: null
        error_kind: null
        error_code: null
        error_meaning: null
        error_fix: null
        raw: "+---..."
        npu_smi_version: 25.2.0
        driver_version: 25.2.0
        warnings: []
        process_table: true
        directories: []
    devices:
      description:
        - One entry per chip, in the order of the table, with the fields of the P(ascend.fleet.npu_smi#filter)
          filter, and besides these where
          the chip is (C(index) is N of C(/dev/davinciN)) and who holds it.
      type: list
      elements: dict
      sample:
        - npu_id: 0
          chip_id: 0
          phy_id: null
          device_id: null
          name: 910B3
          health: OK
          power_watts: 94.8
          temperature_celsius: 36
          hugepages_used: 0
          hugepages_total: 0
          bus_id: "0000:C1:00.0"
          utilization_percent: 0
          memory_used_mb: 0
          memory_total_mb: 0
          hbm_used_mb: 3407
          hbm_total_mb: 65536
          hbm_free_mb: 62129
          index: 0
          node: /dev/davinci0
          node_present: true
          pci_present: true
          logic_id: 0
          numa_node: 6
          cpu_affinity: 144-167
          board_driver_version: 25.2.0
          board_firmware_version: 7.8.0.7.220
          product_name: IT21HMDC_Bin5
          serial_number: "102415083974"
          error_codes: []
          error_information: null
          holders:
            - kind: container
              name: training
              pid: 4242
              process: python
              image: pytorch:latest
              runtime: docker
              managed: false
              memory_mb: 18429
              how: npu-smi
    processes:
      description: The rows of the process table with what each process belongs to.
      type: list
      elements: dict
      sample:
        - {npu_id: 4, chip_id: 0, index: 4, pid: 1601114, name: python, memory_mb: 18429, unit: null, managed: false,
           container: {id: 3f4e, name: training, image: "pytorch:latest", runtime: docker}, on_host: true,
           container_pid: null}
    device_nodes:
      description: Device nodes of the NPUs and of their managers.
      type: list
      elements: dict
      sample:
        - path: /dev/davinci0
          name: davinci0
          index: 0
          is_char: true
          major: 236
          minor: 0
          mode: "0660"
          owner: HwHiAiUser
          group: HwHiAiUser
    pci:
      description: Ascend processors on the PCI bus.
      type: list
      elements: dict
      sample:
        - {address: "0000:c1:00.0", id: "19e5:d802", numa_node: 6, driver: devdrv_device_driver}
    topology:
      description: How the chips are connected, null where the tool did not say.
      type: dict
      sample: {devices: [NPU0, NPU1], links: {NPU0: {NPU1: HCCS}}, cpu_affinity: {NPU0: 144-167}}
    versions:
      description: What the version files of driver, firmware and CANN say; null where there is no such file.
      type: dict
      sample:
        driver: {version: 25.2.0, package_version: 25.2.0, path: /usr/local/Ascend/driver/version.info}
        firmware: {version: 7.8.0.7.220, package_version: 25.2.0, path: /usr/local/Ascend/firmware/version.info}
        cann:
          - version: 8.5.0
            path: /usr/local/Ascend/cann-8.5.0/aarch64-linux/ascend_toolkit_install.info
            architecture: aarch64
            innerversion: V100R001C25SPC001B212
            compatible_version: [V100R001C23]
        install_info: {username: HwHiAiUser}
    driver_change:
      description: The open change of driver and firmware of a host in maintenance. Null where none is.
      type: dict
      sample: null
    docker:
      description: The docker daemon with its containers and images.
      type: dict
      sample:
        installed: true
        running: true
        error: null
        engine: docker
        server_version: 24.0.7
        default_runtime: runc
        runtimes: [io.containerd.runc.v2, runc]
        storage_driver: overlay2
        image_store: docker
        cgroup_version: "2"
        cgroup_driver: systemd
        root_dir: /var/lib/docker
        root_free_bytes: 512000000000
        root_total_bytes: 1000000000000
        root_filesystem: xfs
        root_mount: /
        architecture: aarch64
        live_restore: false
        registry_mirrors: ["https://mirror.example.com/"]
        security_options: ["name=seccomp,profile=builtin"]
        warnings: []
        containers: []
        images: []
    disk:
      description:
        - The file systems of O(paths). C(artifacts) is what downloads of M(ascend.fleet.lfs_artifact) have completed
          below the path, by folder; null where it is not known.
      type: list
      elements: dict
      sample:
        - path: /var/lib/ascend-fleet
          exists: true
          mount: /
          filesystem: xfs
          total_bytes: 1000000000000
          free_bytes: 512000000000
          occupied_bytes: 54000000000
          read_only: false
          artifacts:
            - folder: /var/lib/ascend-fleet/models/Qwen-AI--Qwen3.5-27B
              repository: Qwen-AI/Qwen3.5-27B
              bytes: 54000000000
              requests:
                - {revision: main, commit: 3f4e0c1d…, files: [config.json], bytes: 54000000000}
    memory:
      description: Main memory, swap, and the huge pages that are set aside.
      type: dict
      sample:
        total_bytes: 1000000000000
        available_bytes: 900000000000
        swap_total_bytes: 0
        swap_free_bytes: 0
        hugepages: {size_bytes: 2097152, total: 0, free: 0}
    shm:
      description: Size of the host's C(/dev/shm), and what is left of it.
      type: dict
      sample: {size_bytes: 500000000000, free_bytes: 500000000000}
    ports:
      description: Listening TCP ports, and by whom.
      type: list
      elements: dict
      sample:
        - {port: 8010, address: 0.0.0.0, pid: 4242, process: python3, container: null, unit: null, managed: false}
    systemd:
      description:
        - State of systemd and of the units C(vllm-*.service). With an C(error) the units are unknown.
      type: dict
      sample:
        state: running
        error: null
        units:
          - {name: vllm-qwen3.5@0.service, active: active, sub: running, main_pid: 4242, restarts: 0}
    hccn:
      description:
        - The chips' own network. C(kind) tells what stands at C(/etc/hccn.conf) (as in RV(node.mounts)), C(addresses)
          what it configures.
        - C(links) is what C(hccn_tool), where there is one, says of each chip that answers. C(status) is C(UP) or
          C(DOWN). C(health), C(ip) and C(tls) are null where the tool did not say; the values of C(ip) are null where
          the chip has no address.
      type: dict
      sample:
        present: true
        kind: file
        addresses: [{index: 0, address: 29.1.112.213}]
        links:
          - index: 0
            status: UP
            health: Success
            ip: {address: 29.1.112.213, netmask: 255.255.0.0, mac: null, gateway: null, interface: null}
            tls: {device_id: 0, enabled: false, preconfigured: true, alarm_days: 60, certificates: []}
    mounts:
      description:
        - What stands at each path that a container mounts, C(file), C(directory), C(other), C(missing), or C(dangling)
          for a link to a path that is missing.
      type: dict
      sample: {/usr/local/dcmi: directory}
    users:
      description: The user that the driver belongs to, null where there is none.
      type: dict
      sample: {HwHiAiUser: {uid: 1000, gid: 1000, group: HwHiAiUser}}
    programs:
      description: Where the programs lie that other steps rely on, null where there is none.
      type: dict
      sample: {docker: /usr/bin/docker, git-lfs: null}
    tuning:
      description: Kernel settings that matter to serving.
      type: dict
      sample:
        sysctl: {vm.swappiness: 60}
        transparent_hugepage: madvise
        cgroup_version: "2"
        selinux: null
        cpu_governors: [performance]
        kernel_command_line: BOOT_IMAGE=/vmlinuz
        processors: 192
        reboot_required: false
    virtual_machine:
      description: The kind of virtual machine; null on bare metal, in a container, or where nobody can say.
      type: str
      sample: null
    services:
      description: Services of the distribution that matter to serving, with systemd's word for their state.
      type: dict
      sample: {irqbalance: active, firewalld: null, ufw: null}
    firewall:
      description:
        - The firewall that is on, C(firewalld) or C(ufw), and the TCP ports that it leaves open, as pairs of first and
          last; null where there is none, or where it did not say. Rules written by hand are not looked at.
      type: dict
      sample: {name: firewalld, open_ports: [[22, 22], [8000, 8000]]}
    proxies:
      description:
        - Proxies in docker's settings, without passwords. C(containers) tells whether they are handed to containers.
      type: list
      elements: dict
      sample:
        - where: /root/.docker/config.json
          http: http://proxy.example:3128
          https: null
          no_proxy: localhost,127.0.0.1
          containers: true
    watchdog:
      description: What the watchdog of the serving units saw last, null where none runs. C(at) is Unix time.
      type: dict
      sample:
        mode: observe
        at: 1795557600
        replicas:
          - {unit: vllm-qwen3.5@0.service, state: busy, reason: "", since: "", evidence: "", restart: ""}
    kernels:
      description:
        - The kernel that runs, the installed ones, oldest first, and the newest of them.
        - C(has_driver_module) tells whether modules of the Ascend driver lie there; null where that is not known.
      type: dict
      sample:
        running: 5.10.0-216.0.0.115.oe2203sp4.aarch64
        installed:
          - {version: 5.10.0-216.0.0.115.oe2203sp4.aarch64, has_driver_module: true}
          - {version: 5.10.0-240.0.0.139.oe2203sp4.aarch64, has_driver_module: false}
        newest: 5.10.0-240.0.0.139.oe2203sp4.aarch64
    pending:
      description:
        - What is installed but does not run yet. It takes effect at the next boot or restart. C(running) and
          C(installed) are null where only the name is known.
      type: list
      elements: dict
      sample:
        - {package: docker, running: 24.0.7, installed: 26.1.4}
    serving:
      description:
        - What runs for each unit of this collection; null where it was not asked for. Values under the name of a secret
          and passwords in URLs are shown as C(***). C(errors) says by subject (C(units), C(systemd), C(docker)) what
          could not be read; C(units), or C(container) of each, is then null because nobody knows.
        - C(content) is the unit's file, C(environment) its file of variables, C(drop_ins) files that change it,
          C(inherited) variables of the image, C(contents) what was recorded when the image was verified, else null.
      type: dict
      sample:
        systemd_version: 249
        errors: {}
        units:
          - {name: vllm-qwen3.5@0.service, replica: 0, served_model_name: qwen3.5, release: qwen3_5_27b_v0, port: 8010,
             container_name: vllm-qwen3.5-0, config_hash: 9b1f…, image: "sha256:4bcf…", weights: /var/lib/…,
             directory: /var/lib/…, content: "# Managed by …", weights_content: 3f4e…, indices: [0], drop_ins: [],
             environment: {VLLM_API_KEY: "***"}, active: active, contents: {cann: [8.5.0], components: {vllm: 0.16.0}},
             container: {id: 0a1b…, name: vllm-qwen3.5-0, state: running, started_at: "2026-11-24T10:00:00Z",
                         image_id: "sha256:4bcf…", config_hash: 9b1f…, release: qwen3_5_27b_v0, weights_content: 3f4e…,
                         command: [vllm, serve], environment: {PATH: /usr/bin}, inherited: [PATH], privileged: false,
                         mounts: [{source: /data, destination: /data, read_only: true}], devices: [/dev/davinci0],
                         network_mode: host, shm_bytes: 107374182400, security_options: [no-new-privileges]}}
    gathered:
      description: The subsets that were read.
      type: list
      elements: str
      sample: [docker, npu]
    problems:
      description: Whatever could not be read.
      type: list
      elements: dict
      sample:
        - {subject: lspci, message: "`lspci` ended with status 1"}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts.presence import present_artifacts
from ..module_utils._base.text import printable
from ..module_utils._drift import read as serving
from ..module_utils._node import collect
from ..module_utils._node.host import Host


def main() -> None:
    """Read the node."""
    module = AnsibleModule(
        argument_spec={
            "gather_subset": {"type": "list", "elements": "str", "default": ["all"]},
            "paths": {"type": "list", "elements": "path", "default": list(collect.DEFAULT_PATHS)},
            "ports": {"type": "list", "elements": "int", "default": []},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    known = {"all", "min", *collect.SUBSETS}
    unknown = sorted({s.lstrip("!") for s in module.params["gather_subset"]} - known)
    if unknown:
        module.fail_json(
            msg="gather_subset has unknown names: %s; known are %s" % (", ".join(unknown), ", ".join(sorted(known)))
        )
    if module.params["timeout"] <= 0:
        module.fail_json(msg="timeout is %s, it must be more than 0 seconds" % module.params["timeout"])
    host = Host(timeout=module.params["timeout"])
    node = collect.collect(
        host,
        gather_subset=module.params["gather_subset"],
        paths=module.params["paths"],
        ports=module.params["ports"],
    )
    for disk in node.get("disk") or []:
        disk["artifacts"] = None
        if disk["free_bytes"] is None:
            continue  # a file system that does not answer would hang here too
        try:
            disk["artifacts"] = present_artifacts(disk["path"])
        except OSError as exc:
            message = printable("%s: %s" % (exc.filename, exc.strerror))
            node["problems"].append({"subject": "artifacts", "message": message})
    if "serving" in (node.get("gathered") or []):
        # What is recorded of images lies beside the artifacts, or where the role vllm_image keeps it by default.
        folders = [*("%s/images" % path.rstrip("/") for path in module.params["paths"]), serving.RECORDS]
        node["serving"] = serving.Reader(timeout=module.params["timeout"], records_in=folders).read()
        node["problems"] += [{"subject": s, "message": m} for s, m in node["serving"]["errors"].items()]
    module.exit_json(changed=False, node=node)


if __name__ == "__main__":
    main()
