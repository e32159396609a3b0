"""How docstrings are read for the site: examples as code, formulas as MathML, which needs no script."""

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

FORMULA = re.compile(
    r"^\.\. math::(?P<formula>(?: .*)?(?:\n(?:[ \t]+\S.*|(?=\n[ \t]+\S)))*)", re.MULTILINE
)


class Docstrings(griffe.Extension):
    """Turn what Sphinx and doctest read into what the site's parser reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            said = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = FORMULA.sub(_mathml, said)


def _mathml(found: re.Match[str]) -> str:
    return convert(" ".join(found["formula"].split()), display="block")
