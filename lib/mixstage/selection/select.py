"""Phase 4: choose on dev, publish the choice, only then open the test scores: one comparison decides, others inform."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mixstage.composition import Composition
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import Plan
from mixstage.selection.bias import corrected_gain
from mixstage.selection.choose import Decision, Values, choose, read_values
from mixstage.selection.posterior import posterior
from mixstage.selection.rule import Rule, is_cheaper
from mixstage.selection.sharing import prices, share
from mixstage.selection.table import compare_all
from mixstage.selection.verdict import Margins, judge, sentence, take_look
from mixstage.stats.paired import difference
from mixstage.store.store import Artifact, Store, digest_of

TABLE = "table.json"  # a list of rows, see `table.Row` and `Posterior.row`
SHARING = "sharing.json"  # see `sharing.share`


class Choice(Artifact):
    """The winner and why, chosen on dev alone."""

    kind = "choice"
    FORMAT = 3  # raise when the procedure changes
    __slots__ = ()


def select(plan: Plan, store: Store, grid: Grid, cost: Cost | None = None) -> Choice:
    """The choice artifact, from dev.parquet alone: the winner and why in its notes, every composition against the
    incumbent in TABLE, what applications pay to share it in SHARING. The frozen parameters are its recipe; so are the
    times, where a budget reads them.
    """
    timed = cost if any(part.budget.p95_ms is not None for part in plan.applications.values()) else None
    recipe = {
        "what": "choice",
        "format": Choice.FORMAT,
        "dev": grid.files["dev.parquet"]["sha256"],
        "selection": plan.selection.model_dump(mode="json"),
        "applications": {
            name: part.model_dump(mode="json", include={"metric", "weight", "budget"}, exclude_none=True)
            for name, part in plan.applications.items()
        },
        "grid": plan.grid.model_dump(mode="json", include={"ranking_depth", "k", "fusions"}),
        "seed": plan.seed,
        **({"cost": timed.digest} if timed else {}),
    }
    found = store.find(Choice, digest_of(recipe))
    if found is not None:
        return found
    dev = read_values(plan, grid.table("dev"))
    choice = choose(plan, dev, timed)
    rule, frozen, seed = Rule.of(plan, dev.compositions, timed), plan.selection, plan.seed
    gain = corrected_gain(rule, dev, choice.critical, draws=frozen.bootstrap, confidence=frozen.confidence, seed=seed)
    rows = compare_all(dev, rule.incumbent, flips=frozen.flips, confidence=frozen.confidence, seed=seed)
    draft = store.draft(Choice, recipe)
    belief = posterior(dev, rule.incumbent, margin=rule.max_regression, draws=frozen.bootstrap, seed=seed)
    columns = {str(one): place for place, one in enumerate(dev.compositions)}
    table = [row.to_json() | belief.row(columns[row.composition]) for row in rows]
    draft.text(TABLE, json.dumps(table, indent=1))
    draft.text(SHARING, json.dumps(share(plan, dev, choice, timed), indent=1, ensure_ascii=False))
    return draft.publish(_to_json(choice) | {"gain": gain.to_json() if gain else None})


def confirm_sharing(plan: Plan, grid: Grid, choice: Choice) -> dict[str, Any]:
    """SHARING with what test says of the same compositions under "test", see `sharing.prices`: chosen on dev alone."""
    shared = choice.read_json(SHARING)
    return {**shared, "test": prices(plan, read_values(plan, grid.table("test")), shared)}


def confirm(plan: Plan, grid: Grid, choice: Choice, split: str = "test") -> dict[str, Any]:
    """The winner against each rival on a split: overall and per application.

    {role: {"composition", "overall": difference, "applications": {name: difference}}}; a rival equal to the winner
    has no differences. Taking the published choice as argument keeps test scores out of the choosing.
    """
    values = read_values(plan, grid.table(split))
    winner = Composition.parse(choice.meta["winner"])
    return {
        role: _against(plan, values, winner, Composition.parse(name)) for role, name in choice.meta["rivals"].items()
    }


def decide(plan: Plan, store: Store, grid: Grid, choice: Choice, tests: Mapping[str, str]) -> dict[str, Any]:
    """The verdict on the winner by the test split, noted in the store's ledger.

    tests: application -> digest of its test judgements. {"word", "sentence", "alpha", "earlier" (looks at the same
    test data before), "overall", "applications": bounds}. A winner that is the incumbent takes no look.
    """
    winner, incumbent = (
        Composition.parse(name) for name in (choice.meta["winner"], choice.meta["rivals"]["incumbent"])
    )
    if winner == incumbent:
        told = f"KEEP {incumbent}: nothing was better or cheaper on dev, and test was not asked."
        return {"word": "KEEP", "sentence": told, "alpha": None, "earlier": None, "overall": None, "applications": {}}
    values = read_values(plan, grid.table("test"))
    left, right = values.column(winner), values.column(incumbent)
    pairs = {name: matrix[:, left] - matrix[:, right] for name, matrix in values.matrices.items()}
    selection = plan.selection
    margins = Margins(
        max_regression=selection.max_regression,
        near=selection.near,
        cheaper=is_cheaper(plan.grid, winner, incumbent),
    )

    def judged(alpha: float) -> dict[str, Any]:
        verdict = judge(pairs, values.weights, margins, alpha)
        return verdict.to_json() | {"sentence": sentence(verdict, str(winner), str(incumbent), margins)}

    comparison = {
        "winner": str(winner),
        "incumbent": str(incumbent),
        "tests": dict(tests),
        "differences": {name: hashlib.sha256(pair.tobytes()).hexdigest() for name, pair in pairs.items()},
        "weights": values.weights,
        "margins": asdict(margins),
        "confidence": selection.confidence,
    }
    return take_look(store, tests, comparison, 1 - selection.confidence, judged)


def _against(plan: Plan, values: Values, winner: Composition, rival: Composition) -> dict[str, Any]:
    if winner == rival:
        return {"composition": str(rival), "overall": None, "applications": {}}
    left, right = values.column(winner), values.column(rival)
    pairs = {name: matrix[:, left] - matrix[:, right] for name, matrix in values.matrices.items()}

    def compare(part: Mapping[str, Any]) -> dict[str, Any]:
        selection = plan.selection
        return difference(
            part, values.weights, replicates=selection.bootstrap, confidence=selection.confidence, seed=plan.seed
        ).to_json()

    return {
        "composition": str(rival),
        "overall": compare(pairs),
        "applications": {name: compare({name: values}) for name, values in pairs.items()},
    }


def _to_json(choice: Decision) -> dict[str, Any]:
    return {
        "winner": str(choice.winner),
        "best": str(choice.best),
        "near": [str(composition) for composition in choice.near],
        "critical": choice.critical,
        "rivals": {role: str(rival) for role, rival in choice.rivals().items()},
        "per_application": {name: str(composition) for name, composition in choice.per_application.items()},
        "eligible": choice.eligible,
        "over_budget": choice.over_budget,
        "regressing": choice.regressing,
        "reason": choice.reason,
    }
