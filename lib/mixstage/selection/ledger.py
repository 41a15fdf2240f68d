"""The alpha ledger: every look at the same test data spends part of the error that a plan allows.

The first look takes alpha, each further one half of the one before, so that all of them together stay below twice alpha
however often a team retrains and looks again. The ledger is a numbered row of artifacts in the store: written once,
complete or absent, never changed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mixstage.store import Artifact, Store, digest_of

_KIND = "look"


def looks(store: Store) -> list[Artifact]:
    """All looks, the oldest first."""
    return sorted(store.all(_KIND), key=lambda look: int(look.recipe["number"]))


def take_look(
    store: Store,
    tests: Mapping[str, str],
    comparison: Mapping[str, Any],
    alpha: float,
    decide: Callable[[float], Mapping[str, Any]],
) -> dict[str, Any]:
    """Decides at the alpha that is left and notes it; a comparison that was noted before is answered from its note.

    tests: application -> digest of its test judgements; a look that shares one of them is an earlier look at the same
    data. comparison: plain data that says what is compared and by which numbers. Returns what `decide` found at
    alpha / 2^earlier, with `earlier` and `comparison` (a digest). Where two runs write at once, one comes second.
    """
    wanted = digest_of(comparison)
    while True:
        taken = looks(store)
        for look in taken:
            if look.meta["comparison"] == wanted:
                return look.meta
        earlier = sum(not set(tests.values()).isdisjoint(look.meta["tests"]) for look in taken)
        number = int(taken[-1].recipe["number"]) + 1 if taken else 0
        note = {"comparison": wanted, "tests": sorted(tests.values()), "earlier": earlier}
        store.draft(_KIND, {"what": "look", "number": number}).publish(note | {**decide(alpha / 2**earlier)})
