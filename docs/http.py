"""The page of the gateway's HTTP: its OpenAPI schema in Markdown."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}
_HEAD = """\
# HTTP

<!-- Written by `make docs` from the gateway's own schema. -->

The gateway describes itself at `/openapi.json`; a copy lies beside this page as [openapi.json](openapi.json). What the
routes promise, how keys and trials work, and which clients call the compatible routes stands in
[Serving](../serving.md).
"""
_REFUSALS = """\
## Refusals

Own routes refuse with a [Problem](#problem) (RFC 9457), which names unknown fields and never repeats what was sent.

| status | means |
|---|---|"""
_COMPATIBLE = """\
## Routes in the shape of other servers

Their errors have the shape that the clients of each family expect.

| route | does | family |
|---|---|---|"""


def describe() -> dict[str, Any]:
    """The OpenAPI schema of a gateway over an empty registry; neither Ray nor Serve is started."""
    from mixstage.release.registry import Registry
    from mixstage.serve.answering.components import ServeComponents
    from mixstage.serve.answering.routing import Routes
    from mixstage.serve.gateway import build_api

    with tempfile.TemporaryDirectory() as folder:
        return build_api(Routes(Registry(f"sqlite:///{folder}/registry.db")), ServeComponents()).openapi()


def page(schema: Schema) -> str:
    """The schema in Markdown: own routes with their fields, compatible ones in a table."""
    own, compatible = [], []
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            name = f"{method.upper()} {path}"
            if "tags" in route:
                compatible.append(f"| `{name}` | {_cell(route['summary'])} | {route['tags'][0]} |")
            else:
                own.append(_route(name, route, schema))
    shapes = "\n".join(_shape(name, schema) for name in _used(schema))
    refusals = [_REFUSALS, *_refusals(schema), ""]
    return "\n".join([_HEAD, *own, *refusals, _COMPATIBLE, *compatible, "", "## Shapes\n", shapes])


def _route(name: str, route: Schema, schema: Schema) -> str:
    lines = [f"## {name}\n", route["description"] + "\n"]
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        lines += ["Body:\n", *_fields(_resolve(body, schema)), ""]
    status, answer = next(iter(route["responses"].items()))
    kinds = [_type(content["schema"]) for content in answer.get("content", {}).values() if content.get("schema")]
    lines.append(f"Answers {' with '.join([status, *kinds])}.\n")
    return "\n".join(lines)


def _refusals(schema: Schema) -> list[str]:
    """A row for each status above 299 of own routes; the schema gives all routes the same ones."""
    rows: dict[str, str] = {}
    for route in _own(schema):
        for status, answer in route["responses"].items():
            if not status.startswith("2"):
                rows.setdefault(status, f"| {status} | {_cell(answer['description'])} |")
    return [rows[status] for status in sorted(rows)]


def _own(schema: Schema) -> list[Schema]:
    """Routes that follow no other server's shape."""
    return [route for methods in schema["paths"].values() for route in methods.values() if "tags" not in route]


def _used(schema: Schema) -> list[str]:
    """Names of the shapes that answers of own routes are made of, in the schema's order."""
    names: set[str] = set()
    waiting = [name for route in _own(schema) for name in _references(route["responses"])]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += _references(schema["components"]["schemas"][name])
    return [name for name in schema["components"]["schemas"] if name in names]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if "$ref" in part:
            yield _name(part["$ref"])
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _shape(name: str, schema: Schema) -> str:
    shape = schema["components"]["schemas"][name]
    about = [shape["description"] + "\n"] if "description" in shape else []
    return "\n".join([f"### {name}\n", *about, *_fields(shape), ""])


def _fields(shape: Schema) -> list[str]:
    required = shape.get("required", [])
    rows = [
        f"| `{name}` | {_type(field)} | {'required' if name in required else _default(field)} | {_about(field)} |"
        for name, field in shape.get("properties", {}).items()
    ]
    return ["| field | type | default | |", "|---|---|---|---|", *rows]


def _default(field: Schema) -> str:
    return f"`{json.dumps(field['default'])}`" if field.get("default") is not None else "unset"


def _about(field: Schema) -> str:
    parts = [field, *field.get("anyOf", [])]
    limits = [
        words.format(f"{part[key]:g}") for part in parts for key, words in _LIMITS.items() if part.get(key, 1) != 1
    ]
    return _cell("; ".join([field[key] for key in ("description",) if key in field] + limits))


def _type(field: Schema) -> str:
    if "$ref" in field:
        name = _name(field["$ref"])
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"])
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if field.get("items") else "list"
    return str(field.get("type", "any"))


def _resolve(field: Schema, schema: Schema) -> Schema:
    shape: Schema = schema["components"]["schemas"][_name(field["$ref"])] if "$ref" in field else field
    return shape


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
