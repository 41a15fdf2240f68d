"""Fused rankings as artifacts: made of stored rankings, found the second time, in the grid under their names."""

from pathlib import Path

import polars as pl
import pytest

from mixstage.evaluation.fusion import fuse_rankings
from mixstage.evaluation.rankings import Ranking, fuse, rank_all, read_ranking
from mixstage.index.search import rank_by_score
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store

KEY = ("app", "ensemble")


def stored(store: Store, name: str, documents: str) -> Ranking:
    """A ranking artifact of one query, as a retriever leaves it."""
    rows = [("q", doc, 1 / rank) for rank, doc in enumerate(documents.split(), start=1)]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    draft = store.draft(Ranking, {"name": name})
    draft.table("ranking.parquet", rank_by_score(pl.DataFrame(rows, schema=schema, orient="row")).to_arrow())
    return draft.publish({"application": "app", "retriever": name, "queries": 1})


@pytest.fixture
def members(store: Store) -> list[Ranking]:
    return [stored(store, "easy", "a b"), stored(store, "bm25", "b c")]


def test_the_fused_ranking_is_stored_like_the_others(store: Store, members: list[Ranking]) -> None:
    fused = fuse(store, KEY, members, constant=60, depth=2)
    # b: 1/62 + 1/61; a: 1/61; c, 1/62, is beyond the depth
    assert read_ranking(fused).select("doc_id", "rank").rows() == [("b", 1), ("a", 2)]
    assert fused.meta == {"application": "app", "retriever": "ensemble", "queries": 1}


def test_it_is_found_the_second_time_in_any_order_of_members(
    store: Store, members: list[Ranking], monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = fuse(store, KEY, members, constant=60, depth=2)
    for member in members:
        (Path(member.path) / "ranking.parquet").unlink()  # whoever reads again fails
    assert fuse(store, KEY, members[::-1], constant=60, depth=2) == fused


def test_members_constant_and_depth_decide_the_address(store: Store, members: list[Ranking]) -> None:
    other = [members[0], stored(store, "hard", "b c")]
    artifacts = [
        fuse(store, KEY, members, constant=60, depth=2),
        fuse(store, KEY, members, constant=61, depth=2),
        fuse(store, KEY, members, constant=60, depth=3),
        fuse(store, KEY, other, constant=60, depth=2),
        fuse(store, KEY, [*members, members[0]], constant=60, depth=2),
        fuse(store, KEY, members, constant=60, depth=2, weights=(1, 2)),
        fuse(store, KEY, members, constant=60, depth=2, weights=(2, 1)),
    ]
    assert len({artifact.digest for artifact in artifacts}) == 7


def test_each_weight_belongs_to_its_member(store: Store, members: list[Ranking]) -> None:
    fused = fuse(store, KEY, members, constant=60, depth=3, weights=(1, 3))
    # easy: a 1, b 0; bm25: b 1, c 0
    assert read_ranking(fused).select("doc_id", "score").rows() == [("b", 3.0), ("a", 1.0), ("c", 0.0)]
    assert fuse(store, KEY, members[::-1], constant=7, depth=3, weights=(3, 1)) == fused  # the constant is not read


def fused_plan(folder: Path, bm25: bool = True) -> Plan:
    return parse_plan(
        {
            "name": "fused",
            "store": str(folder),
            "corpora": {"statutes": {"source": "sample://statutes"}},
            "applications": {
                "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 6, "test": 6}}
            },
            "retriever": {"base": "hashing://256"},
            "reranker": {"base": "hashing://256"},
            "grid": {
                "depths": [5, 10],
                "ranking_depth": 20,
                "bm25": bm25,
                "fusions": {"ensemble": {"of": ["base", "bm25"], "constant": 60}},
            },
            "selection": {"bootstrap": 100},
        }
    )


def rank(pipeline: Pipeline) -> dict[tuple[str, str], Ranking]:
    return rank_all(pipeline.indexer, pipeline.retrievers)


def test_the_walk_ranks_evaluates_selects_and_reports_a_fusion(ray_cluster: None, tmp_path: Path) -> None:
    pipeline = Pipeline(fused_plan(tmp_path), Store(str(tmp_path)), Progress())
    rankings = rank(pipeline)
    assert list(rankings) == [("counsel", "base"), ("counsel", "bm25"), ("counsel", "ensemble")]
    frames = [read_ranking(rankings["counsel", name]) for name in ("base", "bm25", "ensemble")]
    assert frames[2].equals(fuse_rankings(frames[:2], 60, 20))
    assert pipeline.report.read_json("report.json")["choice"]["winner"]
    evaluated = set(pl.DataFrame(pipeline.grid.read_table("test.parquet"))["composition"])
    assert {"retriever:ensemble@20 > none@10", "retriever:ensemble@10 > 0.5*reranker:base@10"} <= evaluated


def test_bm25_as_a_member_only_is_no_row_of_the_grid(ray_cluster: None, tmp_path: Path) -> None:
    pipeline = Pipeline(fused_plan(tmp_path, bm25=False), Store(str(tmp_path)), Progress())
    assert list(rank(pipeline)) == [("counsel", "base"), ("counsel", "ensemble")]
