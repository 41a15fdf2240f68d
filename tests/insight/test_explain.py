"""The explanation of a grid made by hand from what a store keeps: rankings, pair scores, judgements."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.corpus.application import JUDGEMENTS, QUERIES, read_judgements
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_key
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.errors import PlanError
from mixstage.evaluation.board import build_board, evaluate_board
from mixstage.evaluation.compositions import compositions
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import Ranking
from mixstage.evaluation.stored_boards import Evidence, StoredBoards
from mixstage.index.search import rank_by_score
from mixstage.insight.explain import Explanation, explain
from mixstage.insight.finding import Finding, Subject, Table
from mixstage.insight.leaks import EqualDocuments
from mixstage.insight.wins import _short
from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.scores import append_scores
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan, ReportPlan
from mixstage.progress import Progress
from mixstage.report.page.validity import validity_part
from mixstage.report.report import Report, write_report
from mixstage.selection.select import select
from mixstage.store.plain import plain
from mixstage.store.store import Store
from mixstage.training.curriculum import Curriculum
from tests.conftest import CorpusMaker

WINNER = Composition(retriever="robust", depth=3, reranker="refine")
INCUMBENT = Composition(retriever="base", depth=3, reranker="none")
DOCUMENTS = [{"_id": name, "title": "", "text": f"text {name}"} for name in "abcde"] + [
    {"_id": "f", "title": "", "text": "text e"}
]
MEASURES = ("nDCG@10", "R@3", "Judged@10")
TEXTS = {"d1": "where to appeal", "d2": "when to pay", "t1": "Where  to appeal", "t2": "who may vote"}
SPLIT = {query: "dev" if query[0] == "d" else "test" for query in TEXTS}
RELEVANT = {"d1": "a", "d2": "b", "t1": "a", "t2": "c"}
# The base retriever lists e, d and the relevant document of d1 and t1 third; the robust one finds it for all.
LISTS = {
    "base": {query: ["e", "d", RELEVANT[query] if query[1] == "1" else "f"] for query in TEXTS},
    "robust": {query: ["e", RELEVANT[query], "d"] for query in TEXTS},
}


@pytest.fixture
def plan() -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {"a": {"corpus": "c", "source": "x"}},
            "retriever": {"stages": {"robust": {}}},
            "reranker": {"stages": {"refine": {"mine": {"miners": ["bm25"]}}}},
            "grid": {"depths": [3], "mix": [], "ranking_depth": 3, "bm25": False, "measures": ["nDCG@10", "Recall@3"]},
        }
    )


@pytest.fixture
def prepared(plan: Plan, store: Store, make_corpus: CorpusMaker) -> Prepared:
    draft = store.draft(Application, {"what": "application", "sha256": {"qrels/test.tsv": "t"}})
    queries = pl.DataFrame([(q, text, SPLIT[q]) for q, text in TEXTS.items()], schema=QUERIES.names, orient="row")
    rows = [(query, doc_id, 1, SPLIT[query]) for query, doc_id in RELEVANT.items()]
    rows += [(query, "d", 0, SPLIT[query]) for query in TEXTS]
    judgements = pl.DataFrame(rows, schema=JUDGEMENTS.names, orient="row").with_columns(pl.col("grade").cast(pl.Int16))
    draft.table("queries.parquet", queries.to_arrow())
    draft.table("judgements.parquet", judgements.to_arrow())
    return Prepared(
        plan=plan,
        store=store,
        progress=Progress(),
        corpora={"c": make_corpus(DOCUMENTS)},
        applications={"a": draft.publish({})},
    )


@pytest.fixture
def rerankers(store: Store) -> dict[str, Checkpoint]:
    return {"refine": store.draft(Checkpoint, {"what": "checkpoint"}).publish({"fingerprint": "refined"})}


def rankings() -> dict[str, pl.DataFrame]:
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    return {
        name: rank_by_score(
            pl.DataFrame(
                [(q, d, -float(i)) for q, ds in lists.items() for i, d in enumerate(ds)], schema=schema, orient="row"
            )
        )
        for name, lists in LISTS.items()
    }


@pytest.fixture
def grid(plan: Plan, store: Store, prepared: Prepared, rerankers: dict[str, Checkpoint]) -> Grid:
    """The reranker puts the relevant document first, except for t2, where it puts d above it."""
    digests = {}
    for name, ranking in rankings().items():
        draft = store.draft(Ranking, {"what": "ranking", "of": name})
        draft.table("ranking.parquet", ranking.to_arrow())
        digests[f"a/{name}"] = draft.publish({}).digest
    pairs = pl.concat([ranking.select("query_id", "doc_id") for ranking in rankings().values()]).unique()
    pairs = pairs.sort("query_id", "doc_id")
    scores = np.array([1.0 if RELEVANT[q] == d else 2.0 * (q == "t2" and d == "d") for q, d in pairs.iter_rows()])
    words = {row["_id"]: document_text(row["title"], row["text"]) for row in DOCUMENTS}
    keys = pl.DataFrame(
        {
            "query": pl.Series([text_key(TEXTS[q]) for q in pairs["query_id"]], dtype=pl.Binary),
            "document": pl.Series([text_key(words[d]) for d in pairs["doc_id"]], dtype=pl.Binary),
        }
    )
    append_scores(store, rerankers["refine"], keys, scores.astype(np.float32))
    draft = store.draft(Grid, {"what": "grid", "rankings": digests})
    for split in ("dev", "test"):
        judgements = read_judgements(prepared.applications["a"], split)
        asked = {name: r.filter(pl.col("query_id").str.starts_with(split[0])) for name, r in rankings().items()}
        board = build_board(asked, pairs, {"refine": scores.astype(np.float32)}, judgements)
        measures = [parse_measure(name) for name in MEASURES]
        cells = evaluate_board(board, compositions(plan.grid, list(LISTS), ["refine"]), measures)
        frames = [
            pl.DataFrame({"query_id": board.query_ids} | dict(zip(MEASURES, values.T, strict=True))).select(
                pl.lit("a").alias("application"), pl.lit(str(one)).alias("composition"), pl.all()
            )
            for one, values in cells
        ]
        draft.table(f"{split}.parquet", pl.concat(frames).to_arrow())
    pairs_scored = {"naive": len(pairs), "union": len(pairs), "found": 0, "scored": len(pairs), "tokens": 0}
    return draft.publish({"compositions": 0, "pairs": {**pairs_scored, "seconds": 0.1, "rerankers": []}})


@pytest.fixture
def told(plan: Plan, store: Store, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint]) -> Explanation:
    found = explain(prepared, grid, (WINNER, INCUMBENT), rerankers)
    assert found is not None
    return found


@pytest.fixture
def application(told: Explanation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(plain(told.why), allow_nan=False))["applications"]["a"]
    return found


SECOND = 1 / np.log2(3)


def test_the_gap_and_its_shares(application: dict[str, Any]) -> None:
    # Test, nDCG of t1, t2. base: .5, 0; base > refine: 1, 0; robust: SECOND, SECOND; robust > refine: 1, SECOND.
    assert application["gap"]["mean"] == pytest.approx((0.5 + SECOND) / 2)
    retriever = ((SECOND - 0.5 + 0) / 2 + (SECOND + SECOND) / 2) / 2
    shares = {part: share["mean"] for part, share in application["shares"].items()}
    assert shares == pytest.approx({"retriever": retriever, "reranker": (0.5 + SECOND) / 2 - retriever})
    # t1: 1 - SECOND - 1 + .5; t2: SECOND - SECOND - 0 + 0
    assert application["interaction"]["mean"] == pytest.approx((0.5 - SECOND) / 2)


def test_losses_and_ceilings(application: dict[str, Any]) -> None:
    winner, incumbent = application["losses"]["winner"], application["losses"]["incumbent"]
    assert (winner["retrieval"]["mean"], winner["ranking"]["mean"]) == pytest.approx((0.0, (1 - SECOND) / 2))
    assert (incumbent["retrieval"]["mean"], incumbent["ranking"]["mean"]) == pytest.approx((0.5, 0.25))
    assert incumbent["efficiency"] == pytest.approx(0.5)
    assert application["depths"]["winner"] == [
        {
            "depth": 3,
            "achieved": pytest.approx((1 + SECOND) / 2),
            "ceiling": 1.0,
            "efficiency": pytest.approx((1 + SECOND) / 2),
        }
    ]


def test_stage_curves(application: dict[str, Any]) -> None:
    stages = application["stages"]
    assert application["recall"] == "R@3"
    assert [(p["stage"], p["mean"]) for p in stages["retrievers"]] == [("base", 0.5), ("robust", 1.0)]
    assert [p["mean"] for p in stages["end_to_end"]] == pytest.approx([0.5, (1 + SECOND) / 2])
    assert [(p["stage"], p["mean"], p["step"]) for p in stages["rerankers"]] == [("refine", 0.5, None)]
    assert stages["tau"] == 1.0


def test_the_union_of_all_candidates(application: dict[str, Any]) -> None:
    # For t1 the base retriever finds the same documents; for t2 it adds f, which the reranker scores 0, like e.
    bound = application["union_bound"]
    assert (bound["candidates"], bound["ceiling"], bound["achieved"]) == pytest.approx((3, 1, (1 + SECOND) / 2))
    (base, everything) = bound["additions"]
    assert (base["added"], everything["added"], base["candidates"]) == ("base", "all", 3.5)
    assert base["could"]["mean"] == base["does"]["mean"] == everything["does"]["mean"] == 0.0


def test_one_reranker_alone_leaves_nothing_to_analyse(application: dict[str, Any]) -> None:
    assert application["anova"] is None


def test_lists_of_queries_are_of_dev(told: Explanation) -> None:
    table = told.tables["winloss.parquet"]
    assert table.select("query_id", "delta", "winner_first", "incumbent_first", "cause").rows() == [
        ("d2", 1.0, 1, None, "gained by retrieval"),
        ("d1", 0.5, 1, 3, "reordered up"),
    ]
    assert table["application"].unique().to_list() == ["a"]


def test_holes_are_of_test_and_queued(told: Explanation, application: dict[str, Any]) -> None:
    # winner: two of three judged; incumbent: t1 two, t2 one (e and f are not judged)
    holes = application["holes"]
    assert (holes["winner"], holes["incumbent"], holes["uneven"]) == pytest.approx((2 / 3, 0.5, True))
    assert holes["counted"]["nothing"]["difference"]["mean"] == application["gap"]["mean"]
    # Left out: only d stands above a relevant document, in t1's list of the incumbent and t2's of the winner.
    left_out = holes["counted"]["left out"]
    assert (left_out["winner"], left_out["incumbent"]) == pytest.approx(((1 + SECOND) / 2, SECOND / 2))
    # Means of base, base > refine, robust, robust > refine against the holes of their retriever.
    means = [0.25, 0.5, SECOND, (1 + SECOND) / 2]
    assert holes["correlation"] == pytest.approx(np.corrcoef(means, [1 / 2, 1 / 2, 1 / 3, 1 / 3])[0, 1])
    assert holes["correlated"] and not holes["only_relevant_judged"]
    rows = told.tables["labelling.parquet"].select("query_id", "doc_id", "winner_rank", "incumbent_rank").rows()
    assert rows == [("t2", "f", None, 3), ("t1", "e", 2, 1), ("t2", "e", 3, 1)]


def test_probes(told: Explanation, application: dict[str, Any]) -> None:
    assert told.why.leaks.counts == {"dev and test": 1}
    assert told.why.leaks.first[0].other_query_id == "t1"
    assert told.why.equal_documents == {"c": EqualDocuments(documents=6, copies=1)}
    # t1's e and d tie behind a; t2's scores are 2, 1, 0. Nothing relevant is tied.
    assert application["ties"]["winner"] == {"rate": 0.5, "effect": 0.0}
    assert (application["queries"], application["few_queries"], application["names_decide"]) == (2, True, False)


def test_what_reads_no_query_and_what_splits_share(application: dict[str, Any]) -> None:
    # All texts are 6 characters long, so ids decide, the greatest first: f, e, d. a and b are relevant in dev.
    confounds = {name: found["mean"] for name, found in application["confounds"].items()}
    assert confounds == pytest.approx({"longest": 0, "shortest": 0, "often relevant": SECOND / 2})
    # t1 and d1 are both answered by a
    (_, _, row) = application["shared"]
    assert (row["split"], row["other"], row["queries"], row["shared"]) == ("test", "dev", 2, 1)
    assert (row["gain_shared"], row["gain_others"]) == pytest.approx((0.5, SECOND))


def test_winner_and_incumbent_may_be_one(
    plan: Plan, store: Store, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint]
) -> None:
    found = explain(prepared, grid, (INCUMBENT, INCUMBENT), rerankers)
    assert found is not None
    assert found.why.applications["a"].shares == {} and found.tables["winloss.parquet"].is_empty()


def test_what_left_the_store_explains_nothing(
    plan: Plan, store: Store, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint]
) -> None:
    silent = replace(grid, recipe={"what": "grid"})
    assert explain(prepared, silent, (WINNER, INCUMBENT), rerankers) is None
    shutil.rmtree(Path(store.root) / "pair-score")
    assert explain(prepared, grid, (WINNER, INCUMBENT), rerankers) is None
    assert explain(prepared, grid, (INCUMBENT, INCUMBENT), rerankers) is not None


def test_each_side_needs_the_scores_of_its_own_candidates_only(
    plan: Plan, store: Store, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint]
) -> None:
    shutil.rmtree(Path(store.root) / "pair-score")
    plain = store.draft(Checkpoint, {"what": "plain"}).publish({"fingerprint": "plain"})
    words = {row["_id"]: document_text(row["title"], row["text"]) for row in DOCUMENTS}
    for checkpoint, lists in ((rerankers["refine"], LISTS["robust"]), (plain, LISTS["base"])):
        pairs = [(text_key(TEXTS[query]), text_key(words[doc])) for query, docs in lists.items() for doc in docs]
        keys = pl.DataFrame(pairs, schema={"query": pl.Binary, "document": pl.Binary}, orient="row")
        append_scores(store, checkpoint, keys, np.ones(len(keys), dtype=np.float32))
    known = {**rerankers, "plain": plain}

    def found(first: str, second: str) -> Evidence | None:
        sides = (replace(WINNER, retriever=first), replace(INCUMBENT, retriever=second, reranker="plain"))
        sources = StoredBoards.of_grid(prepared, grid, known, sides)
        assert sources is not None
        return sources.find("a", "test")

    both = found("robust", "base")
    assert both is not None and set(both.board.reranked) == {"refine", "plain"}
    # base lists t2's f, which has the text of e; of t2's c, robust's, plain says nothing
    assert found("robust", "robust") is None


def test_examples_have_the_words_of_query_and_documents(application: dict[str, Any]) -> None:
    first, second = application["examples"]
    assert (first["query_id"], first["query"], first["delta"]) == ("d2", "when to pay", 1.0)
    assert (second["query_id"], second["query"]) == ("d1", "where to appeal")
    # d2: the robust retriever's e, b, d with b first by refine, then what ties by id; the base one's e, d, f
    told = {"title": "", "snippet": "text b", "grade": 1}
    assert first["winner"][0] == {"doc_id": "b", **told}
    assert [(d["doc_id"], d["snippet"], d["grade"]) for d in first["incumbent"]] == [
        ("e", "text e", None),
        ("d", "text d", 0),
        ("f", "text e", None),
    ]


def test_long_documents_are_cut_to_a_snippet() -> None:
    assert _short("a\n b " + "x" * 300) == "a b " + "x" * 236 + "…"
    assert _short("as  it is") == "as it is"


def count_relevant(subject: Subject) -> Finding:
    """An analysis as a package outside mixstage writes it."""
    queries = len(subject.board.query_ids)
    return Finding(
        title="judged queries",
        value={"queries": queries},
        note="a note",
        table=Table(head=["what"], rows=[["counted"]]),
    )


def fail(subject: Subject) -> Finding:
    raise ValueError(subject.application)


def test_an_analysis_from_outside_is_in_the_report_and_on_the_page(
    plan: Plan, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint]
) -> None:
    name = f"{__name__}:count_relevant"
    named = replace(prepared, plan=plan.model_copy(update={"report": ReportPlan(analyses=(name,))}))
    found = explain(named, grid, (WINNER, INCUMBENT), rerankers)
    assert found is not None
    told = json.loads(json.dumps(plain(found.why)))["applications"]["a"]
    assert told["analyses"] == {name: {"title": "judged queries", "note": "a note", "value": {"queries": 2}}}
    assert told["anova"] is None  # mixstage's own keep their place
    page = validity_part("a", found.why.applications["a"], 0.95)
    assert "<p>a: a note.</p>" in page and "<caption>a: judged queries</caption>" in page and "counted" in page


OUTSIDE = """
from mixstage.insight.finding import Finding

def count_relevant(subject):
    return Finding(title="judged queries", value={"queries": len(subject.board.query_ids)}, note="a note")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with an analysis, which is offered as `counted`."""
    folder = tmp_path / "site"
    info = folder / "outside-1.0.dist-info"
    for part in (folder / "outside", info):
        part.mkdir(parents=True)
    (folder / "outside" / "__init__.py").write_text("")
    (folder / "outside" / "analyses.py").write_text(OUTSIDE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mixstage.analyses]\ncounted = outside.analyses:count_relevant\n")
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


@pytest.mark.parametrize("name", ["outside.analyses:count_relevant", "counted"])
def test_an_analysis_of_an_installed_package_is_written_and_written_again_once_its_code_is_edited(
    plan: Plan, store: Store, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint], package: Path, name: str
) -> None:
    checkpoints = {
        one: store.draft(Checkpoint, {"of": one}).publish({"stage": one, "fingerprint": one}) for one in LISTS
    }

    def write(*analyses: str) -> Report:
        named = plan.model_copy(update={"report": ReportPlan(analyses=analyses)})
        curriculum = Curriculum(prepared=replace(prepared, plan=named), retrievers=checkpoints, rerankers=rerankers)
        return write_report(named, store, grid, select(named, store, grid), curriculum, None)

    report = write(name)
    found = report.read_json("report.json")["why"]["applications"]["a"]["analyses"]
    assert found == {name: {"title": "judged queries", "note": "a note", "value": {"queries": 2}}}
    assert "<p>a: a note.</p>" in report.local().joinpath("report.html").read_text()
    assert list(report.recipe["plugins"]) == [name] and write(name).digest == report.digest
    (package / "outside" / "analyses.py").write_text(OUTSIDE + "# edited\n")
    assert write(name).digest != report.digest
    assert not {"analyses", "plugins"} & set(write().recipe), "a report without them keeps its digest"


def test_an_analysis_that_nobody_has_ends_a_run_before_it_starts(plan: Plan) -> None:
    with pytest.raises(PlanError, match="no 'nobody' among analyses"):
        Pipeline.of(plan.model_copy(update={"report": ReportPlan(analyses=("nobody",))}))


@pytest.mark.parametrize(
    ("name", "message"), [("nobody", "no 'nobody' among analyses"), (f"{__name__}:fail", "failed for a")]
)
def test_an_analysis_that_nobody_has_or_that_fails_is_named(
    plan: Plan, prepared: Prepared, grid: Grid, rerankers: dict[str, Checkpoint], name: str, message: str
) -> None:
    named = replace(prepared, plan=plan.model_copy(update={"report": ReportPlan(analyses=(name,))}))
    with pytest.raises(PlanError, match=message):
        explain(named, grid, (WINNER, INCUMBENT), rerankers)
