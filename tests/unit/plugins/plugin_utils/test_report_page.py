# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the report: what hosts say cannot leave its place, nothing is loaded, and everybody can read it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import report_fleet as helpers
from ansible_collections.ascend.fleet.plugins.plugin_utils import _report_page as pages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3))
ROWS = st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": st.lists(VALUES, max_size=2)}), max_size=12)


class Page(HTMLParser):
    """The elements of a page as a browser sees them, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.texts = {}
        self._open = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs).get("id", ""))

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        self.texts[self._open] = self.texts.get(self._open, "") + data


HOSTILE = helpers.report(12, hostile=True)
PAGE = Page(pages.page(HOSTILE))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(rows=ROWS)
def test_what_is_packed_comes_out_again(rows):
    again = pages.unpack(json.loads(json.dumps(pages.pack({"rows": rows}))))["rows"]
    assert json.dumps(again) == json.dumps(rows)


def test_the_document_in_the_page_is_the_document():
    data = json.loads(PAGE.texts["script", "data"])
    assert pages.unpack(data) == HOSTILE


def test_what_hosts_say_makes_no_element_and_no_script():
    calm = Page(pages.page(helpers.report(12)))
    assert PAGE.elements == calm.elements
    assert PAGE.texts["script", ""] == calm.texts["script", ""]
    raw = pages.embedded({"text": "".join(helpers.HOSTILE)})
    assert not re.search("[<>&\u2028\u2029\ud800-\udfff]", raw)
    assert json.loads(raw)["text"] == "".join(helpers.HOSTILE)


def test_nothing_is_loaded_from_anywhere():
    text = pages.page(helpers.report(3))
    names = {name for _tag, attrs in PAGE.elements for name in attrs}
    assert not names & {"src", "srcset", "style", "onclick", "onload", "action"}
    assert [attrs["href"] for _tag, attrs in PAGE.elements if "href" in attrs] == ["#main"]
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text


def test_the_policy_allows_this_script_and_this_style_and_nothing_else():
    policy = next(a["content"] for t, a in PAGE.elements if a.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    for name, element in (("script-src", "script"), ("style-src", "style")):
        digest = hashlib.sha256(PAGE.texts[element, ""].encode()).digest()
        assert allowed[name] == "'sha256-%s'" % base64.b64encode(digest).decode()
    assert allowed["default-src"] == "'none'"


def test_the_script_makes_no_markup_of_text():
    script = (pages.FOLDER / "page.js").read_text(encoding="utf-8")
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|fetch\(|XMLHttp"
    assert not re.search(unsafe, script)


def test_a_template_without_its_places_is_refused(tmp_path):
    for path in pages.FOLDER.iterdir():
        tmp_path.joinpath(path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    tmp_path.joinpath("page.html").write_text("{{policy}}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"found no \{\{style\}\}"):
        pages.page({}, tmp_path)


def test_five_hundred_hosts_are_less_than_three_megabytes():
    assert len(pages.page(helpers.report(500)).encode()) < 3_000_000


# - languages -

WORDS = json.loads((pages.FOLDER / "words.json").read_text(encoding="utf-8"))


def test_both_languages_have_the_same_words_with_the_same_places():
    assert set(WORDS) == {"en", "zh"}
    assert list(WORDS["en"]) == list(WORDS["zh"])
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"\{\d\}", text)) == set(re.findall(r"\{\d\}", WORDS["zh"][key])), key


def test_every_word_that_the_script_or_the_template_names_is_there():
    script = (pages.FOLDER / "page.js").read_text(encoding="utf-8")
    template = (pages.FOLDER / "page.html").read_text(encoding="utf-8")
    named = set(re.findall(r'\bword\("([^"]+)"[,)]', script)) | set(re.findall(r'data-word="([^"]+)"', template))
    assert len(named) > 60
    assert named - set(WORDS["en"]) == set()


@pytest.mark.parametrize("hosts", [200])
def test_every_word_of_the_document_is_there(hosts):
    found = helpers.report(hosts)
    named = {"state." + state for state in found["summary"]["states"]} | {
        *("what." + entry["what"] for entry in found["since"]["entries"]),
        *("outcome." + o["outcome"] for change in found["changes"] for o in change["outcomes"]),
        *("kind." + row["kind"] for row in [*found["changes"], *found["benchmarks"]]),
        *("traffic." + row["traffic"] for row in found["replicas"]),
        *("severity." + f["severity"] for f in found["findings"]),
        *(row["subject"] for row in found["versions"]),
        *found["summary"]["chips_used"],
    }
    assert named - set(WORDS["en"]) == set()


# - contrast -


def themes():
    """The colours of both themes, by their names."""
    style = (pages.FOLDER / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root(\[data-theme=\"dark\"\])? \{(.*?)\}", style, re.DOTALL)
    return {
        ("dark" if dark else "light"): dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", body)) for dark, body in blocks
    }


def luminance(colour):
    """As the Web Content Accessibility Guidelines 2.1 define it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("text", ["text", "muted", "accent", "good", "warn", "bad"])
@pytest.mark.parametrize("back", ["back", "panel"])
def test_texts_are_readable(theme, text, back):
    colours = themes()[theme]
    assert contrast(colours[text], colours[back]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("line", ["line", "fill-good", "fill-bad", "fill-ours", "fill-other", "accent"])
def test_lines_and_marks_stand_out(theme, line):
    colours = themes()[theme]
    assert contrast(colours[line], colours["back"]) >= 3
