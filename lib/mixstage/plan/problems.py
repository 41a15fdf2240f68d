"""What is wrong with a plan, in words: where, with which value, what to write instead, and what the field does."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mixstage.plan.fields import NAMED, Place, choices_of, fields_of, help_of, keys_of, place_of, sections

_HELP = "      "  # stands before the text of a field, under the line of its problem
_SLIP = 0.9  # likeness of names that differ by a letter, such as the s of a plural


def schema_problems(error: ValidationError) -> list[str]:
    """A problem for each field that pydantic refuses, "PATH: what to write, and what stands there".

    Where the plan has the field, a second line says what it does.
    """
    problems: dict[tuple[str | int, ...], str] = {}
    for refused in error.errors():
        place = place_of(refused["loc"])
        at = tuple(key for key in refused["loc"] if key != "[key]") if _is_about_a_key(refused) else place.path
        problems.setdefault(at, _problem(refused, place))  # a field of two types is refused once for each
    return list(problems.values())


def _is_about_a_key(refused: ErrorDetails) -> bool:
    return refused["type"] in ("extra_forbidden", "invalid_key") or refused["loc"][-1:] == ("[key]",)


def _problem(refused: ErrorDetails, place: Place) -> str:
    if refused["type"] in ("extra_forbidden", "invalid_key"):
        return _unknown_field(refused["loc"], place)
    if refused["type"] == "missing":
        return f"{path_text(place.path)}: missing; write {place.words}{_help(place)}"
    if refused["loc"][-1:] == ("[key]",):
        return _wrong_key(refused, place)
    return f"{path_text(place.path)}: {_wrong_value(refused, place)}{_help(place)}"


def _wrong_value(refused: ErrorDetails, place: Place) -> str:
    value, context = refused["input"], refused.get("ctx", {})
    match refused["type"]:
        case "value_error":
            text = str(context["error"])
        case "literal_error":
            text = f"no {value!r}; {choices(value, choices_of(place.annotation))}"
        case "too_short":
            text = f"too few entries in {short(value)}; write at least {context['min_length']}"
        case "too_long":
            text = f"too many entries in {short(value)}; write at most {context['max_length']}"
        case _ if place.section is not None:
            text = f"write a section, `field: value` lines indented below it, not {_shown(value)}"
        case _:
            text = f"write {place.words}, not {_shown(value)}"
    return text


def _wrong_key(refused: ErrorDetails, place: Place) -> str:
    at, key = path_text(place.path[:-1]), place.path[-1]
    if not isinstance(refused["input"], str):
        return f"{at}: YAML reads a name here as {refused['input']!r}, not as text; put it in quotes"
    return f"{at}.{key}: no {key!r}; {choices(key, keys_of(place_of(place.path[:-1]).annotation))}"


def _unknown_field(path: Sequence[str | int], place: Place) -> str:
    section, name = place.section or place.model, str(path[-1])
    here = fields_of(section)
    slips = get_close_matches(name, here, n=1, cutoff=_SLIP)
    # A slip, then the very name elsewhere, then one that is only alike: depth here is depths, port is not report.
    meant = None if slips else _elsewhere(path[:-1], name)
    alike = slips or get_close_matches(name, here, n=1)
    if meant is None and alike:
        meant = (*path[:-1], alike[0])
    if meant is None:
        return f"{path_text(path)}: no such field; there are {', '.join(here)}"
    return f"{path_text(path)}: no such field; did you mean {path_text(meant)}?{_help(place_of(meant))}"


def _elsewhere(at: Sequence[str | int], name: str) -> tuple[str | int, ...] | None:
    """A section that has a field of this name: of several the one that shares most of the path."""
    having = [path for path, section in sections() if name in fields_of(section) and path[:1] != ("teachers",)]
    if not having:
        return None

    def shared(path: tuple[str, ...]) -> int:
        same = [theirs in (NAMED, ours) for theirs, ours in zip(path, at, strict=False)]
        return same.index(False) if False in same else len(same)

    nearest = max(having, key=lambda path: (shared(path), -len(path)))
    return (*at[: shared(nearest)], *nearest[shared(nearest) :], name)


def _help(place: Place) -> str:
    text = help_of(place.field) if place.field else ""
    return f"\n{_HELP}{place_name(place)}: {text}" if text else ""


def place_name(place: Place) -> str:
    """The field that a place belongs to: measures of grid.measures.0."""
    names = [key for key in place.path if isinstance(key, str) and key in fields_of(place.model)]
    return names[-1] if names else path_text(place.path)


def choices(name: object, known: Iterable[object]) -> str:
    """What there is instead of an unknown name, and which of it was probably meant."""
    names = [str(one) for one in known]
    alike = get_close_matches(str(name), names, n=1)
    return f"there are {listing(names)}" + (f"; did you mean {alike[0]}?" if alike else "")


def listing(names: Iterable[object]) -> str:
    """Names as a message shows them."""
    return ", ".join(map(str, names)) or "none"


def path_text(path: Sequence[str | int]) -> str:
    """A path as a plan and `--set` write it."""
    return ".".join(str(key) for key in path) or "plan"


def short(value: object) -> str:
    """A value as a message shows it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _shown(value: object) -> str:
    return "nothing" if value is None else short(value)


def yaml_problem(error: Any, text: str) -> str:
    """Where YAML can't be read, with the line and what is usually wrong there."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    hint = _yaml_hint(line, error.problem or "")
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}: {line.strip()!r}{hint}"


def _yaml_hint(line: str, problem: str) -> str:
    if "\t" in line:
        return "; indent with spaces, not with tabs"
    if re.match(r"\s*[\w-]+:[^\s]", line):
        return "; put a space after the colon"
    if "mapping values are not allowed" in problem:
        return "; a value that holds ': ' stands in quotes, and lines of one section are indented alike"
    return "; a quote or a bracket before it is not closed" if "stream" in problem else ""
