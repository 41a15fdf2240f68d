"""A plain table of the page."""

from collections.abc import Iterable, Sequence
from html import escape


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int, caption: str = "") -> str:
    """Rows of escaped cells; the first `texts` columns are text and lean left, the others are numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [" class=text" if place < texts else "" for place in range(len(cells))]
        inner = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(line(row, "td") for row in rows)
    return f"<div class=wide><table>{above}{line(head, 'th')}{body}</table></div>"
