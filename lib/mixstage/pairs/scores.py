"""Pair scores: what a reranker says of (query, document), computed once and kept.

A score is addressed by the reranker's fingerprint and the two texts, so it serves every composition, depth, mix and
later run, and a re-chunked corpus never sees a stale one. Scores of one reranker lie in append-only shards
`pair-score/FINGERPRINT/*.parquet`; each finished call is a shard, so a killed run loses a call an actor at most.
Only pointwise rerankers have a place here: what a listwise one says of a pair depends on the list.

The queue of a scoring run: what pairs cost, and how they are cut into calls that leave no actor idle.

Tokens are estimated from the texts' bytes, 4 a token, never counted: counting takes the driver the tokenizer of every
reranker and a pass over all texts (130,000 tokens a second on two busy cores) while the actors wait, and a call of
hundreds of texts averages the error away. On the sample corpus, calls cut by the estimate hold the same tokens within
0.1 % where documents exceed `max_length` 80, and within 6 % where most do not, at 256; by characters 8 % and 6 %, and a
Chinese text costs three times what its characters say. The limit is what matters: beyond it a text costs nothing more.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyarrow import fs

from mixstage.corpus.hashing import text_key
from mixstage.errors import ModelError
from mixstage.models.batching import budget_for
from mixstage.models.checkpoint import POINTWISE, Checkpoint
from mixstage.models.kinds import LATE
from mixstage.store.files import write_table
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store

_BYTES = 4  # of UTF-8 a token: 4.9 in English laws, 2.9 in Chinese ones
_SPECIAL = 2  # tokens that a model adds to a text
_PASSES = 48  # forward passes a call: seconds of work, and what a killed run loses
_TAIL = 16  # the last calls are down to this part of the others'
_NAME_DIGITS = 16  # of a shard's name
_SCHEMA = {"query": pl.Binary, "document": pl.Binary, "score": pl.Float32}


def tokens_of(texts: Sequence[str], limit: int | None) -> NDArray[np.int64]:
    """(N,) estimated tokens that a model reads of each text alone; limit: its max_length, None if it has none."""
    sizes = np.array([len(text.encode()) for text in texts], dtype=np.int64)
    tokens = sizes // _BYTES + _SPECIAL
    return tokens if limit is None else np.minimum(tokens, limit)


def pair_costs(query: NDArray[np.int64], document: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """(N,) tokens of pairs that a model reads together, from those of their texts."""
    both = query + document
    return both if limit is None else np.minimum(both, limit)


def group_costs(groups: NDArray[np.int64], document: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) tokens of pairs whose documents are read once a call: a document's first pair pays, the others are free.

    groups: (N,) numbers of the documents, equal ones side by side. What queries cost is left out: an actor keeps them.
    """
    first = np.ones(len(groups), dtype=bool)
    first[1:] = groups[1:] != groups[:-1]
    return np.where(first, document, 0)


def call_size(gpus: float) -> int:
    """Tokens of a call."""
    return _PASSES * budget_for("cuda" if gpus else "cpu")


def cut(columns: Sequence[NDArray[np.int64]], workers: int, size: int) -> Iterator[tuple[int, slice]]:
    """Calls in the order of the queue: (column, its entries), columns one after the other.

    columns: tokens of each entry. Calls hold `size` tokens each, until fewer than 2 x workers calls are left: from then
    on each takes 1 / (2 x workers) of what is left (guided self-scheduling: Polychronopoulos & Kuck 1987), so that the
    actors finish together. Entries without cost stay with the one before them.
    """
    left = sum(int(column.sum()) for column in columns)
    for number, column in enumerate(columns):
        ends = np.cumsum(column)
        start, done = 0, 0
        while start < len(column):
            share = min(size, max(left // (2 * workers), size // _TAIL))
            stop = int(np.searchsorted(ends, max(done + share, ends[start]), side="right"))
            yield number, slice(start, stop)
            left -= int(ends[stop - 1]) - done
            start, done = stop, int(ends[stop - 1])


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

    requested: int
    known: int  # in the store, or the same two texts as an earlier pair
    tokens: int  # of the others, as estimated
    seconds: float = 0.0  # that workers scored, loading models aside

    @property
    def scored(self) -> int:
        return self.requested - self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What the store knows of the pairs, and what is left to score."""

    pairs: Pairs
    keys: pl.DataFrame  # query, document: the texts' hashes, a row a pair
    first: NDArray[np.int64]  # (N,) the first pair of the same two texts
    checkpoints: Mapping[str, Checkpoint]  # reranker -> checkpoint
    columns: dict[str, NDArray[np.float32]]  # reranker -> (N,), NaN where the store knows nothing
    missing: dict[str, NDArray[np.int64]]  # reranker -> pairs to score, in the order of its calls
    costs: dict[str, NDArray[np.int64]]  # reranker -> their tokens
    tallies: dict[str, Tally]


def look_up(
    store: Store,
    checkpoints: Mapping[str, Checkpoint],
    pairs: Pairs,
    requested: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Lookup:
    """Reads what the store knows. requested: reranker -> (N,) the pairs that it is to score; unset: all of them.

    Raises ModelError for a reranker that is not pointwise.
    """
    keys = _keys(pairs)
    first = keys.with_row_index().select(pl.col("index").min().over("query", "document"))["index"].to_numpy()
    lookup = Lookup(
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
        chosen = np.ones(len(pairs), dtype=bool) if requested is None else requested[name]
        missing = np.unique(lookup.first[chosen & known["score"].is_null().to_numpy()])
        missing, costs = _ordered(pairs, missing, settings)
        lookup.columns[name] = known["score"].fill_null(float("nan")).to_numpy().astype(np.float32)
        lookup.missing[name], lookup.costs[name] = missing, costs
        lookup.tallies[name] = Tally(
            requested=int(chosen.sum()), known=int(chosen.sum()) - len(missing), tokens=int(costs.sum())
        )
    return lookup


def _pointwise(name: str, checkpoint: Checkpoint) -> JsonObject:
    """The checkpoint's settings. Raises ModelError for a kind whose score of a pair is not the pair's alone."""
    settings = checkpoint.settings
    if settings["kind"] not in POINTWISE:
        raise ModelError(
            f"reranker {name!r} ({checkpoint.path}) is of kind {settings['kind']!r}: pair scores are shared by all "
            f"candidate lists, which only {', '.join(POINTWISE)} allow, as they read each pair by itself; leave it "
            "out of the plan, or train a pointwise one from it"
        )
    return settings


def _ordered(
    pairs: Pairs, numbers: NDArray[np.int64], settings: JsonObject
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


def _folder(store: Store, checkpoint: Checkpoint) -> str:
    return f"{store.root}/pair-score/{checkpoint.fingerprint}"


def read_scores(store: Store, checkpoint: Checkpoint) -> pl.DataFrame:
    """Every stored score of a reranker: query, document (16-byte keys), score float32; one row a pair.

    What is not a finite number does not count: such a pair is scored again.
    """
    selector = fs.FileSelector(_folder(store, checkpoint), allow_not_found=True)
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for info in store.filesystem.get_file_info(selector):
        if info.extension == "parquet":
            with store.filesystem.open_input_file(info.path) as file:
                frames.append(pl.read_parquet(file))
    return pl.concat(frames).filter(pl.col("score").is_finite()).unique(["query", "document"], keep="any")


def append_scores(store: Store, checkpoint: Checkpoint, keys: pl.DataFrame, scores: NDArray[np.float32]) -> None:
    """Adds one shard, named by the pairs it holds: the same call made twice lands in the same file."""
    folder = _folder(store, checkpoint)
    store.filesystem.create_dir(folder, recursive=True)
    name = hashlib.sha256(b"".join(keys["query"]) + b"".join(keys["document"])).hexdigest()[:_NAME_DIGITS]
    table = keys.with_columns(pl.Series("score", scores, dtype=pl.Float32)).to_arrow()
    write_table(store.filesystem, f"{folder}/{name}.parquet", table)
