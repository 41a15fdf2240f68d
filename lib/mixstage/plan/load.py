"""Reading a plan: from YAML or a mapping, with overrides, to a checked `Plan`."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mixstage.errors import PlanError
from mixstage.plan.checks import cross_check
from mixstage.plan.schema import Plan


def load_plan(path: str | Path, overrides: list[str] | None = None) -> Plan:
    """Reads a plan file; `overrides` are "key.path=value" strings, values in YAML.

    >>> load_plan("plan.yaml", ["seed=7", "grid.depths=[5, 10]"]).grid.depths
    (5, 10)

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
    """Validates a plan given as plain data; `where` names it in the error.

    >>> plan = parse_plan(
    ...     {
    ...         "name": "mine",
    ...         "corpora": {"statutes": {"source": "sample://statutes"}},
    ...         "applications": {"counsel": {"corpus": "statutes", "source": "sample://counsel"}},
    ...     }
    ... )
    >>> plan.seed, list(plan.applications)
    (0, ['counsel'])

    Raises PlanError with every problem found.
    """
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
