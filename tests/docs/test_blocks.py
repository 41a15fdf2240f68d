"""Code blocks in README and docs/: YAML is a plan or a part of one, Python compiles and imports what there is."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.plan.load import parse_plan
from tests.docs.pages import PAGES, Block, blocks, write_files

_WHOLE: dict[str, Any] = {
    "name": "whole",
    "corpora": {"statutes": {"source": "sample://statutes"}},
    "applications": {"counsel": {"corpus": "statutes", "source": "sample://counsel"}},
}


def every(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *languages)]


def place(block: Block) -> str:
    return block.place


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """A plan that holds the part: what it lacks of a whole one is added, section by section."""
    added = {
        key: {**value, **part.get(key, {})} if isinstance(value, dict) else part.get(key, value)
        for key, value in _WHOLE.items()
    }
    return part if _WHOLE.keys() <= part.keys() else {**part, **added}


@pytest.mark.parametrize("block", every("yaml"), ids=place)
def test_yaml_is_a_plan_or_a_part_of_one(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(block.page, tmp_path)  # a plan may name what the page writes
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parse_plan(completed(yaml.safe_load(block.text)), block.place)


@pytest.mark.parametrize("block", every("python"), ids=place)
def test_python_compiles_and_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text, block.place)
    for module, name in imported(tree):
        assert hasattr(importlib.import_module(module), name), f"{block.place}: {module} has no {name}"


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of every `from mixstage... import name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mixstage":
            for alias in node.names:
                yield str(node.module), alias.name


def test_no_block_escapes_its_check_by_another_name_of_its_language() -> None:
    assert not [block.place for block in every("bash", "shell", "console", "py", "yml")]
