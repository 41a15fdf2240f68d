"""A client of a mixstage gateway: see `Client` and `AsyncClient`."""

from mixstage.client.answers import (
    Answer,
    Application,
    Compositions,
    Hit,
    Ranks,
    Release,
    Scores,
    Timings,
    Trial,
)
from mixstage.client.calls import Feedback, Options
from mixstage.client.clients import AsyncClient, Client
from mixstage.errors import ClientError

__all__ = [
    "Answer",
    "Application",
    "AsyncClient",
    "Client",
    "ClientError",
    "Compositions",
    "Feedback",
    "Hit",
    "Options",
    "Ranks",
    "Release",
    "Scores",
    "Timings",
    "Trial",
]
