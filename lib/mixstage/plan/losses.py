"""The table of losses: what each trains, which rows it reads, what it needs, and the function that builds it.

A row is all that the rest of mixstage knows of a loss. The functions that rows name import PyTorch and are imported
when a worker builds the loss. A plug-in is a `Loss`, too: see docs/how-to/extend.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from mixstage.plugins import Lazy, find

Trained = Literal["bi_encoder", "cross_encoder", "late_interaction"]  # what a loss trains

_ROWS: Final = "mixstage.training.fitting.rows"
_LOSSES: Final = "mixstage.training.fitting.losses"
_BY_NEGATIVES: Final = Lazy(f"{_ROWS}:by_negatives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a loss is built from: the model that is trained, and the settings of the plan's `loss`."""

    model: Any  # SentenceTransformer, CrossEncoder or MultiVectorEncoder
    temperature: float = 0.05  # what similarities are divided by
    teacher_temperature: float = 1.0  # what a teacher's scores are divided by
    cached: int | None = None  # texts in memory at once; None: the whole batch
    guide: Any = None  # SentenceTransformer that masks false negatives, or None
    guide_margin: float = 0.05  # share of the positive's score, nearer than which a negative is masked
    negatives: int = 0  # the most that a row has
    workers: int = 1  # processes that share a batch: texts of the others are negatives as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A row of the table."""

    build: Mapping[Trained, Callable[[Lesson], Any]]
    """What it trains -> what makes the loss module for it, as sentence-transformers' trainers take one."""
    rows: Callable[[Any], list[Any]] = _BY_NEGATIVES
    """Samples (a polars frame: anchor, positive, negatives, scores) -> frames whose columns are what the loss reads;
    a batch holds rows of one frame. By default anchor, positive, negative_1.. with a frame for each number of
    negatives; `mixstage.training.fitting.rows` has others."""
    in_batch: bool = False
    """Whether other rows of a batch are its negatives: then no text stands twice in a step."""
    taught: bool = False
    """Whether it learns a teacher's scores: then the plan names a teacher, and every row has negatives and scores."""
    options: frozenset[str] = frozenset()
    """Which of `loss.cached` and `loss.guide` it reads."""


LOSSES: Final[Mapping[str, Loss]] = {  # of those that train the same, the first is the default
    "infonce": Loss(
        build={"bi_encoder": Lazy(f"{_LOSSES}:infonce"), "late_interaction": Lazy(f"{_LOSSES}:late_infonce")},
        in_batch=True,
        options=frozenset({"cached", "guide"}),
    ),
    "bce": Loss(build={"cross_encoder": Lazy(f"{_LOSSES}:bce")}, rows=Lazy(f"{_ROWS}:labelled_pairs")),
    "listwise": Loss(build={"cross_encoder": Lazy(f"{_LOSSES}:listwise")}, rows=Lazy(f"{_ROWS}:certain_lists")),
    "lambda": Loss(build={"cross_encoder": Lazy(f"{_LOSSES}:lambda_ndcg")}, rows=Lazy(f"{_ROWS}:labelled_lists")),
    "margin_mse": Loss(
        build={"bi_encoder": Lazy(f"{_LOSSES}:margin_mse"), "cross_encoder": Lazy(f"{_LOSSES}:pair_margin_mse")},
        rows=Lazy(f"{_ROWS}:scored_by_negatives"),
        taught=True,
    ),
    "kl": Loss(build={"bi_encoder": Lazy(f"{_LOSSES}:kl")}, rows=Lazy(f"{_ROWS}:scored_by_negatives"), taught=True),
}


def find_loss(name: str) -> Loss:
    """The row of this name, from the table or outside; raises PlanError if there is none."""
    return find("losses", name, LOSSES, Loss)


def losses_of(trained: Trained) -> list[str]:
    """Names of the table that train it, the default first."""
    return [name for name, loss in LOSSES.items() if trained in loss.build]
