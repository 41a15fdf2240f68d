"""The feedback job: what users said becomes a collection that the next plan reads."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.commands.feedback import main
from mixstage.corpus import prepare
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, shard_ranges
from mixstage.corpus.tables import Corpus
from mixstage.plan.load import load_plan
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Feedback, Impression, Kind, Observations
from mixstage.store.store import Store
from tests.handmade import BM25_PIN

DOCUMENTS = [{"_id": f"d{n}", "title": f"Title {n}", "text": f"text {n}"} for n in range(1, 6)]
QUERIES = [{"_id": f"q{n}", "text": f"question {n}"} for n in range(1, 4)]
SPLITS = {"train": [("q1", "d1", 1)], "dev": [("q2", "d2", 1)], "test": [("q3", "d3", 1)]}


@pytest.fixture
def source(beir: Any) -> Path:
    folder: Path = beir("app", documents=DOCUMENTS, queries=QUERIES, **SPLITS)
    return folder


@pytest.fixture
def corpus(source: Path, store: Store) -> Corpus:
    """As the prepare phase makes it, so that the job finds it and starts no Ray."""
    collection = Collection.open(str(source))
    draft = store.draft(Corpus, Corpus.recipe_of(collection.sha256(CORPUS_FILE), {}))
    (item,) = shard_ranges(collection.size(CORPUS_FILE), 1 << 20)
    shard = ParseShard(collection, draft)(item)
    return draft.publish({}, {shard["name"]: {key: shard[key] for key in ("size", "sha256", "rows")}})


@pytest.fixture
def plan(tmp_path: Path, store: Store, corpus: Corpus, source: Path) -> str:
    registry = Registry(f"sqlite:///{store.root}/registry.db")
    pin = BM25_PIN
    registry.promote("app", pin, Note())
    raw = {
        "name": "told",
        "store": str(store.root),
        "corpora": {"c": {"source": str(source)}},
        "applications": {"app": {"corpus": "c", "source": str(source)}},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(raw))
    return str(tmp_path / "plan.yaml")


def tell(store: Store, *told: tuple[str, str, Kind]) -> None:
    """(query, document, kind), each by a user of its own who was shown d1 to d5."""
    observations = Observations(Registry(f"sqlite:///{store.root}/registry.db").engine)
    now = datetime.now(UTC)
    for number, (query, document, kind) in enumerate(told):
        request = f"r{number}"
        impression = Impression(
            request_id=request,
            application="app",
            number=1,
            role="live",
            user=str(number),
            query=query,
            documents=tuple((row["_id"], None) for row in DOCUMENTS),
            created=now,
        )
        observations.write("replica", {}, [impression])
        feedback = Feedback(
            request_id=request, application="app", document_id=document, kind=kind, user=str(number), created=now
        )
        observations.add_feedback(feedback)


def test_the_export_is_a_source_of_the_next_plan(
    plan: str, store: Store, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(
        store,
        ("Rent due", "d4", "relevant"),
        ("rent due", "d5", "not_relevant"),
        ("question 1", "d2", "click"),
        ("question 2", "d1", "click"),
        ("rent due", "d9", "click"),
    )
    out = tmp_path / "export"
    assert main([plan, "--application", "app", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["queries"], told["grades"]) == (2, {"0": 1, "1": 1, "2": 1})
    assert told["left_out"] == {"its query is one of dev or test": 1, "its request did not show the document": 1}

    part = load_plan(plan, [f"applications.app.source={out}"]).applications["app"]
    application = prepare.prepare_application(store, part, corpus)
    train = read_judgements(application, "train").sort("doc_id")
    (rent,) = read_queries(application, "train").filter(text="Rent due")["query_id"].to_list()
    assert train.select("query_id", "doc_id", "grade").rows() == [
        ("q1", "d1", 1),
        ("q1", "d2", 1),
        (rent, "d4", 2),
        (rent, "d5", 0),
    ]
    assert read_judgements(application, "dev", "test").select("query_id", "doc_id", "grade").rows() == [
        ("q2", "d2", 1),
        ("q3", "d3", 1),
    ]
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert pairs == [
        {"query": "Rent due", "positive": "Title 4. text 4", "negatives": ["Title 5. text 5"]},
        {"query": "question 1", "positive": "Title 2. text 2", "negatives": []},
    ]


def test_without_usable_feedback_nothing_is_written_and_the_reason_is_said(
    plan: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(store, ("question 3", "d1", "relevant"))
    out = tmp_path / "export"
    assert main([plan, "--application", "app", "--out", str(out)]) == 2
    assert "left out: 1 (its query is one of dev or test)" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_with_files_is_refused(plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "mine.txt").write_text("keep me")
    assert main([plan, "--application", "app", "--out", str(tmp_path / "export")]) == 2
    assert "holds files already" in capsys.readouterr().err
    assert main([plan, "--application", "nope", "--out", str(tmp_path / "other")]) == 2
    assert "no application 'nope'" in capsys.readouterr().err


def test_the_collection_is_read_by_its_layout(plan: str, store: Store, tmp_path: Path) -> None:
    tell(store, ("rent\tdue\nnow", "d4", "click"))
    out = tmp_path / "export"
    assert main([plan, "--application", "app", "--out", str(out)]) == 0
    collection = Collection.open(str(out))
    assert [collection.has(name) for name in ("queries.jsonl", "qrels/train.tsv", "corpus.jsonl")] == [
        True,
        True,
        False,
    ]
    assert '"text": "rent due now"' in (out / "queries.jsonl").read_text()
