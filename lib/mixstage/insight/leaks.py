"""Leaks between splits that equal ids don't show, and that make a test easier than it looks: shared documents,
near-duplicate queries, equal documents, queries that were trained on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.collection import SPLITS
from mixstage.corpus.documents import iterate_documents
from mixstage.corpus.hashing import words_key
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Corpus
from mixstage.plan.schema import Plan
from mixstage.stats.bootstrap import Floats
from mixstage.training.artifacts import Samples

SIMILAR = 0.8  # Jaccard similarity of trigrams from which two queries count as near-duplicates
_GRAM = 3  # characters; three code points of 21 bits fill one integer, so no two trigrams are taken for one
_BITS = 21
SHOWN = 20  # near-duplicates that the report names
_SAMPLES = "samples.parquet"
_ANCHOR = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualDocuments:
    """How many documents of a corpus say word for word what another one says."""

    documents: int
    copies: int  # beyond the first of each text


def trigrams(text: str) -> NDArray[np.uint64]:
    """Sorted distinct trigrams of the characters, without regard to case and to the width of gaps.

    Characters, not words: that works for every language. A shorter text is one gram.
    """
    plain = words_key(text)
    points = np.frombuffer(plain.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    points = np.pad(points, (0, max(0, _GRAM - len(points))))
    shifted = (points[place : len(points) - _GRAM + 1 + place] << np.uint64(_BITS * place) for place in range(_GRAM))
    return np.unique(np.sum(list(shifted), axis=0, dtype=np.uint64))


def near_duplicates(queries: pl.DataFrame, threshold: float = SIMILAR) -> pl.DataFrame:
    """Pairs of queries of two splits whose trigrams overlap: |A and B| / |A or B| >= threshold.

    queries: application, query_id, text, split; applications are compared with each other too, since a curriculum
    trains on all of them. Returns application, query_id, split, other_application, other_query_id, other_split,
    similarity; most similar first, then in the order of the rows.
    """
    grams = [trigrams(text) for text in queries["text"]]
    splits = queries["split"].to_list()
    alike = [
        (left, right, similarity)
        for left, right in _candidates(grams, splits, threshold)
        if (similarity := _jaccard(grams[left], grams[right])) >= threshold
    ]
    alike.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    rows = queries.select("application", "query_id", "split")
    left, right = rows[[pair[0] for pair in alike]], rows[[pair[1] for pair in alike]]
    others = right.rename({name: f"other_{name}" for name in rows.columns})
    return pl.concat([left, others], how="horizontal").with_columns(
        pl.Series("similarity", [pair[2] for pair in alike], dtype=pl.Float64)
    )


def _jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _candidates(grams: list[NDArray[np.uint64]], splits: list[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of rows of two splits that may reach the threshold.

    Two sets of that similarity share at least threshold x size grams of each, so that their first
    size - ceil(threshold x size) + 1 grams have one in common, in any order that is the same for all
    (Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins in data cleaning", ICDE 2006). Rare grams
    come first: few rows share them.
    """
    sizes = np.array([len(row) for row in grams], dtype=np.int64)
    # 0.7 x 10 is 7.000000000000001 in floats, and no more than 7
    heads = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    row = np.repeat(np.arange(len(grams)), sizes)
    table = pl.DataFrame(
        {
            "row": row,
            "gram": np.concatenate([*grams, np.empty(0, dtype=np.uint64)]),
            "head": heads[row],
            "split": pl.Series(splits, dtype=pl.String).gather(row),
        }
    )
    table = table.with_columns(pl.len().over("gram").alias("rows")).sort("row", "rows", "gram")
    heads_only = table.filter(pl.int_range(pl.len()).over("row") < pl.col("head"))
    pairs = heads_only.join(heads_only, on="gram", suffix="_other")
    pairs = pairs.filter((pl.col("row") < pl.col("row_other")) & (pl.col("split") != pl.col("split_other")))
    yield from pairs.select("row", "row_other").unique().iter_rows()


def equal_documents(corpus: Corpus) -> EqualDocuments:
    """Counted by the key of what models read (title and text)."""
    keys = pl.concat([pl.DataFrame(table)["key"] for table in iterate_documents(corpus, ["key"])])
    return EqualDocuments(documents=len(keys), copies=len(keys) - keys.n_unique())


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenQuery:
    """A query of dev or test whose words are in a training sample."""

    application: str
    query_id: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate(SeenQuery):
    """Two queries of different splits that say nearly the same."""

    other_application: str
    other_query_id: str
    other_split: str
    similarity: float  # Jaccard, of trigrams


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Queries that are in two splits, or were trained on."""

    counts: dict[str, int]  # "dev and test" -> near-duplicate pairs
    first: list[NearDuplicate]  # the most similar
    trained: dict[str, int]  # split -> queries whose words are in a training sample
    trained_first: list[SeenQuery]


def find_leaks(prepared: Prepared, trained: Iterable[Samples]) -> Leaks:
    """Near-duplicate queries between splits, and queries of dev and test that were trained on; trained: samples."""
    tables = [
        read_queries(part, *SPLITS).select(pl.lit(name).alias("application"), "query_id", "text", "split")
        for name, part in prepared.applications.items()
    ]
    queries = pl.concat(tables)
    pairs = near_duplicates(queries)
    joined = [" and ".join(sorted(splits)) for splits in pairs.select("split", "other_split").iter_rows()]
    held = queries.filter(pl.col("split") != "train")
    seen = held.filter(pl.Series(_are_learned(held["text"], trained), dtype=pl.Boolean))
    return Leaks(
        counts={name: joined.count(name) for name in sorted(set(joined))},
        first=[NearDuplicate(**row) for row in pairs.head(SHOWN).iter_rows(named=True)],
        trained={split: int((seen["split"] == split).sum()) for split in SPLITS[1:]},
        trained_first=[SeenQuery(**row) for row in seen.drop("text").head(SHOWN).iter_rows(named=True)],
    )


def _are_learned(texts: pl.Series, trained: Iterable[Samples]) -> list[bool]:
    learned: set[str] = set()
    for samples in trained:
        if _SAMPLES in samples.files and _ANCHOR in _columns(samples):  # an `mlm` stage reads documents, no queries
            anchors = pl.DataFrame(samples.read_table(_SAMPLES, [_ANCHOR]))[_ANCHOR].unique()
            learned.update(map(words_key, anchors))
    return [words_key(text) in learned for text in texts]


def _columns(samples: Samples) -> list[str]:
    with samples.filesystem.open_input_file(samples.file(_SAMPLES)) as file:
        return list(pq.read_schema(file).names)


def judged_everywhere(plan: Plan, prepared: Prepared) -> pl.DataFrame:
    """corpus, application, split, query_id, doc_id of every relevant judgement."""
    tables = [
        read_judgements(part, *SPLITS)
        .filter(pl.col("grade") > 0)
        .select(
            pl.lit(plan.applications[name].corpus).alias("corpus"),
            pl.lit(name).alias("application"),
            *("split", "query_id", "doc_id"),
        )
        for name, part in prepared.applications.items()
    ]
    return pl.concat(tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDocuments:
    """Queries of a split with a document that also answers a query of an earlier split: not split by group.

    A gain that only those have may be memory.
    """

    split: str
    other: str
    queries: int
    shared: int
    gain_shared: float | None  # winner minus incumbent, mean of those that share; None without any
    gain_others: float | None


def shared_documents(
    judged: pl.DataFrame, application: str, gains: Mapping[str, tuple[list[str], Floats]]
) -> list[SharedDocuments]:
    """A row a pair of splits, documents of all applications on the same corpus. judged: see `judged_everywhere`.
    gains: split -> query ids, winner minus incumbent."""
    rows = []
    for split, (query_ids, gain) in gains.items():
        own = judged.filter((pl.col("application") == application) & (pl.col("split") == split))
        for other in SPLITS[: SPLITS.index(split)]:
            earlier = judged.filter(pl.col("split") == other)
            seen = set(own.join(earlier, on=["corpus", "doc_id"], how="semi")["query_id"])
            shares = [query_id in seen for query_id in query_ids]
            halves = [gain[[one is kept for one in shares]] for kept in (True, False)]
            rows.append(
                SharedDocuments(
                    split=split,
                    other=other,
                    queries=len(query_ids),
                    shared=sum(shares),
                    gain_shared=float(halves[0].mean()) if len(halves[0]) else None,
                    gain_others=float(halves[1].mean()) if len(halves[1]) else None,
                )
            )
    return rows
