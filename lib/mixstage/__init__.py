"""mixstage: staged retrievers and rerankers, every combination evaluated, the winner released, on Ray.

>>> import mixstage
>>> plan = mixstage.load_plan("plan.yaml")
>>> pipeline = mixstage.Pipeline.of(plan)
>>> report = pipeline.report  # what the store lacks is trained, indexed, evaluated, chosen  # doctest: +SKIP

>>> mixstage.measure("run.trec", "qrels.tsv", ["nDCG@10", "R@100"])["mean"]  # doctest: +SKIP
{'nDCG@10': 0.5012, 'R@100': 0.9753}

>>> with mixstage.Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     hits = client.search("counsel", "who pays for broken heating").hits

Importing mixstage takes milliseconds: each name below is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see of the names in _ROOMS
    from mixstage.client import Answer, AsyncClient, Client, Hit
    from mixstage.composition import Composition
    from mixstage.errors import (
        ClientError,
        InputError,
        MixstageError,
        ModelError,
        PlanError,
        ReleaseError,
        StoreError,
        TrainingError,
    )
    from mixstage.measures.compare_runs import compare
    from mixstage.measures.one_run import measure
    from mixstage.models.checkpoint import Checkpoint
    from mixstage.pipeline import Pipeline
    from mixstage.plan.load import load_plan, parse_plan
    from mixstage.plan.schema import Plan
    from mixstage.progress import Progress
    from mixstage.store.store import Store

__all__ = [
    "Answer",
    "AsyncClient",
    "Checkpoint",
    "Client",
    "ClientError",
    "Composition",
    "Hit",
    "InputError",
    "MixstageError",
    "ModelError",
    "Pipeline",
    "Plan",
    "PlanError",
    "Progress",
    "ReleaseError",
    "Store",
    "StoreError",
    "TrainingError",
    "compare",
    "load_plan",
    "measure",
    "parse_plan",
]

__version__ = "0.1.0"

_ROOMS = {
    "client": ("Answer", "AsyncClient", "Client", "Hit"),
    "composition": ("Composition",),
    "errors": (
        "ClientError",
        "InputError",
        "MixstageError",
        "ModelError",
        "PlanError",
        "ReleaseError",
        "StoreError",
        "TrainingError",
    ),
    "measures.compare_runs": ("compare",),
    "measures.one_run": ("measure",),
    "models.checkpoint": ("Checkpoint",),
    "pipeline": ("Pipeline",),
    "plan.load": ("load_plan", "parse_plan"),
    "plan.schema": ("Plan",),
    "progress": ("Progress",),
    "store.store": ("Store",),
}
_ROOM_OF = {name: f"mixstage.{room}" for room, names in _ROOMS.items() for name in names}

if not TYPE_CHECKING:  # a checker that saw it would take any name for one of mixstage's

    def __getattr__(name: str) -> Any:
        if name not in _ROOM_OF:
            raise AttributeError(f"module 'mixstage' has no attribute {name!r}: it has {', '.join(__all__)}")
        value = globals()[name] = getattr(importlib.import_module(_ROOM_OF[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
