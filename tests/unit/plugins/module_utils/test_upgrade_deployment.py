# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments are known by their content, kept for root alone, and go when nothing needs them."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._base.revisions import mentions
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import deployment
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade.deployment import Deployment, DeploymentError

IMAGE = "sha256:" + "4b" * 32
WEIGHTS = "/var/lib/ascend-fleet/models/M"


def unit(number=0, **more):
    known = {
        "name": "vllm-m@%d.service" % number,
        "replica": number,
        "container_name": "vllm-m-%d" % number,
        "config_hash": "a" * 64,
        "image": IMAGE,
        "content": "[Service]\nExecStart=docker run -v %s:%s:ro %s\n" % (WEIGHTS, WEIGHTS, IMAGE),
        "environment": {"A": "1"},
        "directories": [],
        "url": "http://127.0.0.1:%d" % (8010 + number),
        "served_model_name": "m",
    }
    return {**known, **more}


def release(name="r_v0", **more):
    return {"release": name, "serve": {"port": 8010, "share": 0.9}, "images": [{"image_id": IMAGE}], **more}


def made(**parts):
    known = {"release": release(), "units": [unit(0), unit(1)], "secrets": {"VLLM_API_KEY": "key"}, **parts}
    return Deployment.of(known["release"], known["units"], known["secrets"])


def test_equal_content_has_one_digest_in_whatever_order_and_way_it_comes():
    base = made().digest
    assert len(base) == 64
    shuffled = dict(reversed(list(release().items())))
    assert made(release=shuffled).digest == base
    assert made(release=json.loads(json.dumps(release())), units=[dict(unit(0)), dict(unit(1))]).digest == base
    assert made(units=[unit(0, secrets={"VLLM_API_KEY": "key"}), unit(1)]).digest == base
    assert deployment.digest_of(deployment.sha256_of(release()), made().units, {"VLLM_API_KEY": "key"}) == base


@pytest.mark.parametrize(
    "parts",
    [
        {"release": release("r_v1")},
        {"release": release(smoke={})},
        {"units": [unit(0)]},
        {"units": [unit(1), unit(0)]},
        {"units": [unit(0, config_hash="b" * 64), unit(1)]},
        {"secrets": {}},
        {"secrets": {"VLLM_API_KEY": "other"}},
    ],
)
def test_whatever_differs_is_another_deployment(parts):
    assert made(**parts).digest != made().digest


def test_keys_that_are_no_text_have_an_order_too():
    assert deployment.canonical({"b": {2: "x", "1": None}}) == '{"b":{"1":null,"2":"x"}}'
    with pytest.raises(ValueError, match="JSON"):
        deployment.canonical({"a": float("nan")})


def test_it_comes_back_as_it_was_kept_and_root_alone_reads_it(tmp_path):
    wanted = made()
    assert deployment.keep(wanted, str(tmp_path))
    assert not deployment.keep(wanted, str(tmp_path))
    path = deployment.path_of(wanted.digest, str(tmp_path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    found = deployment.read(wanted.digest, str(tmp_path))
    assert (found, found.digest, found.name) == (wanted, wanted.digest, "r_v0")
    assert found.secrets == {"VLLM_API_KEY": "key"}
    assert found.unit_names == ["vllm-m@0.service", "vllm-m@1.service"]
    assert found.replicas[1] == {
        "unit": "vllm-m@1.service", "url": "http://127.0.0.1:8011", "served_model_name": "m",
    }  # fmt: skip


def test_parts_that_are_missing_are_all_named():
    with pytest.raises(DeploymentError) as caught:
        Deployment.of({}, [{"name": "u"}], {})
    assert "the release has no name" in str(caught.value)
    assert "units[0] has no replica, container_name" in str(caught.value)
    with pytest.raises(DeploymentError, match="there is no unit"):
        Deployment.of(release(), [], {})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:100], "it is not JSON"),
        (lambda text: text.replace("r_v0", "r_v9"), "its content is not what its name says"),
        (lambda text: '{"schema": 1}', "its content is not what its name says"),
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "of schema 2; needed schema 1"),
        (lambda text: "[]", "of schema None"),
    ],
)
def test_a_damaged_one_is_never_used_and_is_kept_anew(tmp_path, damage, words):
    wanted = made()
    deployment.keep(wanted, str(tmp_path))
    path = tmp_path / "deployments" / (wanted.digest + ".json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(DeploymentError) as caught:
        deployment.read(wanted.digest, str(tmp_path))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert deployment.keep(wanted, str(tmp_path))
    assert deployment.read(wanted.digest, str(tmp_path)) == wanted


def test_one_that_is_gone_is_named(tmp_path):
    with pytest.raises(DeploymentError, match=r"found no .*/deployments/00"):
        deployment.read("0" * 64, str(tmp_path))
    assert not deployment.is_kept("0" * 64, str(tmp_path))
    assert deployment.kept(str(tmp_path)) == {}


def test_what_is_needed_stays_whatever_its_age_and_the_count():
    written = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert deployment.superfluous(written, {"a"}, 2) == ["b", "c"]
    assert deployment.superfluous(written, {"a", "b", "c"}, 1) == ["d"]
    assert deployment.superfluous(written, set(written), 0) == []
    assert deployment.superfluous(written, {"gone"}, 5) == []


def test_pruning_removes_files_of_deployments_and_nothing_else(tmp_path):
    kept = [made(release=release("r_v%d" % number)) for number in range(4)]
    for number, one in enumerate(kept):
        deployment.keep(one, str(tmp_path))
        os.utime(deployment.path_of(one.digest, str(tmp_path)), (number, number))
    (tmp_path / "deployments" / "notes.json").write_text("of somebody")
    gone = deployment.prune({kept[0].digest}, str(tmp_path), 2)
    assert gone == sorted([kept[1].digest, kept[2].digest])
    assert set(os.listdir(tmp_path / "deployments")) == {
        "notes.json", kept[0].digest + ".json", kept[3].digest + ".json",
    }  # fmt: skip


def test_images_and_weights_of_what_is_needed_are_in_use(tmp_path):
    wanted = made()
    deployment.keep(wanted, str(tmp_path))
    text = deployment.in_use_text({wanted.digest}, str(tmp_path))
    assert mentions(text, IMAGE)
    assert mentions(text, WEIGHTS)
    assert not mentions(text, "/var/lib/ascend-fleet/models/Other")
    assert "VLLM_API_KEY" not in text
    with pytest.raises(DeploymentError):
        deployment.in_use_text({wanted.digest, "0" * 64}, str(tmp_path))
