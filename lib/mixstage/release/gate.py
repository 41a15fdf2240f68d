"""Which compositions a report lets be released."""

from collections.abc import Mapping
from typing import Any

from mixstage.errors import ReleaseError


def verdict_on(report: Mapping[str, Any], composition: str) -> str | None:
    """What a report's test says of a composition: its verdict for the two that were compared, None for all others."""
    choice = report["choice"]
    compared = (choice["winner"], choice["rivals"]["incumbent"])
    return str(report["verdict"]["word"]) if composition in compared else None


def refuse_unproven(report: Mapping[str, Any], composition: str) -> None:
    """Raises ReleaseError unless the composition is the incumbent, which every verdict leaves in place, or a winner
    whose verdict is SHIP."""
    choice, verdict = report["choice"], report["verdict"]
    if composition == choice["rivals"]["incumbent"]:
        return
    if composition != choice["winner"]:
        told = f"no test compared it with the incumbent, only {choice['winner']}"
    elif verdict["word"] != "SHIP":
        told = f"the verdict on it is {verdict['sentence']}"
    else:
        return
    raise ReleaseError(f"{composition} is not proven: {told}\nRelease it all the same with --force --why 'the reason'")
