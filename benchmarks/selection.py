"""What selection costs, step by step: the choice on dev, the gain's honest size, the table, the verdict.

python -m benchmarks.selection            # 400 compositions, 5 applications of 5,000 queries
python -m benchmarks.selection --small    # a tenth of the queries

1,000 bootstrap draws, each of which chooses by the whole rule, and 2,000 sign flips. Values are made up: a query's
difficulty, what a retriever and a reranker bring, and noise of each cell.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.machine import heading, peak_bytes, table
from mixstage.evaluation.compositions import compositions
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.bias import corrected_gain
from mixstage.selection.choose import Decision, Values, choose
from mixstage.selection.rule import Rule
from mixstage.selection.table import compare_all
from mixstage.selection.verdict import Margins, judge

_APPLICATIONS = [f"a{i}" for i in range(5)]
_MODELS = ["base", *(f"s{i}" for i in range(1, 10))]  # retrievers, and rerankers
_DEPTHS = (20, 50, 60, 100)
_FLIPS = 2000
_DRAWS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="500 queries an application instead of 5,000")
    queries = 500 if options.parse_args(arguments).small else 5000
    plan = make_plan()
    dev, test = make_values(plan, queries, 0), make_values(plan, queries, 1)
    print(
        heading(
            f"Selection: {len(dev.compositions)} compositions, {len(_APPLICATIONS)} applications of {queries:,} "
            f"queries, {_DRAWS:,} draws, {_FLIPS:,} flips"
        )
    )
    rows: list[Sequence[str]] = [("step", "CPU s", "seconds", "peak memory so far, GB")]
    rows.append(("the values", "", "", f"{peak_bytes() / 1e9:.2f}"))

    def step(name: str, work: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        found = work()
        spent = (time.process_time() - cpu, time.perf_counter() - wall)
        rows.append((name, *(f"{seconds:.2f}" for seconds in spent), f"{peak_bytes() / 1e9:.2f}"))
        return found

    rule, seed, confidence = Rule.of(plan, dev.compositions), plan.seed, plan.selection.confidence
    choice: Decision = step("choice, with its near-best set", lambda: choose(plan, dev))
    gain = step(
        "gain, every draw by the whole rule",
        lambda: corrected_gain(rule, dev, choice.critical, draws=_DRAWS, confidence=confidence, seed=seed),
    )
    found = step(
        "table, sign flips",
        lambda: compare_all(dev, rule.incumbent, flips=_FLIPS, confidence=confidence, seed=seed),
    )
    verdict = step("verdict on test", lambda: judge(differences(test, choice), test.weights, MARGINS, 0.05))
    print(table(*rows))
    least = min(row.p_adjusted for row in found)
    print(f"\n{choice.winner}: gain {gain.mean:+.4f}, least adjusted p {least:.4f}, {verdict.word}")
    return 0


MARGINS = Margins(max_regression=0.01, near=0.005, cheaper=False)


def make_plan() -> Plan:
    source = {"corpus": "c", "source": "x"}
    return parse_plan(
        {
            "name": "selection",
            "corpora": {"c": {"source": "x"}},
            "applications": dict.fromkeys(_APPLICATIONS, source),
            "grid": {"depths": list(_DEPTHS), "mix": [], "ranking_depth": max(_DEPTHS)},
            "selection": {"incumbent": "retriever:base@100 > reranker:base@10", "bootstrap": _DRAWS, "flips": _FLIPS},
        }
    )


def make_values(plan: Plan, queries: int, seed: int) -> Values:
    """Means rise slowly with the numbers of retriever and reranker."""
    kept = [one for one in compositions(plan.grid, _MODELS, _MODELS) if one.pairs]
    first, second = (np.array([_MODELS.index(getattr(c, part)) for c in kept]) for part in ("retriever", "reranker"))
    generator = np.random.default_rng(seed)
    matrices = {}
    for name in _APPLICATIONS:
        difficulty = generator.normal(0.4, 0.25, (queries, 1))
        fits = [generator.normal(0, 0.08, (queries, len(_MODELS)))[:, numbers] for numbers in (first, second)]
        noise = generator.normal(0, 0.1, (queries, len(kept)))
        matrices[name] = np.clip(difficulty + fits[0] + fits[1] + noise + 0.002 * (first + second), 0, 1)
    return Values(compositions=kept, matrices=matrices, weights=dict.fromkeys(_APPLICATIONS, 1 / len(_APPLICATIONS)))


def differences(test: Values, choice: Decision) -> dict[str, np.ndarray]:
    left, right = test.column(choice.winner), test.column(choice.incumbent)
    return {name: matrix[:, left] - matrix[:, right] for name, matrix in test.matrices.items()}


if __name__ == "__main__":
    sys.exit(main())
