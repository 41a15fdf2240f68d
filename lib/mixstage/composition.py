"""A composition: which retriever stage feeds which reranker stage, how deep, mixed how. Its name is its identity."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Self

from mixstage.errors import PlanError

_NAME = re.compile(
    r"^(?:retriever:(?P<stage>[\w.-]+)|(?P<bm25>bm25))@(?P<depth>[1-9]\d*)"
    r" > (?:(?:(?P<mix>0?\.\d*[1-9]\d*)\*)?reranker:(?P<reranker>[\w.-]+)|(?P<unscored>none|oracle))@(?P<k>[1-9]\d*)$",
    re.ASCII,
)
UNSCORED = ("none", "oracle")  # what may stand in a reranker's place and scores no pair


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Composition:
    """Top `depth` documents of `retriever`, reordered by `reranker`; `k` of them are answered.

    `str()` gives the name, `parse()` reads it back; the name is the row key in tables, logs, labels and responses.

    >>> composition = Composition.parse("retriever:robust@60 > 0.5*reranker:refine@10")
    >>> composition.depth, composition.mix
    (60, 0.5)
    >>> str(composition.at_depth(20))
    'retriever:robust@20 > 0.5*reranker:refine@10'
    """

    retriever: str  # a stage, "base" or "bm25"
    depth: int  # candidates handed to the reranker
    reranker: str  # a stage, "base", "none" or "oracle", which orders by the judgements: a ceiling
    mix: float = 1.0  # weight of the reranker's normalised score; 1: the reranker alone decides
    k: int = 10  # hits answered

    def __str__(self) -> str:
        first = self.retriever if self.retriever == "bm25" else f"retriever:{self.retriever}"
        weight = "" if self.mix == 1 else f"{Decimal(repr(self.mix)):f}*"
        second = self.reranker if self.reranker in UNSCORED else f"{weight}reranker:{self.reranker}"
        return f"{first}@{self.depth} > {second}@{self.k}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The composition of that name; raises PlanError with an example if it is none."""
        match = _NAME.match(name.strip())
        if match is None:
            raise PlanError(
                f"{name!r} names no composition; write e.g. 'retriever:base@20 > reranker:refine@10', "
                "or 'bm25@20 > none@10' without a reranker"
            )
        return cls(
            retriever=match["stage"] or "bm25",
            depth=int(match["depth"]),
            reranker=match["reranker"] or match["unscored"],
            mix=float(match["mix"] or 1),
            k=int(match["k"]),
        )

    def to_json(self) -> str:
        """Its name."""
        return str(self)

    @property
    def pairs(self) -> int:
        """Pairs that the reranker scores per query."""
        return 0 if self.reranker in UNSCORED else self.depth

    @property
    def is_servable(self) -> bool:
        """Whether it can be chosen and released. The oracle can't: it reads the judgements."""
        return self.reranker != "oracle"

    @property
    def is_uniform(self) -> bool:
        """Both components at the stage of the same name."""
        return self.retriever == self.reranker

    def at_depth(self, depth: int) -> Self:
        return replace(self, depth=depth)
