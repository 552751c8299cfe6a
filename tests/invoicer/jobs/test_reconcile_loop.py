"""The thread that reconciles: it works off what there is, and goes on whatever happens."""

import threading
import time

import pytest

from invoicer.db.reconciling_turn import reconciling_turn
from invoicer.db.session import SessionFactory, open_engine, session_factory
from invoicer.jobs.reconcile_loop import ReconcileLoop
from schemas.errors import TransientError


def test_tick_looks_until_there_is_nothing_more() -> None:
    """Three pieces are three looks and one that finds the end."""
    pieces = [True, True, True, False]
    assert ReconcileLoop(lambda: pieces.pop(0), seconds=60).tick()
    assert pieces == []


@pytest.mark.parametrize("error", [TransientError("clickhouse", "away"), RuntimeError("a bug")])
def test_tick_that_fails_says_so(error: Exception) -> None:
    """No error leaves the thread."""

    def look() -> bool:
        raise error

    assert not ReconcileLoop(look, seconds=60).tick()


def test_loop_looks_again_after_an_error_and_ends_when_told() -> None:
    """The first look fails, the next ones come; between two pieces it stops."""
    looks: list[int] = []
    three = threading.Event()

    def look() -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise TransientError("clickhouse", "away")
        if len(looks) == 3:
            three.set()
        return True

    loop = ReconcileLoop(look, seconds=0.01)
    loop.start()
    assert three.wait(10)
    loop.stop()
    seen = len(looks)
    time.sleep(0.05)
    assert len(looks) == seen


def test_turn_on_sqlite_does_not_wait(sessions: SessionFactory) -> None:
    """One process owns the file: its reconciler takes its turns itself."""
    turn = reconciling_turn(sessions)
    with turn(), turn():
        pass


@pytest.mark.cluster
def test_turn_on_postgresql_is_one_process_s_at_a_time(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second is told so after a moment, and has the turn when it is free."""
    monkeypatch.setattr("invoicer.db.reconciling_turn.WAIT_SECONDS_MAX", 1)
    engine = open_engine(database_url)
    turn = reconciling_turn(session_factory(engine))
    with turn(), pytest.raises(TransientError), turn():
        pass
    with turn():
        pass
    engine.dispose()
