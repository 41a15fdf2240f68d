"""The registry's tables as this version reads and writes them; `migrations/` brings older databases here.

Releases and their fusions, which of them were seen answering, API keys; what is counted of trials, what users were
shown, and what they said of it.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from mixstage.composition import Composition

METADATA = MetaData()
_LONG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER columns only


class CompositionName(TypeDecorator[Composition]):
    """A composition, stored as its name, which holds depth, mix and k. Reading raises PlanError for another text."""

    impl = String(500)
    cache_ok = True

    def process_bind_param(self, value: Composition | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Composition | None:
        return None if value is None else Composition.parse(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its time zone, read as UTC. SQLite keeps no zone, so all rows are written in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        assert value is None or value.tzinfo is not None, "a moment without a time zone could be any"
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


RELEASES = Table(
    "releases",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, ... per application: the previous row
    # is the one below, and of two writers that saw the same previous row the key lets one in
    Column("action", String(20), nullable=False),  # see `record.Release`
    Column("share", Float),  # of a trial
    Column("composition", CompositionName, nullable=False),
    Column("corpus", String(64), nullable=False),  # artifact digests
    Column("generation", String(64), nullable=False),  # empty: a fusion, whose members are in `fusions`
    Column("retriever", String(64)),  # checkpoint; NULL is BM25
    Column("reranker", String(64)),  # checkpoint; NULL is none
    Column("report", String(64), nullable=False),
    Column("verdict", String(20)),  # what the report's test said of the composition; NULL: it was not tested
    Column("author", String(200), nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created", UtcDateTime, nullable=False),
)
FUSIONS = Table(
    "fusions",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("members", JSON, nullable=False),  # [{generation, retriever, weight}], digests as in `releases`
    Column("constant", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)
ANSWERING = Table(  # rows whose components were all seen answering: a gateway routes to no other
    "answering",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),  # of the key, in hexadecimal
    Column("created", UtcDateTime, nullable=False),
    Column("revoked", UtcDateTime),  # NULL: valid
)
TALLIES = Table(
    "tallies",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # the trial's row
    Column("side", String(10), primary_key=True),  # live | trial
    Column("replica", String(64), primary_key=True),  # the only writer of its rows, so that none locks another out
    Column("requests", BigInteger, nullable=False),  # this and what follows: see `mixstage.release.trials.tally.Tally`
    Column("errors", BigInteger, nullable=False),
    Column("agreement", Float, nullable=False),
    Column("compared", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("latencies", JSON, nullable=False),  # {bucket: answers}
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)
BASELINES = Table(  # the live p95 that a trial is held against: the first one that was written
    "baselines",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("p95_ms", Float, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)
IMPRESSIONS = Table(
    "impressions",
    METADATA,
    Column("id", _LONG, primary_key=True),
    Column("request_id", String(200), nullable=False, index=True),  # may come twice: a client that asks again
    Column("application", String(200), nullable=False),
    Column("number", Integer, nullable=False),  # the row that answered, of interleaved hits the trial's
    Column("role", String(20), nullable=False),  # of the answer
    Column("user", String(64), nullable=False),  # see `observed.hash_user`
    Column("query", Text, nullable=False),
    Column("documents", JSON, nullable=False),  # [[document, live | trial | null]], best first
    Column("created", UtcDateTime, nullable=False, index=True),
    Index("ix_impressions_trial", "application", "number", "role"),  # a trial's clicks are counted every few seconds
)
FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("id", _LONG, primary_key=True),
    Column("request_id", String(200), nullable=False, index=True),
    Column("application", String(200), nullable=False),
    Column("document_id", String(500), nullable=False),
    Column("kind", String(20), nullable=False),  # click | relevant | not_relevant
    Column("user", String(64)),  # likewise; NULL: unknown
    Column("created", UtcDateTime, nullable=False),
)
