import math
import re

import numpy as np
import pytest

from temperance.report import explain_page, softmax_table, write_explain
from temperance.report.explain import cross_entropy, softmax

TABLE = softmax_table()


def rows(logits, target):
    return [row for row in TABLE if row.logits == logits and row.target == target]


def test_right_answer_loses_less_as_the_temperature_falls():
    case = rows((1.0, 2.0, 3.0), 2)
    assert [row.temperature for row in case] == [1.0, 0.5, 0.1]
    assert [f"{row.loss:.4f}" for row in case[:2]] == ["0.4076", "0.1429"]
    assert f"{case[2].loss:.4e}" == "4.5401e-05"


def test_wrong_answer_loses_more_as_the_temperature_falls():
    case = rows((1.0, 2.0, 3.0), 0)
    assert [f"{row.loss:.4f}" for row in case] == ["2.4076", "4.1429", "20.0000"]


def test_near_miss_is_not_monotone():
    case = rows((0.0, 2.9, 3.0), 1)
    assert [row.temperature for row in case] == [3.0, 1.0, 0.5, 0.1]
    assert [f"{row.loss:.3f}" for row in case] == ["0.881", "0.770", "0.800", "1.313"]


def test_probabilities():
    case = rows((1.0, 2.0, 3.0), 2)
    written = [" ".join(f"{p:.4f}" for p in row.probabilities) for row in case[:2]]
    assert written == ["0.0900 0.2447 0.6652", "0.0159 0.1173 0.8668"]
    low, middle, high = case[2].probabilities
    assert (f"{low:.4e}", f"{middle:.4e}", f"{high:.5f}") == ("2.0611e-09", "4.5398e-05", "0.99995")


def test_forgetting_to_divide_makes_the_loss_the_same_at_every_temperature():
    for logits, target in {(row.logits, row.target) for row in TABLE}:
        losses = {row.undivided_loss for row in rows(logits, target)}
        assert losses == {cross_entropy(logits, target, 1.0)}


@pytest.mark.parametrize("temperature", [1e-4, 0.02, 0.1, 1.0, 5.0, 1e4])
def test_loss_and_probabilities_agree_with_the_written_out_equation(temperature):
    x = np.array([0.3, -1.2, 0.7, 0.7], dtype=np.longdouble) / np.longdouble(temperature)
    weights = np.exp(x - x.max())
    expected = weights / weights.sum()
    logits = (0.3, -1.2, 0.7, 0.7)
    assert softmax(logits, temperature) == pytest.approx(expected.astype(float), rel=1e-9)
    for target in range(4):
        loss = float(np.log(weights.sum()) + x.max() - x[target])
        assert cross_entropy(logits, target, temperature) == pytest.approx(loss, rel=1e-9)


def test_limits():
    assert cross_entropy((1, 2, 3), 2, 1e-4) == 0.0
    assert cross_entropy((1, 2, 3), 0, 1e-3) == pytest.approx(2000)
    assert cross_entropy((1, 2, 3), 0, 1e9) == pytest.approx(math.log(3))


def test_page_shows_the_table_without_a_script():
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", explain_page())
    for figure in ("0.4076", "0.1429", "4.5401e-5", "2.4076", "4.1429", "20.0000", "0.7995"):
        assert figure in cells
    assert "2.0611e-9&ensp;4.5398e-5&ensp;0.99995" in cells


def test_page_has_every_part_and_requests_nothing():
    html = explain_page()
    assert re.findall(r"<!--.*?-->", html) == []
    assert set(re.findall(r"https?://[^\"'\s]*", html)) == {"http://www.w3.org/2000/svg"}
    assert re.search(r"\son\w+=|@import|url\(|<link|src=", html) is None
    assert html.count("<svg xmlns") == 2


def test_write_explain(tmp_path):
    write_explain(tmp_path / "explain.html")
    assert (tmp_path / "explain.html").read_text(encoding="utf-8") == explain_page()
