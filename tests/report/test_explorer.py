import base64
import math
import re

import numpy as np
import pytest
import torch

from temperance.errors import InputError
from temperance.geometry import effective_negatives
from temperance.report import explorer_page, softmax_table, write_explorer
from temperance.report.cloud import SAMPLE, TEMPERATURES, cloud_of
from temperance.report.explorer.assembly import words
from temperance.report.explorer.worked import cross_entropy, softmax
from temperance.report.page import asset

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
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", explorer_page())
    for figure in ("0.4076", "0.1429", "4.5401e-5", "2.4076", "4.1429", "20.0000", "0.7995"):
        assert figure in cells
    assert "2.0611e-9&ensp;4.5398e-5&ensp;0.99995" in cells


def test_page_has_every_part_and_requests_nothing():
    html = explorer_page(cloud_of(np.eye(12, dtype=np.float32)))
    assert re.findall(r"<!--.*?-->", html) == []
    assert set(re.findall(r"https?://[^\"'\s]*", html)) == {"http://www.w3.org/2000/svg"}
    assert re.search(r"\son\w+=|@import|url\(|<link|src=", html) is None


SOURCES = ("words", "scores", "anchor", "training", "embeddings", "explorer")


def test_everything_is_said_in_both_languages_and_nothing_else():
    said = words()
    for key, languages in said.items():
        assert list(languages) == ["en", "zh"], key
        holes = [sorted(re.findall(r"\{\w+\}", text)) for text in languages.values()]
        assert holes[0] == holes[1], key
        assert not re.search("[\u4e00-\u9fff]", languages["en"]), key
        assert re.search("[\u4e00-\u9fff]|^[A-Z]$|of", languages["zh"]) or key == "of", key
    page = explorer_page() + explorer_page(cloud_of(np.eye(12, dtype=np.float32), list("ab") * 6))
    used = set(re.findall(r'data-(?:word|label)="([\w-]+)"', page))
    scripts = asset("saving.js") + "".join(asset(f"explorer/{name}.js") for name in SOURCES)
    used |= {key for key in said if f'"{key}"' in scripts}
    used |= {key for key in said if key.startswith("limit-") or key.startswith("item-")}
    assert used == set(said)


def test_a_cloud_is_a_sample_whose_cosines_and_curves_are_exact():
    random = np.random.default_rng(0)
    centres = random.normal(size=(5, 16))
    of = random.integers(0, 5, 1000)
    x = centres[of] + random.normal(size=(1000, 16))
    cloud = cloud_of(x, of, "x.npy")
    assert len(cloud.rows) == SAMPLE
    unit = x[cloud.rows] / np.linalg.norm(x[cloud.rows], axis=1, keepdims=True)
    np.testing.assert_allclose(cloud.similarities.numpy(), unit @ unit.T, atol=1e-6)
    assert cloud.places.norm(dim=1).max() == pytest.approx(1)
    data = cloud.data()
    packed = np.frombuffer(base64.b64decode(data["similarities"]), "<i2") / 32767
    np.testing.assert_allclose(packed, (unit @ unit.T)[np.tril_indices(SAMPLE, -1)], atol=2e-5)
    at = TEMPERATURES.index(0.1)
    others = cloud.similarities[~torch.eye(SAMPLE, dtype=torch.bool)].view(SAMPLE, -1)
    share = effective_negatives(others, 0.1).median() / (SAMPLE - 1)
    assert data["effective"][at] == pytest.approx(float(share), abs=1e-5)
    assert data["effective"] == sorted(data["effective"])
    assert data["false_mass"][0] > data["false_mass"][-1]
    sample = data["sample"]
    assert [sample[k] for k in ("shown", "total", "width")] == ["400", "1,000", "16"]


def test_a_cloud_of_fewer_dimensions_than_three_is_laid_flat():
    cloud = cloud_of(np.array([[1.0, i] for i in range(12)]))
    assert cloud.places.shape == (12, 3)
    assert cloud.places[:, 2].abs().max() == 0


def test_a_cloud_refuses_what_has_no_direction():
    with pytest.raises(InputError, match=r"1 of 12 rows of x\.npy is zero"):
        cloud_of(np.diag([0.0, *[1.0] * 11]), name="x.npy")


def test_names_of_classes_stay_text():
    hostile = "</script><script>alert(1)</script>"
    html = explorer_page(cloud_of(np.eye(12, dtype=np.float32), [hostile, "b"] * 6, hostile))
    assert hostile not in html


def test_write_explorer(tmp_path):
    write_explorer(tmp_path / "explain.html")
    assert (tmp_path / "explain.html").read_text(encoding="utf-8") == explorer_page()
