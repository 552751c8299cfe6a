"""The dedup window forgets by count and by age, oldest first."""

from ingest.window import DedupWindow


def filled(events_max: int = 100, seconds_max: float = 60) -> DedupWindow:
    """A window in which a and b entered at 0 s and c at 10 s."""
    window = DedupWindow(events_max=events_max, seconds_max=seconds_max)
    window.remember({b"a": 1, b"b": 2}, 0)
    window.remember({b"c": 3}, 10)
    return window


def test_remembered_id_is_known_with_its_fingerprint() -> None:
    """A known id tells its fingerprint, an unknown one nothing."""
    window = filled()
    assert [window.fingerprint(event_id) for event_id in (b"a", b"b", b"c", b"d")] == [1, 2, 3, None]


def test_id_older_than_the_age_is_forgotten() -> None:
    """At exactly 60 s what entered at 0 s is gone, and what entered at 10 s is not."""
    window = filled()
    window.forget(59.9)
    assert len(window) == 3
    window.forget(60)
    assert [window.fingerprint(event_id) for event_id in (b"a", b"b", b"c")] == [None, None, 3]
    window.forget(70)
    assert len(window) == 0


def test_oldest_ids_make_room_for_new_ones() -> None:
    """With room for two, the third pushes out the first."""
    window = filled(events_max=2)
    assert [window.fingerprint(event_id) for event_id in (b"a", b"b", b"c")] == [None, 2, 3]
    window.forget(60)
    assert [window.fingerprint(event_id) for event_id in (b"b", b"c")] == [None, 3]


def test_known_id_keeps_its_first_fingerprint_and_age() -> None:
    """The first one stands, and is forgotten when it is due."""
    window = filled()
    window.remember({b"a": 9}, 30)
    assert window.fingerprint(b"a") == 1
    window.forget(60)
    assert window.fingerprint(b"a") is None


def test_window_without_room_remembers_nothing() -> None:
    """A window of size 0 is switched off."""
    assert len(filled(events_max=0)) == 0
