"""Phase 4: choose on dev, publish the choice, only then open the test scores: one comparison decides, others inform."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

from mixstage.composition import Composition
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import Plan
from mixstage.selection.bias import Gain, corrected_gain
from mixstage.selection.choose import Decision, Values, choose, read_values
from mixstage.selection.posterior import posterior
from mixstage.selection.rule import Rule, is_cheaper
from mixstage.selection.sharing import Sharing, prices, share
from mixstage.selection.table import compare_all
from mixstage.selection.verdict import Margins, Ruling, Verdict, judge, sentence, take_look
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Difference, difference
from mixstage.store.plain import JsonObject, plain
from mixstage.store.store import Artifact, Store, digest_of

TABLE = "table.json"  # a list of rows, see `table.Row` and `Posterior.row`
SHARING = "sharing.json"  # see `sharing.share`


class Choice(Artifact):
    """The winner and why, chosen on dev alone."""

    kind = "choice"
    FORMAT = 3  # raise when the procedure changes
    __slots__ = ()

    @property
    def winner(self) -> Composition:
        return self.decision.winner

    @property
    def incumbent(self) -> Composition:
        return self.decision.incumbent

    @property
    def decision(self) -> Decision:
        """What was chosen, and by what."""
        return Decision.from_json(self.meta)

    @property
    def gain(self) -> Gain | None:
        """The winner's gain on dev queries that did not choose."""
        return Gain.from_json(self.meta["gain"])

    @property
    def sharing(self) -> Sharing:
        """What applications pay to share the winner, as dev says."""
        return Sharing.from_json(self.read_json(SHARING))


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
    published = store.find(Choice, digest_of(recipe))
    if published is not None:
        return published
    dev = read_values(plan, grid.table("dev"))
    choice = choose(plan, dev, timed)
    rule, frozen, seed = Rule.of(plan, dev.compositions, timed), plan.selection, plan.seed
    gain = corrected_gain(rule, dev, choice.critical, draws=frozen.bootstrap, confidence=frozen.confidence, seed=seed)
    rows = compare_all(dev, rule.incumbent, flips=frozen.flips, confidence=frozen.confidence, seed=seed)
    draft = store.draft(Choice, recipe)
    belief = posterior(dev, rule.incumbent, margin=rule.max_regression, draws=frozen.bootstrap, seed=seed)
    columns = {str(one): place for place, one in enumerate(dev.compositions)}
    table = [{**row.to_json(), **belief.row(columns[row.composition])} for row in rows]
    draft.text(TABLE, json.dumps(table, indent=1))
    draft.text(SHARING, json.dumps(plain(share(plan, dev, choice, timed)), indent=1, ensure_ascii=False))
    return draft.publish(choice.to_json() | {"gain": plain(gain)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The winner minus a rival on one split."""

    composition: Composition  # the rival
    overall: Difference | None  # None: the winner is this rival
    applications: dict[str, Difference]

    def differences(self) -> dict[str, Difference]:
        """ "all" and each application; nothing if the winner is this rival."""
        return {} if self.overall is None else {"all": self.overall, **self.applications}

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """As a report keeps it."""
        return cls(
            composition=Composition.parse(content["composition"]),
            overall=None if content["overall"] is None else Difference.from_json(content["overall"]),
            applications={name: Difference.from_json(one) for name, one in content["applications"].items()},
        )


def confirm_sharing(plan: Plan, grid: Grid, choice: Choice) -> Sharing:
    """What dev says of sharing, with what test says of the same compositions: chosen on dev alone."""
    shared, test = choice.sharing, read_values(plan, grid.table("test"))
    return replace(shared, test=prices(plan, test, shared.winner, shared.own, shared.assignment))


def confirm(plan: Plan, grid: Grid, choice: Choice, split: str = "test") -> dict[str, Against]:
    """Role -> the winner against that rival on a split.

    Taking the published choice as argument keeps test scores out of the choosing.
    """
    values, chosen = read_values(plan, grid.table(split)), choice.decision
    return {role: _against(plan, values, chosen.winner, rival) for role, rival in chosen.rivals().items()}


def decide(plan: Plan, store: Store, grid: Grid, choice: Choice, tests: Mapping[str, str]) -> Ruling:
    """The verdict on the winner by the test split, noted in the store's ledger.

    tests: application -> digest of its test judgements. A winner that is the incumbent takes no look.
    """
    chosen = choice.decision
    winner, incumbent = chosen.winner, chosen.incumbent
    if winner == incumbent:
        message = f"KEEP {incumbent}: nothing was better or cheaper on dev, and test was not asked."
        return Ruling(word="KEEP", sentence=message)
    values = read_values(plan, grid.table("test"))
    pairs = values.differences(winner, incumbent)
    selection = plan.selection
    margins = Margins(
        max_regression=selection.max_regression,
        near=selection.near,
        cheaper=is_cheaper(plan.grid, winner, incumbent),
    )

    def judged(alpha: float) -> tuple[Verdict, str]:
        verdict = judge(pairs, values.weights, margins, alpha)
        return verdict, sentence(verdict, str(winner), str(incumbent), margins)

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


def _against(plan: Plan, values: Values, winner: Composition, rival: Composition) -> Against:
    if winner == rival:
        return Against(composition=rival, overall=None, applications={})
    pairs = values.differences(winner, rival)

    def compare(part: Mapping[str, Floats]) -> Difference:
        selection = plan.selection
        return difference(
            part, values.weights, replicates=selection.bootstrap, confidence=selection.confidence, seed=plan.seed
        )

    return Against(
        composition=rival,
        overall=compare(pairs),
        applications={name: compare({name: values}) for name, values in pairs.items()},
    )
