"""Preparing through Ray: the same tables as plain Python, resumed after a kill, nothing left of bad input."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixstage.cluster import Marked
from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, iterate_documents, shard_ranges
from mixstage.corpus.metadata import read_metadata
from mixstage.corpus.prepare import prepare, prepare_application, prepare_corpus
from mixstage.corpus.tables import Application, Corpus
from mixstage.errors import InputError
from mixstage.plan.data import ApplicationPlan, CorpusPlan
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.store.store import Draft, Store
from mixstage.workspace import Workspace

pytestmark = pytest.mark.usefixtures("ray_cluster")
KIB = 1024


def rows_of(corpus: Corpus) -> list[dict[str, str]]:
    tables = iterate_documents(corpus, ["doc_id", "title", "text"])
    return [row for table in tables for row in table.to_pylist()]


def plain(documents: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"doc_id": d["_id"], "title": d.get("title", ""), "text": d["text"]} for d in documents]


def many(count: int, size: int = 100) -> list[dict[str, str]]:
    return [{"_id": f"d{n:04d}", "title": f"T {n}", "text": f"{n} " + "é" * size} for n in range(count)]


def half_done(store: Store, folder: Path, part: CorpusPlan, finished: int) -> tuple[Draft, list[str]]:
    """What a killed run leaves: the marks of its first shards, and a file that it was writing."""
    collection = Collection.open(str(folder))
    draft = store.draft(Corpus, Corpus.recipe_of(collection.sha256(CORPUS_FILE), {}))
    items = shard_ranges(collection.size(CORPUS_FILE), part.shard_kib * KIB)
    for item in items[:finished]:
        Marked(ParseShard(collection, draft), draft)(item)
    Path(draft.path, "documents/.writing-killed").write_bytes(b"PAR1 and then no mo")
    return draft, [item["name"] for item in items]


def test_the_plan_of_the_sample_prepares_its_450_documents_in_source_order_and_its_applications(
    store: Store, sample_documents: list[dict[str, str]]
) -> None:
    names = ("counsel", "casework", "drafting")
    plan = parse_plan(
        {
            "name": "sample",
            "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 64}},
            "applications": {n: {"corpus": "statutes", "source": f"sample://{n}"} for n in names},
        }
    )
    prepared = prepare(Workspace(plan=plan, store=store, progress=Progress()))
    corpus = prepared.corpora["statutes"]
    assert corpus.meta["documents"] == len(sample_documents) == 450
    assert len(corpus.names("documents/", ".parquet")) == 5  # 321,056 bytes / 65,536 = 4.9
    assert rows_of(corpus) == plain(sample_documents)
    corpus.verify()
    for name in names:
        assert prepared.corpus_of(name) is corpus
        assert all(count > 0 for count in prepared.applications[name].meta["queries"].values())


def test_the_address_is_the_content_so_packing_moving_and_cutting_find_the_same_artifact(
    store: Store, beir: Any
) -> None:
    documents = many(60)
    packed = str(beir("a", documents=documents, packed=True))
    first = prepare_corpus(store, "a", CorpusPlan(source=packed, shard_kib=4), Progress())
    assert len(first.names("documents/", ".parquet")) > 2
    assert rows_of(first) == plain(documents)
    unpacked = CorpusPlan(source=str(beir("b", documents=documents)))
    assert prepare_corpus(store, "b", unpacked, Progress()) == first


def test_declared_metadata_stands_beside_the_documents_and_makes_another_address(store: Store, beir: Any) -> None:
    documents = [{**row, "metadata": {"year": 1900 + n}} for n, row in enumerate(many(60))]
    source = str(beir("a", documents=documents))
    plain_part = CorpusPlan(source=source, shard_kib=4)
    part = CorpusPlan(source=source, shard_kib=4, metadata={"year": "integer"})
    corpus, without = prepare_corpus(store, "a", part, Progress()), prepare_corpus(store, "a", plain_part, Progress())
    assert corpus.digest != without.digest
    assert read_metadata(corpus)["year"].to_list() == list(range(1900, 1960))
    assert rows_of(corpus) == rows_of(without)
    assert corpus.names("documents/") == without.names("documents/") == list(without.files)
    assert without.recipe.keys() == {"what", "format", "sha256"} and without.meta.keys() == {"documents", "source"}
    corpus.verify()
    wrong = CorpusPlan(source=source, metadata={"year": "date"})
    with pytest.raises(InputError, match=r"corpus.jsonl:1: document 'd0000': year: 1900 is not of type date"):
        prepare_corpus(store, "a", wrong, Progress())


def test_a_killed_run_is_taken_up_without_parsing_its_finished_shards_again(store: Store, beir: Any) -> None:
    folder = beir(documents=many(60))
    part = CorpusPlan(source=str(folder), shard_kib=4)
    draft, names = half_done(store, folder, part, finished=2)
    assert len(names) >= 4
    before = {name: Path(draft.path, name).stat() for name in names[:2]}
    corpus = prepare_corpus(store, "c", part, Progress())
    for name, stat in before.items():  # the very file of the killed run, not a new one of equal content
        after = (corpus.local() / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert rows_of(corpus) == plain(many(60))
    assert {path.name for path in corpus.local().rglob(".*")} == set()
    corpus.verify()


def test_a_killed_run_that_cut_the_corpus_otherwise_leaves_no_document_behind(store: Store, beir: Any) -> None:
    folder = beir(documents=many(60))
    half_done(store, folder, CorpusPlan(source=str(folder), shard_kib=2), finished=6)
    corpus = prepare_corpus(store, "c", CorpusPlan(source=str(folder), shard_kib=8), Progress())
    assert corpus.meta["documents"] == 60
    assert rows_of(corpus) == plain(many(60))


def test_bad_documents_leave_no_artifact_and_the_mended_corpus_prepares(store: Store, beir: Any) -> None:
    folder = beir(documents=[*many(40), '{"_id": "x"'])
    part = CorpusPlan(source=str(folder), shard_kib=4)
    for _ in range(2):  # the second time all shards come from the marks of the first: the problems, too
        with pytest.raises(InputError, match=r"corpus\.jsonl:41: unreadable JSON"):
            prepare_corpus(store, "c", part, Progress())
        assert list(store.all(Corpus)) == []
    beir(documents=many(40))
    assert rows_of(prepare_corpus(store, "c", part, Progress())) == plain(many(40))


def test_a_duplicate_id_in_another_shard_leaves_no_artifact(store: Store, beir: Any) -> None:
    folder = beir(documents=[*many(40), {"_id": "d0003", "text": "again"}])
    with pytest.raises(InputError, match=r"corpus\.jsonl:4: duplicate id 'd0003'.*\n.*corpus\.jsonl:41: duplicate id"):
        prepare_corpus(store, "c", CorpusPlan(source=str(folder), shard_kib=4), Progress())
    assert list(store.all(Corpus)) == []


def test_bad_judgements_leave_no_artifact(store: Store, beir: Any, make_corpus: Any) -> None:
    split = [("q1", "d0001", 1)]
    folder = beir(queries=[{"_id": "q1", "text": "x"}], dev=split, test=split)
    with pytest.raises(InputError, match="leakage"):
        prepare_application(store, ApplicationPlan(corpus="c", source=str(folder)), make_corpus(many(5)))
    assert list(store.all(Application)) == []


def test_an_application_is_addressed_by_its_files_its_corpus_and_its_sample(
    store: Store, beir: Any, make_corpus: Any
) -> None:
    queries = [{"_id": f"q{n}", "text": f"question {n}"} for n in range(4)]
    splits: dict[str, Any] = {
        "dev": [("q0", "d0000", 1), ("q1", "d0001", 1)],
        "test": [("q2", "d0002", 1), ("q3", "d0003", 1)],
    }
    folder = beir(queries=queries, **splits)
    corpus = make_corpus(many(5))
    part = ApplicationPlan(corpus="c", source=str(folder))
    first = prepare_application(store, part, corpus)
    assert prepare_application(store, part.model_copy(update={"weight": 2.0}), corpus) == first
    fewer = ApplicationPlan.model_validate({**part.model_dump(), "queries": {"dev": 1}})
    beside = make_corpus(many(6), name="larger")
    beir(queries=queries, **{**splits, "test": [("q2", "d0002", 2)]})
    others = [
        prepare_application(store, fewer, corpus),
        prepare_application(store, part, beside),
        prepare_application(store, part, corpus),
    ]
    assert len({first.digest, *(artifact.digest for artifact in others)}) == 4


def test_obliqa_has_its_13012_documents(store: Store, shared_data: Path) -> None:
    source = str(shared_data / "obliqa")
    corpus = prepare_corpus(store, "obliqa", CorpusPlan(source=source), Progress())
    assert corpus.meta["documents"] == 13_012
    lines = (shared_data / "obliqa/corpus.jsonl").read_bytes().splitlines()
    expected = [json.loads(line)["_id"] for line in lines]
    assert [row["doc_id"] for row in rows_of(corpus)] == expected
