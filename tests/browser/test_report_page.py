# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the report in a real browser: what a reader sees, presses and types."""

from __future__ import annotations

import json

import pytest
from conftest import DOCUMENTS, MORE, WORDS, switch
from report_fleet import HOSTILE

NAMES = [*DOCUMENTS, *(path.name for path in MORE)]
SECTIONS = [
    "summary",
    "since",
    "hosts",
    "findings",
    "replicas",
    "versions",
    "releases",
    "changes",
    "benchmarks",
    "problems",
]
#: The effective colours of every text that is seen, each pair once.
COLOURS = """
(() => {
  const found = new Map();
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const hidden = ["SCRIPT", "NOSCRIPT", "STYLE", "OPTION"];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const [text, own] = [walker.currentNode.data.trim(), walker.currentNode.parentElement];
    if (!text || hidden.includes(own.tagName) || !own.checkVisibility()) continue;
    const style = getComputedStyle(own);
    let box = own;
    while (box && getComputedStyle(box).backgroundColor === "rgba(0, 0, 0, 0)") box = box.parentElement;
    const colour = own instanceof SVGElement ? style.fill : style.color;
    const back = box ? getComputedStyle(box).backgroundColor : "rgb(255, 255, 255)";
    found.set(colour + back, { text: text.slice(0, 40), colour: rgb(colour), back: rgb(back) });
  }
  return [...found.values()];
})()
"""


#: How many figures all paths of a selector draw.
SQUARES = "[...document.querySelectorAll('%s')].map((p) => p.getAttribute('d')).join('').split(/M|m/).length - 1"


def column(browser, table, place):
    """The texts of a column of a table."""
    rows = "document.querySelectorAll('[data-table=%s] tbody tr')" % table
    return browser.ask("[...%s].map((row) => row.cells[%d].textContent)" % (rows, place))


def press_head(browser, table, key):
    browser.ask("document.querySelector('[data-table=%s] [data-sort=%s]').click()" % (table, key))


def sort_order(browser, table, key):
    head = "document.querySelector('[data-table=%s] [data-sort=%s]').closest('th')" % (table, key)
    return browser.ask(head + ".getAttribute('aria-sort')")


def type_filter(browser, table, text):
    field = "document.querySelector('[data-table=%s] input')" % table
    browser.ask(field + ".focus(); " + field + ".select()")
    browser.press("Delete", 46)
    browser.type(text)


def choose(browser, selector, value):
    code = "(() => { const s = document.querySelector(%s); s.value = %s; s.dispatchEvent(new Event('change')); })()"
    browser.ask(code % (json.dumps(selector), json.dumps(value)))


def luminance(colour):
    parts = [c / 255 for c in colour]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_asks_for_nothing_and_complains_of_nothing(opened, pages, name):
    browser = opened(name)
    assert browser.requests == [pages[name].as_uri()]
    assert browser.ask("[...document.querySelectorAll('main > section')].map((s) => s.id)") == SECTIONS
    assert browser.ask("[...document.querySelectorAll('main > section')].every((s) => s.children.length > 1)")


@pytest.mark.parametrize("name", NAMES)
def test_every_host_stands_in_it(opened, name):
    browser = opened(name)
    if name in DOCUMENTS:
        wanted = [host["host"] for host in DOCUMENTS[name]["hosts"]]
        assert column(browser, "hosts", 0) == wanted
        chips = browser.ask(SQUARES % "svg.chips path:not(.cross)")
        assert chips == len(DOCUMENTS[name]["chips"])
    else:
        assert column(browser, "hosts", 0)


def test_an_unreachable_host_says_why(opened):
    browser = opened("nobody")
    assert column(browser, "hosts", 1) == ["unreachable"]
    assert "no route to host" in browser.ask("document.getElementById('hosts').textContent")
    assert browser.ask("document.querySelector('#replicas p').textContent") == "None."


# - sorting and filtering -


def test_a_head_sorts_by_number_and_what_is_unknown_stands_last(opened):
    browser = opened("large")
    gone = DOCUMENTS["large"]["summary"]["states"]["unreachable"]
    assert sort_order(browser, "hosts", "temperature") == "none"
    press_head(browser, "hosts", "temperature")
    shown = column(browser, "hosts", 4)
    numbers = [int(text.split()[0]) for text in shown[:-gone]]
    assert numbers == sorted(numbers)
    assert set(shown[-gone:]) == {"unknown"}
    assert sort_order(browser, "hosts", "temperature") == "ascending"
    press_head(browser, "hosts", "temperature")
    shown = column(browser, "hosts", 4)
    assert [int(text.split()[0]) for text in shown[:-gone]] == sorted(numbers, reverse=True)
    assert set(shown[-gone:]) == {"unknown"}
    assert sort_order(browser, "hosts", "temperature") == "descending"


def test_names_are_sorted_as_people_count(opened):
    browser = opened("small")
    press_head(browser, "replicas", "replica")
    names = column(browser, "replicas", 0)
    assert names == sorted(names, key=lambda n: (n.partition("-")[0], int(n.partition("-")[2].partition(":")[0]), n))


def test_a_typed_word_filters_and_the_count_says_so(opened):
    browser = opened("large")
    type_filter(browser, "hosts", "a3 25.0.0")
    wanted = [h["host"] for h in DOCUMENTS["large"]["hosts"] if h["generation"] == "a3" and h["driver"] == "25.0.0"]
    assert wanted
    assert column(browser, "hosts", 0) == wanted
    count = browser.ask("document.querySelector('[data-table=hosts] .count').textContent")
    assert count == "%d of 500" % len(wanted)
    type_filter(browser, "hosts", "training")  # who holds a chip
    assert len(column(browser, "hosts", 0)) == len(
        next(f for f in DOCUMENTS["large"]["findings"] if f["id"] == "NPU-008")["hosts"]
    )
    type_filter(browser, "hosts", "nosuchhost")
    assert column(browser, "hosts", 0) == []


def test_a_choice_filters_and_is_kept_when_the_language_changes(opened):
    browser = opened("large")
    choose(browser, "[data-table=hosts] select", "unreachable")
    wanted = [h["host"] for h in DOCUMENTS["large"]["hosts"] if h["state"] == "unreachable"]
    assert column(browser, "hosts", 0) == wanted
    press_head(browser, "hosts", "host")
    press_head(browser, "hosts", "host")
    switch(browser)
    assert column(browser, "hosts", 0) == wanted[::-1]
    assert set(column(browser, "hosts", 1)) == {WORDS["zh"]["state.unreachable"]}


def test_long_tables_show_their_beginning_until_all_is_asked_for(opened):
    browser = opened("large")
    assert len(column(browser, "replicas", 0)) == 200
    browser.ask("document.querySelector('[data-table=replicas] > button').click()")
    assert len(column(browser, "replicas", 0)) == len(DOCUMENTS["large"]["replicas"])
    assert browser.ask("document.querySelector('[data-table=replicas] > button').hidden")


# - languages and themes -


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_say_all_of_it(opened, name):
    browser = opened(name)
    titles = "[...document.querySelectorAll('h2')].map((h) => h.textContent).filter(Boolean)"
    for language, code in (("en", "en"), ("zh", "zh-CN"), ("en", "en")):
        if browser.ask("document.documentElement.lang") != code:
            switch(browser)
        assert browser.ask("document.documentElement.lang") == code
        assert browser.ask(titles) == [WORDS[language]["section." + section] for section in SECTIONS]
        heads = browser.ask("[...document.querySelectorAll('thead th')].map((h) => h.textContent)")
        assert set(heads) <= set(WORDS[language].values())
        shown = browser.ask("[...document.querySelectorAll('[data-word]')].map((e) => [e.dataset.word, e.textContent])")
        assert shown == [[key, WORDS[language][key]] for key, _text in shown]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["small", "nobody"])
def test_every_text_has_the_contrast_of_aa(opened, name, scheme):
    browser = opened(name)
    browser.media(prefers_color_scheme=scheme)
    browser.wait("document.documentElement.dataset.theme === %r" % scheme)
    pairs = browser.ask(COLOURS)
    assert len(pairs) > 4
    poor = [(p["text"], p["colour"], p["back"]) for p in pairs if contrast(p["colour"], p["back"]) < 4.5]
    assert poor == []


def test_a_chosen_theme_goes_before_the_system_s(opened):
    browser = opened("small")
    choose(browser, "#theme", "dark")
    assert browser.ask("document.documentElement.dataset.theme") == "dark"
    choose(browser, "#theme", "auto")
    assert browser.ask("document.documentElement.dataset.theme") == "light"


@pytest.mark.parametrize("width", [380, 1440])
def test_the_page_is_not_wider_than_the_window(opened, width):
    browser = opened("small")
    browser.size(width, 900)
    assert browser.ask("document.documentElement.scrollWidth") <= width


# - the keyboard -


def test_the_keyboard_sorts_opens_and_closes(opened):
    browser = opened("small")
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.className") == "skip"
    browser.ask("document.querySelector('[data-table=hosts] [data-sort=host]').focus()")
    browser.press("Enter", 13, "\r")
    assert sort_order(browser, "hosts", "host") == "ascending"
    browser.press(" ", 32, " ")
    assert sort_order(browser, "hosts", "host") == "descending"
    browser.ask("document.querySelector('[data-table=hosts] tbody button').focus()")
    name = browser.ask("document.activeElement.textContent")
    browser.press("Enter", 13, "\r")
    assert browser.ask("document.getElementById('details').open")
    assert browser.ask("document.getElementById('details-title').textContent") == name
    assert browser.ask("document.getElementById('details').contains(document.activeElement)")
    browser.press("Escape", 27)
    assert not browser.ask("document.getElementById('details').open")
    assert browser.ask("document.activeElement.textContent") == name


def test_everything_that_can_be_pressed_can_be_reached_and_has_a_name(opened):
    browser = opened("small")
    wrong = browser.ask(
        "[...document.querySelectorAll('button, select, input, a, summary')].filter((e) => e.tabIndex < 0 || !("
        "e.textContent.trim() || e.labels?.[0]?.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert wrong == []
    unnamed = "[...document.querySelectorAll('svg:not([aria-hidden]), .scroll')].filter((e) => !e.ariaLabel).length"
    assert browser.ask(unnamed) == 0


# - chips, details and charts -


def test_chips_are_coloured_by_what_is_chosen(opened):
    browser = opened("small")
    classes = (
        "[...new Set([...document.querySelectorAll('svg.chips path:not(.cross)')].map((p) => p.getAttribute('class')))]"
        ".sort()"
    )
    assert browser.ask(classes) == ["f-bad", "f-good"]
    choose(browser, "#colour", "use")
    assert browser.ask(classes) == ["f-others", "f-ours"]
    assert "others" in browser.ask("document.getElementById('legend').textContent")
    choose(browser, "#colour", "temperature")
    assert set(browser.ask(classes)) <= {"f-s0", "f-s1", "f-s2", "f-s3", "f-s4"}
    crosses = browser.ask(SQUARES % "svg.chips .cross") / 2  # of two lines
    assert crosses == sum(not chip["well"] for chip in DOCUMENTS["small"]["chips"])
    choose(browser, "#colour", "health")


def test_a_host_opens_with_its_chips_replicas_and_findings(opened):
    browser = opened("small")
    name = "a2-06"
    browser.ask(
        "[...document.querySelectorAll('[data-table=hosts] tbody button')].find((b) => b.textContent === %r).click()"
        % name
    )
    text = browser.ask("document.getElementById('details').innerText")
    assert "0x80E18401" in text
    assert "NPU-003" in text
    assert name + ":1" in text
    assert browser.ask("document.querySelectorAll('#details tbody')[0].rows.length") == 8
    browser.ask("document.querySelector('#details > button').click()")


def test_charts_show_every_replica_against_its_baseline(opened):
    browser = opened("large")
    rows = DOCUMENTS["large"]["benchmarks"]
    assert browser.ask("document.querySelectorAll('#benchmarks figure circle').length") == len(rows)
    worse = browser.ask("document.querySelectorAll('#benchmarks figure circle.worse').length")
    assert worse == sum(bool(row["worse"]) for row in rows)
    assert worse > 0


# - hostile hosts -


def test_what_hosts_say_stays_text(opened):
    browser = opened("hostile")
    for name in ("language", "language"):
        browser.ask("document.getElementById(%r).click()" % name)
        browser.wait("document.documentElement.dataset.ready")
    buttons = "document.querySelectorAll('[data-table=hosts] tbody button')"
    for number in range(browser.ask(buttons + ".length")):
        browser.ask("%s[%d].click(); document.getElementById('details').close()" % (buttons, number))
    browser.ask("for (const box of document.querySelectorAll('details')) box.open = true")
    assert browser.ask("window.hostile") is None
    assert browser.ask("document.scripts.length") == 3
    assert browser.ask("document.querySelectorAll('img, iframe, object, embed, [onload], [onerror]').length") == 0
    shown = browser.ask("document.getElementById('replicas').textContent")
    assert all(text in shown for text in HOSTILE if text.isprintable())
    assert "\\u2028window.hostile=4;\\u2029" in shown


def test_the_policy_holds_off_what_is_not_the_page_s_own(opened, browser):
    opened("small")
    browser.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hostile = 9';"
        " document.body.append(s); })()"
    )
    assert browser.ask("window.hostile") is None
    assert any("Content Security Policy" in text for _level, text in browser.console)
    browser.console.clear()
