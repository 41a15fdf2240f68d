"""Pair scores: what a reranker says of (query, document), computed once and kept.

A score is addressed by the reranker's fingerprint and the two texts, so it serves every composition, depth, mix and
later run, and a re-chunked corpus never sees a stale one. Scores of one reranker lie in append-only shards
`pair-score/FINGERPRINT/*.parquet`; each finished call is a shard, so a killed run loses a call an actor at most.
Only pointwise rerankers have a place here: what a listwise one says of a pair depends on the list.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyarrow import fs

from mixstage.corpus.documents import text_key
from mixstage.errors import ModelError
from mixstage.files import write_table
from mixstage.indexing.score_queue import group_costs, pair_costs, tokens_of
from mixstage.models.checkpoint import LATE, POINTWISE, SETTINGS
from mixstage.store import Artifact, Store

_NAME_DIGITS = 16  # of a shard's name
_SCHEMA = {"query": pl.Binary, "document": pl.Binary, "score": pl.Float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N pairs over lists of distinct texts: pair i is (queries[query[i]], documents[document[i]])."""

    queries: list[str]
    documents: list[str]
    query: NDArray[np.int64]  # (N,)
    document: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.query)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one reranker's pairs cost."""

    asked: int
    found: int  # in the store, or the same two texts as another pair
    tokens: int  # of the others, as estimated
    seconds: float = 0.0  # that workers scored, loading models aside

    @property
    def scored(self) -> int:
        return self.asked - self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What the store knows of the pairs, and what is left to score."""

    pairs: Pairs
    keys: pl.DataFrame  # query, document: the texts' hashes, a row a pair
    first: NDArray[np.int64]  # (N,) the first pair of the same two texts
    checkpoints: Mapping[str, Artifact]  # reranker -> checkpoint
    columns: dict[str, NDArray[np.float32]]  # reranker -> (N,), NaN where the store knows nothing
    missing: dict[str, NDArray[np.int64]]  # reranker -> pairs to score, in the order of its calls
    costs: dict[str, NDArray[np.int64]]  # reranker -> their tokens
    tallies: dict[str, Tally]


def look_up(
    store: Store,
    checkpoints: Mapping[str, Artifact],
    pairs: Pairs,
    wanted: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Lookup:
    """Reads what the store knows. wanted: reranker -> (N,) the pairs that it is asked for; unset: all of them.

    Raises ModelError for a reranker that is not pointwise.
    """
    keys = _keys(pairs)
    first = keys.with_row_index().select(pl.col("index").min().over("query", "document"))["index"].to_numpy()
    found = Lookup(
        pairs=pairs,
        keys=keys,
        first=first.astype(np.int64),
        checkpoints=checkpoints,
        columns={},
        missing={},
        costs={},
        tallies={},
    )
    for name, checkpoint in checkpoints.items():
        settings = _pointwise(name, checkpoint)
        known = keys.join(read_scores(store, checkpoint), on=["query", "document"], how="left", maintain_order="left")
        asked = np.ones(len(pairs), dtype=bool) if wanted is None else wanted[name]
        missing = np.unique(found.first[asked & known["score"].is_null().to_numpy()])
        missing, costs = _ordered(pairs, missing, settings)
        found.columns[name] = known["score"].fill_null(float("nan")).to_numpy().astype(np.float32)
        found.missing[name], found.costs[name] = missing, costs
        found.tallies[name] = Tally(
            asked=int(asked.sum()), found=int(asked.sum()) - len(missing), tokens=int(costs.sum())
        )
    return found


def _pointwise(name: str, checkpoint: Artifact) -> dict[str, Any]:
    """The checkpoint's settings. Raises ModelError for a kind whose score of a pair is not the pair's alone."""
    settings: dict[str, Any] = checkpoint.read_json(SETTINGS)
    if settings["kind"] not in POINTWISE:
        raise ModelError(
            f"reranker {name!r} ({checkpoint.path}) is of kind {settings['kind']!r}: pair scores are shared by all "
            f"candidate lists, which only {', '.join(POINTWISE)} allow, as they read each pair by itself; leave it "
            "out of the plan, or train a pointwise one from it"
        )
    return settings


def _ordered(
    pairs: Pairs, numbers: NDArray[np.int64], settings: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs in the order in which they are scored, and their tokens.

    By query for a model that reads pairs; by document for one that reads each text once a call.
    """
    limit, is_late = settings.get("max_length"), settings["kind"] == LATE
    together = _texts(pairs.documents)[pairs.document] if is_late else pairs.query
    ordered = numbers[np.argsort(together[numbers], kind="stable")]
    documents = tokens_of(pairs.documents, limit)[pairs.document[ordered]]
    if is_late:
        return ordered, group_costs(together[ordered], documents)
    return ordered, pair_costs(tokens_of(pairs.queries, limit)[pairs.query[ordered]], documents, limit)


def _texts(texts: list[str]) -> NDArray[np.int64]:
    """(N,) int64: equal texts have equal numbers; applications that share a corpus list its documents once each."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)


def _keys(pairs: Pairs) -> pl.DataFrame:
    """query, document: the texts' hashes, a row a pair."""
    queries = pl.Series("query", [text_key(text) for text in pairs.queries], dtype=pl.Binary)
    documents = pl.Series("document", [text_key(text) for text in pairs.documents], dtype=pl.Binary)
    return pl.DataFrame([queries.gather(pairs.query), documents.gather(pairs.document)])


def _folder(store: Store, checkpoint: Artifact) -> str:
    return f"{store.root}/pair-score/{checkpoint.meta['fingerprint']}"


def read_scores(store: Store, checkpoint: Artifact) -> pl.DataFrame:
    """Every stored score of a reranker: query, document (16-byte keys), score float32; one row a pair.

    What is no finite number is none: such a pair is scored again.
    """
    selector = fs.FileSelector(_folder(store, checkpoint), allow_not_found=True)
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for info in store.filesystem.get_file_info(selector):
        if info.extension == "parquet":
            with store.filesystem.open_input_file(info.path) as file:
                frames.append(pl.read_parquet(file))
    return pl.concat(frames).filter(pl.col("score").is_finite()).unique(["query", "document"], keep="any")


def append_scores(store: Store, checkpoint: Artifact, keys: pl.DataFrame, scores: NDArray[np.float32]) -> None:
    """Adds one shard, named by the pairs it holds: the same call made twice lands in the same file."""
    folder = _folder(store, checkpoint)
    store.filesystem.create_dir(folder, recursive=True)
    name = hashlib.sha256(b"".join(keys["query"]) + b"".join(keys["document"])).hexdigest()[:_NAME_DIGITS]
    table = keys.with_columns(pl.Series("score", scores, dtype=pl.Float32)).to_arrow()
    write_table(store.filesystem, f"{folder}/{name}.parquet", table)
