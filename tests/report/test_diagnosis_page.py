"""The report of a diagnosis: what it says, and that what comes from outside stays text."""

from html.parser import HTMLParser

import numpy as np
import pytest

from temperance import diagnose
from temperance.diagnosis import Diagnosis
from temperance.report.diagnosis import Shown, diagnosis_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 6)).astype(np.float32)
Y = X + 0.3 * RANDOM.normal(size=X.shape).astype(np.float32)
LABELS = np.array([f"{HOSTILE}{i % 4}" for i in range(120)])
TEXTS = [f"{HOSTILE} text {i}" for i in range(120)]


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    return diagnose(X, Y, LABELS, 0.1)


def test_hostile_labels_and_texts_stay_text(found: Diagnosis) -> None:
    named = found.model_copy(update={"data": found.data.model_copy(update={"name": HOSTILE})})
    for page in (
        diagnosis_page(named, Shown(texts=TEXTS), LABELS),
        named._repr_html_(),
    ):
        tags = Tags(page).seen
        assert HOSTILE not in page
        assert all(
            a in ({}, {"type": "application/json", "id": a.get("id")})
            for t, a in tags
            if t == "script"
        )
        assert not [a for t, a in tags if t == "img" or "onerror" in a]


def test_every_verdict_stands_with_its_number_and_reason(found: Diagnosis) -> None:
    page = diagnosis_page(found, Shown(), LABELS)
    assert page.count('class="reason"') == len(found.verdicts)
    assert page.count("data-case=") == len(found.cases)
    for heading in ("Verdicts", "At every temperature", "The space", "The hardest negatives"):
        assert f"<h2>{heading}</h2>" in page


def test_pictures_stand_beside_their_rows(found: Diagnosis) -> None:
    pictures = RANDOM.integers(0, 255, (120, 1, 8, 8), np.uint8)
    page = diagnosis_page(found, Shown(pictures=pictures), LABELS)
    assert page.count("<img ") == sum(1 + len(case.negatives) for case in found.cases)


def test_without_partners_labels_or_temperature_it_says_what_it_can() -> None:
    found = diagnose(X)
    page = diagnosis_page(found, Shown(), None)
    assert "Which temperatures suit this space?" in page
    assert "Losses at different" not in page
    assert "an estimate" in page
