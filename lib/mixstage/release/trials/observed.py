"""What gateways observe, in the registry's database: counts of trials, what users were shown, what they said of it."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from mixstage.release.tables import BASELINES, FEEDBACK, IMPRESSIONS, TALLIES
from mixstage.release.trials.interleave import Drafted, Team, preferred
from mixstage.release.trials.tally import Tally, total
from mixstage.release.trials.watch import TrialCounts

_LONGEST = 200  # characters of a request's id
Kind = Literal["click", "relevant", "not_relevant"]
TrialSide = tuple[str, int, Team]  # application, number of the trial's row, side


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """What a user was shown."""

    request_id: str
    application: str
    number: int  # of the row that answered; of interleaved hits the trial's
    role: str
    user: str  # see `hash_user`
    query: str
    documents: tuple[Drafted, ...]  # best first
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a user said of a document that a request answered with."""

    request_id: str
    application: str
    document_id: str
    kind: Kind
    user: str | None  # see `hash_user`; None: unknown
    created: datetime


def hash_user(application: str, user: str) -> str:
    """A user's key as it is stored: 32 hexadecimal digits of SHA-256. Equal keys stay equal inside an application.

    This hides the key, it is not anonymous: who knows all possible keys can find out which one it was.
    """
    return hashlib.sha256(f"{application}\0{user}".encode(errors="surrogatepass")).hexdigest()[:32]


class Observations:
    """The observed tables of a registry's database. Take its engine, `registry.engine`: a Registry has migrated it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def write(self, replica: str, tallies: Mapping[TrialSide, Tally], impressions: Sequence[Impression]) -> None:
        """Stores what a replica has counted, in all so far, and what it has shown, since it wrote last."""
        rows = [_impression_row(impression) for impression in impressions]
        with self.engine.begin() as connection:
            for (application, number, side), tally in tallies.items():
                key = {"application": application, "number": number, "side": side, "replica": replica}
                _put(connection, key, tally)
            if rows:
                connection.execute(insert(IMPRESSIONS), rows)

    def add_feedback(self, feedback: Feedback) -> None:
        values = {name: getattr(feedback, name) for name in Feedback.__slots__}
        with self.engine.begin() as connection:
            connection.execute(insert(FEEDBACK).values(**values))

    def counts(self, application: str, number: int) -> TrialCounts:
        """What all replicas observed of a trial, with the live p95 that was kept for it."""
        trial = and_(TALLIES.c.application == application, TALLIES.c.number == number)
        kept = and_(BASELINES.c.application == application, BASELINES.c.number == number)
        with self.engine.connect() as connection:
            rows = connection.execute(select(TALLIES).where(trial)).all()
            p95_ms = connection.execute(select(BASELINES.c.p95_ms).where(kept)).scalar()
            preferences = Counter(_preferences(connection, application, number))
        live, tried = (total(_tally(row) for row in rows if row.side == side) for side in ("live", "trial"))
        return TrialCounts(
            live=live,
            trial=tried,
            wins=preferences["trial"],
            losses=preferences["live"],
            ties=preferences[None],
            live_p95_ms=p95_ms,
        )

    def keep_baseline(self, application: str, number: int, p95_ms: float) -> None:
        """Keeps the live p95 that a trial is held against; the first one stays."""
        row = {"application": application, "number": number, "p95_ms": p95_ms, "created": datetime.now(UTC)}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(BASELINES).values(**row))
        except IntegrityError:
            pass  # another one was first

    def feedback(self, application: str) -> list[tuple[Feedback, Impression | None]]:
        """Every feedback on an application, oldest first, with what its request had shown; None: no such request."""
        query = select(FEEDBACK).where(FEEDBACK.c.application == application).order_by(FEEDBACK.c.id)
        has_feedback = exists().where(
            FEEDBACK.c.request_id == IMPRESSIONS.c.request_id, FEEDBACK.c.application == IMPRESSIONS.c.application
        )
        shown = (
            select(IMPRESSIONS).where(IMPRESSIONS.c.application == application, has_feedback).order_by(IMPRESSIONS.c.id)
        )
        with self.engine.connect() as connection:
            impressions = {row.request_id: _impression(row) for row in connection.execute(shown)}
            return [(_feedback(row), impressions.get(row.request_id)) for row in connection.execute(query)]

    def forget(self, before: datetime) -> int:
        """Deletes impressions from before a moment that had no feedback; returns how many.

        Each search writes one: without this the table grows for ever.
        """
        has_feedback = exists().where(FEEDBACK.c.request_id == IMPRESSIONS.c.request_id)
        with self.engine.begin() as connection:
            return connection.execute(delete(IMPRESSIONS).where(IMPRESSIONS.c.created < before, ~has_feedback)).rowcount


def _put(connection: Connection, key: Mapping[str, Any], tally: Tally) -> None:
    values = {
        "requests": tally.requests,
        "errors": tally.errors,
        "agreement": tally.agreement,
        "compared": tally.compared,
        "dropped": tally.dropped,
        "latencies": tally.latencies,
    }
    own = and_(*(TALLIES.c[name] == value for name, value in key.items()))
    if not connection.execute(update(TALLIES).where(own).values(**values)).rowcount:
        connection.execute(insert(TALLIES).values(**key, **values))


def _tally(row: Row[Any]) -> Tally:
    return Tally(
        requests=row.requests,
        errors=row.errors,
        agreement=row.agreement,
        compared=row.compared,
        dropped=row.dropped,
        latencies=Counter({int(bucket): count for bucket, count in row.latencies.items()}),
    )


def _preferences(connection: Connection, application: str, number: int) -> list[Team | None]:
    """Which side each clicked query of a trial prefers."""
    clicks = (
        select(IMPRESSIONS.c.request_id, IMPRESSIONS.c.documents, FEEDBACK.c.document_id)
        .join(
            FEEDBACK,
            and_(
                FEEDBACK.c.request_id == IMPRESSIONS.c.request_id, FEEDBACK.c.application == IMPRESSIONS.c.application
            ),
        )
        .where(
            IMPRESSIONS.c.application == application,
            IMPRESSIONS.c.number == number,
            IMPRESSIONS.c.role == "interleave",
            FEEDBACK.c.kind == "click",
        )
    )
    drafted: dict[str, list[Drafted]] = {}
    clicked: dict[str, set[str]] = {}
    for request_id, documents, document_id in connection.execute(clicks):
        drafted[request_id] = [(document, team) for document, team in documents]
        clicked.setdefault(request_id, set()).add(document_id)
    return [preferred(drafted[request_id], documents) for request_id, documents in clicked.items()]


def _impression_row(impression: Impression) -> dict[str, Any]:
    row = {name: getattr(impression, name) for name in Impression.__slots__}
    documents = [list(drafted) for drafted in impression.documents]
    request_id = _storable(impression.request_id)[:_LONGEST]
    return {**row, "request_id": request_id, "query": _storable(impression.query), "documents": documents}


def _storable(text: str) -> str:
    """The text without what a database refuses (zero bytes, lone surrogates): one such row would stop all others."""
    return text.replace("\0", " ").encode(errors="replace").decode()


def _impression(row: Row[Any]) -> Impression:
    values = {name: getattr(row, name) for name in Impression.__slots__}
    return Impression(**{**values, "documents": tuple((document, team) for document, team in row.documents)})


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(**{name: getattr(row, name) for name in Feedback.__slots__})
