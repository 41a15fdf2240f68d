"""What one field of a stage says about another, and about the stages around it. Reads unvalidated data."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from mixstage.errors import PlanError
from mixstage.plan.losses import LOSSES, Loss, Trained, find_loss, losses_of
from mixstage.plan.problems import choices, listing
from mixstage.plan.schema import Raw
from mixstage.plan.sources import SOURCES, find_source
from mixstage.plan.stages import MinePlan, Part, PseudoPlan
from mixstage.plugins import Kind, names

T = TypeVar("T")
Node = tuple[str, str]  # component, stage
Graph = dict[Node, set[Node]]  # node -> what it needs
_SAMPLED = ("samples", "mine", "loss", "lora", "temperature")


def check_stage(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    """Problems of one stage, each with its path."""
    kind = next((kind for kind in ("soup", "mlm") if stage.get(kind) is not None), None)
    if kind is not None:
        yield from (
            f"{at}.{key}: a stage with `{kind}` learns nothing from samples; drop one of the two"
            for key in _SAMPLED
            if key in stage and not (kind == "mlm" and key == "lora")
        )
        if kind == "soup":
            yield from _check_soup(raw, component, at, stage)
        return
    yield from _check_last(raw, component, at, stage)
    yield from _check_samples(component, at, stage)
    yield from _check_pseudo(raw, component, at, stage)
    yield from _check_mine(raw, component, at, stage)
    yield from _check_loss(raw, component, at, stage)


def stage_names(raw: Raw, component: str) -> list[str]:
    """Names of a component's stages; one that keeps its best and its last checkpoint counts twice."""
    names = []
    for name, stage in section(raw, component, "stages").items():
        names.append(str(name))
        if section(stage, "validation").get("keep") == "both":
            names.append(f"{name}-last")
    return names


def _check_last(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    last = at.rpartition(".")[2] + "-last"
    if section(stage, "validation").get("keep") == "both" and last in section(raw, component, "stages"):
        yield f"{at}.validation.keep: both would make a second stage {last!r}; rename that one"
    if stage.get("validation") is not None and section(stage, "mine").get("refresh"):
        yield f"{at}.validation: a stage that mines again has no checkpoints inside its rounds; drop one of the two"


def _check_soup(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    known = ["base", *section(raw, component, "stages")]  # trained ones: a soup is averaged before any -last is named
    soup = stage["soup"]
    of = soup.get("of") if isinstance(soup, dict) else None
    for number, name in enumerate(of if isinstance(of, list) else []):
        if name not in known:
            yield f"{at}.soup.of.{number}: no {component} stage {name!r}; {choices(name, known)}"
    if "from" in stage:
        yield f"{at}.from: a soup starts from the stages it is made of; drop it"


def _check_samples(component: str, at: str, stage: Raw) -> Iterator[str]:
    samples = stage.get("samples")
    mine = stage.get("mine")
    if component == "reranker" and mine is None:
        yield f"{at}.mine: a reranker needs negatives: say which miners bring them, such as [bm25]"
    if not isinstance(samples, dict):
        return
    sources = {str(name): _row(find_source, "sources", str(name), SOURCES) for name in samples}
    yield from (f"{at}.samples.{name}: {problem}" for name, (_, problem) in sources.items() if problem)
    mined = [name for name, (source, _) in sources.items() if source is not None and source.mined]
    if mine is None:
        yield from (f"{at}.samples.{name}: nothing is mined: add `mine`" for name in mined)
    if isinstance(mine, dict) and component == "retriever" and not mined:
        yield f"{at}.mine: none of the samples is mined: add `mined` to samples, or drop `mine`"


def _row(find: Callable[[str], T], kind: Kind, name: str, table: Mapping[str, T]) -> tuple[T | None, str]:
    """The row of a table or a plug-in, or what is wrong with its name."""
    try:
        return find(name), ""
    except PlanError as error:
        known = choices(name, names(kind, table))
        return None, str(error) if ":" in name else f"no {name!r}; {known}; one of your own is PACKAGE.MODULE:NAME"


def _check_pseudo(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    if "pseudo" not in section(stage, "samples"):
        return
    named = given(PseudoPlan, section(stage, "pseudo"), "retrievers")
    names = named if isinstance(named, list) else []
    known = _miners(raw, component)
    for number, name in enumerate(names):
        if name not in known:
            yield f"{at}.pseudo.retrievers.{number}: no retriever {name!r} for it; {choices(name, known)}"
    if len(names) == 2 and names[0] == names[1]:
        yield f"{at}.pseudo.retrievers: one retriever can't agree with itself; name two"


def _miners(raw: Raw, component: str) -> list[str]:
    """What brings candidates to a stage; "current" of a reranker searches nothing."""
    return ["bm25", "base", *section(raw, "retriever", "stages"), *(["current"] if component == "retriever" else [])]


def _check_mine(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    mine = stage.get("mine")
    if not isinstance(mine, dict):
        return
    miners = given(MinePlan, mine, "miners")
    known = _miners(raw, component)
    for number, miner in enumerate(miners if isinstance(miners, list) else []):
        if miner not in known:
            yield f"{at}.mine.miners.{number}: no miner {miner!r} for a {component}; {choices(miner, known)}"
    if isinstance(miners, list) and not miners:
        yield f"{at}.mine.miners: empty; name at least one, such as bm25"
    if component == "retriever" and given(MinePlan, mine, "scored_by") != "miner":
        yield f"{at}.mine.scored_by: only a reranker stage orders candidates of another miner"
    current = "current" in (miners if isinstance(miners, list) else []) or mine.get("scored_by") == "current"
    if mine.get("refresh") and not current:
        yield f"{at}.mine.refresh: nothing to refresh from; mine or score with the current weights"
    if mine.get("asynchronous") and not mine.get("refresh"):
        yield f"{at}.mine.asynchronous: only with refresh: there is nothing to mine meanwhile"
    yield from _check_reference(raw, f"{at}.mine.filter_by", mine.get("filter_by"), ("reranker", "teacher"))


def _check_loss(raw: Raw, component: str, at: str, stage: Raw) -> Iterator[str]:
    loss = stage.get("loss")
    if not isinstance(loss, dict):
        return
    trained = _trained(raw, component)
    name = loss.get("name") or losses_of(trained)[0]
    if isinstance(name, str):
        row, problem = _row(find_loss, "losses", name, LOSSES)
        yield from [f"{at}.loss.name: {problem}"] if row is None else _check_needs(trained, at, stage, name, row)
    if component == "reranker" and loss.get("matryoshka"):
        yield f"{at}.loss.matryoshka: a reranker has no vectors to shorten"
    yield from _check_reference(raw, f"{at}.loss.teacher", loss.get("teacher"), ("reranker", "teacher"))
    yield from _check_reference(raw, f"{at}.loss.guide", loss.get("guide"), ("retriever",))


def _trained(raw: Raw, component: str) -> Trained:
    if component == "retriever":
        return "bi_encoder"
    late = section(raw, component).get("architecture") == "late_interaction"
    return "late_interaction" if late else "cross_encoder"


def _check_needs(trained: Trained, at: str, stage: Raw, name: str, row: Loss) -> Iterator[str]:
    """What a loss needs of its stage."""
    loss, samples = stage["loss"], section(stage, "samples")
    if trained not in row.build:
        known = choices(name, losses_of(trained))
        yield f"{at}.loss.name: {name!r} does not train a {trained.replace('_', '-')}; {known}"
    if row.taught and loss.get("teacher") is None:
        yield f"{at}.loss.teacher: {name} learns a teacher's scores: name one, such as reranker:broad"
    if row.taught and stage.get("mine") is None:
        yield f"{at}.mine: {name} compares documents of one query: say which miners bring them"
    plain = sorted(source for source in samples if not (source in SOURCES and SOURCES[source].mined))
    if row.taught and trained == "bi_encoder" and plain:
        yield f"{at}.samples: {name} reads mined samples only, not {listing(plain)}"
    for option in ("cached", "guide"):
        if loss.get(option) and option not in row.options:
            readers = listing(other for other, known in LOSSES.items() if option in known.options)
            yield f"{at}.loss.{option}: only {readers} has it, not {name}"
    if trained == "late_interaction" and loss.get("guide"):
        yield f"{at}.loss.guide: only a retriever's infonce has it"


def _check_reference(raw: Raw, at: str, reference: Any, kinds: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(reference, str) or ":" not in reference:
        return
    kind, _, name = reference.partition(":")
    if kind not in kinds:
        yield f"{at}: {reference!r} is none of {listing(kinds)}; write {kinds[0]}:STAGE"
        return
    known = [*section(raw, "teachers")] if kind == "teacher" else ["base", *section(raw, kind, "stages")]
    if name not in known:
        yield f"{at}: no {kind} {name!r}; {choices(name, known)}"


def needs(raw: Raw, component: str, stage: Raw) -> set[Node]:
    """(component, stage) that must be trained before this stage."""
    soup, mine, loss = (section(stage, key) for key in ("soup", "mine", "loss"))
    parents = soup.get("of") if soup else [stage.get("from", "base")]
    needed = {(component, name) for name in _strings(parents)}
    needed |= {("retriever", name) for name in _strings(mine.get("miners"))}
    if "pseudo" in section(stage, "samples"):
        needed |= {("retriever", name) for name in _strings(section(stage, "pseudo").get("retrievers"))}
    base = section(raw, "reranker").get("base")
    references = [mine.get("filter_by"), loss.get("teacher"), loss.get("guide")]
    for reference in [*references, *([base] if component == "reranker" else [])]:
        if isinstance(reference, str) and ":" in reference:
            kind, _, name = reference.partition(":")
            needed.add((kind, name))
    if ("reranker", "base") in needed and isinstance(base, str) and base.startswith("retriever:"):
        needed.add(("retriever", base.partition(":")[2]))
    return {(kind, name) for kind, name in needed if name in section(raw, kind, "stages")}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def check_cycles(raw: Raw) -> Iterator[str]:
    """Stages that need themselves: by descent alone, said at each of them, or by miners, filters and teachers too."""
    stages = {
        (component, str(name)): stage
        for component in ("retriever", "reranker")
        for name, stage in section(raw, component, "stages").items()
        if isinstance(stage, dict)
    }
    descent = {node: {(node[0], str(stage.get("from", "base")))} for node, stage in stages.items()}
    looped = _looped(descent)
    for component, name in looped:
        yield f"{component}.stages.{name}.from: the stage descends from itself; let one of them start from base"
    waiting = _looped({node: needs(raw, node[0], stage) for node, stage in stages.items()})
    if waiting and not looped:
        names = listing(f"{component}.stages.{name}" for component, name in waiting)
        yield f"{names}: each needs another of these to be trained before it; let one start from base or another miner"


def _looped(graph: Graph) -> list[Node]:
    """Nodes from which a walk comes back to them."""

    def reached(start: Node) -> set[Node]:
        known: set[Node] = set()
        left = [start]
        while left:
            following = graph.get(left.pop(), set()) - known
            known |= following
            left += following
        return known

    return [node for node in graph if node in reached(node)]


def section(raw: Any, *keys: str) -> Raw:
    """The mapping at a path, {} where there is none."""
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw if isinstance(raw, dict) else {}


def given(part: type[Part], section: Raw, field: str) -> Any:
    """What a section of a plan says of a field, or the field's default; lists are lists."""
    default = part.model_fields[field].default
    return section.get(field, list(default) if isinstance(default, tuple) else default)
