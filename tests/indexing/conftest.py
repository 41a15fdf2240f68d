"""What tests of this room share: embeddings made without Ray, of given vectors or by a checkpoint."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mixstage.corpus.hashing import text_key
from mixstage.embedding.embed import Wanted
from mixstage.embedding.worker import (Embedder, Job)
from mixstage.embedding.vectors import vector_table
from mixstage.plan.schema import IndexPlan
from mixstage.store.store import (Artifact, Store)

EmbeddingMaker = Callable[..., Artifact]


@pytest.fixture
def make_embedding(store: Store) -> EmbeddingMaker:
    """An embedding of given vectors, cut into shards before the given rows; texts are the rows' numbers, or given."""

    def make(
        vectors: np.ndarray, cuts: Sequence[int] = (), *, dtype: str = "float32", texts: Sequence[str] | None = None
    ) -> Artifact:
        names = list(texts or map(str, range(len(vectors))))
        recipe = {"what": "embedding", "of": names, "cuts": list(cuts), "dtype": dtype, "sum": float(vectors.sum())}
        draft = store.draft("embedding", recipe)
        known = {}
        for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(vectors)], strict=True)):
            part = slice(start, stop)
            ids = pa.array([f"d{n}" for n in range(start, stop)])
            keys = pa.array([text_key(name) for name in names[part]], pa.binary(16))
            nothing = np.zeros(stop - start)
            table = vector_table(ids, keys, nothing.astype(np.int32), nothing > 0, vectors[part].astype(dtype))
            known[f"vectors/part-{number:05d}.parquet"] = draft.table(f"vectors/part-{number:05d}.parquet", table)
        meta = {"rows": len(vectors), "dim": vectors.shape[1], "of": "corpus", "retriever": "retriever"}
        return draft.publish(meta, known)

    return make


@pytest.fixture
def embed_plainly(store: Store) -> EmbeddingMaker:
    """The embedding of a corpus or of an application's queries under a checkpoint, found by `embed` as its own."""

    def make(texts: Artifact, checkpoint: Artifact, *, role: Any = "document", into: Store | None = None) -> Artifact:
        recipe = Wanted(texts=texts, role=role, checkpoint=checkpoint, label="").recipe(IndexPlan())
        draft, dtype = (into or store).draft("embedding", recipe), recipe["dtype"]
        job = Job(texts=texts, role=role, checkpoint=checkpoint, dtype=dtype, precision="float32", draft=draft)
        embedder = Embedder([job], None)
        known = {}
        names = texts.names("documents/", ".parquet") if role == "document" else ["queries.parquet"]
        for number, source in enumerate(names):
            rows = texts.files[source]["rows"] if role == "document" else texts.read_table(source).num_rows
            name = f"vectors/part-{number:05d}.parquet"
            embedder({"source": source, "parts": [[0, {"name": name, "rows": [[0, rows]]}]]})
            known[name] = {**draft.facts(name), "rows": rows}
        dim = embedder.encoders[checkpoint.digest, "float32"].dim
        rows = sum(facts["rows"] for facts in known.values())
        meta = {"rows": rows, "dim": dim, "of": texts.digest, "retriever": checkpoint.meta["fingerprint"]}
        return draft.publish(meta, known)

    return make
