# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole validation, over inventories as operators write them: files, Ansible's own variables and templates."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.ascend.fleet.plugins.action.fleet_validate import ActionModule, stale_copy
from ansible_collections.ascend.fleet.plugins.module_utils._release.variables import RULES

A2 = {"npu_hosts": {"children": {"atlas_a2": {"hosts": {"h1": {"ansible_host": "192.0.2.1"}}}}}}
GOOD = {"npu_generation": "a2", "fleet_release": "qwen3_5_27b_v0"}


def run(folder, hosts=None, host=None, arguments=None, **variables):
    """Validate an inventory with these hosts and these variables for all of them."""
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts or A2))
    all_vars = {k: v for k, v in {**GOOD, **variables}.items() if v != "(absent)"}
    (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(all_vars))
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(folder / "hosts.yml")])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    task_vars = manager.get_vars(host=inventory.get_host(host) if host else None)
    task_vars.update(groups=inventory.get_groups_dict(), hostvars=hostvars, inventory_dir=str(folder))
    task = MagicMock(async_val=0, args=arguments or {}, check_mode=False, diff=False)
    task.action = "ascend.fleet.fleet_validate"
    templar = Templar(loader=loader, variables=task_vars)
    action = ActionModule(task, MagicMock(), MagicMock(), loader, templar, MagicMock())
    action._connection._shell.tmpdir = None
    return action.run(task_vars=task_vars)


def refused(result, *words):
    assert result.get("failed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    return result["msg"]


class TestTheWhole:
    def test_a_good_inventory_passes_and_names_its_releases(self, tmp_path):
        result = run(tmp_path)
        assert not result.get("failed"), result
        assert (result["hosts"], result["releases"]) == (["h1"], ["qwen3_5_27b_v0"])

    def test_a_lock_that_was_edited_into_nonsense_is_a_mistake_until_it_is_made_anew(self, tmp_path):
        lock = {
            "version": 1,
            "release": "qwen3_5_27b_v0",
            "images": [],
            "model": {
                "repository": "https://modelers.cn/Qwen-AI/Qwen3.5-27B.git",
                "revision": "main",
                "include": ["*"],
                "exclude": [],
                "commit": "1" * 40,
                "files": {"config.json": {"sha256": "a" * 64, "size_bytes": 2}},
            },
        }
        file = tmp_path / "releases" / "qwen3_5_27b_v0.lock.yml"
        file.parent.mkdir()
        file.write_text(yaml.safe_dump(lock))
        assert not run(tmp_path).get("failed")
        file.write_text(yaml.safe_dump(lock).replace("1" * 40, "main").replace("a" * 64, "abc"))
        refused(run(tmp_path), str(file), "model.commit", "model.files.config.json.sha256")
        assert not run(tmp_path, host="h1", fleet_relock=True).get("failed")
        lock["model"]["revision"] = "v9"
        file.write_text(yaml.safe_dump(lock))
        refused(run(tmp_path), 'model: revision: found "v9"', "fleet_relock=true")

    def test_an_empty_inventory_fails_with_words(self, tmp_path):
        refused(run(tmp_path, {"all": {}}), "npu_hosts", "make demo")

    def test_an_unknown_release_lists_the_known_ones(self, tmp_path):
        refused(run(tmp_path, fleet_release="nope"), "qwen3_5_27b_v0")

    def test_a_release_of_the_users_own_is_found_beside_the_inventory(self, tmp_path):
        (tmp_path / "releases").mkdir()
        (tmp_path / "releases" / "mine.yml").write_text("release: mine\ndriver: {version: [1]}\nsurprise: 1\n")
        refused(run(tmp_path, fleet_release="mine"), "driver.version", "surprise", "images")

    def test_a_generation_without_an_image_is_named(self, tmp_path):
        shipped = Path(__file__).resolve().parents[4] / "playbooks/releases/qwen3_5_27b_v0.yml"
        data = yaml.safe_load(shipped.read_text("utf-8"))
        data.update(release="a3_only", images=data["images"][1:], smoke={})
        (tmp_path / "releases").mkdir()
        (tmp_path / "releases" / "a3_only.yml").write_text(yaml.safe_dump(data))
        refused(run(tmp_path, fleet_release="a3_only"), "no image for the generation a2")

    def test_a_stale_installed_copy_is_named(self, tmp_path):
        checkout, installed = tmp_path / "checkout", tmp_path / "installed"
        for folder in (checkout / "playbooks", installed):
            folder.mkdir(parents=True)
        (checkout / "galaxy.yml").write_text("namespace: ascend\nname: fleet\n")
        for playbook_dir in (checkout, checkout / "playbooks"):
            assert stale_copy(str(playbook_dir), checkout) is None
            mistake = stale_copy(str(playbook_dir), installed)
            assert str(installed) in mistake.found
            assert "ANSIBLE_COLLECTIONS_PATH" in mistake.fix
        assert stale_copy(str(installed), Path("/elsewhere")) is None


ASKED = {"name": "hello", "endpoint": "/v1/completions", "request": {"prompt": "Hello"}}

#: One variable with a value that cannot work, and words that its message must hold.
WRONG = [
    ("vllm_serve_replicas", -1, "from 1 to"),
    ("vllm_serve_replicas", 0, "from 1 to"),
    ("vllm_serve_replicas", 1.5, "whole number"),
    ("vllm_serve_replicas", "two", "whole number"),
    ("vllm_serve_replicas", True, "whole number"),
    ("vllm_serve_replicas", [1], "whole number"),
    ("vllm_serve_replicas", 3, "needed 12 for 3 replicas of 4"),
    ("vllm_serve_replicas", "{{ 1 + 2 }}", "needed 12 for 3 replicas of 4"),
    ("vllm_serve_first_port", 22, "from 1024 to 65535"),
    ("vllm_serve_first_port", 80, "from 1024 to 65535"),
    ("vllm_serve_first_port", 70000, "from 1024 to 65535"),
    ("vllm_serve_first_port", -8010, "from 1024 to 65535"),
    ("vllm_serve_first_port", "http", "from 1024 to 65535"),
    ("vllm_serve_first_port", 8000, "port 8000 (the gateway)"),
    ("vllm_serve_first_port", 7999, "port 8000 (the gateway)"),
    ("vllm_serve_first_port", 8008, "port 8008 (the mirror)"),
    ("vllm_serve_first_port", 6969, "the mirror's tracker"),
    ("vllm_serve_first_port", 6885, "sharing between hosts"),
    ("vllm_serve_first_port", 61010, "HCCL of replica 0"),
    ("vllm_serve_first_port", 29600, "torch's master of replica 0"),
    ("vllm_serve_first_port", 65535, "ports up to 65536"),
    ("artifact_mirror_port", 8010, "port 8010 (replica 0)"),
    ("artifact_mirror_port", 0, "from 1024 to 65535"),
    ("artifact_mirror_tracker_port", "8008", "port 8008"),
    ("model_artifacts_swarm_ports", "8005-8015", "port 8010 (replica 0)"),
    ("model_artifacts_swarm_ports", "6889-6881", "FIRST-LAST"),
    ("model_artifacts_swarm_ports", "a-b", "FIRST-LAST"),
    ("vllm_serve_api_key", "one\ntwo", "text in quotes"),
    ("vllm_serve_api_key", ["a", "b"], "text in quotes"),
    ("vllm_serve_api_key", "two words", "text in quotes"),
    ("vllm_serve_api_key", 12345, "text in quotes"),
    ("vllm_serve_api_key", "schlüssel", "text in quotes"),
    ("vllm_smoke_api_key", "a\n", "text in quotes"),
    ("vllm_serve_options", {"tensor-paralel-size": 4}, "did you mean `tensor-parallel-size`"),
    ("vllm_serve_options", {"tensor-parallel-size": "four"}, "an integer, 1 or more"),
    ("vllm_serve_options", {"tensor-parallel-size": 0}, "an integer, 1 or more"),
    ("vllm_serve_options", {"tensor-parallel-size": 16}, "needed 16 for 1 replica of 16"),
    ("vllm_serve_options", {"data-parallel-size": 3}, "needed 12 for 1 replica of 12"),
    ("vllm_serve_options", {"swap-space": "4 GiB"}, "a number, 0 or more"),
    ("vllm_serve_options", {"dtype": "bf16"}, "one of: auto, bfloat16"),
    ("vllm_serve_options", {"master-port": 22}, "from 1024 to 65535"),
    ("vllm_serve_options", {"gpu-memory-utilization": 94}, "above 0, at most 1"),
    ("vllm_serve_options", {"max-model-len": "long"}, "a number of tokens"),
    ("vllm_serve_options", {"trust-remote-code": "yes"}, "true, or false for --no-trust-remote-code"),
    ("vllm_serve_options", {"compilation-config": "{"}, "JSON"),
    ("vllm_serve_options", {"max-num-seqs": 20000}, "max-num-seqs (20000) or more"),
    ("vllm_serve_options", {"api-key": "s3cret"}, "vllm_serve_api_key"),
    ("vllm_serve_options", {"port": 9000}, "serve.port"),
    ("vllm_serve_options", {"additional-config": {"enable_cpu_bindings": True}}, "did you mean `enable_cpu_binding`"),
    ("vllm_serve_options", ["--max-num-seqs", 4], "a mapping"),
    ("vllm_serve_options", "--max-num-seqs 4", "a mapping"),
    ("vllm_serve_environment", ["A=1"], "a mapping"),
    ("vllm_serve_environment", {"A-B": "1"}, "letters, digits and _"),
    ("vllm_serve_environment", {"HCCL_DEBUG": True}, 'such as "true"'),
    ("vllm_serve_environment", {"HF_TOKEN": "s3cret\nline"}, "one line of text"),
    ("vllm_serve_docker_options", "--ulimit nofile=1", "a list of texts"),
    ("vllm_serve_docker_options", ["nofile=1"], "begins with an option"),
    ("vllm_serve_docker_options", ["--name=mine"], "sets --name"),
    ("vllm_serve_docker_options", ["--ulimit", "a\nb"], "text of one line"),
    ("vllm_serve_docker_options", ["--ulimit", 1], "text of one line"),
    ("vllm_serve_data_root", "data/fleet", "an absolute path"),
    ("vllm_serve_data_root", "/data:/data", "an absolute path"),
    ("vllm_serve_data_root", "/data/a\nb", "an absolute path"),
    ("vllm_serve_media_path", "~/media", "an absolute path"),
    ("vllm_serve_media_path", "/", "an absolute path below /"),
    ("vllm_serve_weights", "/data/../etc", "without `..`"),
    ("model_artifacts_root", "data", "an absolute path"),
    ("model_artifacts_root", "", "an absolute path"),
    ("model_artifacts_root", "/my data", "an absolute path"),
    ("vllm_image_root", "C:\\images", "an absolute path"),
    ("artifact_mirror_root", "/srv/$HOME", "an absolute path"),
    ("npu_preflight_artifacts_path", 5, "an absolute path"),
    ("fleet_bundle", "bundle", "an absolute path"),
    ("fleet_bundle", "/media/disk\n", "an absolute path"),
    ("model_artifacts_token_file", "token", "an absolute path"),
    ("model_artifacts_ca_path", "https://ca", "an absolute path"),
    ("vllm_serve_stop_seconds", 0, "from 1 to 3600"),
    ("vllm_serve_ready_timeout_seconds", "45m", "whole number"),
    ("vllm_serve_silence_timeout_seconds", -1, "whole number"),
    ("vllm_image_load_timeout", 0, "from 1 to"),
    ("model_artifacts_timeout", "a day", "whole number"),
    ("npu_preflight_timeout_seconds", 0, "from 1 to 3600"),
    ("npu_preflight_timeout_seconds", "nan", "from 1 to 3600"),
    ("npu_preflight_memory_gib", "64 GiB", "a number from 0"),
    ("npu_preflight_docker_gib", -1, "a number from 0"),
    ("model_artifacts_keep", -1, "from 0 to 1000"),
    ("vllm_image_keep", "all", "from 0 to 1000"),
    ("artifact_mirror_keep", 1.5, "from 0 to 1000"),
    ("model_artifacts_seed_minutes", -5, "from 0 to"),
    ("model_artifacts_refresh", "maybe", "true or false"),
    ("model_artifacts_rehash", 2, "true or false"),
    ("vllm_serve_skip_unhealthy", [], "true or false"),
    ("vllm_image_verify", "", "true or false"),
    ("npu_preflight_ignore", "SYS-008", "a list of findings' IDs"),
    ("npu_preflight_ignore", ["sys8"], "such as SYS-008"),
    ("npu_preflight_fail_on", "info", "one of: error, warning"),
    ("vllm_serve_profile", "privileged", "one of: least_privilege, guide"),
    ("fleet_profile", "Guide", "did you mean `guide`"),
    ("fleet_progress", "yes", "one of: auto, always, never"),
    ("fleet_release", ["qwen3_5_27b_v0"], "the name of a release"),
    ("fleet_release", None, "fleet_release not set"),
    ("npu_generation", "a9", "one of: a2, a3"),
    ("npu_generation", "A2", "did you mean `a2`"),
    ("model_artifacts_generation", "910b", "one of: a2, a3"),
    ("model_artifacts_architecture", "arm64", "one of: aarch64, x86_64"),
    ("model_artifacts_packages", "git", "a list of packages' names"),
    ("model_artifacts_packages", ["git lfs"], "a package's name"),
    ("model_artifacts_sources", "http://mirror", "a list of stores"),
    ("model_artifacts_trackers", ["mirror:6969"], "a list of trackers' URLs"),
    ("model_artifacts_token_user", "me@here", "a user name"),
    ("artifact_origin", "mirror.example.com", "a URL such as https://"),
    ("artifact_origin", "https://me:hush@mirror.example.com", "without user name"),
    ("artifact_origin", "https://mirror.example.com:99999", "a URL such as https://"),
    ("artifact_mirror_url", "ftp://mirror", "a URL such as https://"),
    ("artifact_mirror_address", "eth0", "an IP address"),
    ("artifact_swarm_from", -1, "whole number"),
    ("artifact_swarm_from", "many", "whole number"),
    ("fleet_ignore_variables", "my_variable", "a list of variables' names"),
    ("decommission_roots", ["data"], "an absolute path"),
    ("vllm_smoke_questions", "hello?", "a list of questions"),
    ("vllm_smoke_questions", [{**ASKED, "endpoint": "/v1/embeddings"}], "one of: /v1/completions"),
    ("vllm_smoke_questions", [{**ASKED, "request": {"max_tokens": 5}}], "what /v1/completions is to be asked"),
    ("vllm_smoke_questions", [{**ASKED, "timeout": 5}], "an unknown key (did you mean `timeout_seconds`?)"),
    ("vllm_smoke_questions", [ASKED, ASKED], "a name that no other question has"),
]  # fmt: skip


class TestValues:
    @pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=["%s-%s" % (n, str(v)[:20]) for n, v, _w in WRONG])
    def test_a_value_that_cannot_work_is_found_without_a_host(self, tmp_path, name, value, words):
        text = refused(run(tmp_path, **{name: value}), name, words, "h1: found", "; needed ", "Fix: ")
        assert text.startswith("The fleet's description has 1 mistake"), text
        assert "hush" not in text
        assert "s3cret" not in text
        if value is not None:
            assert "group_vars/all.yml" in text, text

    @pytest.mark.parametrize(
        "variables",
        [
            {"vllm_serve_replicas": "2", "vllm_serve_first_port": "9000"},
            {"vllm_serve_replicas": None, "vllm_serve_first_port": None, "vllm_smoke_questions": None},
            {"npu_preflight_memory_gib": "0.5", "model_artifacts_refresh": "yes", "vllm_image_verify": "False"},
            {"vllm_serve_docker_options": ["-v", "/opt/x:/opt/x:ro"], "vllm_serve_environment": {"A": 1, "B": "x y"}},
            {"vllm_serve_options": {"max-num-seqs": None, "tensor-parallel-size": 2}, "vllm_serve_replicas": 4},
            {"fleet_bundle": "/media/My Disk/bundle: new", "fleet_lock_path": "/srv/locks"},
            {"fleet_profile": "guide", "model_artifacts_root": "/data/fleet"},
            {"artifact_origin": "", "artifact_mirror_certificate": "", "vllm_serve_api_key": "", "fleet_bundle": ""},
            {"artifact_origin": "http://[2001:db8::1]:8080/sub", "artifact_mirror_address": "::1"},
            {"npu_preflight_ignore": ["SYS-008", "CANN-002"], "model_artifacts_packages": ["git-lfs", "libstdc++6"]},
            {"vllm_smoke_questions": [{**ASKED, "picture_data": "data:image/png;base64,AA"}]},
            {"model_artifacts_root": "/数据/fleet", "vllm_serve_api_key": "sk-0123456789abcdef"},
        ],
    )
    def test_values_that_work_pass(self, tmp_path, variables):
        result = run(tmp_path, **variables)
        assert not result.get("failed"), result

    def test_the_guides_profile_needs_its_folder(self, tmp_path):
        result = run(tmp_path, fleet_profile="guide", model_artifacts_root="/srv/fleet")
        refused(result, 'model_artifacts_root: "/srv/fleet"', "a folder under /data")

    def test_the_larger_generation_has_room_for_more(self, tmp_path):
        hosts = {"npu_hosts": {"children": {"atlas_a3": {"hosts": {"h1": {}}}}}}
        assert not run(tmp_path, hosts, npu_generation="a3", vllm_serve_replicas=4).get("failed")
        result = run(tmp_path, hosts, npu_generation="a3", vllm_serve_replicas=5)
        refused(result, "needed 20 for 5 replicas of 4", "Atlas A3")

    def test_all_mistakes_are_listed_at_once_and_hosts_are_grouped(self, tmp_path):
        hosts = {"npu_hosts": {"children": {"atlas_a2": {"hosts": {"h1": {}, "h2": {"vllm_serve_api_key": []}}}}}}
        text = refused(run(tmp_path, hosts, vllm_serve_replicas=0, fleet_profile="x", model_artifacts_root="y"))
        assert "has 4 mistake(s)" in text
        assert text.count("h1, h2: found") == 3
        assert text.count(". h2: found") == 1


class TestTemplates:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("{{ vllm_kye }}", "'vllm_kye' is undefined"),
            ("{{ 1 + }}", "Syntax error in template"),
            ("{{ model_artifacts_root.nothing }}", "no attribute 'nothing'"),
            ("{{ 'a' | nofilter }}", "nofilter"),
            ("{% if %}", "Syntax error in template"),
        ],
    )
    def test_a_template_that_fails_is_named_with_variable_and_file(self, tmp_path, value, words):
        result = run(tmp_path, vllm_serve_api_key=value)
        refused(result, "h1: found vllm_serve_api_key: a template that fails", words, "group_vars/all.yml:")

    def test_an_undefined_variable_of_one_host_is_that_hosts(self, tmp_path):
        hosts = {"npu_hosts": {"children": {"atlas_a2": {"hosts": {"h1": {"rack": "/srv/r1"}, "h2": {}}}}}}
        text = refused(run(tmp_path, hosts, model_artifacts_root="{{ rack }}"), "h2: found", "'rack' is undefined")
        assert "h1" not in text

    def test_what_only_a_run_knows_is_left_alone(self, tmp_path):
        result = run(
            tmp_path,
            model_artifacts_architecture="{{ ansible_facts.architecture }}",
            vllm_serve_weights="{{ model_artifacts_result.weights }}",
            vllm_serve_data_root="{{ base }}/x",
            base="{{ npu_preflight_node.name }}",
        )
        assert not result.get("failed"), result

    def test_defaults_of_roles_can_be_referred_to(self, tmp_path):
        assert not run(tmp_path, npu_preflight_artifacts_path="{{ model_artifacts_root }}/x").get("failed")
        result = run(tmp_path, vllm_serve_first_port="{{ artifact_mirror_port }}")
        refused(result, "port 8008 (the mirror)")

    def test_lookups_with_side_effects_are_not_run(self, tmp_path):
        created = tmp_path / "created"
        result = run(
            tmp_path,
            vllm_serve_api_key="{{ lookup('ansible.builtin.password', '%s') }}" % created,
            vllm_serve_replicas="{{ lookup('pipe', 'touch %s; echo 99') }}" % created,
            artifact_origin="{{ indirect }}",
            indirect="{{ query('pipe', 'touch %s') | first }}" % created,
        )
        assert not result.get("failed"), result
        assert not created.exists()

    def test_harmless_lookups_are(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ASCEND_REPLICAS", "9")
        result = run(tmp_path, vllm_serve_replicas="{{ lookup('env', 'ASCEND_REPLICAS') }}")
        refused(result, "needed 36 for 9 replicas of 4")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "right"),
        [
            ("vllm_serv_api_key", "vllm_serve_api_key"),
            ("model_artifact_root", "model_artifacts_root"),
            ("flet_profile", "fleet_profile"),
        ],
    )
    def test_a_misspelt_variable_is_an_error_with_the_right_name(self, tmp_path, name, right):
        text = refused(run(tmp_path, **{name: "x"}), "the unknown variable %s (" % name, "Did you mean `%s`?" % right)
        assert "group_vars/all.yml:" in text
        assert not run(tmp_path, **{name: "x"}, fleet_ignore_variables=[name]).get("failed")

    def test_a_variable_of_the_operators_own_that_ours_use_passes(self, tmp_path):
        refused(run(tmp_path, vllm_api_key="x"), "Did you mean `vllm_serve_api_key`?")
        assert not run(tmp_path, vllm_api_key="x", vllm_serve_api_key="{{ vllm_api_key }}").get("failed")


class TestHosts:
    def test_two_names_with_one_address_are_one_mistake(self, tmp_path):
        hosts = {"npu_hosts": {"children": {"atlas_a2": {"hosts": {
            "h1": {"ansible_host": "192.0.2.1"}, "h2": {"ansible_host": "{{ 'x192.0.2.1'[1:] }}"},
            "192.0.2.1": {"ansible_port": 22}, "h3": {"ansible_host": "192.0.2.1", "ansible_port": 2222},
        }}}}}  # fmt: skip
        text = refused(run(tmp_path, hosts), "192.0.2.1, h1, h2: found one machine under 3 names")
        assert "h3" not in text

    def test_a_mirror_under_another_name_is_found_too(self, tmp_path):
        hosts = {**A2, "artifact_mirrors": {"hosts": {"m1": {"ansible_host": "192.0.2.1"}}}}
        refused(run(tmp_path, hosts), "h1, m1: found one machine under 2 names")

    def test_hosts_that_are_mirrors_only_are_validated(self, tmp_path):
        hosts = {**A2, "artifact_mirrors": {"hosts": {"m1": {"artifact_mirror_port": 99, "artifact_miror_root": "/x"}}}}
        text = refused(run(tmp_path, hosts), "m1: found artifact_mirror_port: the number 99", "`artifact_mirror_root`")
        assert "has 2 mistake(s)" in text

    def test_a_mirror_needs_both_certificate_and_key(self, tmp_path):
        hosts = {**A2, "artifact_mirrors": {"hosts": {"m1": {"artifact_mirror_certificate": "/etc/m.pem"}}}}
        refused(run(tmp_path, hosts), "m1: found artifact_mirror_key: nothing")

    def test_a_host_in_both_generations_is_a_mistake(self, tmp_path):
        hosts = {"npu_hosts": {"children": {"atlas_a2": {"hosts": {"h1": {}}}, "atlas_a3": {"hosts": {"h1": {}}}}}}
        refused(run(tmp_path, hosts), "h1: found the host in the groups atlas_a2 and atlas_a3")

    def test_a_misspelt_group_is_a_mistake(self, tmp_path):
        hosts = {**A2, "artifact_mirror": {"hosts": {"m1": {}}}}
        refused(run(tmp_path, hosts), "the group artifact_mirror; needed the group artifact_mirrors")


class TestOneRole:
    def test_its_variables_are_judged_for_the_host(self, tmp_path):
        result = run(tmp_path, host="h1", arguments={"role": "vllm_serve"}, vllm_serve_replicas=0, fleet_profile="x")
        text = refused(result, "h1: 1 mistake(s)", "vllm_serve_replicas")
        assert "fleet_profile" not in text

    def test_good_ones_pass_and_the_release_is_not_read(self, tmp_path):
        result = run(tmp_path, host="h1", arguments={"role": "vllm_serve"}, vllm_serve_release="{{ nothing }}")
        assert not result.get("failed"), result

    def test_values_that_contradict_each_other_are_found(self, tmp_path):
        given = {"artifact_mirror_certificate": "/etc/m.pem", "artifact_mirror_key": ""}
        result = run(tmp_path, host="h1", arguments={"role": "artifact_mirror"}, **given)
        refused(result, "h1: 1 mistake(s)", "artifact_mirror_key: found nothing", "or neither")
        assert not run(tmp_path, host="h1", arguments={"role": "vllm_serve"}, **given).get("failed")


def test_every_variable_of_every_role_has_a_rule_and_no_other():
    root = Path(__file__).resolve().parents[4]
    wanted = {"artifact_origin", "artifact_swarm_from", "benchmark_hosts", "restart_replicas"}
    # Of diagnose.yml, which leaves its module's defaults as they are.
    wanted |= {"diagnose_" + name for name in ("device_logs", "redact_addresses", "size_mb", "timeout_seconds")}
    for path in root.glob("roles/*/meta/argument_specs.yml"):
        wanted.update(yaml.safe_load(path.read_text("utf-8"))["argument_specs"]["main"]["options"])
    for path in root.glob("playbooks/*.yml"):
        for play in yaml.safe_load(path.read_text("utf-8")):
            wanted.update(name for name in play.get("vars", {}) if not name.startswith("__"))
    own = [name for name in RULES if not name.startswith("fleet_") or name.startswith("fleet_monitoring_")]
    rules = set(own) - {"npu_generation"}
    assert rules == wanted
