"""What one field of a plan says about another.

The checks read unvalidated data and skip what has the wrong shape: the schema reports that, and a user gets
both kinds of findings in one message.
"""

import re

from mixstage.composition import Composition
from mixstage.errors import PlanError
from mixstage.plan.problems import choices, listing
from mixstage.plan.schema import GridPlan, Raw, RetrieverPlan
from mixstage.plan.stage_checks import check_cycles, check_stage, given, section, stage_names
from mixstage.plan.stages import NAME

RESERVED = {"base", "none", "bm25", "oracle", "current", "mix"}


def cross_check(raw: Raw) -> list[str]:
    """What one field says about another; works on unvalidated data, so that it adds to the schema's findings."""
    problems = []
    corpora = section(raw, "corpora")
    for name, application in section(raw, "applications").items():
        corpus = application.get("corpus") if isinstance(application, dict) else None
        if isinstance(corpus, str) and corpus not in corpora:
            problems.append(f"applications.{name}.corpus: no corpus {corpus!r}; {choices(corpus, corpora)}")
    for part in ("corpora", "applications"):
        problems += [
            f"{part}.{name}: a name starts with a letter or digit and holds only letters, digits, _ . -"
            for name in section(raw, part)
            if not re.fullmatch(NAME, str(name))
        ]
    base = section(raw, "reranker").get("base")
    if isinstance(base, str) and base.startswith("retriever:"):
        known = section(raw, "retriever", "stages")
        if base.partition(":")[2] not in known:
            problems.append(f"reranker.base: no retriever stage {base!r}; {choices(base.partition(':')[2], known)}")
    for component in ("retriever", "reranker"):
        problems += _check_stages(raw, component)
    problems += check_cycles(raw)
    return problems + _check_index(raw) + _check_depths(raw) + _check_fusions(raw) + _check_incumbent(raw)


def _check_index(raw: Raw) -> list[str]:
    index, problems = section(raw, "index"), []
    budget, longest = index.get("batch_tokens"), given(RetrieverPlan, section(raw, "retriever"), "max_length")
    if isinstance(budget, int) and isinstance(longest, int) and budget < longest:
        problems.append(
            f"index.batch_tokens: {budget} is below retriever.max_length {longest}; a long text would not fit"
        )
    factory = index.get("factory")
    if isinstance(factory, str) and factory.startswith("B") and index.get("rescore") is None:
        problems.append(
            f"index.rescore: {factory} compares sign bits, whose distances are not scores; set rescore to 4 or more"
        )
    return problems


def _check_stages(raw: Raw, component: str) -> list[str]:
    stages = section(raw, component, "stages")
    problems = []
    for name, stage in stages.items():
        at = f"{component}.stages.{name}"
        if not re.fullmatch(NAME, str(name)) or name in RESERVED:
            problems.append(
                f"{at}: not a stage name; use letters, digits, _ . - and none of {listing(sorted(RESERVED))}"
            )
        if not isinstance(stage, dict):
            continue
        parent = stage.get("from", "base")
        if not isinstance(parent, str):
            pass  # the schema says so
        elif parent != "base" and parent not in stages:
            problems.append(f"{at}.from: no stage {parent!r}; {choices(parent, ['base', *stages])}")
        problems += check_stage(raw, component, at, stage)
    return problems


def _check_depths(raw: Raw) -> list[str]:
    grid = section(raw, "grid")
    limit, depths, mixes = (given(GridPlan, grid, field) for field in ("ranking_depth", "depths", "mix"))
    if not isinstance(limit, int) or not isinstance(depths, list) or not isinstance(mixes, list):
        return []
    problems = [
        f"grid.depths.{i}: {depth} is outside 1..{limit}; raise grid.ranking_depth or lower the depth"
        for i, depth in enumerate(depths)
        if isinstance(depth, int) and not 1 <= depth <= limit
    ]
    problems += [
        f"grid.mix.{i}: {mix} is not a weight between 0 and 1; 0 (none) and 1 (reranker alone) are always there"
        for i, mix in enumerate(mixes)
        if isinstance(mix, int | float) and not 0 < mix < 1
    ]
    return problems if depths else [*problems, "grid.depths: empty; name at least one depth"]


def _check_fusions(raw: Raw) -> list[str]:
    stages = stage_names(raw, "retriever")
    taken = {*RESERVED, *stages, *stage_names(raw, "reranker")}
    problems = []
    for name, fusion in section(raw, "grid", "fusions").items():
        at = f"grid.fusions.{name}"
        if not re.fullmatch(NAME, str(name)) or name in taken:
            problems.append(f"{at}: not a name of its own; use letters, digits, _ . - and no stage's name")
        of = fusion.get("of") if isinstance(fusion, dict) else None
        known = ["base", "bm25", *stages]
        if isinstance(of, list) and len({str(member) for member in of}) < len(of):
            problems.append(f"{at}.of: a member stands twice and would count twice; name each once")
        problems += _check_weights(at, fusion) if isinstance(fusion, dict) and isinstance(of, list) else []
        problems += [
            f"{at}.of.{i}: no retriever {member!r}; {choices(member, known)}"
            for i, member in enumerate(of if isinstance(of, list) else [])
            if member not in known
        ]
    return problems


def _check_weights(at: str, fusion: Raw) -> list[str]:
    weights, members = fusion.get("weights", []), len(fusion["of"])
    if fusion.get("method") != "weighted":
        return [f"{at}.weights: only `method: weighted` reads them; set it, or leave them out"] if weights else []
    if isinstance(weights, list) and len(weights) != members:
        return [f"{at}.weights: {len(weights)} for {members} members; give each of `of` its weight, in that order"]
    return []


def _check_incumbent(raw: Raw) -> list[str]:
    name = section(raw, "selection").get("incumbent")
    if not isinstance(name, str):
        return []
    try:
        incumbent = Composition.parse(name)
    except PlanError as error:
        return [f"selection.incumbent: {error}"]
    problems = []
    for component, stage, extra in (
        ("retriever", incumbent.retriever, ("base", "bm25", *section(raw, "grid", "fusions"))),
        ("reranker", incumbent.reranker, ("base", "none")),
    ):
        known = [*extra, *stage_names(raw, component)]
        if stage not in known:
            problems.append(f"selection.incumbent: no {component} {stage!r}; {choices(stage, known)}")
    grid = section(raw, "grid")
    depths = given(GridPlan, grid, "depths")
    bare = [given(GridPlan, grid, "ranking_depth")] if incumbent.reranker == "none" else []  # the grid has it as well
    if isinstance(depths, list) and incumbent.depth not in [*depths, *bare]:
        problems.append(f"selection.incumbent: depth {incumbent.depth} is not in grid.depths {depths}")
    return problems
