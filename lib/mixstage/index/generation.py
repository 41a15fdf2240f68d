"""The artifact that a retriever is served with: a corpus indexed by FAISS or BM25, in files of neighbouring rows."""

from typing import Any

from mixstage.models.lexical import BM25
from mixstage.store.artifact import Artifact
from mixstage.store.plain import JsonObject

Shard = dict[str, Any]  # name, start, stop; of FAISS also vectors (a file's name, "" without)


class Generation(Artifact):
    """An index generation. Its files are FAISS's, or folders of bm25s, one after the other in row order."""

    kind = "generation"
    FORMAT = 2  # raise when files change
    __slots__ = ()

    @property
    def documents(self) -> int:
        """Rows that it holds."""
        return int(self.meta["documents"])

    @property
    def corpus(self) -> str:
        """Digest of the corpus whose documents these are."""
        return str(self.meta["corpus"])

    @property
    def retriever(self) -> str:
        """Fingerprint of the retriever whose vectors these are; BM25's fingerprint where the index holds words."""
        return str(self.meta["retriever"])

    @property
    def is_lexical(self) -> bool:
        return self.retriever == BM25.fingerprint

    @property
    def dim(self) -> int | None:
        """Numbers of a vector; None of BM25, whose queries are words."""
        return self.meta.get("dim")

    @property
    def shards(self) -> list[Shard]:
        """The files and their rows, in row order."""
        return list(self.meta["shards"])

    @property
    def language(self) -> Any:
        """The language whose words BM25 tells apart; a FAISS generation has none."""
        return self.meta["language"]

    @property
    def index(self) -> JsonObject:
        """The fields of the plan's `index` that decide the files; a BM25 generation has none."""
        return dict(self.meta["index"])

    @property
    def recall(self) -> float:
        """Recall@10 against exact search, as measured when it was built; a BM25 generation has none."""
        return float(self.meta["recall"])
