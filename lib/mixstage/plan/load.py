"""Reading a plan: from YAML or a mapping, with overrides, to a checked `Plan`."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mixstage.errors import PlanError
from mixstage.plan.checks import cross_check
from mixstage.plan.problems import schema_problems, yaml_problem
from mixstage.plan.schema import Plan, Raw
from mixstage.plan.shipped import find_plan

_MERGE = "tag:yaml.org,2002:merge"  # of the key <<


def load_plan(path: str | Path, overrides: list[str] | None = None) -> Plan:
    """Reads a plan's file, or the plan that ships by this name; `overrides` are "key.path=value", values in YAML.

    >>> load_plan("plan.yaml", ["seed=7", "grid.depths=[5, 10]"]).grid.depths
    (5, 10)

    Raises PlanError with every problem that there is: unreadable YAML, unset ${VARIABLES}, unknown keys, wrong types,
    references to corpora, stages or measures that do not exist.
    """
    path = find_plan(path)
    raw = _read(path)
    for override in overrides or []:
        _set(raw, override)
    return parse_plan(raw, " with --set ".join([str(path), *(overrides or [])]))


class _Loader(yaml.SafeLoader):
    """YAML without a second value for the same key, which would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
        for number, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:number]]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands here for the second time; rename or drop one", key.start_mark
                )
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[Any, Any]:
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is not readable YAML: {error}; save it as UTF-8") from None
    try:
        raw = yaml.load(content, _Loader)
    except yaml.YAMLError as error:
        raise PlanError(f"{path} is not readable YAML: {yaml_problem(error, content)}") from None
    if raw is None:
        raise PlanError(f"{path} is empty (NoneType): start with `name:`, or write one with `mixstage init FOLDER`")
    if not isinstance(raw, dict):
        raise PlanError(f"{path} holds a {type(raw).__name__}, not a mapping: start with `name:`")
    return raw


def parse_plan(raw: Raw, where: str = "plan") -> Plan:
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

    Raises PlanError with every problem that there is.
    """
    problems: list[str] = []
    raw = _expand(raw, "", problems)
    try:
        plan = Plan.model_validate(raw)
    except ValidationError as error:
        plan = None
        problems += schema_problems(error)
    problems += [problem for problem in cross_check(raw) if problem not in problems]
    if problems or plan is None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise PlanError(f"{where} has {len(problems)} problem{'s' * (len(problems) > 1)}:\n{lines}")
    return plan


def _set(raw: Raw, override: str) -> None:
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
