"""Names of models: what a client may write as `model`, and which running component that is."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mixstage.plan.stages import Component
from mixstage.release.record import Member, Release
from mixstage.serve.answering.components import reranker_app, retriever_app
from mixstage.serve.answering.routing import Routes
from mixstage.serve.problems import Refusal

_UNSET = ("", "default/not-specified")  # the second is what infinity's clients send for "whichever runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A running checkpoint."""

    component: Component
    checkpoint: str  # digest
    member: Member | None  # a retriever's: whom to ask for its vectors
    app: str  # its Serve application: a name that no other model has
    label: str  # its stage in a composition; of a fusion's member `app`
    created: datetime  # of the release that brought it


class Models:
    """Running components under their names; BM25 is none of them, as it neither embeds nor scores."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes

    async def find(self, component: Component, name: str | None) -> Model:
        """The retriever or reranker of that name; unset: the only one that runs.

        Raises a refusal, with the names there are, of an unknown name (404), of one that two applications give to
        different checkpoints (400), and of no name where several run (400).
        """
        by_name = _named(model for model in await self._running() if model.component == component)
        if not by_name:
            raise Refusal(404, f"no {component} runs that could answer", code="model_not_found")
        if name is None or name in _UNSET:
            every: dict[str, Model] = {}
            for models in by_name.values():
                every = models | every
            return _only(every, f"several {component}s run", ", ".join(_usable(by_name)))
        if name not in by_name:
            known = ", ".join(_usable(by_name))
            raise Refusal(404, f"no {component} of that name: there are {known}", code="model_not_found")
        models = by_name[name]
        apps = ", ".join(model.app for model in models.values())
        return _only(models, "applications mean different checkpoints by that name", apps)

    async def any(self, name: str | None) -> Model:
        """The retriever or reranker of that name; unset: the only retriever."""
        component: Component = "reranker" if name is not None and name.startswith("reranker") else "retriever"
        return await self.find(component, name)

    async def names(self) -> dict[str, Model]:
        """Every name that means one checkpoint."""
        return _usable(_named(await self._running()))

    async def _running(self) -> list[Model]:
        standings = (await self.routes.all()).values()
        releases = [release for s in standings for release in (s.served, s.active_trial) if release is not None]
        return [model for release in releases for model in _models_of(release)]


def _models_of(release: Release) -> list[Model]:
    pin, composition = release.pin, release.pin.composition
    models = []
    for member in pin.members:
        if member.retriever is not None:
            app = retriever_app(member)
            label = app if pin.fusion else f"retriever:{composition.retriever}"
            models.append(_model(release, "retriever", member.retriever, app, label, member))
    if pin.reranker is not None:
        label = f"reranker:{composition.reranker}"
        models.append(_model(release, "reranker", pin.reranker, reranker_app(pin.reranker), label))
    return models


def _model(
    release: Release, component: Component, checkpoint: str, app: str, label: str, member: Member | None = None
) -> Model:
    return Model(
        component=component, checkpoint=checkpoint, member=member, app=app, label=label, created=release.created
    )


def _named(models: Iterable[Model]) -> dict[str, dict[str, Model]]:
    """name -> checkpoint -> the first model of it: over two generations a retriever embeds alike."""
    by_name: dict[str, dict[str, Model]] = {}
    for model in models:
        for name in (model.label, model.app):
            by_name.setdefault(name, {}).setdefault(model.checkpoint, model)
    return by_name


def _usable(by_name: dict[str, dict[str, Model]]) -> dict[str, Model]:
    return {name: next(iter(models.values())) for name, models in by_name.items() if len(models) == 1}


def _only(models: dict[str, Model], problem: str, names: str) -> Model:
    if len(models) > 1:
        raise Refusal(400, f"{problem}: name one of {names}", code="model_ambiguous")
    return next(iter(models.values()))
