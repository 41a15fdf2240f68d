"""What pair scores cost, reranker by reranker: as data, and as the table that is printed before and after."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from rich.table import Table

from mixstage.pairs.scores import Tally
from mixstage.store.plain import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCost:
    """Pairs of one reranker, or of all of them."""

    naive: int  # if each retriever's list were scored by itself
    union: int  # distinct candidates
    found: int  # of those in the store already
    scored: int  # the others
    tokens: int  # of the scored, as estimated
    seconds: float  # that workers scored, loading models aside

    @classmethod
    def of(cls, tally: Tally, naive: int) -> Self:
        return cls(
            naive=naive,
            union=tally.requested,
            found=tally.known,
            scored=tally.scored,
            tokens=tally.tokens,
            seconds=round(tally.seconds, 2),
        )

    def __add__(self, other: "PairCost") -> "PairCost":
        mine, others = asdict(self), asdict(other)
        return PairCost(**{name: mine[name] + others[name] for name in mine})

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


NOTHING = PairCost(naive=0, union=0, found=0, scored=0, tokens=0, seconds=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCost:
    """What all pair scores of a grid cost."""

    all: PairCost  # its seconds are those that were waited, with many workers at work
    rerankers: dict[str, PairCost]

    def to_json(self) -> dict[str, Json]:
        """All together, with a row a reranker under "rerankers"."""
        each: list[Json] = [{"reranker": name, **cost.to_json()} for name, cost in self.rerankers.items()]
        return self.all.to_json() | {"rerankers": each}

    @classmethod
    def from_json(cls, notes: JsonObject) -> Self:
        """What `to_json` gave."""
        each = {row["reranker"]: {name: row[name] for name in row if name != "reranker"} for row in notes["rerankers"]}
        together = {name: notes[name] for name in notes if name != "rerankers"}
        return cls(all=PairCost(**together), rerankers={name: PairCost(**row) for name, row in each.items()})


def cost_table(costs: Mapping[str, PairCost], title: str, *, done: bool) -> Table:
    """A line a reranker and one for all. done: whether seconds are known."""
    table = Table(title=title)
    table.add_column("reranker", no_wrap=True)
    names = ("naive", "union", "in the store", "scored" if done else "to score", "tokens, about")
    for name in (*names, *(("worker seconds",) if done else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for reranker, cost in {**costs, "together": sum(costs.values(), NOTHING)}.items():
        cells = [f"{count:,}" for count in (cost.naive, cost.union, cost.found, cost.scored, cost.tokens)]
        table.add_row(reranker, *cells, *([f"{cost.seconds:,.1f}"] if done else []))
    return table
