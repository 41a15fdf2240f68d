"""The release registry: an append-only SQL table of pins, one row a release of one application.

What a fused retriever adds to its release stands in a second table, so registries from before fusions stay as they are.
The newest row of an application is what is live. Rolling back appends the row before it again: nothing is ever changed
or deleted, so the table is its own audit log. Writers name the release they have seen; a row that came meanwhile makes
them lose (compare and swap), enforced by the primary key.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    RowMapping,
    Select,
    String,
    Table,
    create_engine,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from mixstage.errors import ReleaseError

_METADATA = MetaData()
_RELEASES = Table(
    "releases",
    _METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, ... per application
    Column("action", String(20), nullable=False),  # promote | rollback
    Column("composition", String(500), nullable=False),
    Column("corpus", String(64), nullable=False),  # artifact digests
    Column("generation", String(64), nullable=False),  # empty: a fusion, whose members are in `fusions`
    Column("retriever", String(64)),  # checkpoint; NULL is BM25
    Column("reranker", String(64)),  # checkpoint; NULL is none
    Column("report", String(64), nullable=False),  # why
    Column("created", DateTime(timezone=True), nullable=False),
)
_FUSIONS = Table(
    "fusions",
    _METADATA,
    Column("application", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("members", JSON, nullable=False),  # [{generation, retriever, weight}], digests as in `releases`
    Column("constant", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A retriever that a query asks."""

    generation: str
    retriever: str | None  # the checkpoint that made the generation; None is BM25
    weight: float | None = None  # of its votes in a weighted fusion; None: it votes by reciprocal rank, or stands alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Several retrievers as one: see `mixstage.evaluation.fusion.fuse_rankings`."""

    members: tuple[Member, ...]
    constant: int
    depth: int  # documents that each member contributes, and that the fusion keeps

    @property
    def weights(self) -> tuple[float, ...]:
        """One a member, in their order; empty for reciprocal rank."""
        return tuple(member.weight for member in self.members if member.weight is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What an application is served with: a composition and the artifacts behind its names."""

    composition: str
    corpus: str
    generation: str  # empty with a fusion: whoever knows none finds nothing to serve, instead of one member alone
    retriever: str | None
    reranker: str | None
    report: str
    fusion: Fusion | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """The retrievers that a query asks: one, or those of the fusion."""
        if self.fusion is not None:
            return self.fusion.members
        return (Member(generation=self.generation, retriever=self.retriever),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One row: the `number`-th release of an application."""

    application: str
    number: int
    action: str
    pin: Pin
    created: datetime


class Registry:
    """Releases in any database that SQLAlchemy reaches: sqlite:///file.db, postgresql://..."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        _METADATA.create_all(self.engine)

    def history(self, application: str) -> list[Release]:
        """Every release of an application, oldest first."""
        query = _rows().where(_RELEASES.c.application == application).order_by(_RELEASES.c.number)
        with self.engine.connect() as connection:
            return [_release(row) for row in connection.execute(query).mappings()]

    def live(self) -> dict[str, Release]:
        """application -> its newest release."""
        query = _rows().order_by(_RELEASES.c.application, _RELEASES.c.number)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings()
            return {row["application"]: _release(row) for row in rows}

    def pinned(self) -> set[str]:
        """Digests of the generations that are live, or that a rollback may bring back."""
        with self.engine.connect() as connection:
            names = connection.execute(select(_RELEASES.c.application).distinct()).scalars().all()
        stacks = [_undo_stack(self.history(name)) for name in names]
        return {member.generation for stack in stacks for pin in stack for member in pin.members}

    def promote(self, application: str, pin: Pin, *, seen: int | None = None) -> Release:
        """Pins an application; the same pin again changes nothing and returns the live release.

        seen: number of the release that the caller takes for the live one; None reads it now. Raises ReleaseError
        if someone else released meanwhile.
        """
        history = self.history(application)
        if history and history[-1].pin == pin and seen in (None, history[-1].number):
            return history[-1]
        return self._append(application, "promote", pin, history, seen)

    def rollback(self, application: str, *, seen: int | None = None) -> Release:
        """Pins an application to what was live before its current pin; raises ReleaseError if there was nothing.

        Rolling back twice goes back two releases, not to where one came from.
        """
        history = self.history(application)
        stack = _undo_stack(history)
        if len(stack) < 2:
            raise ReleaseError(f"{application!r} has no earlier release to roll back to: see `jobs.release status`")
        return self._append(application, "rollback", stack[-2], history, seen)

    def _append(self, application: str, action: str, pin: Pin, history: Sequence[Release], seen: int | None) -> Release:
        last = history[-1].number if history else 0
        if seen is not None and seen != last:
            raise ReleaseError(f"{application!r} is at release {last}, not {seen}: look at `status` and decide again")
        release = Release(application=application, number=last + 1, action=action, pin=pin, created=datetime.now(UTC))
        key = {"application": application, "number": release.number}
        columns = asdict(pin)
        fusion = columns.pop("fusion")
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(_RELEASES).values(**key, action=action, created=release.created, **columns))
                if fusion is not None:
                    connection.execute(insert(_FUSIONS).values(**key, **fusion))
        except IntegrityError:
            raise ReleaseError(
                f"{application!r} was released by someone else just now: look at `status` first"
            ) from None
        return release


def _rows() -> Select[Any]:
    """Releases, each with its fusion's columns, NULL where it has none."""
    return select(_RELEASES, _FUSIONS.c.members, _FUSIONS.c.constant, _FUSIONS.c.depth).select_from(
        _RELEASES.outerjoin(_FUSIONS)
    )


def _fusion(row: RowMapping) -> Fusion | None:
    if row["members"] is None:
        return None
    members = tuple(Member(**member) for member in row["members"])
    return Fusion(members=members, constant=row["constant"], depth=row["depth"])


def _release(row: RowMapping) -> Release:
    created = row["created"]  # SQLite keeps no time zone: all rows are written in UTC
    return Release(
        application=row["application"],
        number=row["number"],
        action=row["action"],
        pin=Pin(**{name: row[name] for name in Pin.__slots__ if name != "fusion"}, fusion=_fusion(row)),
        created=created if created.tzinfo else created.replace(tzinfo=UTC),
    )


def _undo_stack(history: Sequence[Release]) -> list[Pin]:
    """Pins that are still under the live one: a promote pushes, a rollback pops."""
    stack: list[Pin] = []
    for release in history:
        if release.action == "rollback":
            stack.pop()
        else:
            stack.append(release.pin)
    return stack
