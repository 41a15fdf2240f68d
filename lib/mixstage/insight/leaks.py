"""Leaks between splits that equal ids don't show: shared documents, near-duplicates, queries that were trained on."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.collection import SPLITS
from mixstage.corpus.prepare import Prepared
from mixstage.insight.duplicates import near_duplicates
from mixstage.insight.intervals import Floats
from mixstage.plan import Plan
from mixstage.store import Artifact

SHOWN = 20  # near-duplicates that the report names
_SAMPLES = "samples.parquet"
_ANCHOR = "anchor"


def find_leaks(prepared: Prepared, trained: Iterable[Artifact]) -> dict[str, Any]:
    """Near-duplicate queries between splits, counted by the splits they join, with the most similar; dev and test
    queries whose words are in the training samples `trained`, counted by split, with the first."""
    tables = [
        read_queries(part, *SPLITS).select(pl.lit(name).alias("application"), "query_id", "text", "split")
        for name, part in prepared.applications.items()
    ]
    queries = pl.concat(tables)
    pairs = near_duplicates(queries)
    joined = [" and ".join(sorted(splits)) for splits in pairs.select("split", "other_split").iter_rows()]
    held = queries.filter(pl.col("split") != "train")
    seen = held.filter(pl.Series(_are_learned(held["text"], trained), dtype=pl.Boolean))
    return {
        "counts": {name: joined.count(name) for name in sorted(set(joined))},
        "first": pairs.head(SHOWN).to_dicts(),
        "trained": {split: int((seen["split"] == split).sum()) for split in SPLITS[1:]},
        "trained_first": seen.drop("text").head(SHOWN).to_dicts(),
    }


def _are_learned(texts: pl.Series, trained: Iterable[Artifact]) -> list[bool]:
    learned: set[str] = set()
    for samples in trained:
        if _SAMPLES in samples.files and _ANCHOR in _columns(samples):  # an `mlm` stage reads documents, no queries
            anchors = pl.DataFrame(samples.read_table(_SAMPLES, [_ANCHOR]))[_ANCHOR].unique()
            learned.update(map(_words, anchors))
    return [_words(text) in learned for text in texts]


def _columns(samples: Artifact) -> list[str]:
    with samples.filesystem.open_input_file(samples.file(_SAMPLES)) as file:
        return list(pq.read_schema(file).names)


def _words(text: str) -> str:
    """As equal queries of two splits are found when an application is read."""
    return " ".join(text.split()).casefold()


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


def shared_documents(
    judged: pl.DataFrame, application: str, gains: Mapping[str, tuple[list[str], Floats]]
) -> list[dict[str, Any]]:
    """Queries of a split with a document that also answers a query of an earlier split, of any application on the
    same corpus: not split by group. judged: see `judged_everywhere`. gains: split -> query ids, winner minus incumbent.

    A row a pair of splits: split, other, queries, shared, and the mean gain of those that share and of the others
    (None without any): a gain that only the former have may be memory.
    """
    rows = []
    for split, (query_ids, gain) in gains.items():
        own = judged.filter((pl.col("application") == application) & (pl.col("split") == split))
        for other in SPLITS[: SPLITS.index(split)]:
            earlier = judged.filter(pl.col("split") == other)
            seen = set(own.join(earlier, on=["corpus", "doc_id"], how="semi")["query_id"])
            shares = [query_id in seen for query_id in query_ids]
            halves = [gain[[one is kept for one in shares]] for kept in (True, False)]
            rows.append(
                {
                    "split": split,
                    "other": other,
                    "queries": len(query_ids),
                    "shared": sum(shares),
                    "gain_shared": float(halves[0].mean()) if len(halves[0]) else None,
                    "gain_others": float(halves[1].mean()) if len(halves[1]) else None,
                }
            )
    return rows
