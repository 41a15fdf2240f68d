"""Errors a user can act on: each says what is wrong, with which value, and what to do next.

Every class takes one message: an exception with more constructor arguments does not survive the pickling
by which Ray carries it from a worker to the driver.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any, Final

_NEAREST: Final = 5  # names that a refusal lists


class MixstageError(Exception):
    """Anything mixstage refuses to do; `jobs` print the message and exit with 2."""


class PlanError(MixstageError):
    """The plan file contradicts itself or the schema; the message lists every problem with its path."""


class InputError(MixstageError):
    """Bad user data: a corpus, queries, judgements or a run; names file, line, value and remedy."""


class StoreError(MixstageError):
    """An artifact is missing, incomplete or does not match its manifest."""


class AbsentError(StoreError):
    """An artifact that nobody has made yet, where nothing is to be made."""


class DamagedError(StoreError):
    """A file of an artifact is gone or is not what the manifest says."""


class ModelError(MixstageError):
    """A model can't be opened, or its golden records drifted."""


class ReleaseError(MixstageError):
    """A release that can't be made: unknown pin, incompatible pair, lost race."""


class FilterError(MixstageError):
    """A search's filter that names no declared field, or a value of another type; a caller's mistake."""


class OverloadError(MixstageError):
    """A component can't answer now: too much waits, or a part of it is being replaced; to be asked again later."""


class ClusterError(MixstageError):
    """Ray can't be joined, or no node of it will ever have what the work asks for."""


class TrainingError(MixstageError):
    """A training run that can't go on: a loss that is no number, too little memory; says which knob to turn."""


class ClientError(MixstageError):
    """A gateway refused a call, or could not be reached."""

    status: int | None = None  # of HTTP; None: no answer came
    problem: dict[str, Any] | None = None  # as the gateway told it (RFC 9457)
    retry_after_s: float | None = None  # seconds after which the gateway wants to be asked again


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """The refusal of a name that is none of the known ones: those most like it first."""
    alike = sorted(known, key=lambda other: -SequenceMatcher(None, name.lower(), other.lower()).ratio())
    more = f" and {len(alike) - _NEAREST:,} more" if len(alike) > _NEAREST else ""
    return InputError(f"no {what} {name!r}: nearest first, there are {', '.join(map(repr, alike[:_NEAREST]))}{more}")
