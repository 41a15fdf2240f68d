"""An embedding in int8: documents by the quantised encoder, queries by the float32 one, each with its own address."""

from pathlib import Path
from typing import Any

import pytest

from mixstage.embedding.embed import EmbeddingRequest
from mixstage.embedding.vectors import Embedding, read_vectors
from mixstage.embedding.worker import Embedder, Job
from mixstage.models.checkpoint import open_encoder
from mixstage.plan.schema import IndexPlan
from mixstage.store.store import Store, digest_of


def test_int8_has_an_address_of_its_own_for_documents_only(make_corpus: Any, make_checkpoint: Any) -> None:
    corpus, checkpoint = make_corpus([{"_id": "a", "text": "deposit"}]), make_checkpoint("retriever")
    plain, small = IndexPlan(), IndexPlan(precision="int8")
    for role, same in (("document", False), ("query", True)):
        request = EmbeddingRequest(texts=corpus, role=role, checkpoint=checkpoint, label="")  # type: ignore[arg-type]
        assert (digest_of(request.recipe(plain)) == digest_of(request.recipe(small))) is same


def test_documents_in_int8_are_near_those_in_float32(
    store: Store, make_corpus: Any, make_checkpoint: Any, tiny_model: Path, sample_documents: Any
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra mixstage[int8] is not installed")
    pytest.importorskip("onnx", reason="the extra mixstage[int8] is not installed")
    documents = [{"_id": str(n), "text": row["text"]} for n, row in enumerate(sample_documents[:20])]
    corpus, checkpoint = make_corpus(documents), make_checkpoint("retriever", base=str(tiny_model))
    draft = store.draft(Embedding, {"n": 1})
    job = Job(texts=corpus, role="document", checkpoint=checkpoint, dtype="float32", precision="int8", draft=draft)
    name = corpus.names("documents/")[0]
    Embedder([job], None)({"source": name, "parts": [[0, {"name": "vectors/part-00000.parquet", "rows": [[0, 20]]}]]})
    vectors_read = read_vectors(draft.publish({}), "vectors/part-00000.parquet")
    expected = open_encoder(checkpoint).encode([str(d["text"]) for d in documents], "document")
    cosines = (vectors_read * expected).sum(axis=1)
    assert cosines.min() > 0.97 and cosines.max() < 1 - 1e-7
