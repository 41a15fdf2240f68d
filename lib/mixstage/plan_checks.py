"""What one field of a plan says about another.

The checks read unvalidated data and skip what has the wrong shape: the schema reports that, and a user gets
both kinds of findings in one message.
"""

import re
from typing import Any

from mixstage.composition import Composition
from mixstage.errors import PlanError

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"  # names become folders, labels and parts of composition names
RESERVED = {"base", "none", "bm25", "oracle", "current", "mix"}


def cross_check(raw: dict[str, Any]) -> list[str]:
    """What one field says about another; works on unvalidated data, so that it adds to the schema's findings."""
    problems = []
    corpora = _section(raw, "corpora")
    for name, application in _section(raw, "applications").items():
        corpus = application.get("corpus") if isinstance(application, dict) else None
        if isinstance(corpus, str) and corpus not in corpora:
            problems.append(f"applications.{name}.corpus: no corpus {corpus!r}; there are {_list(corpora)}")
    for section in ("corpora", "applications"):
        problems += [
            f"{section}.{name}: a name starts with a letter or digit and holds only letters, digits, _ . -"
            for name in _section(raw, section)
            if not re.fullmatch(NAME, str(name))
        ]
    for component in ("retriever", "reranker"):
        problems += _check_stages(raw, component)
    return problems + _check_depths(raw) + _check_incumbent(raw)


def _section(raw: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw if isinstance(raw, dict) else {}


def _list(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"


def _check_stages(raw: dict[str, Any], component: str) -> list[str]:
    stages = _section(raw, component, "stages")
    problems = []
    for name, stage in stages.items():
        at = f"{component}.stages.{name}"
        if not re.fullmatch(NAME, str(name)) or name in RESERVED:
            problems.append(f"{at}: not a stage name; use letters, digits, _ . - and none of {_list(sorted(RESERVED))}")
        if not isinstance(stage, dict):
            continue
        parent = stage.get("from", "base")
        if not isinstance(parent, str):
            pass  # the schema says so
        elif parent != "base" and parent not in stages:
            problems.append(f"{at}.from: no stage {parent!r}; there are base, {_list(stages)}")
        elif _is_cyclic(name, stages):
            problems.append(f"{at}.from: the stage descends from itself; let one of them start from base")
        problems += _check_mine(raw, component, at, stage)
    return problems


def _is_cyclic(name: str, stages: dict[str, Any]) -> bool:
    seen = set()
    while name in stages and isinstance(stages[name], dict):
        if name in seen:
            return True
        seen.add(name)
        name = stages[name].get("from", "base")
        if not isinstance(name, str):
            return False
    return False


def _check_mine(raw: dict[str, Any], component: str, at: str, stage: dict[str, Any]) -> list[str]:
    mine = stage.get("mine")
    problems = []
    if not isinstance(mine, dict):
        if component == "reranker" and mine is None:
            problems.append(f"{at}.mine: a reranker needs negatives: say which miner brings them, such as bm25")
        return problems
    miner = mine.get("miner", "current")
    miners = ["bm25", "base", *_section(raw, "retriever", "stages")]
    if component == "retriever":
        miners.append("current")
        if mine.get("scored_by", "miner") != "miner":
            problems.append(f"{at}.mine.scored_by: only a reranker stage orders candidates of another miner")
    if miner not in miners:
        problems.append(f"{at}.mine.miner: no miner {miner!r} for a {component}; there are {_list(miners)}")
    if mine.get("refresh") and "current" not in (miner, mine.get("scored_by")):
        problems.append(f"{at}.mine.refresh: nothing to refresh from; mine or score with the current weights")
    return problems


def _check_depths(raw: dict[str, Any]) -> list[str]:
    grid = _section(raw, "grid")
    limit = grid.get("ranking_depth", 100)
    depths = grid.get("depths", [20, 60, 100])
    mixes = grid.get("mix", [])
    if not isinstance(limit, int) or not isinstance(depths, list) or not isinstance(mixes, list):
        return []
    problems = [
        f"grid.depths.{i}: {depth} is outside 1..{limit}; raise grid.ranking_depth or lower the depth"
        for i, depth in enumerate(depths)
        if isinstance(depth, int) and not 1 <= depth <= limit
    ]
    problems += [
        f"grid.mix.{i}: {mix} is no weight strictly between 0 and 1; 0 (none) and 1 (reranker alone) are always there"
        for i, mix in enumerate(mixes)
        if isinstance(mix, int | float) and not 0 < mix < 1
    ]
    return problems if depths else [*problems, "grid.depths: empty; name at least one depth"]


def _check_incumbent(raw: dict[str, Any]) -> list[str]:
    name = _section(raw, "selection").get("incumbent")
    if not isinstance(name, str):
        return []
    try:
        incumbent = Composition.parse(name)
    except PlanError as error:
        return [f"selection.incumbent: {error}"]
    problems = []
    for component, stage, extra in (
        ("retriever", incumbent.retriever, ("base", "bm25")),
        ("reranker", incumbent.reranker, ("base", "none")),
    ):
        known = [*extra, *_section(raw, component, "stages")]
        if stage not in known:
            problems.append(f"selection.incumbent: no {component} {stage!r}; there are {_list(known)}")
    depths = _section(raw, "grid").get("depths", [20, 60, 100])
    if isinstance(depths, list) and incumbent.depth not in depths:
        problems.append(f"selection.incumbent: depth {incumbent.depth} is not in grid.depths {depths}")
    return problems
