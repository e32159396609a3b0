"""The explorer: what the temperature does, to be moved by hand, in English and Chinese.

``mathematics.js`` holds the equations, a file each scene; ``words.json`` all that is said. They are set
into one page, or into a tab of a report, by ``assembly``.
"""

from temperance.report.explorer.assembly import explorer_page, explorer_part, write_explorer
from temperance.report.explorer.worked import Row, softmax_table

__all__ = ["Row", "explorer_page", "explorer_part", "softmax_table", "write_explorer"]
