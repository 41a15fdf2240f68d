"""Pair scores: what a reranker says of (query, document), computed once and kept.

A score is addressed by the reranker's fingerprint and the two texts, so it serves every composition, depth, mix and
later run, and a re-chunked corpus never sees a stale one. Scores of one reranker lie in append-only shards
`pair-score/FINGERPRINT/*.parquet`; each finished chunk is a shard, so a killed run loses a chunk an actor at most.
Valid for pointwise rerankers only.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from pyarrow import fs

from mixstage.cluster import run_actors
from mixstage.corpus.documents import text_key
from mixstage.files import write_table
from mixstage.models.checkpoint import LATE, open_reranker
from mixstage.models.reranker import Reranker
from mixstage.progress import Progress
from mixstage.stage_plan import Workers
from mixstage.store import Artifact, Store

_NAME_DIGITS = 16  # of a shard's name
_CHUNK_CHARACTERS = 400_000  # of text an actor takes at once: about 100,000 tokens, seconds of work
_SCHEMA = {"query": pl.Binary, "document": pl.Binary, "score": pl.Float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N pairs over lists of distinct texts: pair i is (queries[query[i]], documents[document[i]])."""

    queries: list[str]
    documents: list[str]
    query: np.ndarray  # (N,) int64
    document: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.query)


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many pairs were asked for, found and scored."""

    asked: int = 0
    found: int = 0
    scored: int = 0


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Pairs (by number) of one reranker that an actor scores in one call."""

    column: int  # of the reranker
    numbers: np.ndarray


class PairScorer:
    """Scores chunks; keeps the reranker that it used last, so a model loads once per actor and reranker."""

    def __init__(self) -> None:
        self.opened = ""
        self.reranker: Reranker | None = None

    def __call__(self, checkpoint: Artifact, queries: list[str], documents: list[str]) -> np.ndarray:
        """(N,) texts each -> (N,) float32 raw logits."""
        if self.reranker is None or self.opened != checkpoint.digest:
            self.reranker, self.opened = open_reranker(checkpoint), checkpoint.digest
        return self.reranker.score(queries, documents)


def score_pairs(
    store: Store, checkpoints: Sequence[Artifact], pairs: Pairs, *, label: str, workers: Workers, progress: Progress
) -> tuple[list[np.ndarray], Tally]:
    """Scores of all pairs under every reranker, (N,) float32 each; only those not yet in the store are computed.

    Order of each array: the pairs'. Raises what `open_reranker` raises.
    """
    keys = _keys(pairs)
    first = keys.with_row_index().select(pl.col("index").min().over("query", "document"))["index"].to_numpy()
    tally = Tally()
    columns, chunks = [], []
    for column, checkpoint in enumerate(checkpoints):
        known = read_scores(store, checkpoint)
        scores = keys.join(known, on=["query", "document"], how="left", maintain_order="left")["score"]
        columns.append(scores.to_numpy().astype(np.float32).copy())
        missing = np.unique(first[scores.is_null().to_numpy()])  # equal texts under two ids are one pair
        together = _texts(pairs.documents)[pairs.document] if checkpoint.meta.get("kind") == LATE else pairs.query
        chunks += [_Chunk(column, part) for part in _cut(pairs, missing, together)]
        tally.asked += len(pairs)
        tally.scored += len(missing)
    tally.found = tally.asked - tally.scored
    for number, values in _run(chunks, checkpoints, pairs, label, workers, progress):
        chunk = chunks[number]
        columns[chunk.column][chunk.numbers] = values
        append_scores(store, checkpoints[chunk.column], keys[chunk.numbers], values)
    return [column[first] for column in columns], tally


def _run(
    chunks: list[_Chunk],
    checkpoints: Sequence[Artifact],
    pairs: Pairs,
    label: str,
    workers: Workers,
    progress: Progress,
) -> Iterator[tuple[int, np.ndarray]]:
    if not chunks:
        return
    calls = [
        (
            checkpoints[chunk.column],
            [pairs.queries[i] for i in pairs.query[chunk.numbers]],
            [pairs.documents[i] for i in pairs.document[chunk.numbers]],
        )
        for chunk in chunks
    ]
    results = run_actors(PairScorer, calls, workers=workers)
    sized = ((result, len(result[1])) for result in results)
    total = sum(len(chunk.numbers) for chunk in chunks)
    yield from progress.track_sized(sized, label, total=total, unit="pairs")


def _cut(pairs: Pairs, numbers: np.ndarray, together: np.ndarray) -> list[np.ndarray]:
    """Chunks of about equal text, pairs with the same entry of `together` (N,) side by side.

    By query for a model that reads pairs; by document for one that reads each text once a chunk.
    """
    ordered = numbers[np.argsort(together[numbers], kind="stable")]
    if not len(ordered):
        return []
    sizes = np.array([len(text) for text in pairs.queries])[pairs.query[ordered]]
    sizes += np.array([len(text) for text in pairs.documents])[pairs.document[ordered]]
    chunk = np.cumsum(sizes) // _CHUNK_CHARACTERS
    return [ordered[chunk == number] for number in np.unique(chunk)]


def _texts(texts: list[str]) -> np.ndarray:
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
    """Every stored score of a reranker: query, document (16-byte keys), score float32; one row a pair."""
    selector = fs.FileSelector(_folder(store, checkpoint), allow_not_found=True)
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for info in store.filesystem.get_file_info(selector):
        if info.extension == "parquet":
            with store.filesystem.open_input_file(info.path) as file:
                frames.append(pl.read_parquet(file))
    return pl.concat(frames).unique(["query", "document"], keep="any")


def append_scores(store: Store, checkpoint: Artifact, keys: pl.DataFrame, scores: np.ndarray) -> None:
    """Adds one shard, named by the pairs it holds: the same chunk scored twice lands in the same file."""
    folder = _folder(store, checkpoint)
    store.filesystem.create_dir(folder, recursive=True)
    name = hashlib.sha256(b"".join(keys["query"]) + b"".join(keys["document"])).hexdigest()[:_NAME_DIGITS]
    table = keys.with_columns(pl.Series("score", scores, dtype=pl.Float32)).to_arrow()
    write_table(store.filesystem, f"{folder}/{name}.parquet", table)
