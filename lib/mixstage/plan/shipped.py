"""The plans that ship with mixstage, found by name."""

from pathlib import Path

from mixstage.errors import PlanError

FOLDER = Path(__file__).resolve().parents[1] / "plans"


def shipped_plans() -> dict[str, Path]:
    """Name -> file, in alphabetical order."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_plan(name: str | Path) -> Path:
    """A plan's file: a path, or the name of a plan that ships. Raises PlanError if there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_plans()
    if str(name) in shipped:
        return shipped[str(name)]
    raise PlanError(f"no plan at {path}: give the path of a YAML file, or one that ships: {', '.join(shipped)}")
