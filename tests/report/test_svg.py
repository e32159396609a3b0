import csv
import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from temperance.report import _drawing as draw
from temperance.report.svg import (
    Axis,
    Band,
    Group,
    Mark,
    Outline,
    Panel,
    Reference,
    Series,
    Strip,
    density_chart,
    heat_chart,
    heat_colour,
    line_chart,
    scatter_chart,
    series_colour,
    standalone,
)

SVG = "{http://www.w3.org/2000/svg}"
TAUS = [0.03, 0.07, 0.2, 1.0]
HOSTILE = "</title><script>alert(1)</script>\"'&\x00\udc80"


def parse(chart):
    return ElementTree.fromstring(chart)


def labels(chart):
    return {element.text: element for element in parse(chart).iter(f"{SVG}text")}


def numbers(chart):
    return list(csv.DictReader(parse(chart).findtext(f"{SVG}metadata").splitlines()))


def accuracy(**panel):
    series = [
        Series(
            name,
            TAUS,
            [70 + i, 80 + i, 85 + i, 75 + i],
            series_colour(i),
            band=Band([68, 78, 83, 73], [75, 85, 90, 80]),
            seeds=[(0.03, 69), (0.2, 88)],
        )
        for i, name in enumerate(["kNN", "linear probe"])
    ]
    return Panel(Axis("accuracy (%)"), series, **panel)


def chart(*panels, **options):
    return line_chart("Accuracy", "Up, then down.", Axis("τ", log=True), *panels, **options)


def heat(*strips, places=TAUS):
    return heat_chart(
        "Heat", "Leans.", Axis("τ", log=True), "epochs", "accuracy (%)", places, strips
    )


CHARTS = {
    "line": chart(accuracy(mark=Mark("recommended τ = 0.2", 0.2, (0.1, 0.3)))),
    "panels": chart(accuracy(), accuracy(references=[Reference("pixels", 60)])),
    "density": density_chart("d", "e", Axis("s"), [("0.1", [Outline("", [0, 0.1, 1])])]),
    "scatter": scatter_chart("m", "n", [Group("A", [0, 1], [2, 3])]),
    "heat": heat(
        Strip("3", [70, 80, 85, 75], 0.1, (0.07, 0.2)),
        Strip("22", [71, 90, 92, 88], None, (0.03, 1)),
    ),
    "letters": scatter_chart("m", "n", [Group("A", [0, 1], [2, 3])], letters=True),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_is_one_well_formed_picture_with_name_and_description(name):
    root = parse(CHARTS[name])
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    names = [f"{SVG}{name}" for name in ("title", "desc", "metadata")]
    assert [child.tag for child in root][:3] == names
    assert "nan" not in CHARTS[name]
    assert " id=" not in CHARTS[name]  # ids would clash between the charts of a page


@pytest.mark.parametrize("name", CHARTS)
def test_everything_lies_inside_the_view(name):
    root = parse(CHARTS[name])
    width, height = map(float, root.get("viewBox").split()[2:])
    for element in root.iter(f"{SVG}text"):
        assert 0 <= float(element.get("x")) <= width
        assert 0 <= float(element.get("y")) <= height


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0.018, 1.1, True, [0.03, 0.1, 0.3, 1]),
        (0.1, 1, True, [0.1, 0.2, 0.5, 1]),
        (1e-4, 1e4, True, [10.0**i for i in range(-4, 5)]),
        (0.61, 0.69, True, [0.62, 0.64, 0.66, 0.68]),
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (48.2, 94.1, False, [50, 60, 70, 80, 90]),
        (-1, 1, False, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round(low, high, log, ticks):
    assert draw.Scale(low, high, log).ticks() == ticks


def test_logarithmic_axis_spaces_ratios_alike():
    scale = draw.Scale(0.01, 100, True, 0, 400)
    assert [round(scale(v)) for v in (0.01, 0.1, 1, 10, 100)] == [0, 100, 200, 300, 400]
    with pytest.raises(ValueError, match="τ: a logarithmic axis"):
        line_chart("t", "d", Axis("τ", log=True), Panel(Axis("y"), [Series("", [0, 1], [1, 2])]))


def cells(chart):
    """Of the map, row by row from the top: those of the legend have no row in their names."""
    found = [cell for cell in parse(chart).iter(f"{SVG}rect") if cell.get("class") == "cell"]
    rows = {}
    for cell in found:
        name = cell.find(f"{SVG}title").text
        if " at " in name:
            rows.setdefault(float(cell.get("y")), []).append((name, cell))
    return [rows[y] for y in sorted(rows)]


def test_a_heat_map_has_a_cell_a_value_and_the_longest_training_on_top():
    top, bottom = cells(CHARTS["heat"])
    assert [name for name, _ in top] == [
        f"{v:.1f} at {t:g}, 22" for v, t in zip([71, 90, 92, 88], TAUS, strict=True)
    ]
    shares = [float(cell.get("style").split(":")[1]) for _, cell in [*bottom, *top]]
    assert shares == [0, 0.45, 0.68, 0.23, 0.05, 0.91, 1, 0.82]  # of the way from 70 to 92
    rows = [row for row in numbers(CHARTS["heat"]) if row["kind"] == "cell"]
    assert [float(row["accuracy (%)"]) for row in rows] == [70, 80, 85, 75, 71, 90, 92, 88]
    edges = [float(cell.get("x")) for _, cell in top]
    assert edges == [float(cell.get("x")) for _, cell in bottom]
    widths = [b - a for a, b in itertools.pairwise(edges)]
    # Columns meet at geometric means: as wide, in logarithms, as half the ways to both neighbours.
    expected = [math.log(0.07 / 0.03), math.log(0.2 / 0.03) / 2, math.log(1 / 0.07) / 2]
    assert widths == pytest.approx([w * widths[0] / expected[0] for w in expected], rel=0.01)
    found = labels(CHARTS["heat"])
    assert {"85.0", "92.0", "0.03", "0.07", "0.2", "1", "3", "22", "epochs"} <= set(found)


def test_the_ridge_stands_where_each_row_is_best_and_breaks_where_none_is():
    rows = [
        Strip("3", [1, 2, 3, 1], 0.07, (0.05, 0.1)),
        Strip("9", [1, 2, 3, 1], 0.2, (0.1, 0.5)),
        Strip("22", [1, 1, 1, 1], None, (0.03, 1)),
    ]
    drawn = heat(*rows)
    found = labels(drawn)
    (ridge,) = re.findall(r'class="ridge" d="([^"]*)"', drawn)
    places = [tuple(map(float, p.split())) for p in re.findall(r"[ML]([\d.]+ [\d.]+)", ridge)]
    assert [x for x, _ in places] == [float(found[name].get("x")) for name in ("0.07", "0.2")]
    assert places[0][1] > places[1][1]
    assert len(re.findall('class="dot"', drawn)) == 2
    best = [(r["epochs"], r["τ"]) for r in numbers(drawn) if r["kind"] == "best"]
    assert best == [("3", "0.07"), ("9", "0.2")]
    ends = [r["τ"] for r in numbers(drawn) if r["kind"] in ("from", "to")]
    assert ends == ["0.05", "0.1", "0.1", "0.5", "0.03", "1"]
    whiskers = re.findall(r'class="whisker" d="M([\d.]+) [\d.]+L([\d.]+)', drawn)
    assert len(whiskers) == 3
    assert whiskers[2] == (found["0.03"].get("x"), found["1"].get("x"))


def test_narrow_cells_say_their_values_under_a_pointer_only():
    places = [0.02 * 1.2**i for i in range(24)]
    drawn = heat(Strip("5", [50.0 + i for i in range(24)]), places=places)
    assert len(cells(drawn)[0]) == 24
    found = labels(drawn)
    assert "60.0" not in found
    shown = [element for name, element in found.items() if name in {f"{t:.5g}" for t in places}]
    across = sorted(float(element.get("x")) for element in shown)
    assert min(b - a for a, b in itertools.pairwise(across)) > 40


def test_labels_of_near_references_are_moved_apart():
    near = [Reference(n, y) for n, y in [("pixels", 70.0), ("PCA", 70.1), ("random", 69.9)]]
    found = labels(chart(accuracy(references=near)))
    heights = sorted(float(found[name].get("y")) for name in ("pixels", "PCA", "random"))
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 17.9


def test_spread_stays_in_range_while_it_can():
    assert draw.spread([], 10, 0, 100) == []
    assert draw.spread([95, 96, 97], 10, 0, 100) == [80, 90, 100]
    assert draw.spread([0, 0, 0], 10, 0, 5) == [0, 10, 20]


@pytest.mark.parametrize(("tau", "anchor"), [(0.03, "start"), (0.2, "middle"), (1.0, "end")])
def test_label_of_a_mark_at_the_border_stays_inside(tau, anchor):
    name = "recommended τ, rather long"
    drawn = chart(accuracy(mark=Mark(name, tau, (0.001, 50))))
    assert labels(drawn)[name].get("text-anchor") == anchor


def test_numbers_that_are_not_finite_leave_a_gap():
    drawn = line_chart(
        "t",
        "d",
        Axis("x"),
        Panel(Axis("y", log=True), [Series("s", [1, 2, 3, 4], [1, -math.inf, math.nan, 2])]),
    )
    assert len(re.findall('class="dot"', drawn)) == 3  # two points and the legend's
    (line,) = re.findall(r'class="line" d="([^"]*)"/></svg>', drawn)
    assert line.count("M") == 2
    assert "nan" not in drawn


def test_charts_without_data_are_empty_not_broken():
    nothing = [Series("s", [], []), Series("n", [math.nan], [math.nan])]
    parse(line_chart("t", "d", Axis("x", log=True), Panel(Axis("y"), nothing)))
    parse(density_chart("t", "d", Axis("x"), [("a", [Outline("o", [])])]))
    parse(scatter_chart("t", "d", []))
    parse(heat(Strip("3", [math.nan]), places=[0.2]))


def test_what_lies_beyond_a_given_range_is_not_drawn():
    drawn = line_chart(
        "t", "d", Axis("x"), Panel(Axis("y", low=0, high=1), [Series("", [1, 2], [0.5, 9])])
    )
    assert len(re.findall('class="dot"', drawn)) == 1


def test_names_from_outside_are_text():
    group = Group(HOSTILE, [0], [0])
    for drawn in (
        line_chart(
            HOSTILE, HOSTILE, Axis(HOSTILE), Panel(Axis(HOSTILE), [], [Reference(HOSTILE, 1)])
        ),
        density_chart(HOSTILE, "", Axis(""), [(HOSTILE, [Outline(HOSTILE, [1])])]),
        heat_chart(HOSTILE, "", Axis(HOSTILE), HOSTILE, HOSTILE, [1.0], [Strip(HOSTILE, [1.0])]),
        scatter_chart("", HOSTILE, [group]),
        scatter_chart("", HOSTILE, [group], letters=True),
    ):
        assert parse(drawn).find(f".//{SVG}script") is None
        assert "&lt;script&gt;" in drawn


def test_density_rows_run_from_first_to_last():
    rows = [(f"{t:g}", [Outline("", [0, t, 1], heat_colour(i, 4))]) for i, t in enumerate(TAUS)]
    found = labels(density_chart("t", "d", Axis("s"), rows))
    heights = [float(found[name].get("y")) for name, _ in rows]
    assert heights == sorted(heights)


def test_colours_of_temperatures_run_from_cold_to_hot():
    assert [heat_colour(i, 8) for i in range(8)] == [f"heat-{i}" for i in range(1, 9)]
    assert [heat_colour(i, 3) for i in range(3)] == ["heat-1", "heat-5", "heat-8"]
    assert heat_colour(0, 1) == "heat-1"
    assert series_colour(8) == "series-1"


def test_standalone_brings_both_themes_and_loads_nothing():
    alone = standalone(CHARTS["line"])
    root = parse(alone)
    assert root.get("width") == "560"
    assert "color-scheme: light dark" in root.find(f"{SVG}style").text
    assert re.findall(r"https?://[^\"]*", alone) == ["http://www.w3.org/2000/svg"]
    with pytest.raises(ValueError, match="not a chart"):
        standalone("<svg></svg>")


def test_a_line_chart_carries_its_numbers():
    mark = Mark("best", 0.2, (0.1, 0.3))
    rows = numbers(chart(accuracy(references=[Reference("pixels", 60)], mark=mark)))
    line = [row for row in rows if (row["series"], row["kind"]) == ("kNN", "line")]
    assert [float(row["τ"]) for row in line] == TAUS
    assert [float(row["value"]) for row in line] == [70, 80, 85, 75]
    assert [float(row["low"]) for row in line] == [68, 78, 83, 73]
    assert {row["panel"] for row in rows} == {"accuracy (%)"}
    assert sum(row["kind"] == "single" for row in rows) == 4
    (pixels,) = [row for row in rows if row["kind"] == "reference"]
    assert (pixels["series"], pixels["τ"], pixels["value"]) == ("pixels", "", "60")
    marked = {row["kind"]: float(row["τ"]) for row in rows if row["series"] == "best"}
    assert marked == {"mark": 0.2, "from": 0.1, "to": 0.3}


def test_distributions_and_maps_carry_their_numbers():
    rows = numbers(density_chart("d", "e", Axis("s"), [("r", [Outline("o", [0.3] * 9 + [0.7])])]))
    shares = [float(list(row.values())[-1]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=5)  # less what the smoothing spills over the edge
    assert float(rows[np.argmax(shares)]["s"]) == pytest.approx(0.3, abs=0.02)
    assert numbers(CHARTS["letters"]) == [
        {"group": "A", "across": "0", "up": "2"},
        {"group": "A", "across": "1", "up": "3"},
    ]


def test_no_two_groups_of_a_map_look_alike():
    groups = [Group(f"class {i}", [float(i)], [0.0], series_colour(i)) for i in range(32)]
    drawn = scatter_chart("Map", "Many.", groups)
    marks = re.findall(r'class="dot" (style="[^"]*") transform="[^"]*" d="([^"]*)"', drawn)
    assert len(marks) == len(set(marks)) == 32
