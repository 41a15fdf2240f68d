"""What a plan says about data: corpora, the applications that search them, and what each of those is measured by."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mixstage.errors import InputError
from mixstage.measures.measures import parse_measure
from mixstage.plan.stages import Part

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
_RECALLS = {"latency": 0.8, "general": 0.9, "research": 0.95}  # a quick answer, general search, deep research


def check_measure(name: str) -> str:
    """The name as it stands, if it is a measure's; raises ValueError with the measures that there are."""
    try:
        parse_measure(name)
    except InputError as error:
        raise ValueError(str(error)) from None
    if name != name.strip():
        raise ValueError(f"measure {name!r} has spaces around it: write {name.strip()}")
    return name


MeasureName = Annotated[str, AfterValidator(check_measure), Field(examples=["nDCG@10", "RR@10", "R@20", "AP"])]


class CorpusPlan(Part):
    """Documents that are searched, in one file."""

    source: str
    """A BEIR folder with corpus.jsonl (a path or a URI), or sample://NAME."""
    language: Language = "english"
    """What BM25 counts: words, stemmed and without the language's stop words; pairs of characters for `chinese`, words
    for `chinese-jieba`; with `none`, words as they stand."""
    shard_kib: int = Field(1024, ge=1)
    """KiB of the source that a Parquet shard holds: the unit of parallel work and of resuming."""
    confound: str | None = None
    """A field of corpus.jsonl or of its `metadata` that may explain relevance by itself, such as a document's source:
    the report says what this field alone would score. Unset: nothing is compared."""
    metadata: dict[str, FieldType] = Field({})
    """Field of corpus.jsonl or of its `metadata` -> its type: what searches can filter by."""


class Budget(Part):
    """What an answer of an application may cost; compositions above it can't be chosen."""

    pairs_per_query: int | None = Field(None, ge=0)
    """Pairs of query and document that the reranker may read for an answer. Unset: any number."""
    p95_ms: float | None = Field(None, gt=0)
    """Highest p95 latency of an answer in milliseconds, timed on one machine, without network. Unset: any."""


class SplitSizes(Part):
    """How many queries of a split are evaluated."""

    dev: int | None = Field(None, ge=1)
    """Dev queries, which choose; a fixed sample by hash. Unset: all of them."""
    test: int | None = Field(None, ge=1)
    """Test queries, which give the verdict; a fixed sample by hash. Unset: all of them."""


class ApplicationPlan(Part):
    """A kind of question to a corpus, with its judgements, its measure and its weight in the choice."""

    corpus: str
    """Name of the corpus, from `corpora`, that it searches."""
    source: str
    """A BEIR folder with queries.jsonl and qrels/train.tsv, dev.tsv, test.tsv, or sample://NAME."""
    metric: MeasureName = "nDCG@10"
    """The measure that selection optimises for this application."""
    weight: float = Field(1.0, gt=0)
    """Its weight in the mean over applications, relative to the others."""
    budget: Budget = Budget()
    """What an answer may cost."""
    operating_points: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(_RECALLS)
    """Name -> recall to be reached: for each the report names the cheapest composition."""
    queries: SplitSizes = SplitSizes()
    """How many queries of a split are evaluated: a sample makes a large grid affordable."""
