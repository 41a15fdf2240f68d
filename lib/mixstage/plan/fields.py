"""The plan's fields as data: which section holds them, what a value has to be in words, and what they do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata, Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from mixstage.plan.schema import Plan
from mixstage.plan.stages import Part

NAMED = "NAME"  # stands in a path for a name that the user gives
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_LIMITS = {Ge: ("ge", "from"), Gt: ("gt", "above"), Le: ("le", "up to"), Lt: ("lt", "below")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a path of a plan leads."""

    path: tuple[str | int, ...]  # as far as the plan has such a place
    annotation: Any  # type of the value there
    metadata: Sequence[Any]  # its limits
    field: FieldInfo | None  # that it belongs to; None for the plan itself
    model: type[Part]  # section that holds that field

    @property
    def section(self) -> type[Part] | None:
        """The model of the value, if it is a section."""
        return section_of(self.annotation)

    @property
    def words(self) -> str:
        """What the value has to be: "a whole number from 1"."""
        return type_words(self.annotation, self.metadata)


def place_of(path: Sequence[str | int]) -> Place:
    """Follows a path as pydantic gives it; ends where the plan has no such place."""
    place = Place(path=(), annotation=Plan, metadata=(), field=None, model=Plan)
    for key in path:
        following = _inside(place, key)
        if following is None:
            break
        place = following
    return place


def _inside(place: Place, key: str | int) -> Place | None:
    section, path = place.section, (*place.path, key)
    if section is not None:
        field = fields_of(section).get(str(key))
        if field is None:
            return None
        return Place(path=path, annotation=field.annotation, metadata=field.metadata, field=field, model=section)
    item = _item(place.annotation, key)
    if item is None:
        return None
    annotation, metadata = _bare(item)
    return Place(path=path, annotation=annotation, metadata=metadata, field=place.field, model=place.model)


def _item(annotation: Any, key: str | int) -> Any:
    """Type of the values that a list or a mapping of this type holds; None for any other type, and for its keys."""
    plain = _required(annotation)
    arguments = get_args(plain)
    if get_origin(plain) is dict and key != "[key]":
        return arguments[1]
    return arguments[0] if get_origin(plain) is tuple and isinstance(key, int) else None


def fields_of(section: type[Part]) -> dict[str, FieldInfo]:
    """Fields of a section by the names that a plan writes."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_of(annotation: Any) -> type[Part] | None:
    """The model of a section, also of one that may be left out."""
    plain = _required(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, Part) else None


def sections(section: type[Part] = Plan, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Part]]]:
    """(path, model) of every section, in the order in which a plan writes them; names that a user gives are NAME."""
    yield path, section
    for name, field in fields_of(section).items():
        inner = section_of(field.annotation)
        if inner is not None:
            yield from sections(inner, (*path, name))
            continue
        item = _item(field.annotation, NAMED)
        inner = section_of(item) if item is not None else None
        if inner is not None:
            yield from sections(inner, (*path, name, NAMED))


def help_of(field: FieldInfo) -> str:
    """The field's text as one line."""
    return " ".join((field.description or "").split())


def choices_of(annotation: Any) -> list[str]:
    """Values of a type that lists them; [] for any other."""
    plain = _required(annotation)
    return [str(value) for value in get_args(plain)] if get_origin(plain) is Literal else []


def keys_of(annotation: Any) -> list[str]:
    """Keys of a mapping whose type lists them; [] for any other."""
    plain = _required(annotation)
    return choices_of(get_args(plain)[0]) if get_origin(plain) is dict else []


def type_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a value has to be, in words: "a number above 0", "a list of text", "float16 or float32"."""
    bare, inner = _bare(annotation)
    arguments = [argument for argument in get_args(bare) if argument is not NoneType]
    everything = [*metadata, *inner]
    match get_origin(bare):
        case origin if origin in (Union, UnionType):
            words = ", or ".join(type_words(argument, everything) for argument in arguments)
        case origin if origin is Literal:
            words = _or([str(argument) for argument in arguments])
        case origin if origin is tuple:
            words = _list_words(arguments)
        case origin if origin is dict:
            words = _mapping_words(keys_of(bare), arguments[1])
        case _:
            words = "a section" if section_of(bare) else _WORDS.get(bare, "a value") + _limits(everything)
    return words + _examples(everything)


def _mapping_words(keys: list[str], item: Any) -> str:
    if section_of(item):
        return "a section for each name"
    return f"a mapping of {_or(keys) if keys else 'names'} to {type_words(item)}"


def _list_words(arguments: list[Any]) -> str:
    if arguments[-1] is Ellipsis:
        return f"a list of {type_words(arguments[0]).removeprefix('a ').replace('number', 'numbers')}"
    return f"a list of {len(arguments)}: " + ", ".join(type_words(argument) for argument in arguments)


def _limits(metadata: Sequence[Any]) -> str:
    limits = [limit for limit in metadata if isinstance(limit, BaseMetadata)]
    return "".join(
        f" {word} {getattr(limit, name)}"
        for limit in limits
        for kind, (name, word) in _LIMITS.items()
        if isinstance(limit, kind)
    )


def _examples(metadata: Sequence[Any]) -> str:
    examples = [example for entry in metadata for example in (getattr(entry, "examples", None) or [])]
    return f" such as {_or(examples)}" if examples else ""


def _bare(annotation: Any) -> tuple[Any, Sequence[Any]]:
    """A type without its annotations, and those."""
    if get_origin(annotation) is not Annotated:
        return annotation, ()
    bare, *metadata = get_args(annotation)
    spread = [limit for entry in metadata for limit in (entry.metadata if isinstance(entry, FieldInfo) else [])]
    return bare, [*metadata, *spread]


def _required(annotation: Any) -> Any:
    """A type without "or None" and without its annotations."""
    bare, _ = _bare(annotation)
    arguments = get_args(bare)
    if get_origin(bare) in (Union, UnionType) and NoneType in arguments and len(arguments) == 2:
        return _required(next(argument for argument in arguments if argument is not NoneType))
    return bare


def _or(words: Sequence[object]) -> str:
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last
