"""The BM25 generation: one bm25s folder per group of document shards, all scored by the statistics of the whole corpus.

Two passes over the texts. The first counts words, group by group; the second scores each group with the sum of all
counts. Both go over the cluster, and a killed run takes up again after its last finished group.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import polars as pl
from pyarrow import fs

from mixstage.cluster import Item, Work, run_shards
from mixstage.corpus.documents import document_text
from mixstage.corpus.tables import Corpus
from mixstage.index.arithmetic import sort_found
from mixstage.index.generation import Generation
from mixstage.models.lexical import BM25, K1, B, Lexical, Statistics
from mixstage.models.words import words
from mixstage.plan.data import Language
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.files import file_digest
from mixstage.store.store import Draft, Store

# Documents a bm25s folder holds. Memory to index them: 0.8 GB at 550 English characters each (measured), about 2.6 GB
# at 210 Chinese ones (from 30,000).
GROUP_ROWS = 250_000


@dataclass(frozen=True, slots=True)
class CountWords:
    """Counts the words of one group and writes how many documents hold each."""

    corpus: Corpus
    draft: Draft[Generation]
    language: Language

    def __call__(self, item: Item) -> Item:
        """{name, sources, ...} -> {name, documents, length}; writes word, documents."""
        shards = (Statistics.of(words(read_texts(self.corpus, [name]), self.language)) for name in item["sources"])
        return write_statistics(self.draft, item["name"], reduce(add, shards))


@dataclass(frozen=True, slots=True)
class IndexGroup:
    """Indexes one group by the statistics of the whole corpus."""

    corpus: Corpus
    draft: Draft[Generation]
    language: Language
    whole: Item  # of `write_statistics`

    def __call__(self, item: Item) -> Item:
        """{name, sources, start, stop} -> {name, documents, files}; writes the folder `name`."""
        statistics = read_statistics(self.draft, self.whole)
        index = Lexical.build(read_texts(self.corpus, item["sources"]), self.language, statistics)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / item["name"]
            index.save(folder)
            self.draft.folder(Path(scratch))
            local = fs.LocalFileSystem()
            files = {f"{item['name']}/{path.name}": file_digest(local, str(path)) for path in folder.iterdir()}
        return {"name": item["name"], "documents": index.rows, "files": files}


def build_lexical(
    store: Store, corpus: Corpus, language: Language, *, workers: Workers, progress: Progress, label: str
) -> Generation:
    """The BM25 generation of a corpus: bm25-*/, one folder per group of at most GROUP_ROWS documents or one shard.

    meta: documents, corpus, retriever ("bm25"), language, shards [{name, start, stop}] in row order.
    Raises InputError if the corpus holds no word.
    """
    recipe = {
        "what": "generation",
        "format": Generation.FORMAT,
        "corpus": corpus.digest,
        "lexical": {"model": "bm25", "k1": K1, "b": B, "language": language},
    }

    def build(draft: Draft[Generation]) -> Generation:
        groups = group_shards(corpus, GROUP_ROWS)
        total = corpus.documents

        def run(items: list[Item], work: Work, label: str) -> list[Item]:
            sized = ((done, done["documents"]) for done in run_shards(draft, items, work, workers=workers))
            return list(progress.track_sized(sized, label, total=total, unit="documents"))

        # A name that starts with a dot is scratch: it is gone when the generation is published.
        items = [{**group, "name": f".words-{number:05d}.parquet"} for number, group in enumerate(groups)]
        counts = run(items, CountWords(corpus, draft, language), f"count the words of {label}")
        statistics = reduce(add, (read_statistics(draft, count) for count in counts))
        statistics.refuse_wordless()
        whole = write_statistics(draft, ".words.parquet", statistics)
        indexed = run(groups, IndexGroup(corpus, draft, language, whole), f"index {label}")
        known = {name: facts for summary in indexed for name, facts in summary["files"].items()}
        draft.prune(known)
        shards = [{key: group[key] for key in ("name", "start", "stop")} for group in groups]
        meta = {
            "documents": total,
            "corpus": corpus.digest,
            "retriever": BM25.fingerprint,
            "language": language,
            "shards": shards,
        }
        return draft.publish(meta, known)

    return store.made(Generation, recipe, build)


def group_shards(corpus: Corpus, most: int) -> list[Item]:
    """Neighbouring document shards, `most` rows together unless one alone has more: {name, sources, start, stop}."""
    groups: list[Item] = []
    row = 0
    for source in corpus.shards:
        stop = row + corpus.rows(source)
        if not groups or stop - groups[-1]["start"] > most:
            groups.append({"name": f"bm25-{len(groups):05d}", "sources": [], "start": row})
        groups[-1]["sources"].append(source)
        groups[-1]["stop"] = row = stop
    return groups


def read_texts(corpus: Corpus, sources: Sequence[str]) -> list[str]:
    """What is indexed of the documents of some shards, in row order."""
    tables = (corpus.read_table(source, ["title", "text"]) for source in sources)
    return [document_text(row["title"], row["text"]) for table in tables for row in table.to_pylist()]


def write_statistics(draft: Draft[Generation], name: str, statistics: Statistics) -> Item:
    """{name, documents, length}: with the file `name` all there is to know."""
    draft.table(name, statistics.frequencies.to_arrow())
    return {"name": name, "documents": statistics.documents, "length": statistics.length}


def read_statistics(draft: Draft[Generation], counted: Item) -> Statistics:
    """What `write_statistics` wrote."""
    with draft.filesystem.open_input_file(f"{draft.path}/{counted['name']}") as file:
        frequencies = pl.read_parquet(file)
    return Statistics(documents=counted["documents"], length=counted["length"], frequencies=frequencies)


class LexicalIndex:
    """The shards of a BM25 generation, searched as one index."""

    def __init__(self, shards: Sequence[tuple[int, Lexical]], language: Language) -> None:
        self.shards, self.language = shards, language  # (first row, index) in row order
        self.rows = sum(index.rows for _, index in shards)

    def search(
        self, queries: Sequence[str], k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) queries -> scores (Q, k) float32 descending, rows (Q, k) int64, -1 where no word is shared.

        k is at most the number of documents. Of documents that tie for the last place any may be given. allowed: (rows
        of these shards,) bool, the documents that may be returned.
        """
        tokens = words(queries, self.language)
        first = self.shards[0][0]
        scores = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        for start, index in self.shards:
            own = None if allowed is None else allowed[start - first : start - first + index.rows]
            shard_scores, shard_rows = index.find(tokens, k, own)
            shard_rows = np.where(shard_rows < 0, -1, shard_rows + start)
            scores, rows = sort_found(np.hstack([scores, shard_scores]), np.hstack([rows, shard_rows]), k)
        return scores, rows


def open_lexical(generation: Generation, shards: Sequence[Item] | None = None) -> LexicalIndex:
    """The index of a generation that `build_lexical` built. shards: some of its `meta`, to fetch and open no others."""
    if shards is None:
        folder, shards = generation.local(), generation.shards
    else:
        folder = generation.local([name for shard in shards for name in generation.names(f"{shard['name']}/")])
    opened = [(shard["start"], Lexical.load(folder / shard["name"])) for shard in shards]
    return LexicalIndex(opened, generation.language)
