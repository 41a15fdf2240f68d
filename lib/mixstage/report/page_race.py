"""The page's table of the race: what each round scored, and what was left."""

from collections.abc import Mapping
from typing import Any

from mixstage.report.page_table import table


def race_part(race: Mapping[str, Any] | None) -> str:
    """A sentence, and a row a round; nothing for a grid without a race."""
    if race is None:
        return ""
    names = ("n", "compositions", "rerankers", "pairs", "pairs_scored")
    rows = [
        [str(number), *(f"{told[name]:,}" for name in names)] for number, told in enumerate(race["rounds"], start=1)
    ]
    head = ("round", "dev queries an application", "compositions", "rerankers", "new pairs", "scored now")
    told = (
        f"{race['dropped']:,} compositions were behind beyond chance on a sample of dev and dropped out; "
        f"{race['saved']:.0%} of all pairs were never needed. They are in no table here, since all of them rest on the "
        "same queries: the grid's dropped.parquet has their means and the number of queries behind them. The last "
        "round scores both splits; p values and the corrected gain are of those that were left."
    )
    return f"<h3>Race</h3><p>{told}</p>{table(head, rows, texts=1)}"
