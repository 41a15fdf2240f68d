"""Phase 2 as a whole: every corpus embedded and indexed once per retriever stage, plus BM25."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixstage.corpus.prepare import Prepared
from mixstage.embedding.embed import EmbeddingRequest, embed
from mixstage.embedding.vectors import Embedding, QueryVectors, read_vectors
from mixstage.index.bm25 import build_lexical
from mixstage.index.build import build_generation, find_generation
from mixstage.index.document_ids import StoredIds
from mixstage.index.generation import Generation
from mixstage.index.pointers import point_to
from mixstage.index.repair import damaged_files, repair_embedding, repair_generation
from mixstage.index.search import ExactIndex, LexicalTasks, Retriever, ServedIndex
from mixstage.models.checkpoint import Checkpoint, RetrieverModel
from mixstage.models.lexical import Bm25
from mixstage.plan.stages import Workers

Key = tuple[str, str]  # (corpus, retriever)
Retrievers = Mapping[str, RetrieverModel]  # by the names of a plan


def dense_of(retrievers: Retrievers) -> dict[str, Checkpoint]:
    """The retrievers that have vectors."""
    return {name: model for name, model in retrievers.items() if isinstance(model, Checkpoint)}


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """Embeds, indexes and searches the corpora of a plan. What the store lacks is computed."""

    prepared: Prepared

    def index_all(self, retrievers: Retrievers) -> dict[Key, Generation]:
        """(corpus, retriever) -> generation."""
        self.embed_all(retrievers)
        corpora = self.prepared.corpora
        generations = {
            (c, name): self.generation(c, name, model) for c in corpora for name, model in retrievers.items()
        }
        for (corpus, name), generation in generations.items():
            point_to(self.prepared.store, self.prepared.plan.name, corpus, name, generation)
        return generations

    def embed_all(self, retrievers: Retrievers, label: str = "") -> None:
        """Corpora and applications' queries under every checkpoint, in one pass; label: of its progress."""
        dense = dense_of(retrievers)
        requests = [
            self._documents(c, name, checkpoint) for name, checkpoint in dense.items() for c in self.prepared.corpora
        ]
        requests += [
            self._queries(a, name, checkpoint) for name, checkpoint in dense.items() for a in self.prepared.applications
        ]
        self._embed(requests, label or ", ".join(dense))

    def searched(self, corpus: str, name: str, retriever: RetrieverModel) -> Embedding | Generation:
        """What a ranking is computed from: the embedding of a corpus, or its BM25 generation."""
        if isinstance(retriever, Bm25):
            return self._lexical(corpus, name)
        return self.embedding(corpus, name, retriever)

    def retriever(self, corpus: str, name: str, retriever: RetrieverModel) -> Retriever:
        """Exact search (or BM25) over a corpus, as tasks."""
        ids = StoredIds(self.prepared.corpora[corpus])
        if isinstance(retriever, Bm25):
            return Retriever(ids, LexicalTasks(self._lexical(corpus, name), self._workers))
        return Retriever(ids, self.exact(corpus, name, retriever))

    def exact(self, corpus: str, name: str, checkpoint: Checkpoint) -> ExactIndex:
        """Exact search over the vectors of a corpus, as tasks."""
        embedding = self.embedding(corpus, name, checkpoint)
        return ExactIndex(embedding, self._vectors(name, checkpoint), self._workers)

    def embedding(self, corpus: str, name: str, checkpoint: Checkpoint) -> Embedding:
        """The documents of a corpus under a checkpoint."""
        return self._embed([self._documents(corpus, name, checkpoint)], name)[0]

    def served(self, corpus: str, name: str, checkpoint: Checkpoint) -> Retriever:
        """The generation that is served, as a task: what exact search would be compared with."""
        generation = self.generation(corpus, name, checkpoint)
        index = ServedIndex(generation, self._vectors(name, checkpoint), self._workers)
        return Retriever(StoredIds(self.prepared.corpora[corpus]), index)

    def generation(self, corpus: str, name: str, retriever: RetrieverModel) -> Generation:
        """What is served of a corpus under a retriever."""
        if isinstance(retriever, Bm25):
            return self._lexical(corpus, name)
        return self._dense(corpus, name, retriever)

    def _lexical(self, corpus: str, name: str) -> Generation:
        return build_lexical(
            self.prepared.store,
            self.prepared.corpora[corpus],
            self.prepared.plan.corpora[corpus].language,
            label=f"{corpus} with {name}",
            workers=self._workers,
            progress=self.prepared.progress,
        )

    def _dense(self, corpus: str, name: str, checkpoint: Checkpoint) -> Generation:
        request = self._documents(corpus, name, checkpoint)
        (embedding,) = self._embed([request], name)
        generation = find_generation(self.prepared.store, embedding, self.prepared.plan.index)
        if generation is not None:
            return generation
        embedding = self._repaired(embedding, request)
        applications = [a for a, part in self.prepared.plan.applications.items() if part.corpus == corpus]
        queries = self._query_vectors(applications, name, checkpoint)
        vectors = [read_vectors(one, "vectors/part-00000.parquet") for one in queries]
        return build_generation(
            self.prepared.store,
            embedding,
            self.prepared.plan.index,
            np.concatenate([np.empty((0, embedding.dim), dtype=np.float32), *vectors]),
            label=f"{corpus} with {name}",
            workers=self._workers,
            progress=self.prepared.progress,
        )

    def repair(self, retrievers: Retrievers) -> None:
        """Reads every file of what the plan embedded and indexed, and makes again what a disk spoilt."""
        for name, retriever in retrievers.items():
            if isinstance(retriever, Bm25):
                self._repair_lexical(name)
            else:
                self._repair_dense(name, retriever)

    def _repair_dense(self, name: str, checkpoint: Checkpoint) -> None:
        for application in self.prepared.applications:
            request = self._queries(application, name, checkpoint)
            self._repaired(self._embed([request], name)[0], request)
        for corpus in self.prepared.corpora:
            request = self._documents(corpus, name, checkpoint)
            embedding = self._repaired(self._embed([request], name)[0], request)
            generation = find_generation(self.prepared.store, embedding, self.prepared.plan.index)
            if generation is not None:
                repair_generation(
                    self.prepared.store,
                    generation,
                    embedding,
                    self.prepared.plan.index,
                    self._workers,
                    self.prepared.progress,
                )

    def _repair_lexical(self, name: str) -> None:
        """BM25's shards share their statistics: the whole is built again, in a minute where embedding takes hours."""
        for corpus in self.prepared.corpora:
            generation = self._lexical(corpus, name)
            if names := damaged_files(generation, self._workers):
                self.prepared.progress.say(
                    f"{generation.path}: {', '.join(names)} differ from the manifest: built again"
                )
                self.prepared.store.delete(generation)
                self._lexical(corpus, name)

    @property
    def _workers(self) -> Workers:
        return self.prepared.plan.resources.embed

    def _documents(self, corpus: str, name: str, checkpoint: Checkpoint) -> EmbeddingRequest:
        texts = self.prepared.corpora[corpus]
        return EmbeddingRequest(texts=texts, role="document", checkpoint=checkpoint, label=f"{corpus} with {name}")

    def _queries(self, application: str, name: str, checkpoint: Checkpoint) -> EmbeddingRequest:
        texts = self.prepared.applications[application]
        return EmbeddingRequest(
            texts=texts, role="query", checkpoint=checkpoint, label=f"{application}'s queries with {name}"
        )

    def _vectors(self, name: str, checkpoint: Checkpoint) -> QueryVectors:
        vectors = self._query_vectors(list(self.prepared.applications), name, checkpoint)
        return QueryVectors(checkpoint, vectors, self._workers)

    def _query_vectors(self, applications: Sequence[str], name: str, checkpoint: Checkpoint) -> list[Embedding]:
        return self._embed([self._queries(a, name, checkpoint) for a in applications], name)

    def _repaired(self, embedding: Embedding, request: EmbeddingRequest) -> Embedding:
        return repair_embedding(
            self.prepared.store, embedding, request, self.prepared.plan.index, self._workers, self.prepared.progress
        )

    def _embed(self, requests: Sequence[EmbeddingRequest], label: str) -> list[Embedding]:
        return embed(
            self.prepared.store,
            requests,
            self.prepared.plan.index,
            label=label,
            workers=self._workers,
            progress=self.prepared.progress,
        )
