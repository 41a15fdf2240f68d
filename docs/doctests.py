"""Examples in docstrings as code: what begins with `>>>` would be a quotation in Markdown."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)  # up to the next empty line
_MARK = re.compile(r"  # doctest: .*$", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts a fence around each example of every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with its examples in Python blocks, without marks for doctest."""
    return _EXAMPLE.sub(lambda found: f"```python\n{_MARK.sub('', found[0])}\n```", text)
