"""Registries of older versions, of a newer one, and of many that open at once."""

import threading

import pytest
from sqlalchemy import create_engine, inspect, text

from mixstage.errors import ReleaseError
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.release.tables import METADATA


def columns(url: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """table -> column -> (type, may be NULL)."""
    inspector = inspect(create_engine(url))
    return {
        table: {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)}
        for table in METADATA.tables
    }


def indexes(url: str) -> dict[str, set[tuple[str | None, ...]]]:
    """table -> the columns of each index."""
    inspector = inspect(create_engine(url))
    return {
        table: {tuple(index["column_names"]) for index in inspector.get_indexes(table)} for table in METADATA.tables
    }


def test_the_scripts_make_the_tables_that_the_code_declares(url: str) -> None:
    Registry(url)
    made = columns(url), indexes(url)
    with create_engine(url).begin() as connection:
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
    assert made == (columns(url), indexes(url))


def test_a_registry_of_a_newer_version_is_refused_untouched(url: str) -> None:
    Registry(url)
    with create_engine(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ReleaseError, match="of another mixstage than this one"):
        Registry(url)
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_many_that_open_an_empty_database_at_once_all_get_in(url: str) -> None:
    start = threading.Barrier(6)
    failures: list[BaseException] = []

    def open_it() -> None:
        start.wait()
        try:
            Registry(url).engine.dispose()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Registry(url).live() == {}


def test_a_migration_that_fails_leaves_the_old_tables_as_they_were(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    with create_engine(url).begin() as connection:
        connection.execute(
            text("CREATE TABLE releases (application VARCHAR(200), number INTEGER, PRIMARY KEY (application, number))")
        )
        connection.execute(text("INSERT INTO releases VALUES ('app', 1)"))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(op, "add_column", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        Registry(url)
    inspector = inspect(create_engine(url))
    assert set(inspector.get_table_names()) <= {"releases", "alembic_version"}  # no half: fusions went with it
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT application, number FROM releases")).all() == [("app", 1)]


def test_notes_of_releases_from_before_notes_are_empty(url: str) -> None:
    with create_engine(url).begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE releases (application VARCHAR(200) NOT NULL, number INTEGER NOT NULL, action VARCHAR(20) "
                "NOT NULL, composition VARCHAR(500) NOT NULL, corpus VARCHAR(64) NOT NULL, generation VARCHAR(64) NOT "
                "NULL, retriever VARCHAR(64), reranker VARCHAR(64), report VARCHAR(64) NOT NULL, created TIMESTAMP NOT "
                "NULL, PRIMARY KEY (application, number))"
            )
        )
        connection.execute(
            text(
                "INSERT INTO releases VALUES ('app', 1, 'promote', 'bm25@5 > none@10', 'c', 'g', NULL, 'k', 'r', "
                "'2026-11-25 10:00')"
            )
        )
    assert Registry(url).live()["app"].note == Note()
