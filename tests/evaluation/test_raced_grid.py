"""Whole grids with and without a race over one store: who is left has the same values."""

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from mixstage.corpus.application import JUDGEMENTS, QUERIES
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_key
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.evaluation.grid import Grid, evaluate_grid
from mixstage.evaluation.rankings import Key, Ranking
from mixstage.index.search import rank_by_score
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.scores import append_scores
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.selection.select import confirm, select
from mixstage.store.store import Store
from tests.conftest import CorpusMaker

DOCUMENTS = [{"_id": f"d{i}", "title": "", "text": f"text {i}"} for i in range(30)]
SIZES = {"a": {"dev": 350, "test": 40}, "b": {"dev": 120, "test": 30}}
RETRIEVERS = {"base": 0.4, "good": 0.95, "bm25": 0.5}  # chance that the relevant document is listed
RERANKERS = {"base": 0.0, "good": 3.0, "bad": -3.0}  # what its score gains, beside noise
LISTED = 8


def make_plan(race: bool) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {name: {"corpus": "c", "source": "x"} for name in SIZES},
            "retriever": {"stages": {"good": {}}},
            "reranker": {"stages": {name: {"mine": {"miners": ["bm25"]}} for name in ("good", "bad")}},
            "grid": {
                "depths": [4, 8],
                "mix": [0.5],
                "ranking_depth": LISTED,
                "measures": ["nDCG@10", "R@8"],
                "race": race,
            },
            "selection": {"bootstrap": 200, "flips": 200},
        }
    )


@pytest.fixture
def prepared(store: Store, make_corpus: CorpusMaker) -> Prepared:
    applications = {}
    for name, sizes in SIZES.items():
        draft = store.draft(Application, {"what": "application", "name": name})
        ids = [(f"{name}-{split}{i}", split) for split, n in sizes.items() for i in range(n)]
        queries = pl.DataFrame([(q, f"query {q}", split) for q, split in ids], schema=QUERIES.names, orient="row")
        rows = [(q, f"d{number % len(DOCUMENTS)}", 1, split) for number, (q, split) in enumerate(ids)]
        judgements = pl.DataFrame(rows, schema=JUDGEMENTS.names, orient="row")
        draft.table("queries.parquet", queries.to_arrow())
        draft.table("judgements.parquet", judgements.with_columns(pl.col("grade").cast(pl.Int16)).to_arrow())
        applications[name] = draft.publish({})
    return Prepared(
        plan=make_plan(False),
        store=store,
        progress=Progress(),
        corpora={"c": make_corpus(DOCUMENTS)},
        applications=applications,
    )


@pytest.fixture
def rankings(store: Store, prepared: Prepared) -> dict[Key, Ranking]:
    generator, found = np.random.default_rng(8), {}
    for name, application in prepared.applications.items():
        relevant = dict(pl.DataFrame(application.read_table("judgements.parquet"))["query_id", "doc_id"].iter_rows())
        for retriever, chance in RETRIEVERS.items():
            rows = []
            for query, document in relevant.items():
                others = [f"d{i}" for i in generator.permutation(len(DOCUMENTS)) if f"d{i}" != document]
                listed = others[:LISTED]
                if generator.random() < chance:
                    listed[generator.integers(LISTED)] = document
                rows += [(query, listed_one, float(-place)) for place, listed_one in enumerate(listed)]
            schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
            draft = store.draft(Ranking, {"what": "ranking", "of": f"{name} {retriever}"})
            draft.table("ranking.parquet", rank_by_score(pl.DataFrame(rows, schema=schema, orient="row")).to_arrow())
            found[name, retriever] = draft.publish({})
    return found


@pytest.fixture
def rerankers(store: Store, prepared: Prepared) -> dict[str, Checkpoint]:
    """Checkpoints that nothing could open; the store knows what they say of every pair."""
    generator, made = np.random.default_rng(9), {}
    for name, gain in RERANKERS.items():
        draft = store.draft(Checkpoint, {"what": name})
        draft.text("mixstage.json", '{"component": "reranker", "kind": "hashing"}')
        made[name] = draft.publish({"stage": name, "fingerprint": name})
        for application in prepared.applications.values():
            judged = pl.DataFrame(application.read_table("judgements.parquet"))
            queries, relevant = judged["query_id"].to_list(), judged["doc_id"].to_list()
            pairs = [(q, right, row["_id"]) for q, right in zip(queries, relevant, strict=True) for row in DOCUMENTS]
            words = {row["_id"]: text_key(document_text(row["title"], row["text"])) for row in DOCUMENTS}
            keys = {
                "query": [text_key(f"query {q}") for q, _, _ in pairs],
                "document": [words[doc] for _, _, doc in pairs],
            }
            scores = generator.normal(0, 1, len(pairs)) + gain * np.array([doc == right for _, right, doc in pairs])
            frame = pl.DataFrame(keys, schema={"query": pl.Binary, "document": pl.Binary})
            append_scores(store, made[name], frame, scores.astype(np.float32))
    return made


@pytest.fixture
def grids(
    store: Store, prepared: Prepared, rankings: dict[Key, Ranking], rerankers: dict[str, Checkpoint]
) -> tuple[Grid, Grid]:
    """Without a race, with one."""
    progress = Progress(Console(file=io.StringIO(), width=200))
    whole, raced = (
        evaluate_grid(replace(prepared, plan=make_plan(race), progress=progress), rankings, rerankers)
        for race in (False, True)
    )
    return whole, raced


def test_who_is_left_has_the_values_of_the_whole_grid_on_both_splits(grids: tuple[Grid, Grid]) -> None:
    whole, raced = grids
    for split in ("dev", "test"):
        full, left = whole.table(split), raced.table(split)
        names = left["composition"].unique()
        assert 0 < len(names) < full["composition"].n_unique()
        assert left.equals(full.filter(pl.col("composition").is_in(names.implode())))
        counts = left.group_by("application", "composition").len()["len"].unique().sort().to_list()
        assert counts == sorted(sizes[split] for sizes in SIZES.values())


def test_what_dropped_out_lies_apart_with_its_n(grids: tuple[Grid, Grid]) -> None:
    whole, raced = grids
    assert "dropped.parquet" not in whole.files and "race" not in whole.meta
    dropped = pl.DataFrame(raced.read_table("dropped.parquet"))
    assert dropped.columns == ["application", "composition", "n", "nDCG@10", "R@8", "Judged@10"]
    names, left = set(dropped["composition"]), set(raced.table("dev")["composition"])
    assert not names & left and names | left == set(whole.table("dev")["composition"])
    rows = dropped.select("application", "n").unique().sort("application", "n").rows()
    assert rows[0] == ("a", 100) and set(rows) <= {("a", 100), ("a", 300), ("b", 100), ("b", 120)}
    notes = raced.meta["race"]
    assert [told["n"] for told in notes["rounds"]] == [100, 300, 350]
    assert notes["dropped"] == len(names) and 0.3 < notes["saved"] < 1
    assert notes["saved"] == pytest.approx(1 - raced.meta["pairs"]["union"] / whole.meta["pairs"]["union"])


def test_the_race_changes_no_choice_and_no_comparison(store: Store, grids: tuple[Grid, Grid]) -> None:
    chosen = []
    for race, grid in zip((False, True), grids, strict=True):
        plan = make_plan(race)
        choice = select(plan, store, grid)
        chosen.append((choice.meta["winner"], choice.meta["rivals"], choice.meta["per_application"]))
        confirmed = confirm(plan, grid, choice)
        gain = confirmed["incumbent"].overall
        assert gain is not None and gain.mean > 0
        chosen[-1] = (*chosen[-1], confirmed)
    assert chosen[0] == chosen[1]
