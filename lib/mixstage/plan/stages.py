"""What a plan says about one stage of a curriculum: where it starts, what it learns from, how and how long."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Component = Literal["retriever", "reranker"]
Source = Literal["judged", "mined", "title", "heading", "neighbours", "cloze", "generated", "pseudo"]
LossName = Literal["infonce", "margin_mse", "kl", "bce", "listwise", "lambda"]
Share = Annotated[float, Field(gt=0)]
StageRef = Annotated[str, StringConstraints(pattern=r"^(retriever|reranker|teacher):[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Part(BaseModel):
    """A section of the plan: frozen, and without room for misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Workers(Part):
    workers: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1)  # a worker's logical CPUs and its torch threads
    gpus: float = Field(0, ge=0)
    accelerator: str | None = None  # Ray's name of a GPU type, such as A100: the autoscaler brings it


class TrainWorkers(Workers):
    workers: int | tuple[int, int] = 1  # type: ignore[assignment]  # [min, max]: elastic, goes on when nodes come or go
    cpus: int = Field(2, ge=1)


class MinePlan(Part):
    """Where negatives come from, which are kept, and which queries are hard enough to train on."""

    miners: tuple[str, ...] = ("current",)  # "bm25", retriever stages, "current" (retriever stages only); the first
    # also says how hard a query is
    scored_by: Literal["miner", "current"] = "miner"  # "current": a reranker stage orders candidates by its own weights
    depth: int = Field(50, ge=1)  # candidates looked at per query and miner
    first_rank: int = Field(1, ge=1)  # candidates ranked better are left out unseen: the upper end of a rank window
    negatives: int = Field(4, ge=1)  # kept per query; a query with fewer is dropped, never padded
    margin: float = Field(0.95, gt=0)  # keep a negative only below margin x |lowest positive score|
    absolute_margin: float | None = None  # ... or only this much below it, in the miner's score; replaces `margin`
    filter_by: StageRef | None = None  # "reranker:STAGE": the same margin on its scores as well
    hard_rank: int = Field(1, ge=1)  # keep a query only if its first judged document ranks here or worse
    min_grade: int = Field(1, ge=1)  # judgements below it are no positives (nor negatives)
    refresh: bool = False  # mine again before every epoch from the current weights
    asynchronous: bool = False  # with refresh: an epoch trains on the negatives mined one epoch earlier, while the
    # next ones are mined beside it


class PseudoPlan(Part):
    """Headings as labels: which passages two retrievers agree on (arXiv 2306.07193)."""

    retrievers: tuple[str, str] = ("current", "bm25")  # a pair is kept where both rank the passage within `agree`
    agree: int = Field(5, ge=1)
    expand: int = Field(5, ge=0)  # corpus terms of the first passages that join the heading in a second search


class LossPlan(Part):
    name: LossName | None = None  # unset: infonce for a retriever, bce for a reranker
    temperature: float = Field(0.05, gt=0)  # of a retriever's loss: cosine similarities are divided by it
    cached: int | None = Field(None, ge=1)  # gradient cache: texts in memory at once, whatever the batch size
    guide: StageRef | None = None  # "retriever:STAGE": in-batch negatives that it scores near the positive are masked
    guide_margin: float = Field(0.05, ge=0)  # ... nearer than this share of the positive's score
    matryoshka: tuple[int, ...] = ()  # dimensions trained together, the full one first
    teacher: StageRef | None = None  # whose scores margin_mse and kl learn: "reranker:STAGE" or "teacher:NAME"
    teacher_temperature: float = Field(1.0, gt=0)  # of kl: the teacher's scores are divided by it


class MlmPlan(Part):
    """Masked-language-model training on the corpora, before a stage that learns to retrieve."""

    mask: float = Field(0.15, gt=0, lt=1)  # share of tokens that are hidden


class SoupPlan(Part):
    """A stage made by averaging weights: nothing is trained."""

    of: tuple[str, ...] = Field(min_length=2)
    weight: float | None = Field(None, gt=0, lt=1)  # of the first; the others share the rest. Unset: equal weights


class LoraPlan(Part):
    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"  # names of modules, as peft matches them
    dropout: float = Field(0.0, ge=0, lt=1)


class ValidationPlan(Part):
    """Checkpoints of a stage measured on dev, beside the training: Recall@60 (retriever), nDCG@10 (reranker)."""

    every: int = Field(ge=1)  # steps between checkpoints
    queries: int = Field(100, ge=1)  # dev queries of each application, a fixed hash sample
    documents: int = Field(2000, ge=1)  # of each corpus: all judged ones, the rest a hash sample
    depth: int = Field(20, ge=1)  # BM25 candidates that a reranker orders
    patience: int | None = Field(None, ge=1)  # stop after this many measurements without a better one
    keep: Literal["best", "last", "both"] = "best"  # "both": the last one becomes a further stage, NAME-last


class StagePlan(Part):
    """One stage. With `soup` or `mlm` it is of that kind, else it learns from samples."""

    from_: str = Field("base", alias="from")  # "base" or another stage; branches are allowed
    samples: dict[Source, Share] | None = Field(None, min_length=1)  # source -> share; unset: mined if `mine`, else
    # judged
    temperature: float | None = Field(None, gt=0)  # unset: shares as given; T: a source counts share x size^(1/T)
    mine: MinePlan | None = None
    pseudo: PseudoPlan = PseudoPlan()
    generator: str = "keywords"  # of queries: "keywords", or PACKAGE.MODULE:FUNCTION taking (title, text)
    limit: int = Field(20_000, ge=1)  # pairs that a corpus gives to one weak source, a hash sample
    loss: LossPlan = LossPlan()
    mlm: MlmPlan | None = None
    soup: SoupPlan | None = None
    lora: LoraPlan | None = None
    steps: int | None = Field(None, ge=1)  # optimiser steps; with refresh, spread over the epochs
    epochs: int = Field(1, ge=1)  # passes over the samples (with `steps`: rounds of refresh)
    batch_size: int = Field(32, ge=2)  # anchors (retriever) or rows (reranker) an optimiser step, over all workers
    accumulate: int = Field(1, ge=1)  # the batch in this many parts; in-batch negatives come from one part
    learning_rate: float = Field(2e-5, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: bfloat16 on a GPU
    gradient_checkpointing: bool = False  # half the memory for a third more time
    validation: ValidationPlan | None = None
    save_every: int = Field(200, ge=1)  # steps between checkpoints that a killed run goes on from
    resources: TrainWorkers | None = None  # unset: resources.train of the plan

    def sources(self) -> dict[Source, float]:
        """source -> share, with the default filled in."""
        return dict(self.samples) if self.samples else {"mined" if self.mine else "judged": 1.0}

    def rounds(self) -> int:
        """Times that negatives are mined: each round is a training run of its own."""
        return self.epochs if self.mine and self.mine.refresh else 1
