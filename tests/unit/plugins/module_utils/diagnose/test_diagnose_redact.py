# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets do not survive, wherever they stand; what is no secret does."""

from __future__ import annotations

import base64
import time
from urllib.parse import quote

import pytest
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose import redact
from ansible_collections.ascend.fleet.plugins.module_utils._diagnose.redact import MASK, Redactor

TOKEN = "pl4nted/T0ken+of#odd=signs"
PLAIN = "pl4ntedT0kenOfPlainSigns"

# Nothing is known of the host here: the name before a value, or the form around it, gives it away.
PLACES = [
    "HF_TOKEN=%s",
    "export VLLM_API_KEY='%s'; vllm serve",
    "vllm serve /m --api-key %s other-key --port 8010",
    "['vllm', 'serve', '--api-key', '%s', '--port', '8010']",
    "--api-key=%s",
    "run --token %s now",
    "run --hf_token=%s now",
    "--ssl-keyfile-password %s",
    "http://user:%s@proxy.example:3128/",
    "clone https://%s@modelers.cn/x.git",
    "GET /v1/models?a=1&api_key=%s&b=2 HTTP/1.1",
    "GET /v1/models?a=1&key=%s HTTP/1.1",
    "redirected to https://login/cb?code=%s#top",
    "X-Amz-Signature: https://s3/x?X-Amz-Signature=%s&X-Amz-Date=1",
    "Authorization: Bearer %s",
    "curl -H 'Authorization: Bearer %s' http://h/v1/models",
    'curl -H "X-Api-Key: %s" http://h/',
    "Proxy-Authorization: Digest username=u, response=%s",
    "cookie: theme=dark; session=%s; lang=en",
    "Set-Cookie: sid=%s; HttpOnly",
    "'cookie': 'sid=%s'",
    '{"api_key": "%s", "model": "qwen3.5"}',
    '{"log": "{\\"password\\": \\"%s\\", \\"n\\": 1}"}',
    "headers=[(b'authorization', b'Bearer %s'), (b'host', b'x')]",
    'hdr Authorization "Bearer %s"',
    "password: %s",
    'Environment="DB_PASSWORD=a b %s c d"',
    "clientSecret => '%s'",
    "private_token=%s",
    "used bearer %s for it",
]


@pytest.mark.parametrize("secret", [TOKEN, PLAIN])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_its_place_is_taken_out(place: str, secret: str) -> None:
    if secret == TOKEN and ("?" in place or "@" in place):
        secret = quote(secret, safe="")  # as it stands in a URL
    redactor = Redactor()
    found = redactor.line(place % secret)
    assert secret not in found
    assert MASK in found
    assert not any(part in found for part in ("pl4nted", "T0ken", "signs", "PlainSigns"))
    assert redactor.count > 0


def test_what_follows_a_secret_stays() -> None:
    line = Redactor().line
    assert line("vllm serve --api-key %s --port 8010 ok" % PLAIN) == "vllm serve --api-key %s --port 8010 ok" % MASK
    assert line('{"api_key": "%s", "a": 1}' % PLAIN) == '{"api_key": "%s", "a": 1}' % MASK
    assert line("GET /x?token=%s&b=2 HTTP" % PLAIN) == "GET /x?token=%s&b=2 HTTP" % MASK
    assert line("http://u:%s@h:1/p" % PLAIN) == "http://%s@h:1/p" % MASK


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 4096, eos_token=2, prompt_tokens=99999, api_key=None, password=''",
        "Loading safetensors checkpoint shards:  42% Completed | 5/12 [00:31<00:44,  6.3s/it]",
        "tokenizer_mode=auto, skip_tokenizer_init=False, max_num_batched_tokens=16384",
        'INFO 11-22 08:20:17 [loggers.py:123] Engine 000: Avg generation throughput: 42.1 tokens/s, "running": 3',
        "[ERROR] RUNTIME(946748,python3):2025-05-19-15:59:07.739.753 [engine.cc:288] 947062 error code is 507011",
        "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "see basic information of the key of this map, and the secret of success",
        "http://127.0.0.1:8010/metrics and git@host:path",
        "| 0     910B3               | OK            | 94.8        36                0    / 0             |",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().line(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefgh12345678",
        "hf_abcdefghijklmnopqrstuvwxyz012345",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "glpat-abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
    ],
)
def test_a_secret_of_a_known_shape_needs_no_name(secret: str) -> None:
    assert Redactor().line("found %s here" % secret) == "found %s here" % MASK


def test_a_basic_login_is_taken_out() -> None:
    login = base64.b64encode(b"user:hunter22").decode()
    assert Redactor().line("sent Basic %s to it" % login) == "sent Basic %s to it" % MASK


def test_a_private_key_is_taken_out_over_its_lines_and_where_its_first_line_is_missing() -> None:
    body = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" + "x" * 12] * 3
    text = "\n".join(["a", "-----BEGIN RSA PRIVATE KEY-----", *body, "c2hvcnQ=", "-----END RSA PRIVATE KEY-----", "b"])
    found = Redactor().text(text)
    assert "MIIE" not in found
    assert "c2hvcnQ" not in found
    assert found.startswith("a\n")
    assert found.endswith("\nb")
    assert "MIIE" not in Redactor().text("\n".join(body))


@pytest.mark.parametrize(
    "form",
    [
        lambda s: s,
        lambda s: quote(s, safe=""),
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: '"%s"' % s.replace('"', '\\"'),
    ],
)
def test_a_known_secret_is_found_in_every_form_without_any_name(form) -> None:
    secret = 'odd "value" of/signs'
    found = Redactor([secret]).line("nothing gives away %s here" % form(secret))
    assert form(secret).strip('"') not in found
    assert found.startswith("nothing gives away ")


def test_short_and_plain_words_are_not_learned() -> None:
    redactor = Redactor(["true", "12345", "abc", ""])
    assert redactor.line("true abc 12345") == "true abc 12345"


def test_addresses_go_on_demand_and_the_same_one_has_the_same_name() -> None:
    text = "from 10.1.2.3:22 and 10.1.2.3, fe80::1, aa:bb:cc:dd:ee:ff at 12:34:56 on 0000:c1:00.0, 127.0.0.1, ::1"
    assert Redactor().line(text) == text
    found = Redactor(addresses=True, salt="a").line(text)
    assert not any(address in found for address in ("10.1.2.3", "fe80::1", "aa:bb"))
    assert all(kept in found for kept in ("12:34:56", "0000:c1:00.0", "127.0.0.1", "::1"))
    name = found.split()[1] + " " + found.split()[2][:9]
    assert found.count(name) == 2
    assert name not in Redactor(addresses=True, salt="b").line(text)


def test_versions_are_no_addresses() -> None:
    text = "npu-smi 24.1.0.1  Version: 25.2.0.1  7.8.0.7.220"
    assert Redactor(addresses=True).line(text) == text


def test_docker_environments_are_shown_by_their_names() -> None:
    raw = [{"Config": {"Env": ["MY_THING=%s" % PLAIN, "VLLM_USE_V1=1", "VLLM_API_KEY=%s" % PLAIN, "PATH=/bin"]}}]
    assert redact.without_environment(raw) == [
        {"Config": {"Env": ["MY_THING=" + MASK, "VLLM_USE_V1=1", "VLLM_API_KEY=" + MASK, "PATH=/bin"]}}
    ]


def test_secrets_are_found_in_command_lines_and_variables() -> None:
    argv = ["vllm", "serve", "--api-key", "key-one", "key-two", "--port", "1", "--token=three", "-e", "HF_TOKEN=four44"]
    assert redact.secrets_of_argv(argv) == ["key-one", "key-two", "three", "four44"]
    assert redact.secrets_of_environment(["VLLM_API_KEY=abc", "PORT=1"]) == ["abc"]


def test_control_characters_are_escaped_and_long_lines_are_cut() -> None:
    assert Redactor().line("a\x1b[31mb") == "a\\x1b[31mb"
    found = Redactor().line("x" * 60000)
    assert len(found) < 17000
    assert found.endswith("characters left out)")


@pytest.mark.parametrize(
    "piece", ["a", "-", "token ", "a_", 'Cookie "', '"', "://a", "?a", "--a-", "1.1.", "ab:", "key='"]
)
def test_no_text_keeps_it_busy(piece: str) -> None:
    text = piece * (redact.READ_CHARACTERS // len(piece))
    began = time.process_time()
    Redactor(addresses=True).line(text)
    assert time.process_time() - began < 10
