"""What embedding workers do with a shard: encode its new texts, then put the shard together from where vectors lie."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixstage.cluster import Item, finished, leave_mark
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_key
from mixstage.corpus.tables import Application, Corpus
from mixstage.embedding.vectors import Embedding, vector_table, vectors_of
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.encoder import Encoder, Role, Tokens
from mixstage.models.quantised import AnyPrecision, open_precise
from mixstage.store.store import Artifact, Draft, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One embedding in the making: texts under a retriever's checkpoint."""

    texts: Corpus | Application  # whose documents or queries
    role: Role
    checkpoint: Checkpoint
    dtype: str
    precision: AnyPrecision
    draft: Draft[Embedding]


@dataclass(slots=True)
class Embedder:
    """Encodes shards of texts for several jobs.

    A model loads once, at its first shard. Stages that read text alike share the tokens.
    """

    jobs: Sequence[Job]
    budget: int | None  # tokens a forward pass; None: what the device likes
    encoders: dict[tuple[str, str], Encoder] = field(default_factory=dict)  # by checkpoint's digest and precision

    def __call__(self, item: Item) -> Item:
        """{source, parts: [[job, {name, rows}]]} -> {rows, tokens} encoded now; a part is a file of the job's draft."""
        parts = [(self.jobs[n], part) for n, part in item["parts"] if finished(self.jobs[n].draft, part) is None]
        read: dict[tuple[str, str], tuple[pa.Table, Tokens]] = {}
        done = {"rows": 0, "tokens": 0}
        for job, part in parts:
            encoder = self._encoder(job)
            alike = (encoder.vocabulary(job.role), str(part["rows"]))
            if alike not in read:
                taken = take_rows(read_texts(job.texts, job.role, item["source"]), part["rows"])
                read[alike] = taken, encoder.tokenise(taken["text"].to_pylist(), job.role)
            texts, tokens = read[alike]
            vectors = encoder.embed(tokens).astype(job.dtype)
            shard = vector_table(texts["id"], texts["key"], tokens.lengths, tokens.truncated, vectors)
            facts = job.draft.table(part["name"], shard, packed=False)
            leave_mark(job.draft, part, {**facts, "dim": encoder.dim, **counts(shard)})
            done = {"rows": done["rows"] + len(shard), "tokens": done["tokens"] + int(tokens.lengths.sum())}
        return done

    def _encoder(self, job: Job) -> Encoder:
        key = job.checkpoint.digest, job.precision
        if key not in self.encoders:
            self.encoders[key] = open_precise(job.checkpoint, job.precision, self.budget)
        return self.encoders[key]


def open_embedder(jobs: Sequence[Job], budget: int | None, threads: int) -> Embedder:
    """The embedder of a worker, whose tokenizers take `threads`, as torch does. A GPU waits for them."""
    os.environ.update(TOKENIZERS_PARALLELISM=str(threads > 1).lower(), RAYON_NUM_THREADS=str(threads))
    return Embedder(jobs, budget)


@dataclass(frozen=True, slots=True)
class Assembler:
    """Puts a shard together from earlier embeddings, other shards and its own new vectors: nothing is encoded."""

    job: Job
    store: Store

    def __call__(self, item: Item) -> Item:
        """{name, source, runs, files: [[number, [digest, name]]]} -> facts. Digest "": a file of the draft itself."""
        texts = read_texts(self.job.texts, self.job.role, item["source"])
        tokens, truncated = np.zeros(len(texts), dtype=np.int32), np.zeros(len(texts), dtype=bool)
        vectors = np.empty((0, 0))
        for number, (digest, name) in item["files"]:
            lying = self._open(digest, name)
            if not vectors.size:
                vectors = np.zeros((len(texts), lying["vector"].type.list_size), dtype=self.job.dtype)
            for row, count, file, start in item["runs"]:
                if file == number:
                    part, rows = lying.slice(start, count), slice(row, row + count)
                    tokens[rows], truncated[rows] = part["tokens"].to_numpy(), part["truncated"].to_numpy()
                    vectors[rows] = vectors_of(part)
        shard = vector_table(texts["id"], texts["key"], tokens, truncated, vectors)
        facts = self.job.draft.table(item["name"], shard, packed=False)
        return {"name": item["name"], "dim": vectors.shape[1], **facts, **counts(shard)}

    def _open(self, digest: str, name: str) -> pa.Table:
        if digest:
            return self.store.get(Embedding, digest).read_checked(name)
        return pq.read_table(f"{self.job.draft.path}/{name}", filesystem=self.job.draft.filesystem)


def read_texts(texts: Artifact, role: Role, name: str) -> pa.Table:
    """id, key, text of one shard: what models read of documents, or queries."""
    if role == "query":
        table = texts.read_table(name, ["query_id", "text"])
        return pa.table({"id": table["query_id"], "key": read_keys(texts, role, name), "text": table["text"]})
    table = texts.read_table(name, ["doc_id", "key", "title", "text"])
    bodies = [document_text(row["title"], row["text"]) for row in table.select(["title", "text"]).to_pylist()]
    return pa.table({"id": table["doc_id"], "key": table["key"], "text": pa.array(bodies, pa.string())})


def read_keys(texts: Artifact, role: Role, name: str) -> pa.ChunkedArray:
    """`text_key` of every text of a shard."""
    if role == "document":
        return texts.read_table(name, ["key"])["key"]
    queries = texts.read_table(name, ["text"])["text"].to_pylist()
    return pa.chunked_array([pa.array([text_key(query) for query in queries], pa.binary(16))])


def take_rows(table: pa.Table, rows: Sequence[Sequence[int]]) -> pa.Table:
    """Rows given as (first, count), in order."""
    return pa.concat_tables([table.slice(row, count) for row, count in rows]) if rows else table.slice(0, 0)


def counts(shard: pa.Table) -> dict[str, int]:
    """What the manifest sums up: {tokens, truncated} of a shard."""
    sums = {name: pc.sum(shard[name]).as_py() for name in ("tokens", "truncated")}
    return {name: int(value or 0) for name, value in sums.items()}
