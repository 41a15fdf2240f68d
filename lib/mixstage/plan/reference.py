"""The plan's documentation, made of its fields: a page for people, a JSON schema for editors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from mixstage.plan.fields import fields_of, help_of, section_of, sections, type_words
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Part

SCHEMA_FILE = Path(__file__).with_name("plan.schema.json")  # what the first line of a plan names
_INTRODUCTION = """# The plan

A plan is one YAML file that says a whole run. A field that is not written has its default; a field that does not exist
is refused, with the one that was probably meant. NAME stands for a name of yours: letters, digits, `_`, `.` and `-`.
`${VARIABLE}` and `${VARIABLE:-default}` in a value are read from the environment, and every command takes
`--set KEY.PATH=VALUE`.

This page is written by `mixstage schema --markdown`, from the texts of the fields in `lib/mixstage/plan/`. Editors
complete and check a plan by the JSON schema that `mixstage schema` prints, if its first line names the file:
`# yaml-language-server: $schema=PATH`.
"""


def json_schema() -> str:
    """The JSON schema of a plan, with the text of every field."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Plan.model_json_schema(by_alias=True)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def markdown() -> str:
    """A page with a section for each of the plan's: field, type, default, what it does."""
    places: dict[type[Part], list[str]] = {}
    for path, section in sections():
        if path[:1] != ("teachers",) or len(path) == 2:  # a teacher has no stages
            places.setdefault(section, []).append(".".join(path))
    return _INTRODUCTION + "".join(f"\n{_section(section, paths, places)}" for section, paths in places.items())


def _section(section: type[Part], paths: list[str], places: dict[type[Part], list[str]]) -> str:
    title = f"`{paths[0]}`" if paths[0] else "The file itself"
    also = f" Also at {', '.join(f'`{path}`' for path in paths[1:])}." if paths[1:] else ""
    parent = next((base for base in section.__mro__[1:] if base in places), None)
    inherited = f" It has the fields of {_link(places[parent][0])} and these:" if parent else ""
    known = fields_of(parent) if parent else {}
    rows = [
        f"| `{name}` | {_type(field, places)} | {_default(field)} | {help_of(field)} |".replace("\\", "\\\\")
        for name, field in fields_of(section).items()
        if name not in known or known[name].description != field.description
    ]
    text = " ".join((section.__doc__ or "").split())
    table = "\n".join(["| field | value | default | what it does |", "|---|---|---|---|", *rows])
    return f"## {title}\n\n{text}{also}{inherited}\n\n{table}\n"


def _type(field: FieldInfo, places: dict[type[Part], list[str]]) -> str:
    for section in _sections_in(field.annotation):
        words = type_words(field.annotation, field.metadata)
        return f"[{words}](#{_anchor(places[section][0])})" if section in places else words
    return type_words(field.annotation, field.metadata)


def _sections_in(annotation: Any) -> Iterator[type[Part]]:
    section = section_of(annotation)
    if section is not None:
        yield section
        return
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)


def _link(path: str) -> str:
    return f"[`{path}`](#{_anchor(path)})"


def _anchor(path: str) -> str:
    """Of a heading, as Markdown sites make it."""
    return "".join(character for character in path.lower() if character.isalnum() or character in "-_")


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if isinstance(value, Part):
        changed = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return f"`{_yaml(changed)}`" if changed else ""
    return "unset" if value is None else f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """A value as a plan writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return json.dumps(value) if isinstance(value, bool) or value == "" else str(value)
