"""The release registry: an append-only SQL table of pins, one row a release of one application.

The newest row of an application is what is live. Rolling back appends an earlier pin again: nothing is ever changed
or deleted, so the table is its own audit log. Writers name the release they have seen; a row that came meanwhile makes
them lose (compare and swap), enforced by the primary key.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, Select, create_engine, insert, select
from sqlalchemy.exc import IntegrityError

from mixstage.errors import ReleaseError
from mixstage.release.migrate import migrate
from mixstage.release.record import Fusion, Member, Note, Pin, Release, before, undo_stack
from mixstage.release.tables import FUSIONS, RELEASES
from mixstage.stage_plan import Component


class Registry:
    """Releases in any database that SQLAlchemy reaches: sqlite:///file.db, postgresql+psycopg://..."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        migrate(self.engine)

    def history(self, application: str) -> list[Release]:
        """Every release of an application, oldest first."""
        query = _rows().where(RELEASES.c.application == application).order_by(RELEASES.c.number)
        with self.engine.connect() as connection:
            return [_release(row) for row in connection.execute(query).mappings()]

    def live(self) -> dict[str, Release]:
        """application -> its newest release."""
        query = _rows().order_by(RELEASES.c.application, RELEASES.c.number)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings()
            return {row["application"]: _release(row) for row in rows}

    def pinned(self) -> set[str]:
        """Digests of the generations that are live, or that a rollback may bring back."""
        with self.engine.connect() as connection:
            names = connection.execute(select(RELEASES.c.application).distinct()).scalars().all()
        stacks = [undo_stack(self.history(name)) for name in names]
        pins = [pin for stack in stacks for layer in stack for pin in (layer.pin, *layer.retrievers)]
        return {member.generation for pin in pins for member in pin.members}

    def promote(self, application: str, pin: Pin, note: Note, *, seen: int | None = None) -> Release:
        """Pins an application; the same pin again changes nothing and returns the live release.

        seen: number of the release that the caller takes for the live one; None reads it now. Raises ReleaseError
        if someone else released meanwhile.
        """
        history = self.history(application)
        if history and history[-1].pin == pin and seen in (None, history[-1].number):
            return history[-1]
        return self._append(application, "promote", pin, note, history, seen)

    def rollback(
        self, application: str, note: Note, *, component: Component | None = None, seen: int | None = None
    ) -> Release:
        """Pins an application to what was live before its current pin, or one component of it to what it was before.

        Rolling back twice goes back two releases, not to where one came from. Raises ReleaseError if there is nothing
        to go back to, or if someone else released meanwhile.
        """
        history = self.history(application)
        layer = before(undo_stack(history), component)
        if layer is None:
            what = f"earlier {component}" if component else "earlier release"
            raise ReleaseError(f"{application!r} has no {what} to roll back to: see `jobs.release history`")
        action = f"rollback {component}" if component else "rollback"
        return self._append(application, action, layer.pin, note, history, seen)

    def _append(
        self, application: str, action: str, pin: Pin, note: Note, history: Sequence[Release], seen: int | None
    ) -> Release:
        last = history[-1].number if history else 0
        if seen is not None and seen != last:
            raise ReleaseError(f"{application!r} is at release {last}, not {seen}: look at `status` and decide again")
        release = Release(
            application=application, number=last + 1, action=action, pin=pin, note=note, created=datetime.now(UTC)
        )
        key = {"application": application, "number": release.number}
        columns = asdict(pin) | asdict(note)
        fusion = columns.pop("fusion")
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(RELEASES).values(**key, action=action, created=release.created, **columns))
                if fusion is not None:
                    connection.execute(insert(FUSIONS).values(**key, **fusion))
        except IntegrityError:
            raise ReleaseError(
                f"{application!r} was released by someone else just now: look at `status` first"
            ) from None
        return release


def _rows() -> Select[Any]:
    """Releases, each with its fusion's columns, NULL where it has none."""
    return select(RELEASES, FUSIONS.c.members, FUSIONS.c.constant, FUSIONS.c.depth).select_from(
        RELEASES.outerjoin(FUSIONS)
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
        note=Note(**{name: row[name] for name in Note.__slots__}),
        created=created if created.tzinfo else created.replace(tzinfo=UTC),
    )
