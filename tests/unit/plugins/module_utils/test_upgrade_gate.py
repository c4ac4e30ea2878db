# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the switch may not begin: each reason alone, and all at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._upgrade import gate

COMMIT = "c" * 40
IMAGE = "sha256:" + "1" * 64
DIGEST = "d" * 64
REQUEST = gate.Request("new", change="C1", holder="alice@ctl")


def release(commit=COMMIT, image_id=IMAGE, generations=("a2",)):
    images = [{"generation": g, "architecture": "any", "image_id": image_id} for g in generations]
    return {"release": "new", "images": images, "model": {"revision": "main", "commit": commit}}


def good(name="h1", **changed):
    own = gate.Host(
        name,
        "a2",
        plan={"replicas": [{"replica": 0, "action": "replace", "in_service": True}]},
        staged=gate.Staged("/weights", COMMIT, IMAGE, IMAGE),
        release=release(),
        state={"last_good": {"release": "old", "digest": DIGEST}},
        kept=[DIGEST],
    )
    return replace(own, **changed)


def reasons(*hosts, request=REQUEST, **more):
    return gate.judge(list(hosts), request, **more).reasons


def only(*hosts, **more):
    [words] = reasons(*hosts, **more)
    return words


def test_nothing_stands_in_the_way():
    answer = gate.judge([good(), good("h2", converged=True)], REQUEST)
    assert (answer.reasons, answer.changing, answer.as_wanted) == ([], ["h1"], ["h2"])
    assert not answer.nothing_to_do


def test_where_all_serve_it_there_is_nothing_to_do_and_nothing_is_a_reason():
    answer = gate.judge([good(converged=True, state=None)], REQUEST, more=["something"])
    assert (answer.nothing_to_do, answer.reasons) == (True, [])
    assert not gate.judge([good(converged=True), good("h2", absent="that it failed")], REQUEST).nothing_to_do
    assert "found no host in the play" in only()


def test_what_the_preflight_found_is_said_in_its_words_and_no_second_time():
    finding = {
        "id": "DRV-003",
        "severity": "error",
        "ignored": False,
        "title": "The driver is too old",
        "found": "24.1.0",
    }
    finding.update(needed="25.2.0", fix="install it.")
    warning, ignored = {**finding, "severity": "warning"}, {**finding, "ignored": True}
    hosts = [good(n, absent="that it failed before", findings=[finding, warning, ignored]) for n in ("h1", "h2")]
    assert only(*hosts, good("h3")) == (
        "h1, h2: found DRV-003 The driver is too old: 24.1.0; needed 25.2.0. Fix: install it"
    )


def test_a_host_that_was_not_reached():
    words = only(good(absent="that it failed or was unreachable before (see above)"), good("h2"))
    assert words.startswith("h1: found that it failed or was unreachable before (see above); needed every host")
    assert "fleet_maintenance" in words


def test_a_host_on_which_something_is_missing():
    assert only(good(staged=gate.Staged("", "", IMAGE, IMAGE))).startswith(
        "h1: found no weights of new; needed new on "
    )
    assert "no weights, no image, no plan of its replicas of new" in only(good(staged=gate.Staged(), plan=None))
    assert reasons(good(staged=gate.Staged()), request=replace(REQUEST, staged=False)) == []


@pytest.mark.parametrize(
    ("staged", "found"),
    [
        (gate.Staged("/weights", "e" * 40, IMAGE, IMAGE), "weights of commit eeee"),
        (gate.Staged("/weights", COMMIT, "sha256:2", "sha256:2"), "the image sha256:2"),
    ],
)
def test_a_host_that_was_staged_from_another_lock(staged, found):
    words = only(good(staged=staged), good("h2"))
    assert words.startswith("h1: found %s" % found)
    assert "as the lock of new says" in words


def test_docker_may_know_the_image_by_another_id():
    assert reasons(good(staged=gate.Staged("/weights", COMMIT, "sha256:manifest", IMAGE))) == []


def test_one_lock_holds_for_all_hosts():
    words = only(
        good(), good("h2"), good("h3", release=release("e" * 40), staged=gate.Staged("/w", "e" * 40, IMAGE, IMAGE))
    )
    assert words.startswith("found 2 states of the lock of new: ")
    assert " on h1, h2; " in words
    assert words.partition(" Fix:")[0].endswith("needed one for all hosts.")
    assert reasons(good(), good("h3", absent="that it failed", release=release("e" * 40)))[0].startswith("h3: ")


def test_the_digest_of_a_lock_is_that_of_what_it_decides_and_of_nothing_else():
    one = release()
    other = {**release(), "smoke": {"questions": []}, "images": [dict(reversed(list(one["images"][0].items())))]}
    assert gate.lock_digest(one) == gate.lock_digest(other)
    assert len({gate.lock_digest(r) for r in (one, release("e" * 40), release(image_id="sha256:2"))}) == 3


def test_a_release_that_cannot_be_read():
    words = only(good(release=None, release_problem="found no release new; needed one of: old"))
    assert "found no release new" in words


def test_a_generation_of_the_fleet_without_an_image():
    fleet = {"h1": "a2", "h7": "a3", "h8": "a3", "h9": ""}
    assert only(good(), fleet=fleet).startswith("h7, h8: found no image for the generation a3 in new; needed one")
    assert reasons(good(release=release(generations=("a2", "a3"))), fleet=fleet) == []


def test_without_a_last_good_deployment_there_is_nothing_to_go_back_to():
    words = only(good(state={"last_good": None}))
    assert "Fix: run site.yml once with the release that serves there now" in words
    start = {"replicas": [{"replica": 0, "action": "start", "in_service": False}]}
    assert reasons(good(state={"last_good": None}, plan=start)) == []
    assert "that the deployment dddddddddddddddd, which is last good, is not kept" in only(good(kept=[]))
    assert "that its state was not read" in only(good(state=None))


def lease(**changed):
    own = {"holder": "bob", "controller": "ctl2", "change": "C0", "what": "upgrade to x"}
    return {**own, "since": "S", "renewed": "R", **changed}


def test_the_change_of_somebody_else():
    words = only(good(lease=lease()), good("h2", converged=True, lease=lease()))
    assert words.startswith(
        "h1, h2: found that bob@ctl2 holds the fleet for C0 (upgrade to x) since S, last renewed R; "
    )
    assert "-e fleet_lease_take_over=bob@ctl2" in words
    assert reasons(good(lease=lease(change="C1"))) == []
    assert reasons(good(lease=lease(holder="alice", controller="ctl"))) == []
    assert "holds it" in only(good(lease_problem="found that bob holds it; needed nobody"))


def test_all_reasons_come_at_once_and_are_numbered():
    hosts = [
        good(lease=lease()),
        good("h2", staged=gate.Staged()),
        good("h3", state={"last_good": None}),
        good("h4", absent="that it failed"),
    ]
    answer = gate.judge(hosts, REQUEST, fleet={"h1": "a3"}, more=["m: found a load; needed less. Fix: wait"])
    assert len(answer.reasons) == 6
    assert answer.text().splitlines()[0] == "found 6 reason(s) not to begin; no service was touched:"
    assert answer.text().splitlines()[-1] == "6. m: found a load; needed less. Fix: wait"


def test_gateways():
    running = {"gateway": {"pid": 1, "servers": {}, "problem": ""}}
    broken = {"gateway": {"problem": "no answer at the socket"}}
    assert gate.gateway_problems({"gw-1": running}) == []
    said = gate.gateway_problems({"gw-1": None, "gw-2": broken, "gw-3": {"gateway": None}, "gw-4": None})
    assert [words.partition(";")[0] for words in said] == [
        "gw-1, gw-4: found that the gateway was not reached",
        "gw-2: found a gateway that does not answer: no answer at the socket",
        "gw-3: found no gateway installed",
    ]


def test_what_is_out_together_at_the_worst_moment():
    replicas = [{"replica": n, "in_service": n != 3} for n in range(4)]
    plan = {"replicas": replicas, "steps": [{"out": [3]}, {"out": [0]}, {"out": [1, 2]}]}
    assert gate.out_together([("h1", plan), ("h2", {"steps": []})]) == [("h1", 1), ("h1", 2)]
