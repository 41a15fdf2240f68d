"""Commands in README and docs/ are those that there are: subcommands, options, compositions, overrides, targets."""

import re
import shlex
from functools import cache
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from docs.cli import subcommands
from mixstage.commands.console.main import find_command
from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.plan.load import load_plan
from tests.docs.pages import PAGES, ROOT, blocks, inline_code

_SHELL = ("sh", "")
_SAMPLE = ROOT / "jobs" / "plans" / "sample.yaml"
_TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(page: Path) -> list[list[str]]:
    """Words of every mixstage command on a page: `mixstage X ...`, `python -m jobs.X ...`, `make X`."""
    lines = [line for block in blocks(page, *_SHELL) for line in block.text.replace("\\\n", " ").splitlines()]
    lines += [line for code in inline_code(page) for line in ([code] if _begins(code) else [])]
    return [command for line in lines for command in _commands(line)]


def _begins(code: str) -> bool:
    return code.startswith(("mixstage ", "python -m ", "make ", "KEY=", "ray job submit", "--set "))


def _commands(line: str) -> list[list[str]]:
    """The commands of a line of a shell: comments go, `$(...)` opens, `--` of `ray job submit` hands on."""
    text = re.sub(r"\[(--[^\]]*)\]", r"\1", line.replace("KEY=$(", "").replace("...", ""))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    found = []
    for is_end, group in groupby(lexer, key=lambda word: word in (";", "&", "&&", "|", "--")):
        words = [word.strip("()") for word in group]
        if words[:2] == ["python", "-m"] and len(words) > 2:
            words = _module(words[2], words[3:])
        if not is_end and words[0] in ("mixstage", "make", "module", "--set"):
            found += _alternatives(words)
    return found


def _module(module: str, rest: list[str]) -> list[str]:
    """`python -m jobs.X` is `mixstage X`, `serve.app` is `mixstage serve`; others have to be there."""
    package, _, command = module.partition(".")
    if package == "jobs":
        return ["mixstage", command, *rest]
    return ["mixstage", "serve", *rest] if module == "serve.app" else ["module", module]


def _alternatives(words: list[str]) -> list[list[str]]:
    """`release canary|shadow PLAN` is two commands."""
    spread = next((place for place, word in enumerate(words) if re.fullmatch(r"[a-z]+(\|[a-z]+)+", word)), None)
    if spread is None:
        return [words]
    return [[*words[:spread], choice, *words[spread + 1 :]] for choice in words[spread].split("|")]


@cache
def options(command: str, action: str) -> frozenset[str]:
    """Options of `mixstage COMMAND`, or of `mixstage COMMAND ACTION` where it has actions."""
    parser = find_command(command).parser()
    actions = subcommands(parser)
    if actions and action:
        assert action in actions, f"mixstage {command} has no {action}"
        parser = actions[action]
    return frozenset(parser._option_string_actions)


def refuse_unknown(words: list[str]) -> None:
    """Fails on a subcommand or an option that there is not, and on names and overrides that are refused."""
    command, rest = words[0], words[1:]
    known = options(command, next((word for word in rest[:1] if not word.startswith("-")), ""))
    for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
        assert option in known, f"mixstage {command} has no {option}"
    for word in rest:
        if " > " in word:
            Composition.parse(word)
    refuse_overrides(rest)


def refuse_overrides(words: list[str]) -> None:
    overrides = [after for word, after in pairwise(words) if word == "--set"]
    load_plan(_SAMPLE, [override for override in overrides if override != "KEY.PATH=VALUE"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for words in commands(page):
        kind, rest = words[0], words[1:]
        if kind == "make":
            assert set(rest) <= _TARGETS, f"make {' '.join(rest)}"
        elif kind == "module":
            assert find_spec(rest[0]) or (ROOT / rest[0].replace(".", "/")).exists(), rest[0]
        elif kind == "--set":
            refuse_overrides(words)
        elif rest and not rest[0].isupper() and not rest[0].startswith("--"):
            refuse_unknown(rest)


def test_commands_are_found_where_pages_have_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Say `mixstage index PLAN --dry-run`, or `make docs`.\n\n```sh\nray job submit --address X -- \\\n"
        "    python -m jobs.select PLAN  # comment --no\nKEY=$(mixstage keys create PLAN NAME)\n"
        "mixstage release canary|end PLAN\n```\n"
    )
    assert commands(page) == [
        ["mixstage", "select", "PLAN"],
        ["mixstage", "keys", "create", "PLAN", "NAME"],
        ["mixstage", "release", "canary", "PLAN"],
        ["mixstage", "release", "end", "PLAN"],
        ["mixstage", "index", "PLAN", "--dry-run"],
        ["make", "docs"],
    ]


def test_an_option_that_is_not_there_is_noticed() -> None:
    with pytest.raises(AssertionError, match="index has no --dry"):
        refuse_unknown(["index", "PLAN", "--dry"])
    with pytest.raises(InputError, match="indexing"):
        refuse_unknown(["indexing", "PLAN"])
