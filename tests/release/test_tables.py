"""Columns that hold values: compositions and moments, on each kind of database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, text

from mixstage.composition import Composition
from mixstage.errors import PlanError
from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from mixstage.release.tables import API_KEYS

COMPOSITION = Composition.parse("retriever:robust@60 > 0.5*reranker:refine@10")
PIN = Pin(composition=COMPOSITION, corpus="c", generation="g", retriever="r", reranker="k", report="p")


def test_a_composition_is_stored_as_its_name_and_read_as_a_value(registry: Registry) -> None:
    registry.promote("app", PIN, Note())
    with registry.engine.connect() as connection:
        assert connection.execute(text("SELECT composition FROM releases")).scalar_one() == str(COMPOSITION)
    assert registry.live()["app"].pin == PIN


def test_a_row_whose_text_names_no_composition_is_refused(registry: Registry) -> None:
    registry.promote("app", PIN, Note())
    with registry.engine.begin() as connection:
        connection.execute(text("UPDATE releases SET composition = 'the good one'"))
    with pytest.raises(PlanError, match="'the good one' names no composition"):
        registry.live()


def test_a_moment_comes_back_in_utc_from_whatever_zone_it_was_written_in(registry: Registry) -> None:
    noon_in_paris = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with registry.engine.begin() as connection:
        connection.execute(insert(API_KEYS).values(name="ada", sha256="0" * 64, created=noon_in_paris))
        created, revoked = connection.execute(select(API_KEYS.c.created, API_KEYS.c.revoked)).one()
    assert (created.isoformat(), revoked) == (datetime(2026, 7, 1, 10, tzinfo=UTC).isoformat(), None)
