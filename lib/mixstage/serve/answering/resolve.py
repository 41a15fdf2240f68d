"""Compositions that a request names: put together from the components that run for whatever is pinned now."""

from collections.abc import Sequence
from dataclasses import replace

from mixstage.composition import Composition
from mixstage.release.record import Pin


def available(live: Pin, running: Sequence[Pin]) -> dict[Composition, Pin]:
    """Composition -> pin of what can answer an application: every running retriever over its corpus with every running
    reranker, and with none, at the depth, mix and k of its live pin.

    running: pins whose components run. Of two components of one name the live one is meant, else the first.
    """
    pins = [live, *running]
    by_composition: dict[Composition, Pin] = {}
    for retriever in pins:
        for reranker in (*pins, None):
            pin = _joined(live, retriever, reranker, live.composition)
            if pin is not None:
                by_composition.setdefault(pin.composition, pin)
    return by_composition


def resolve(wanted: Composition, live: Pin, running: Sequence[Pin]) -> Pin | None:
    """The pin of a composition by name, at its own depth, mix and k; None if its components do not run."""
    pins = [live, *running]
    rerankers: tuple[Pin | None, ...] = (None,) if wanted.reranker == "none" else tuple(pins)
    for retriever in pins:
        for reranker in rerankers:
            pin = _joined(live, retriever, reranker, wanted)
            if pin is not None and pin.composition == wanted:
                return pin
    return None


def _joined(live: Pin, retriever: Pin, reranker: Pin | None, shape: Composition) -> Pin | None:
    """The live pin with the retriever of one and the reranker of another, at a depth, mix and k; None if there is none.

    Only the shape's depth, mix and k count, not its names.
    """
    if retriever.corpus != live.corpus or (reranker is not None and reranker.reranker is None):
        return None
    if retriever.fusion is not None and shape.depth > retriever.fusion.depth:
        return None
    pin = live.with_component("retriever", retriever)
    if reranker is not None:
        pin = pin.with_component("reranker", reranker)
    composition = replace(pin.composition, depth=shape.depth, mix=shape.mix, k=shape.k)
    if reranker is None:
        pin, composition = replace(pin, reranker=None), replace(composition, reranker="none", mix=1.0)
    return replace(pin, composition=composition)
