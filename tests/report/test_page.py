import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from temperance.report.page import Part, asset, figure, json_block, page, text

HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'&\u2028\u2029"


class Reader(HTMLParser):
    """Collects what a browser would: elements with their attributes, and the text of scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.title = [], [], ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)
        if self.inside == "title":
            self.title += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def policy_of(html):
    (policy,) = [
        meta["content"]
        for meta in Reader(html).all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    return dict(rule.strip().split(" ", 1) for rule in policy.split(";"))


def test_policy_forbids_everything_but_the_page_itself():
    policy = policy_of(page("t", Part("")))
    assert re.fullmatch(r"'sha256-[^ ]+' 'sha256-[^ ]+'", policy.pop("script-src"))
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_policy_allows_exactly_the_given_scripts_after_the_page_s_own():
    given = '"use strict";\nlet τ = 0 < 1;\n', "τ + 1"
    html = page("t", Part("<p>body</p>", scripts=given))
    scripts = Reader(html).scripts
    assert scripts == [asset("page.js"), asset("saving.js"), *given]
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert policy_of(html)["script-src"] == " ".join(f"'sha256-{d}'" for d in digests)


def test_tabs_stand_only_where_there_is_an_explorer():
    alone = Reader(page("t", Part("<p>report</p>")))
    both = Reader(page("t", Part("<p>report</p>"), Part("<p>explorer</p>")))
    assert not [a for tag, a in alone.elements if tag == "nav" or "data-tab" in a]
    assert [a["href"] for a in both.all("a")] == ["#report", "#explorer"]
    assert [a["data-tab"] for a in both.all("div") if "data-tab" in a] == ["report", "explorer"]


def test_page_has_language_viewport_landmarks_and_one_heading():
    reader = Reader(page("Title", Part("<p>body</p>")))
    assert reader.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in reader.all(
        "meta"
    )
    assert [len(reader.all(tag)) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]


def test_title_is_text():
    reader = Reader(page(HOSTILE, Part("")))
    assert reader.all("img") == []
    assert len(reader.all("script")) == 2
    assert reader.title.startswith(HOSTILE[:20])


def test_a_figure_can_be_pointed_to_and_its_words_are_text():
    reader = Reader(page("t", Part(figure(HOSTILE, "", HOSTILE, HOSTILE)), run=HOSTILE))
    (shown,) = reader.all("figure")
    assert [a["href"] for a in reader.all("a")] == [f"#{shown['id']}"]
    assert shown["id"] == f"figure-{HOSTILE}"
    assert reader.all("main") == [{"data-run": HOSTILE}]
    assert reader.all("img") == []


@pytest.mark.parametrize(
    "parts",
    [{"scripts": ("'</script>'",)}, {"scripts": ("'<!-- <SCRIPT>'",)}, {"style": "</STYLE>"}],
)
def test_script_or_style_that_ends_its_element_is_refused(parts):
    with pytest.raises(ValueError, match="end the script or style"):
        page("t", Part("", **parts))


def test_text_escapes_markup_and_drops_what_no_document_may_hold():
    assert text('<a href="x">\'&') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"
    assert text("a\x00\x1b\udc80b\n\t") == "a���b\n\t"
    text("\udc80é字").encode("utf-8")


def test_json_block_cannot_be_left_and_reads_back():
    value = {HOSTILE: [1.5, None, HOSTILE]}
    block = json_block("data", value)
    reader = Reader(block)
    assert reader.elements == [("script", {"type": "application/json", "id": "data"})]
    assert json.loads(reader.scripts[0]) == value
    assert not set("<>&\u2028\u2029") & set(reader.scripts[0])


def test_json_block_refuses_what_json_cannot_say():
    with pytest.raises(ValueError, match="JSON"):
        json_block("data", float("nan"))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme):
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", asset("chart.css"))
    colours = {name: inks[theme] for name, *inks in pairs}
    assert len(colours) == 26
    for ground in ("cool", "warm"):  # of a heat map, with its numbers and its ridge
        assert contrast(colours["ink"], colours[ground]) >= 4.5
        assert contrast(colours["accent"], colours[ground]) >= 3
    for name, colour in colours.items():
        if name not in ("paper", "panel", "rule", "cool", "warm"):
            written = name in ("ink", "muted", "accent", "good", "bad") or "series" in name
            for ground in ("paper", "panel"):
                needed = 4.0 if ground == "panel" else 4.4
                assert contrast(colour, colours[ground]) >= (needed if written else 3.0), name
    heat = [luminance(colours[f"heat-{i}"]) for i in range(1, 9)]
    assert heat == sorted(heat)
