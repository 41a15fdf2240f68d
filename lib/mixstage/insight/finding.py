"""What an analysis gets, an application's queries with everything that was measured on them, and what it gives back."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mixstage.composition import Composition
from mixstage.evaluation.board import Board
from mixstage.insight.attribution import Values
from mixstage.measures.measures import Measure
from mixstage.plan.schema import Plan
from mixstage.stats.paired import Paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One application: winner and incumbent on its test queries."""

    plan: Plan
    application: str
    winner: Composition
    incumbent: Composition
    measure: Measure  # the application's metric
    values: Values  # composition of the grid -> (Q,) its metric on test; the board's queries, in its order
    dev: Values  # the same on dev, in the order of its query ids: what was chosen by
    board: Board  # test: query ids, all retrievers' candidates, what the winner's reranker makes of them, judgements

    @property
    def confidence(self) -> float:
        """Of every interval of the report."""
        return self.plan.selection.confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a head; the first `texts` columns lean left, the others are numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an analysis found in one application."""

    title: str  # plain text, as all text here: the page escapes it
    value: object  # for report.json: numbers, text, lists, mappings and dataclasses of them
    note: str = ""  # a sentence; one that tells a test's result names the test
    table: Table | None = None
    chart: Mapping[str, object] | None = None  # a Vega-Lite specification with its data, without a theme


Analysis = Callable[[Subject], Finding | None]  # None where there is nothing to analyse


class Spread(Protocol):
    """What has the ends of an interval."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def signed(value: float) -> str:
    """A difference in metric points, as the report writes it."""
    return f"{value:+.4f}"


def interval(spread: Spread) -> str:
    """The ends, "[-0.0100, +0.0300]"; nothing where nothing is known."""
    return f"[{signed(spread.low)}, {signed(spread.high)}]" if math.isfinite(spread.low) else ""


def with_interval(paired: Paired) -> str:
    """The mean and the ends."""
    return f"{signed(paired.mean)} {interval(paired)}".rstrip()
