"""Phase 3: rankings and pair scores become the grid, one table of per-query measures for each split."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.candidates import Scorer, find_candidates
from mixstage.evaluation.grid import compositions
from mixstage.evaluation.measured import Grid, measure_names
from mixstage.evaluation.pair_cost import NOTHING
from mixstage.evaluation.race import race_settings, run_race
from mixstage.evaluation.rankings import SPLITS, Key, read_ranking
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store, digest_of

DROPPED = "dropped.parquet"
_FORMAT = 5  # raise when the tables or the notes change


def evaluate_grid(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    rankings: Mapping[Key, Artifact],
    rerankers: Mapping[str, Artifact],
    progress: Progress,
) -> Artifact:
    """The grid artifact: dev.parquet and test.parquet with application, composition, query_id and a column a measure.

    meta["pairs"] says what scoring cost, see `PairCost`; its "rerankers" the same of each. With `grid.race` both tables
    hold the compositions that were left, all of them on all queries; means of the others, on the n queries that they
    had until then, are in dropped.parquet, and meta["race"] tells the rounds.
    """
    retrievers = list(dict.fromkeys(retriever for _, retriever in rankings))
    recipe = {
        "what": "grid",
        "format": _FORMAT,
        "rankings": {"/".join(key): ranking.digest for key, ranking in rankings.items()},
        "rerankers": {name: checkpoint.meta["fingerprint"] for name, checkpoint in rerankers.items()},
        "grid": plan.grid.model_dump(mode="json"),
        "measures": measure_names(plan),
        **({"race": race_settings(plan)} if plan.grid.race else {}),
    }
    found = store.find("grid", digest_of(recipe))
    if found is not None:
        return found
    frames = {name: {r: read_ranking(rankings[name, r]) for r in retrievers} for name in plan.applications}
    candidates = find_candidates(plan, prepared, frames)
    scorer = Scorer(plan=plan, store=store, rerankers=rerankers, candidates=candidates, progress=progress)
    grid = Grid(plan=plan, prepared=prepared, rankings=frames, scorer=scorer)
    cells, rows = list(product(retrievers, rerankers)), compositions(plan.grid, retrievers, list(rerankers))
    draft = store.draft("grid", recipe)
    notes: dict[str, Any] = {}
    if plan.grid.race:
        race = run_race(plan, grid, cells, rows, progress)
        rows, notes = race.compositions(rows), {"race": race.notes(len(candidates.pairs) * len(rerankers))}
        draft.table(DROPPED, race.dropped.to_arrow())
    else:
        grid.score(cells, grid.queries(*SPLITS))
    for split in SPLITS:
        draft.table(f"{split}.parquet", grid.table(split, rows).to_arrow())
    return draft.publish({"compositions": len(rows), "pairs": cost_notes(scorer), **notes})


def cost_notes(scorer: Scorer) -> dict[str, Any]:
    """What scoring cost: all rerankers together, seconds of waiting instead of work; each reranker by itself."""
    together = sum(scorer.costs.values(), NOTHING).to_json()
    each = [{"reranker": name} | cost.to_json() for name, cost in scorer.costs.items()]
    return together | {"seconds": round(scorer.seconds, 1), "rerankers": each}
