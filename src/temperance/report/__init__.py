"""What does a person look at? Pages that open offline, charts drawn as SVG, and the explorer.

``page`` is the one HTML shell, ``svg`` has the charts, ``explain`` the page that shows what the
temperature does.
"""

from temperance.report.explain import Row, explain_page, softmax_table, write_explain
from temperance.report.page import json_block, page, text
from temperance.report.svg import (
    Axis,
    Band,
    Group,
    Mark,
    Outline,
    Panel,
    Reference,
    Series,
    density_chart,
    heat_colour,
    line_chart,
    scatter_chart,
    series_colour,
    standalone,
)

__all__ = [
    "Axis",
    "Band",
    "Group",
    "Mark",
    "Outline",
    "Panel",
    "Reference",
    "Row",
    "Series",
    "density_chart",
    "explain_page",
    "heat_colour",
    "json_block",
    "line_chart",
    "page",
    "scatter_chart",
    "series_colour",
    "softmax_table",
    "standalone",
    "text",
    "write_explain",
]
