"""Errors a user can act on: each says what is wrong, with which value, and what to do next.

Every class takes one message: an exception with more constructor arguments does not survive the pickling
by which Ray carries it from a worker to the driver.
"""


class MixstageError(Exception):
    """Anything mixstage refuses to do; `jobs` print the message and exit with 2."""


class PlanError(MixstageError):
    """The plan file contradicts itself or the schema; the message lists every problem with its path."""


class InputError(MixstageError):
    """Bad user data: a corpus, queries, judgements or a run; names file, line, value and remedy."""


class StoreError(MixstageError):
    """An artifact is missing, incomplete or does not match its manifest."""


class DamagedError(StoreError):
    """A file of an artifact is gone or is not what the manifest says."""


class ModelError(MixstageError):
    """A model can't be opened, or its golden records drifted."""


class ReleaseError(MixstageError):
    """A release that can't be made: unknown pin, incompatible pair, lost race."""


class TrainingError(MixstageError):
    """A training run that can't go on: a loss that is no number, too little memory; says which knob to turn."""
