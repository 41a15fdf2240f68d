"""What a disk spoils is computed again, shard by shard: a truncated file or a flipped byte costs that file alone."""

from collections.abc import Sequence
from functools import partial

from mixstage.cluster import Item, finished, map_items, run_shards, run_tasks
from mixstage.embedding.embed import EmbeddingRequest
from mixstage.embedding.vectors import Embedding
from mixstage.embedding.worker import Job, open_embedder
from mixstage.index.build import TRAINED, ShardBuilder, groups_of, write_trained
from mixstage.index.generation import Generation
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.files import table_facts
from mixstage.store.store import Artifact, Store

_FILES_A_TASK = 64


def damaged_files(artifact: Artifact, workers: Workers) -> list[str]:
    """Names of files that are gone or differ from the manifest; every file is read, as tasks."""
    names = sorted(artifact.files)
    calls = [(artifact, names[start : start + _FILES_A_TASK]) for start in range(0, len(names), _FILES_A_TASK)]
    return sorted(name for damaged in run_tasks(_damaged, calls, workers=workers) for name in damaged)


def _damaged(artifact: Artifact, names: Sequence[str]) -> list[str]:
    return artifact.damaged(names)


def repair_embedding(
    store: Store,
    embedding: Embedding,
    request: EmbeddingRequest,
    settings: IndexPlan,
    workers: Workers,
    progress: Progress,
) -> Embedding:
    """The embedding with its damaged shards embedded again, and those only."""
    names = damaged_files(embedding, workers)
    if not names:
        return embedding
    draft = store.reopen(embedding)
    draft.sweep()  # notes of a repair that was killed say nothing of what was damaged since
    job = Job(
        texts=request.texts,
        role=request.role,
        checkpoint=request.checkpoint,
        dtype=embedding.dtype,
        precision=embedding.recipe["precision"],
        draft=draft,
    )
    items: list[Item] = []
    for name in names:
        rows = embedding.files[name]["rows"]
        progress.say(f"{draft.path}/{name} differs from its manifest: its {rows} texts are embedded again")
        source = name.replace("vectors/", "documents/") if request.role == "document" else "queries.parquet"
        items.append({"source": source, "parts": [[0, {"name": name, "rows": [[0, rows]]}]]})
    list(map_items(items, partial(open_embedder, [job], settings.batch_tokens, workers.cpus), workers=workers))
    summaries = {part["name"]: finished(draft, part) or {} for item in items for _, part in item["parts"]}
    facts = {name: table_facts(summary) for name, summary in summaries.items()}
    draft.sweep()
    return draft.amend(facts)


def repair_generation(
    store: Store,
    generation: Generation,
    embedding: Embedding,
    settings: IndexPlan,
    workers: Workers,
    progress: Progress,
) -> Generation:
    """The generation with its damaged FAISS files filled again."""
    names = damaged_files(generation, workers)
    if not names:
        return generation
    draft = store.reopen(generation)
    draft.sweep()
    for name in names:
        progress.say(f"{draft.path}/{name} differs from its manifest: built again")
    if TRAINED in names:
        list(run_tasks(write_trained, [(embedding, settings, draft)], workers=workers))
    groups = [g for g in groups_of(embedding, settings) if {g["name"], g["name"].replace(".faiss", ".npy")} & {*names}]
    built = run_shards(draft, groups, ShardBuilder(embedding, settings, draft), workers=workers)
    facts = {name: facts for shard in built for name, facts in shard["files"].items()}
    if TRAINED in names:
        facts[TRAINED] = draft.facts(TRAINED)
    draft.sweep()
    return draft.amend(facts)
