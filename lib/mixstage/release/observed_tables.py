"""Tables beside the releases: what is counted of trials, what users were shown, and what they said of it."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    Text,
)

from mixstage.release.tables import METADATA

_LONG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER columns only
TALLIES = Table(
    "tallies",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # the trial's row
    Column("side", String(10), primary_key=True),  # live | trial
    Column("replica", String(64), primary_key=True),  # the only writer of its rows, so that none locks another out
    Column("requests", BigInteger, nullable=False),  # this and what follows: see `mixstage.release.tally.Tally`
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
    Column("created", DateTime(timezone=True), nullable=False),
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
    Column("user", String(64), nullable=False),  # hashed
    Column("query", Text, nullable=False),
    Column("documents", JSON, nullable=False),  # [[document, live | trial | null]], best first
    Column("created", DateTime(timezone=True), nullable=False, index=True),
)
FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("id", _LONG, primary_key=True),
    Column("request_id", String(200), nullable=False, index=True),
    Column("application", String(200), nullable=False),
    Column("document_id", String(500), nullable=False),
    Column("kind", String(20), nullable=False),  # click | relevant | not_relevant
    Column("user", String(64)),  # hashed; NULL: not told
    Column("created", DateTime(timezone=True), nullable=False),
)
