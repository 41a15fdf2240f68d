"""The release registry: an append-only SQL table of pins, one row a release of one application.

The newest row of an application that is not a trial is what is live. Rolling back appends an earlier pin again: nothing
is ever changed or deleted, so the table is its own audit log. Writers name the release they have seen; a row that came
meanwhile makes them lose (compare and swap), enforced by the primary key.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, Select, create_engine, insert, make_url, select
from sqlalchemy.exc import IntegrityError

from mixstage.errors import ReleaseError
from mixstage.plan.stages import Component
from mixstage.release.migrate import migrate
from mixstage.release.record import Fusion, Member, Note, Pin, Release, Standing, before, standing, undo_stack
from mixstage.release.tables import ANSWERING, FUSIONS, RELEASES

_CONNECT_S = 5  # in which a PostgreSQL server answers, or can't be reached
_PINNED = tuple(name for name in Pin.__slots__ if name != "fusion")  # columns of RELEASES; a fusion has a table


class Registry:
    """Releases in any database that SQLAlchemy reaches: sqlite:///file.db, postgresql+psycopg://..."""

    def __init__(self, url: str) -> None:
        self.url = url
        kind = make_url(url).get_backend_name()
        limits = {"connect_timeout": _CONNECT_S} if kind == "postgresql" else {}
        self.engine = create_engine(
            url, pool_pre_ping=True, connect_args=limits
        )  # a restarted server loses connections
        migrate(self.engine)

    def history(self, application: str) -> list[Release]:
        """Every release of an application, oldest first."""
        query = _rows().where(RELEASES.c.application == application).order_by(RELEASES.c.number)
        with self.engine.connect() as connection:
            return [_release(row) for row in connection.execute(query).mappings()]

    def live(self) -> dict[str, Release]:
        """application -> its newest release; what is on trial is not live."""
        return {name: standing.wanted for name, standing in self.standings().items()}

    def standings(self) -> dict[str, Standing]:
        """application -> where it stands."""
        query = _rows().order_by(RELEASES.c.application, RELEASES.c.number)
        with self.engine.connect() as connection:
            histories: dict[str, list[Release]] = {}
            for row in connection.execute(query).mappings():
                histories.setdefault(row["application"], []).append(_release(row))
            answering: dict[str, set[int]] = {name: set() for name in histories}
            for name, number in connection.execute(select(ANSWERING.c.application, ANSWERING.c.number)):
                answering[name].add(number)
        standings = {name: standing(history, answering[name]) for name, history in histories.items()}
        return {name: known for name, known in standings.items() if known is not None}

    def pinned(self) -> set[str]:
        """Digests of the generations that are live, served or on trial, or that a rollback may bring back."""
        standings = self.standings()
        stacks = [undo_stack(self.history(name)) for name in standings]
        pins = [pin for stack in stacks for layer in stack for pin in (layer.pin, *layer.retrievers)]
        releases = [release for known in standings.values() for release in (known.served, known.trial)]
        pins += [release.pin for release in releases if release is not None]
        return {member.generation for pin in pins for member in pin.members}

    def promote(self, application: str, pin: Pin, note: Note, *, seen: int | None = None) -> Release:
        """Pins an application; the same pin again changes nothing, ends no trial, and returns the live release.

        seen: number of the release that the caller takes for the live one; None reads it now. Raises ReleaseError
        if someone else released meanwhile.
        """
        history = self.history(application)
        known = standing(history, ())
        if known is not None and known.wanted.pin == pin and seen in (None, history[-1].number):
            return known.wanted
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
            raise ReleaseError(f"{application!r} has no {what} to roll back to: see `mixstage release history`")
        action = f"rollback {component}" if component else "rollback"
        return self._append(application, action, layer.pin, note, history, seen)

    def try_out(
        self, application: str, trial: str, pin: Pin, share: float, note: Note, *, seen: int | None = None
    ) -> Release:
        """Puts a pin on trial beside the live one; it takes the place of a trial that runs.

        trial: one of TRIALS. share: of the users, above 0, at most 1. Raises ReleaseError without a live release, if it
        does not answer yet (there is nothing to compare with, and it could fail below the trial), or if it has the
        same pin.
        """
        history = self.history(application)
        live = self._live(application, history)
        if not self._answers(live):
            raise ReleaseError(
                f"release {live.number} of {application!r} does not answer yet: wait until `mixstage serve` says so"
            )
        if live.pin == pin:
            raise ReleaseError(f"{application!r} is served with {pin.composition} already: there is nothing to try")
        return self._append(application, trial, pin, note, history, seen, share)

    def end_trial(self, application: str, note: Note, *, seen: int | None = None) -> Release:
        """Ends the trial that runs: all users get the live pin, whose verdict the note gets.

        Raises ReleaseError if none runs.
        """
        history = self.history(application)
        live = self._live(application, history)
        if not history[-1].is_trial:
            raise ReleaseError(f"nothing is on trial for {application!r}: see `mixstage release status`")
        note = replace(note, verdict=live.note.verdict)
        return self._append(application, "end", live.pin, note, history, seen)

    def fail(self, application: str, note: Note, *, seen: int) -> Release | None:
        """Marks the newest row as failed and pins again what was live before it.

        seen: number of that row, whose components did not come to answer. None if there is nothing to go back to: no
        row before, or the row is itself what a failure or an ended trial went back to.
        """
        history = self.history(application)
        if history[-1].action in ("failed", "end"):
            return None
        if history[-1].is_trial:
            return self.end_trial(application, note, seen=seen)
        failed = replace(history[-1], number=history[-1].number + 1, action="failed")
        stack = undo_stack([*history, failed])
        return self._append(application, "failed", stack[-1].pin, note, history, seen) if stack else None

    def mark_answering(self, release: Release) -> None:
        """Notes that all components of a row were seen answering; again changes nothing."""
        row = {"application": release.application, "number": release.number, "created": datetime.now(UTC)}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(ANSWERING).values(**row))
        except IntegrityError:
            pass  # it was noted before

    def _answers(self, release: Release) -> bool:
        row = (ANSWERING.c.application == release.application) & (ANSWERING.c.number == release.number)
        with self.engine.connect() as connection:
            return connection.execute(select(ANSWERING.c.number).where(row)).first() is not None

    def _live(self, application: str, history: Sequence[Release]) -> Release:
        known = standing(history, ())
        if known is None:
            raise ReleaseError(f"{application!r} has no release yet: promote one first")
        return known.wanted

    def _append(
        self,
        application: str,
        action: str,
        pin: Pin,
        note: Note,
        history: Sequence[Release],
        seen: int | None,
        share: float | None = None,
    ) -> Release:
        last = history[-1].number if history else 0
        if seen is not None and seen != last:
            raise ReleaseError(f"{application!r} is at release {last}, not {seen}: look at `status` and decide again")
        release = Release(
            application=application,
            number=last + 1,
            action=action,
            pin=pin,
            note=note,
            created=datetime.now(UTC),
            share=share,
        )
        key = {"application": application, "number": release.number}
        columns = {name: getattr(pin, name) for name in _PINNED} | asdict(note)
        try:
            with self.engine.begin() as connection:
                connection.execute(
                    insert(RELEASES).values(**key, action=action, share=share, created=release.created, **columns)
                )
                if pin.fusion is not None:
                    connection.execute(insert(FUSIONS).values(**key, **asdict(pin.fusion)))
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
    return Release(
        application=row["application"],
        number=row["number"],
        action=row["action"],
        pin=Pin(**{name: row[name] for name in _PINNED}, fusion=_fusion(row)),
        note=Note(**{name: row[name] for name in Note.__slots__}),
        share=row["share"],
        created=row["created"],
    )
