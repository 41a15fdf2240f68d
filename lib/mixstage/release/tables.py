"""The registry's tables as this version reads and writes them; `migrations/` brings older databases here."""

from sqlalchemy import JSON, Column, DateTime, Float, ForeignKeyConstraint, Integer, MetaData, String, Table, Text

METADATA = MetaData()
RELEASES = Table(
    "releases",
    METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, ... per application: the previous row
    # is the one below, and of two writers that saw the same previous row the key lets one in
    Column("action", String(20), nullable=False),  # see `record.Release`
    Column("share", Float),  # of a trial
    Column("composition", String(500), nullable=False),  # holds depth, mix and k
    Column("corpus", String(64), nullable=False),  # artifact digests
    Column("generation", String(64), nullable=False),  # empty: a fusion, whose members are in `fusions`
    Column("retriever", String(64)),  # checkpoint; NULL is BM25
    Column("reranker", String(64)),  # checkpoint; NULL is none
    Column("report", String(64), nullable=False),
    Column("verdict", String(20)),  # what the report's test said of the composition; NULL: it was not tested
    Column("author", String(200), nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created", DateTime(timezone=True), nullable=False),
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
    Column("created", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),  # of the key, in hexadecimal
    Column("created", DateTime(timezone=True), nullable=False),
    Column("revoked", DateTime(timezone=True)),  # NULL: valid
)
