"""Phase 2 as a whole: every corpus embedded and indexed once per retriever stage, plus BM25."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixstage.corpus.prepare import Prepared
from mixstage.embedding.embed import Wanted, embed
from mixstage.embedding.vectors import QueryVectors, read_vectors
from mixstage.index.bm25 import build_lexical
from mixstage.index.document_ids import StoredIds
from mixstage.index.generation import build_generation, find_generation
from mixstage.index.pointers import point_to
from mixstage.index.repair import damaged_files, repair_embedding, repair_generation
from mixstage.index.search import ExactIndex, LexicalTasks, Retriever, ServedIndex
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Artifact, Store

Key = tuple[str, str]  # (corpus, retriever)
Checkpoints = Mapping[str, Artifact | None]  # retriever -> checkpoint, None for BM25


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """Embeds, indexes and searches the corpora of a plan. What is missing is made, what is there is found."""

    plan: Plan
    store: Store
    prepared: Prepared
    progress: Progress

    def index_all(self, retrievers: Checkpoints) -> dict[Key, Artifact]:
        """(corpus, retriever) -> generation."""
        self.embed_all(retrievers)
        corpora = self.prepared.corpora
        made = {(c, name): self.generation(c, name, found) for c in corpora for name, found in retrievers.items()}
        for (corpus, name), generation in made.items():
            point_to(self.store, self.plan.name, corpus, name, generation)
        return made

    def embed_all(self, retrievers: Checkpoints, label: str = "") -> None:
        """Corpora and applications' queries under every checkpoint, in one pass; label: of its progress."""
        dense = {name: checkpoint for name, checkpoint in retrievers.items() if checkpoint is not None}
        wanted = [self._documents(c, name, found) for name, found in dense.items() for c in self.prepared.corpora]
        wanted += [self._queries(a, name, found) for name, found in dense.items() for a in self.prepared.applications]
        self._embed(wanted, label or ", ".join(dense))

    def searched(self, corpus: str, name: str, checkpoint: Artifact | None) -> Artifact:
        """What a ranking is made from: the embedding of a corpus, or its BM25 generation."""
        if checkpoint is None:
            return self.generation(corpus, name, None)
        return self._embed([self._documents(corpus, name, checkpoint)], name)[0]

    def retriever(self, corpus: str, name: str, checkpoint: Artifact | None) -> Retriever:
        """Exact search (or BM25) over a corpus, as tasks."""
        searched = self.searched(corpus, name, checkpoint)
        ids = StoredIds(self.prepared.corpora[corpus])
        if checkpoint is None:
            return Retriever(ids, LexicalTasks(searched, self._workers))
        return Retriever(ids, ExactIndex(searched, self._vectors(name, checkpoint), self._workers))

    def served(self, corpus: str, name: str, checkpoint: Artifact) -> Retriever:
        """The generation that is served, as a task: what exact search would be compared with."""
        generation = self.generation(corpus, name, checkpoint)
        index = ServedIndex(generation, self._vectors(name, checkpoint), self._workers)
        return Retriever(StoredIds(self.prepared.corpora[corpus]), index)

    def generation(self, corpus: str, name: str, checkpoint: Artifact | None) -> Artifact:
        """What is served of a corpus under a retriever."""
        label = f"{corpus} with {name}"
        if checkpoint is None:
            return build_lexical(
                self.store,
                self.prepared.corpora[corpus],
                self.plan.corpora[corpus].language,
                label=label,
                workers=self._workers,
                progress=self.progress,
            )
        wanted = self._documents(corpus, name, checkpoint)
        (embedding,) = self._embed([wanted], name)
        found = find_generation(self.store, embedding, self.plan.index)
        if found is not None:
            return found
        embedding = self._repaired(embedding, wanted)
        asked = [a for a, part in self.plan.applications.items() if part.corpus == corpus]
        queries = self._query_vectors(asked, name, checkpoint)
        vectors = [read_vectors(one, "vectors/part-00000.parquet") for one in queries]
        return build_generation(
            self.store,
            embedding,
            self.plan.index,
            np.concatenate([np.empty((0, embedding.meta["dim"]), dtype=np.float32), *vectors]),
            label=label,
            workers=self._workers,
            progress=self.progress,
        )

    def repair(self, retrievers: Checkpoints) -> None:
        """Reads every file of what the plan embedded and indexed, and makes again what a disk spoilt."""
        for name, checkpoint in retrievers.items():
            if checkpoint is not None:
                self._repair_dense(name, checkpoint)
            else:
                self._repair_lexical(name)

    def _repair_dense(self, name: str, checkpoint: Artifact) -> None:
        for application in self.prepared.applications:
            wanted = self._queries(application, name, checkpoint)
            self._repaired(self._embed([wanted], name)[0], wanted)
        for corpus in self.prepared.corpora:
            wanted = self._documents(corpus, name, checkpoint)
            embedding = self._repaired(self._embed([wanted], name)[0], wanted)
            generation = find_generation(self.store, embedding, self.plan.index)
            if generation is not None:
                repair_generation(self.store, generation, embedding, self.plan.index, self._workers, self.progress)

    def _repair_lexical(self, name: str) -> None:
        """BM25's shards share their statistics: the whole is built again, in a minute where embedding takes hours."""
        for corpus in self.prepared.corpora:
            generation = self.generation(corpus, name, None)
            if names := damaged_files(generation, self._workers):
                self.progress.say(f"{generation.path}: {', '.join(names)} differ from the manifest: built again")
                self.store.delete(generation)
                self.generation(corpus, name, None)

    @property
    def _workers(self) -> Workers:
        return self.plan.resources.embed

    def _documents(self, corpus: str, name: str, checkpoint: Artifact) -> Wanted:
        texts = self.prepared.corpora[corpus]
        return Wanted(texts=texts, role="document", checkpoint=checkpoint, label=f"{corpus} with {name}")

    def _queries(self, application: str, name: str, checkpoint: Artifact) -> Wanted:
        texts = self.prepared.applications[application]
        return Wanted(texts=texts, role="query", checkpoint=checkpoint, label=f"{application}'s queries with {name}")

    def _vectors(self, name: str, checkpoint: Artifact) -> QueryVectors:
        asked = self._query_vectors(list(self.prepared.applications), name, checkpoint)
        return QueryVectors(checkpoint, asked, self._workers)

    def _query_vectors(self, applications: Sequence[str], name: str, checkpoint: Artifact) -> list[Artifact]:
        return self._embed([self._queries(a, name, checkpoint) for a in applications], name)

    def _repaired(self, embedding: Artifact, wanted: Wanted) -> Artifact:
        return repair_embedding(self.store, embedding, wanted, self.plan.index, self._workers, self.progress)

    def _embed(self, wanted: Sequence[Wanted], label: str) -> list[Artifact]:
        return embed(self.store, wanted, self.plan.index, label=label, workers=self._workers, progress=self.progress)
