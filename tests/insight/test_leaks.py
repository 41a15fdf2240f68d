"""Shared documents between splits and trained queries, by hand."""

from dataclasses import astuple

import numpy as np
import polars as pl
import pytest

from mixstage.corpus.application import JUDGEMENTS, QUERIES
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.insight.leaks import find_leaks, judged_everywhere, shared_documents
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples
from mixstage.training.samples.supervision import SAMPLE

TEXTS = {"n1": "notice period", "n2": "broker fee", "d1": "how to appeal", "t1": "who may vote", "t2": "what is a lien"}
SPLIT = {"n": "train", "d": "dev", "t": "test"}
JUDGED = [("n1", "a", 1), ("n2", "b", 0), ("d1", "a", 1), ("t1", "a", 2), ("t2", "b", 1), ("t2", "c", 0)]


@pytest.fixture
def plan() -> Plan:
    sources = {"corpus": "c", "source": "x"}
    return parse_plan({"name": "t", "corpora": {"c": {"source": "x"}}, "applications": {"a": sources, "b": sources}})


@pytest.fixture
def prepared(plan: Plan, store: Store) -> Prepared:
    """Application b has the same documents and one train query, which "b" answers."""

    def application(name: str, texts: dict[str, str], judged: list[tuple[str, str, int]]) -> Application:
        draft = store.draft(Application, {"what": name})
        queries = [(query, text, SPLIT[query[0]]) for query, text in texts.items()]
        rows = [(query, document, grade, SPLIT[query[0]]) for query, document, grade in judged]
        tables = {"queries": (queries, QUERIES), "judgements": (rows, JUDGEMENTS)}
        for file, (content, schema) in tables.items():
            draft.table(f"{file}.parquet", pl.DataFrame(content, schema=schema.names, orient="row").to_arrow())
        return draft.publish({})

    other = application("b", {"n9": "can a lien lapse"}, [("n9", "b", 1)])
    return Prepared(
        plan=plan,
        store=store,
        progress=Progress(),
        corpora={},
        applications={"a": application("a", TEXTS, JUDGED), "b": other},
    )


def test_queries_that_share_a_document_with_an_earlier_split(plan: Plan, prepared: Prepared) -> None:
    # t1 shares a with n1 and d1, t2 shares b with n9 of the other application; n2's b is not relevant.
    gains = {"dev": (["d1"], np.array([0.1])), "test": (["t1", "t2"], np.array([0.3, -0.1]))}
    rows = shared_documents(judged_everywhere(plan, prepared), "a", gains)
    assert [astuple(row) for row in rows] == [
        ("dev", "train", 1, 1, 0.1, None),
        ("test", "train", 2, 2, pytest.approx(0.1), None),
        ("test", "dev", 2, 1, 0.3, -0.1),
    ]


def test_other_corpora_share_nothing(plan: Plan, prepared: Prepared) -> None:
    judged = judged_everywhere(plan, prepared).with_columns(pl.col("application").alias("corpus"))
    rows = shared_documents(judged, "a", {"test": (["t1", "t2"], np.array([0.3, -0.1]))})
    assert [row.shared for row in rows] == [1, 1]


def test_queries_that_were_trained_on_are_counted_and_named(prepared: Prepared, store: Store) -> None:
    draft = store.draft(Samples, {"what": "samples"})
    anchors = ["Who  may vote", "how to appeal", "how to appeal", "notice period", "of no query"]
    rows = [(anchor, "x", [], [], "title:c") for anchor in anchors]
    draft.table("samples.parquet", pl.DataFrame(rows, schema=SAMPLE, orient="row").to_arrow())
    documents = store.draft(Samples, {"what": "documents"})  # of an mlm stage
    documents.table("samples.parquet", pl.DataFrame({"text": ["Who may vote"], "source": ["text:c"]}).to_arrow())
    found = find_leaks(prepared, [documents.publish({}), draft.publish({})])
    assert found.trained == {"dev": 1, "test": 1}
    assert [row.query_id for row in found.trained_first] == ["d1", "t1"]
    assert found.counts == {}
    assert find_leaks(prepared, []).trained == {"dev": 0, "test": 0}
