"""Prepares what a plan names: corpora and applications as checked, typed, addressed tables."""

from dataclasses import dataclass
from functools import partial

from mixstage.cluster import map_shards
from mixstage.corpus.application import read_application, write_application
from mixstage.corpus.collection import SPLITS, Collection
from mixstage.corpus.documents import (
    CORPUS_FILE,
    ParseShard,
    refuse_duplicates,
    refuse_problems,
    shard_ranges,
)
from mixstage.corpus.tables import Application, Corpus
from mixstage.plan.data import ApplicationPlan, CorpusPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.files import table_facts
from mixstage.store.store import Draft, Store
from mixstage.workspace import Workspace

_PARSERS = Workers(workers=2)  # parsing is light: two keep any disk busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Workspace):
    """A workspace whose data is there, by the plan's names."""

    corpora: dict[str, Corpus]
    applications: dict[str, Application]

    def corpus_of(self, application: str) -> Corpus:
        """The corpus that an application searches."""
        return self.corpora[self.plan.applications[application].corpus]


def prepare(workspace: Workspace) -> Prepared:
    """Reads, checks and writes what the plan names; a source whose content the store holds is not parsed again."""
    plan, store, progress = workspace.plan, workspace.store, workspace.progress
    corpora = {name: prepare_corpus(store, name, part, progress) for name, part in plan.corpora.items()}
    applications = {
        name: prepare_application(store, part, corpora[part.corpus]) for name, part in plan.applications.items()
    }
    return Prepared(plan=plan, store=store, progress=progress, corpora=corpora, applications=applications)


def prepare_corpus(store: Store, name: str, part: CorpusPlan, progress: Progress) -> Corpus:
    """The corpus of a plan, read and checked. Raises InputError on bad documents."""
    collection = Collection.open(part.source)

    def build(draft: Draft[Corpus]) -> Corpus:
        items = shard_ranges(collection.size(CORPUS_FILE), part.shard_kib << 10)
        parsed = map_shards(draft, items, partial(ParseShard, collection, draft, part.metadata), workers=_PARSERS)
        shards = list(progress.track(parsed, f"prepare {name}", total=len(items), unit="shards"))
        shards.sort(key=lambda shard: shard["name"])
        refuse_problems(collection, shards)
        refuse_duplicates(collection, draft, [shard["name"] for shard in shards])
        files = shards + [shard["metadata"] for shard in shards if "metadata" in shard]
        draft.prune(file["name"] for file in files)
        known = {file["name"]: table_facts(file) for file in files}
        declared = {"metadata": part.metadata} if part.metadata else {}
        total = sum(shard["rows"] for shard in shards)
        return draft.publish({"documents": total, "source": part.source} | declared, known)

    return store.made(Corpus, Corpus.recipe_of(collection.sha256(CORPUS_FILE), part.metadata), build)


def prepare_application(store: Store, part: ApplicationPlan, corpus: Corpus) -> Application:
    """An application of a plan, read and checked against its corpus. Raises InputError on bad rows."""
    collection = Collection.open(part.source)
    names = ["queries.jsonl", *(f"qrels/{split}.tsv" for split in SPLITS)]
    contents = {name: collection.sha256(name) for name in names if collection.has(name)}

    def build(draft: Draft[Application]) -> Application:
        return write_application(draft, read_application(collection, corpus), part.queries)

    return store.made(Application, Application.recipe_of(corpus, contents, part.queries), build)
