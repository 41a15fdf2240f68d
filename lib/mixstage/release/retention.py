"""Which index generations may go."""

from collections.abc import Iterable

from mixstage.indexing.live import histories
from mixstage.store import Artifact, Store


def unneeded_generations(store: Store, pinned: Iterable[str], keep: int) -> list[Artifact]:
    """Published generations that no pointer has among its last `keep` and that nothing pins."""
    needed = set(pinned)
    for digests in histories(store):
        needed.update(digests[:keep])
    return [generation for generation in store.all("generation") if generation.digest not in needed]
