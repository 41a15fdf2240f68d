"""What a gateway observes reaches the database in time, once, and never stops a request."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Impression, Observations, TrialSide
from mixstage.release.trials.tally import Tally
from mixstage.serve.answering.recorder import Recorder
from tests.handmade import BM25_PIN


def impression(request_id: str) -> Impression:
    return Impression(
        request_id=request_id,
        application="app",
        number=1,
        role="live",
        user="u",
        query="q",
        documents=(("a", None),),
        created=datetime.now(UTC),
    )


class Counted(Observations):
    """Observations whose database can be away."""

    away = False
    calls = 0

    def write(self, replica: str, tallies: Mapping[TrialSide, Tally], impressions: Sequence[Impression]) -> None:
        self.calls += 1
        if self.away:
            raise OperationalError("INSERT", {}, Exception("the database is away"))
        super().write(replica, tallies, impressions)


@pytest.fixture
def observations(tmp_path: Path) -> Counted:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db")
    pin = BM25_PIN
    registry.mark_answering(registry.promote("app", pin, Note()))
    registry.try_out(
        "app", "canary", Pin(**{**{n: getattr(pin, n) for n in Pin.__slots__}, "generation": "h"}), 0.5, Note()
    )
    return Counted(registry.engine)


def stored(observations: Observations) -> list[str]:
    """Request ids of the impressions in the database, each of which gets a feedback for that."""
    with observations.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT request_id FROM impressions ORDER BY id")]


def test_what_was_observed_is_written_by_itself(observations: Counted) -> None:
    async def work() -> None:
        recorder = Recorder(observations, seconds=0.01)
        recorder.show(impression("r1"))
        recorder.tally("app", 2, "trial").answered(0.1)
        async with asyncio.timeout(10):
            while not observations.counts("app", 2).trial.requests:
                await asyncio.sleep(0.01)
        assert stored(observations) == ["r1"]
        calls = observations.calls
        await asyncio.sleep(0.1)
        assert observations.calls == calls  # nothing new, nothing written
        await recorder.close()

    asyncio.run(work())


def test_close_writes_what_is_left_at_once(observations: Counted) -> None:
    async def work() -> None:
        recorder = Recorder(observations, seconds=3600)
        recorder.show(impression("r1"))
        async with asyncio.timeout(10):
            await recorder.close()

    asyncio.run(work())
    assert stored(observations) == ["r1"]


def test_what_the_database_does_not_take_is_kept_up_to_a_limit_and_then_counted_as_dropped(
    observations: Counted,
) -> None:
    async def work() -> None:
        recorder = Recorder(observations, seconds=3600, most=3)
        observations.away = True
        recorder.tally("app", 2, "live").failed()
        for n in range(5):
            recorder.show(impression(f"r{n}"))
            await recorder.flush()
        assert recorder.dropped == 2
        observations.away = False
        await recorder.flush()
        recorder.show(impression("r9"))
        await recorder.close()

    asyncio.run(work())
    assert stored(observations) == ["r0", "r1", "r2", "r9"]
    assert observations.counts("app", 2).live.errors == 1


def test_flushes_at_the_same_time_write_each_impression_once(observations: Counted) -> None:
    async def work() -> None:
        recorder = Recorder(observations, seconds=3600)
        for n in range(50):
            recorder.show(impression(f"r{n}"))
        await asyncio.gather(*(recorder.flush() for _ in range(4)))
        await recorder.close()

    asyncio.run(work())
    assert stored(observations) == [f"r{n}" for n in range(50)]


def test_a_recorder_goes_on_in_another_event_loop(observations: Counted) -> None:
    recorder = Recorder(observations, seconds=3600)

    async def work(name: str) -> None:
        recorder.show(impression(name))
        await recorder.close()

    asyncio.run(work("r1"))
    asyncio.run(work("r2"))
    assert stored(observations) == ["r1", "r2"]
