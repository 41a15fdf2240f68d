"""What a plan says about one stage of a curriculum: where it starts, what it learns from, how and how long."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mixstage.plan.losses import LOSSES
from mixstage.plan.sources import SOURCES

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"  # names become folders, labels and parts of composition names


def _name_in(table: Mapping[str, object]) -> Any:
    """A row's name, which editors complete, or that of a plug-in; `stage_checks` looks for it."""
    names: list[Any] = [*table]
    return Field(examples=[*names, "PACKAGE.MODULE:NAME"], json_schema_extra={"anyOf": [{"enum": names}, {}]})


Component = Literal["retriever", "reranker"]
SourceName = Annotated[str, _name_in(SOURCES)]
LossName = Annotated[str, _name_in(LOSSES)]
Share = Annotated[float, Field(gt=0)]
StageRef = Annotated[
    str,
    StringConstraints(pattern=rf"^(retriever|reranker|teacher):{NAME}$"),
    Field(examples=["reranker:broad", "teacher:large"]),
]


class Part(BaseModel):
    """A section of the plan: frozen, and without room for misspelt keys.

    The text under a field is its documentation: docs/reference/plan.md, the JSON schema that editors read, and the
    help in error messages are made of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class Workers(Part):
    """Processes that share a kind of work, and what each of them takes of the cluster."""

    workers: int = Field(1, ge=1)
    """Processes that work at once."""
    cpus: int = Field(1, ge=1)
    """Logical CPUs of a worker, and threads of its PyTorch."""
    gpus: float = Field(0, ge=0)
    """GPUs of a worker; 0.5 lets two share one."""
    accelerator: str | None = None
    """Ray's name of a GPU type, such as A100, which an autoscaling cluster then starts. Unset: any."""


class TrainWorkers(Workers):
    """Processes that train a stage together, and what each of them takes of the cluster."""

    workers: int | tuple[int, int] = 1  # type: ignore[assignment]
    """Processes that share a batch. A list [min, max] is elastic: training goes on when nodes come or go."""
    cpus: int = Field(2, ge=1)
    """Logical CPUs of a worker, and threads of its PyTorch."""


class MinePlan(Part):
    """Where negatives come from, which are kept, and which queries are hard enough to train on."""

    miners: tuple[str, ...] = ("current",)
    """Retrievers that bring candidates: `bm25`, `base`, retriever stages, or `current` (the stage's own weights; for
    retriever stages only). How hard a query is, is read from the first one's ranking."""
    scored_by: Literal["miner", "current"] = "miner"
    """Whose scores order the candidates and are held against `margin`. With `current` a reranker stage orders them by
    its own weights; a retriever stage always takes the miner's."""
    depth: int = Field(50, ge=1)
    """Candidates looked at for each query and miner."""
    first_rank: int = Field(1, ge=1)
    """Candidates that rank better than this are left out unseen: the upper end of a window of ranks."""
    negatives: int = Field(4, ge=1)
    """Negatives kept for each query. A query with fewer is dropped, never padded."""
    margin: float = Field(0.95, gt=0)
    """A candidate counts as negative only if it scores below the query's lowest positive score by the share
    (1 - margin) of that score's size; above it is likely a positive that nobody judged (arXiv 2407.15831)."""
    absolute_margin: float | None = None
    """Replaces `margin`: a negative has to score this much below the lowest positive, on the miner's own scale. Unset:
    `margin` decides."""
    filter_by: StageRef | None = None
    """A second opinion, `reranker:STAGE` or `teacher:NAME`: `margin` has to hold on its scores as well. Unset: the
    miner alone decides."""
    hard_rank: int = Field(1, ge=1)
    """A query is kept only if its first judged document ranks here or worse by the first miner. 1 keeps every query, 3
    those whose first two hits are wrong."""
    min_grade: int = Field(1, ge=1)
    """Judgements below this grade count neither as positives here nor as negatives. Leave it at 1 where judgements are
    binary: with 2, no positive would be left."""
    refresh: bool = False
    """Whether negatives are mined again before every epoch with the current weights. It costs a pass over the corpus
    an epoch."""
    asynchronous: bool = False
    """With `refresh`: an epoch trains on negatives mined one epoch earlier, while the next ones are mined beside it.
    Worth it where another GPU is idle."""


class PseudoPlan(Part):
    """Headings as queries, and passages that two retrievers agree on as their answers (arXiv 2306.07193)."""

    retrievers: tuple[str, str] = ("current", "bm25")
    """The two that have to agree: `bm25`, `base`, retriever stages, or `current` for retriever stages."""
    agree: int = Field(5, ge=1)
    """A pair is kept where both rank the passage at this rank or better."""
    expand: int = Field(5, ge=0)
    """Corpus terms of the first passages that join the heading in a second search; 0 searches once, by the heading
    alone."""


class LossPlan(Part):
    """What a training step minimises."""

    name: LossName | None = None
    """The loss: `infonce`, `margin_mse` or `kl` of a retriever; `bce`, `listwise`, `lambda` or `margin_mse` of a
    cross-encoder; or one of your own, PACKAGE.MODULE:NAME. Unset: `infonce` for a retriever and a late-interaction
    reranker, `bce` for a cross-encoder."""
    temperature: float = Field(0.05, gt=0)
    """Cosine similarities of a retriever are divided by it before the softmax; smaller values look at the hardest
    negatives only."""
    cached: int | None = Field(None, ge=1)
    """Gradient cache: texts in memory at once, whatever the batch size (arXiv 2101.06983). Unset: the whole batch."""
    guide: StageRef | None = None
    """`retriever:STAGE`, which masks in-batch negatives that it scores near the positive. Unset: all of them count."""
    guide_margin: float = Field(0.05, ge=0)
    """With `guide`: an in-batch negative is masked if its score is nearer to the positive's than this share of it."""
    matryoshka: tuple[int, ...] = ()
    """Numbers of vector dimensions trained together, the full one first, so that `index.dims` may cut vectors short.
    Empty: full vectors only."""
    teacher: StageRef | None = None
    """Whose scores `margin_mse` and `kl` learn: `reranker:STAGE` or `teacher:NAME`. Other losses take none."""
    teacher_temperature: float = Field(1.0, gt=0)
    """The teacher's scores are divided by it before the softmax of `kl`."""


class MlmPlan(Part):
    """Masked-language-model training on the corpora, before a stage that learns to retrieve."""

    mask: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden; 0.15 is BERT's."""


class SoupPlan(Part):
    """A stage made by averaging the weights of others: nothing is trained."""

    of: tuple[str, ...] = Field(min_length=2)
    """Stages of the same component (or `base`) whose weights are averaged."""
    weight: float | None = Field(None, gt=0, lt=1)
    """Weight of the first one; the others share the rest equally. Unset: all weigh the same."""


class LoraPlan(Part):
    """Low-rank adapters in the place of full training (arXiv 2106.09685); they are merged into the checkpoint."""

    rank: int = Field(8, ge=1)
    """Rank of the adapters: more can learn more and takes more memory."""
    alpha: float = Field(16, gt=0)
    """Scale of the adapters; their output is multiplied by alpha / rank."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the modules that get an adapter, as peft matches them, or `all-linear`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped in training."""


class ValidationPlan(Part):
    """Checkpoints of a stage measured on dev beside the training: Recall@60 of a retriever, nDCG@10 of a reranker."""

    every: int = Field(ge=1)
    """Steps between two checkpoints that are measured."""
    queries: int = Field(100, ge=1)
    """Dev queries of each application: a fixed sample by hash."""
    documents: int = Field(2000, ge=1)
    """Documents of each corpus: all that those queries judge, the rest a sample by hash."""
    depth: int = Field(20, ge=1)
    """BM25 candidates that a reranker puts in order."""
    patience: int | None = Field(None, ge=1)
    """Training stops after this many measurements without a better one. Unset: it never stops early."""
    keep: Literal["best", "last", "both"] = "best"
    """Which checkpoint becomes the stage. With `both` the last one becomes a further stage, NAME-last."""


class StagePlan(Part):
    """One stage of a curriculum. With `soup` or `mlm` it is of that kind, else it learns from samples."""

    from_: str = Field("base", alias="from")
    """The stage that it starts from, or `base`, the untrained model. Several stages may start from the same one."""
    samples: dict[SourceName, Share] | None = Field(None, min_length=1)
    """Source of samples -> its share of them. `judged`: the train splits; `mined`: the same with mined negatives;
    `title`, `heading`, `neighbours`, `cloze`, `generated`, `pseudo`: pairs that the corpus gives without judgements;
    or one of your own, PACKAGE.MODULE:NAME. Unset: `mined` if there is a `mine`, else `judged`."""
    temperature: float | None = Field(None, gt=0)
    """T makes a source count share x size^(1/T), so that large sources give more. Unset: shares as they are given."""
    mine: MinePlan | None = None
    """How negatives are mined. Unset: there are only in-batch negatives; a reranker stage needs it."""
    pseudo: PseudoPlan = PseudoPlan()
    """How the source `pseudo` labels headings."""
    generator: str = "keywords"
    """What writes the queries of the source `generated`: `keywords` (content words of a sentence), or
    PACKAGE.MODULE:FUNCTION, which takes (title, text) and returns a list of queries."""
    limit: int = Field(20_000, ge=1)
    """Pairs that a corpus gives to one weak source at most: a sample by hash."""
    loss: LossPlan = LossPlan()
    """What a training step minimises."""
    mlm: MlmPlan | None = None
    """Makes it a stage of masked-language-model training, without samples."""
    soup: SoupPlan | None = None
    """Makes it an average of other stages' weights, without training."""
    lora: LoraPlan | None = None
    """Trains low-rank adapters only. Unset: all weights."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; with `mine.refresh` they are spread over the epochs. Unset: as many as `epochs` take."""
    epochs: int = Field(1, ge=1)
    """Passes over the samples; with `steps`, how often negatives are mined again."""
    batch_size: int = Field(32, ge=2)
    """Anchors (of a retriever) or rows (of a reranker) an optimiser step reads, over all workers."""
    accumulate: int = Field(1, ge=1)
    """Parts that a batch is read in, to save memory. In-batch negatives come from the same part only."""
    learning_rate: float = Field(2e-5, gt=0)
    """Highest step size of AdamW, reached after the warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the step size grows from 0."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Longer gradients are cut to this length."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the training's forward pass. `auto`: bfloat16 on a GPU, float32 on a CPU."""
    gradient_checkpointing: bool = False
    """Whether activations are computed twice instead of kept: half the memory for a third more time."""
    validation: ValidationPlan | None = None
    """Measures checkpoints on dev during the training. Unset: the last checkpoint is the stage."""
    save_every: int = Field(200, ge=1)
    """Steps between checkpoints that a killed run goes on from."""
    resources: TrainWorkers | None = None
    """Workers of this stage. Unset: `resources.train` of the plan."""

    def sources(self) -> dict[str, float]:
        """source -> share, with the default filled in."""
        return dict(self.samples) if self.samples else {"mined" if self.mine else "judged": 1.0}

    def rounds(self) -> int:
        """How often negatives are mined: each round is a training run of its own."""
        return self.epochs if self.mine and self.mine.refresh else 1
