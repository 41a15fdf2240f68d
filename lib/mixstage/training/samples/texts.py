"""Plain texts of the corpora, for masked-language-model training."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from mixstage.corpus.documents import document_text, iterate_documents
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.training.samples.supervision import shuffled


def corpus_texts(corpora: Mapping[str, Corpus], limit: int, seed: int) -> pl.DataFrame:
    """text, source: the documents of every corpus, a hash sample where there are more than `limit`, shuffled."""
    frames = []
    for name, corpus in corpora.items():
        taken = pl.DataFrame(schema={"key": pl.UInt64, "text": pl.String})
        for table in iterate_documents(corpus, ["doc_id", "title", "text"]):
            rows = pl.DataFrame(table)
            texts = [document_text(*row) for row in rows.select("title", "text").iter_rows()]
            shard = pl.DataFrame({"key": [text_hash(d) for d in rows["doc_id"]], "text": texts}, schema=taken.schema)
            taken = pl.concat([taken, shard]).sort("key").head(limit)
        frames.append(taken.select("text", source=pl.lit(f"text:{name}")))
    return shuffled(pl.concat(frames), np.random.default_rng(seed))
