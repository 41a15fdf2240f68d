"""The shape of the house: imports go one way, Ray stays at its edges, nothing happens on import."""

import ast
import json
import operator
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "lib" / "mixstage"

# A room may import from the layers before its own, never from its own.
LAYERS = (
    ("errors", "stats"),  # stats knows arrays, nothing else of the house
    ("composition", "measures", "plugins", "store"),
    ("plan", "client"),  # a client knows nothing of what it calls but its HTTP
    ("progress", "cluster"),
    ("connection", "workspace"),
    ("corpus", "models"),
    ("embedding", "pairs", "onboarding"),
    ("index",),
    ("training",),
    ("evaluation",),
    ("insight",),
    ("selection", "judging"),
    ("report",),
    ("release",),
    ("pipeline",),
    ("serve",),
    ("commands",),
    ("jobs", "serve.app", "__main__"),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# Ray is imported by these edges of the library; the applications in serve/ are Ray's own kind.
RAY_EDGES = {
    "lib/mixstage/cluster.py",
    "lib/mixstage/connection.py",
    "lib/mixstage/training/launch.py",
    "lib/mixstage/training/meter.py",
}
LIMIT_LINES = 300


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, at any depth of its functions and conditions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import hides where a name comes from"
            # `from mixstage import errors` names a module, too
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    """The layer's name of a file: lib/mixstage/corpus/documents.py -> corpus, jobs/train.py -> jobs."""
    if not path.is_relative_to(LIBRARY):
        return "jobs" if path.is_relative_to(ROOT / "jobs") else "serve.app"
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def room_of_import(name: str) -> str | None:
    first, *rest = name.split(".")
    assert first not in ("jobs", "serve"), (
        f"{name}: the doors in jobs/ and serve/ are for users, the code is in mixstage"
    )
    return rest[0] if first == "mixstage" and rest and rest[0] in LAYER else None


def test_the_reader_of_imports_sees_those_inside_functions(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import os.path\ndef f():\n    if 1:\n        from mixstage.plan import Plan\n")
    assert list(imports(path)) == ["os.path", "mixstage.plan.Plan"]


def test_every_room_of_the_house_has_its_place() -> None:
    assert {room_of(path) for path in sources("lib/mixstage", "jobs", "serve")} - {"__init__"} <= set(LAYER)


@pytest.mark.parametrize("path", sources("lib/mixstage", "jobs", "serve"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room_of(path)
    if here == "__init__":
        return  # its names are loaded when they are used: see test_api.py
    for name in imports(path):
        there = room_of_import(name)
        if there is not None and there != here:
            assert LAYER[there] < LAYER[here], f"{here} imports {name}"


def test_stats_knows_only_arrays() -> None:
    """What the ground floor promises: its functions can be taken away and used on any numbers."""
    allowed = {
        "numpy",
        "scipy",
        "collections",
        "dataclasses",
        "math",
        "typing",
        "functools",
        "itertools",
        "statistics",
    } | {"mixstage"}
    used = {name for path in sources("lib/mixstage/stats") for name in imports(path)}
    assert {name.split(".")[0] for name in used} <= allowed
    assert {name for name in used if name.startswith("mixstage.") and not name.startswith("mixstage.stats.")} == set()


def test_ray_is_imported_at_its_edges_only() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in sources("lib/mixstage")
        if room_of(path) != "serve" and any(name.split(".")[0] == "ray" for name in imports(path))
    }
    assert users == RAY_EDGES


def test_ray_is_started_by_the_connection_only() -> None:
    for path in sources("lib/mixstage", "jobs", "serve"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ray.init", "ray.shutdown"):
                assert room_of(path) == "connection", f"{path}:{node.lineno} calls {ast.unparse(node.func)}"


def test_files_stay_below_the_length_at_which_they_are_split() -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in sources("lib/mixstage", "jobs", "serve")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LIMIT_LINES} == {}


# Imports the modules of each room in turn and tells after each what that did to the process.
PROBE = """
import importlib, json, pathlib, sys, threading
HEAVY = {"torch", "transformers", "sentence_transformers", "faiss", "bm25s", "datasets"}
found = {}
for room, modules in json.loads(sys.argv[1]).items():
    for name in modules:
        importlib.import_module(name)
    ray = sys.modules.get("ray")
    context = sys.modules.get("ray.serve.context")
    found[room] = {
        "heavy": sorted(HEAVY & set(sys.modules)),
        "ray started": bool(ray and ray.is_initialized()),
        "serve started": bool(context and context._global_client),
        "files": sorted(path.name for path in pathlib.Path.cwd().iterdir()),
        "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon],
    }
print(json.dumps(found))
"""
QUIET = {"heavy": [], "ray started": False, "serve started": False, "files": [], "threads": []}


def modules_of(folder: str) -> list[str]:
    names = []
    for path in sources(folder):
        parts = path.relative_to(ROOT / "lib" if path.is_relative_to(LIBRARY) else ROOT).with_suffix("").parts
        names.append(".".join(parts).removesuffix(".__init__"))
    return names


@pytest.fixture(scope="module")
def after_import(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What a process of its own, in an empty folder, looks like after importing each room."""
    folder = tmp_path_factory.mktemp("elsewhere")
    is_serve = operator.methodcaller("startswith", "mixstage.serve")
    library = modules_of("lib/mixstage")
    rooms = {
        "library": [name for name in library if not is_serve(name) and name != "mixstage.commands.serve"],
        "jobs": modules_of("jobs"),
        "serve": [*filter(is_serve, library), *modules_of("serve"), "mixstage.commands.serve"],
    }
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'lib'}:{ROOT}", "HOME": str(folder)}
    command = [sys.executable, "-c", PROBE, json.dumps(rooms)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("room", ["library", "jobs"])
def test_importing_the_library_and_the_jobs_loads_no_model_code_and_starts_nothing(
    after_import: dict[str, dict[str, object]], room: str
) -> None:
    assert after_import[room] == QUIET


def test_importing_the_serve_applications_starts_nothing(after_import: dict[str, dict[str, object]]) -> None:
    assert {**after_import["serve"], "heavy": []} == QUIET
