"""API keys of the gateway, in the registry's database: their hashes, so that nobody comes in by reading the table.

A key is 256 random bits, so that a plain SHA-256 is as safe as a slow hash, which every request would pay for.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sized
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from mixstage.errors import PlanError, ReleaseError
from mixstage.plan.serving import ServingPlan
from mixstage.release.tables import API_KEYS


def hash_key(key: str) -> str:
    """SHA-256 of a key in hexadecimal, as it is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of a key."""

    name: str
    created: datetime
    revoked: datetime | None


class Keys:
    """The keys of one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create(self, name: str) -> str:
        """A new key, which only this call can show. Raises ReleaseError if the name was used before."""
        key = "mixstage_" + secrets.token_urlsafe(32)
        row = {"name": name, "sha256": hash_key(key), "created": datetime.now(UTC)}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(API_KEYS).values(**row))
        except IntegrityError:
            raise ReleaseError(f"there was a key {name!r} before: give this one another name") from None
        return key

    def revoke(self, name: str) -> None:
        """From now on, give or take a gateway's cache, the key is not valid. Raises ReleaseError if none is."""
        change = update(API_KEYS).where(API_KEYS.c.name == name, API_KEYS.c.revoked.is_(None))
        with self.engine.begin() as connection:
            if not connection.execute(change.values(revoked=datetime.now(UTC))).rowcount:
                raise ReleaseError(f"no valid key is called {name!r}: see `mixstage keys list`")

    def all(self) -> list[Key]:
        """All keys, valid and revoked, oldest first."""
        query = select(API_KEYS.c.name, API_KEYS.c.created, API_KEYS.c.revoked).order_by(API_KEYS.c.created)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Key(name=row.name, created=row.created, revoked=row.revoked) for row in rows]

    def valid(self) -> tuple[str, ...]:
        """Hashes of the keys that are not revoked."""
        with self.engine.connect() as connection:
            return tuple(connection.scalars(select(API_KEYS.c.sha256).where(API_KEYS.c.revoked.is_(None))))


def refuse_unguarded(serving: ServingPlan, valid: Sized) -> None:
    """Raises PlanError for a gateway that other machines reach without a valid key, unless the plan wants it open.

    valid: the keys that it has, such as `Keys.valid()`.
    """
    if serving.open or valid or _is_loopback(serving.host):
        return
    raise PlanError(
        f"serving.host {serving.host} is reached by other machines, and there would be no API key: make one with "
        "`mixstage keys create PLAN NAME`, or let everybody in with serving.open: true"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
