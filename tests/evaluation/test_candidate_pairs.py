"""Candidates of several applications as pairs: what a cell asks for, and what is told before it is scored."""

import io
import re

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from mixstage.corpus.hashing import text_key
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.candidate_pairs import Candidates, Scorer
from mixstage.pairs.scores import Pairs, append_scores
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.store.store import Store
from tests.conftest import CheckpointMaker

TEXTS = ["rent", "roof"]  # queries of a: q1; of b: q2
DOCUMENTS = ["the rent is due", "the roof leaks", "nothing"]
PLAN = {
    "name": "t",
    "corpora": {"c": {"source": "x"}},
    "applications": {"a": {"corpus": "c", "source": "x"}, "b": {"corpus": "c", "source": "x"}},
}


@pytest.fixture
def candidates() -> Candidates:
    """base lists d0 and d1 for q1, d2 for q2; bm25 d1 for q1, d1 and d2 for q2."""
    return Candidates(
        tables={
            "a": pl.DataFrame({"query_id": ["q1", "q1"], "doc_id": ["d0", "d1"]}),
            "b": pl.DataFrame({"query_id": ["q2", "q2"], "doc_id": ["d1", "d2"]}),
        },
        members={"base": np.array([True, True, False, True]), "bm25": np.array([False, True, True, True])},
        pairs=Pairs(queries=TEXTS, documents=DOCUMENTS, query=np.array([0, 0, 1, 1]), document=np.array([0, 1, 1, 2])),
    )


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def scorer(store: Store, make_checkpoint: CheckpointMaker, candidates: Candidates, printed: io.StringIO) -> Scorer:
    """Over a store that knows every pair: pair i has score i."""
    checkpoint = make_checkpoint("reranker")
    pairs = candidates.pairs
    keys = {
        "query": [text_key(TEXTS[i]) for i in pairs.query],
        "document": [text_key(DOCUMENTS[i]) for i in pairs.document],
    }
    frame = pl.DataFrame(keys, schema={"query": pl.Binary, "document": pl.Binary})
    append_scores(store, checkpoint, frame, np.arange(4, dtype=np.float32))
    return Scorer(
        prepared=Prepared(
            plan=parse_plan(PLAN),
            store=store,
            progress=Progress(Console(file=printed, width=200)),
            corpora={},
            applications={},
        ),
        rerankers={"broad": checkpoint},
        candidates=candidates,
    )


def test_a_column_is_split_by_application(candidates: Candidates) -> None:
    parts = candidates.split(np.array([1, 2, 3, 4], dtype=np.float32))
    assert {name: part.tolist() for name, part in parts.items()} == {"a": [1, 2], "b": [3, 4]}


def test_all_cells_ask_for_the_union_once(scorer: Scorer) -> None:
    cost = scorer.score([("base", "broad"), ("bm25", "broad")], {"a": ["q1"], "b": ["q2"]})["broad"]
    assert (cost.naive, cost.union, cost.found, cost.scored) == (6, 4, 4, 0)
    assert {name: scores["broad"].tolist() for name, scores in ((n, scorer.scores_of(n)) for n in "ab")} == {
        "a": [0, 1],
        "b": [2, 3],
    }


def test_a_later_call_asks_for_what_is_new(scorer: Scorer) -> None:
    first = scorer.score([("base", "broad")], {"a": ["q1"], "b": []})["broad"]
    second = scorer.score([("base", "broad"), ("bm25", "broad")], {"a": ["q1"], "b": ["q2"]})["broad"]
    assert (first.naive, first.union) == (2, 2)
    assert (second.naive, second.union) == (1 + 2, 2)  # q2: base lists d2, bm25 d1 and d2; all of q1 is known
    assert scorer.costs["broad"] == first + second


def test_what_it_costs_is_told_by_reranker(scorer: Scorer, printed: io.StringIO) -> None:
    scorer.score([("base", "broad"), ("bm25", "broad")], {"a": ["q1"], "b": ["q2"]})
    lines = [re.findall(r"[^│\s]+", line) for line in printed.getvalue().splitlines()]
    assert ["broad", "6", "4", "4", "0", "0"] in lines and ["together", "6", "4", "4", "0", "0"] in lines


def test_a_grid_without_rerankers_scores_nothing(scorer: Scorer, printed: io.StringIO) -> None:
    assert scorer.score([], {"a": ["q1"], "b": ["q2"]}) == {}
    assert (scorer.scores_of("a"), printed.getvalue()) == ({}, "")
