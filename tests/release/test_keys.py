"""API keys in the registry's database."""

import hashlib

import pytest
from sqlalchemy import create_engine, inspect, text

from mixstage.errors import PlanError, ReleaseError
from mixstage.plan.serving import ServingPlan
from mixstage.release.keys import Keys, hash_key, refuse_unguarded
from mixstage.release.registry import Registry
from mixstage.release.tables import API_KEYS


@pytest.fixture
def keys(registry: Registry) -> Keys:
    return Keys(registry.engine)


def test_a_key_is_kept_as_its_hash_only(keys: Keys, url: str) -> None:
    key = keys.create("counsel")
    assert key.startswith("mixstage_") and len(key) == len("mixstage_") + 43  # 32 bytes in base64
    assert keys.valid() == (hashlib.sha256(key.encode()).hexdigest(),) == (hash_key(key),)
    with create_engine(url).connect() as connection:
        assert key not in str(connection.execute(text("SELECT * FROM api_keys")).all())


def test_keys_differ_and_a_revoked_one_is_valid_no_more(keys: Keys) -> None:
    first, second = keys.create("counsel"), keys.create("drafting")
    assert first != second
    keys.revoke("counsel")
    assert keys.valid() == (hash_key(second),)
    assert [(key.name, key.revoked is None) for key in keys.all()] == [("counsel", False), ("drafting", True)]
    assert all(key.created.tzinfo is not None for key in keys.all())


def test_a_name_is_used_once_so_that_logs_stay_clear(keys: Keys) -> None:
    keys.create("counsel")
    keys.revoke("counsel")
    with pytest.raises(ReleaseError, match="there was a key 'counsel' before"):
        keys.create("counsel")
    for name in ("counsel", "nobody"):
        with pytest.raises(ReleaseError, match="no valid key is called"):
            keys.revoke(name)


def test_the_script_makes_the_table_that_the_code_declares(keys: Keys, url: str) -> None:
    def columns() -> dict[str, tuple[str, bool]]:
        found = inspect(create_engine(url)).get_columns("api_keys")
        return {column["name"]: (str(column["type"]), column["nullable"]) for column in found}

    made = columns()
    API_KEYS.drop(keys.engine)
    API_KEYS.create(keys.engine)
    assert made == columns()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_gateway_that_only_this_machine_reaches_needs_no_key(host: str) -> None:
    refuse_unguarded(ServingPlan(host=host), ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "search.example.org", "localhost.example.org", ""])
def test_one_that_others_reach_needs_a_key_or_the_plans_word(host: str) -> None:
    with pytest.raises(PlanError, match="there would be no API key"):
        refuse_unguarded(ServingPlan(host=host), ())
    refuse_unguarded(ServingPlan(host=host), ("hash",))
    refuse_unguarded(ServingPlan(host=host, open=True), ())
