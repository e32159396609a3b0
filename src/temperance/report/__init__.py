"""What does a person look at? Pages that open offline, charts drawn as SVG.

``explorer`` is the page that shows what the temperature does; ``sweep``, ``search``, ``training``,
``evaluation`` and ``diagnosis`` are the reports of the commands, ``figures`` their figures one by one. They
stand on ``page``, the one HTML shell, and ``svg``, the charts. Only the light ones are loaded here: import
``temperance.report.sweep`` and ``temperance.report.figures`` by name.
"""

from temperance.report.explorer import Row, explorer_page, softmax_table, write_explorer

__all__ = ["Row", "explorer_page", "softmax_table", "write_explorer"]
