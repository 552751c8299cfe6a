"""Where the share and the run of bad lines end the counting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.dead_letter_limits import WINDOW_LINES, DeadLetterLimits, LimitPassed
from aggregator.dead_letters import DeadLetter
from schemas.events import Position


class Lines:
    """Feeds limits with lines, written as text: `g` is good, `b` is bad; each text is a record."""

    def __init__(self, *, run_max: int, ratio_max: float) -> None:
        self._limits = DeadLetterLimits(run_max=run_max, ratio_max=ratio_max)
        self._offset = 0

    def read(self, *records: str, partition: int = 0) -> LimitPassed | None:
        """One batch of records."""
        lines, letters = [], []
        for record in records:
            for number, kind in enumerate(record):
                position = Position(partition, self._offset, number)
                if kind == "g":
                    lines.append(position)
                else:
                    letters.append(DeadLetter(b"{", "usage", position, "undecodable_event", "why"))
            self._offset += 1
        return self._limits.look_at(reversed(lines), letters)


@pytest.mark.parametrize(
    ("run_max", "records", "index"),
    [
        (3, ["bbb"], None),
        (3, ["bbbb"], 3),
        (3, ["bbb", "b"], 3),
        (3, ["bbbgbbb"], None),
        (3, ["bbgbbbbb"], 5),
        (3, ["gggg", "bb", "gbb"], None),
        (1, ["bgbgbg"], None),
        (0, ["b" * 5_000], None),
        (1_000, ["b" * 1_000], None),
        (1_000, ["b" * 1_001], 1_000),
    ],
)
def test_run_of_bad_lines_passes_at_one_more_than_allowed(
    run_max: int, records: list[str], index: int | None
) -> None:
    """A good line ends a run, a record does not; 0 is no limit."""
    passed = Lines(run_max=run_max, ratio_max=0).read(*records)
    assert (passed.index if passed else None) == index


@pytest.mark.parametrize(
    ("ratio_max", "records", "index"),
    [
        (0.5, ["b" * 999], None),
        (0.5, ["b" * 1_000], 999),
        (0.5, ["bg" * 500], None),
        (0.5, ["bg" * 500 + "g" + "b"], None),
        (0.5, ["bg" * 499 + "bb"], 500),
        (0.57, ["g" * 430 + "b" * 570], None),
        (0.57, ["g" * 430 + "b" * 571], 570),
        (0.01, ["g" * 990 + "b" * 10, "g" * 990, "b" * 10], None),
        (0.01, ["g" * 990 + "b" * 10, "g" * 989, "b" * 10], 10),
        (1.0, ["b" * 5_000], None),
        (0.0, ["b" * 5_000], None),
    ],
)
def test_share_of_bad_lines_passes_above_the_ratio_of_a_full_window(
    ratio_max: float, records: list[str], index: int | None
) -> None:
    """The last 1,000 lines count, and only when there are so many."""
    passed = Lines(run_max=0, ratio_max=ratio_max).read(*records)
    assert (passed.index if passed else None) == index


def test_limits_hold_across_batches_and_for_each_partition_alone() -> None:
    """Bad lines of one partition are not added to another one's; good ones there end no run here."""
    lines = Lines(run_max=3, ratio_max=0)
    assert lines.read("gbb") is None
    assert lines.read("bb", partition=1) is None
    assert lines.read("ggg", partition=1) is None
    assert lines.read("b") is None
    passed = lines.read("b")
    assert passed == LimitPassed(
        0, "4 lines in a row of partition 0 cannot be counted, MILLRACE_DEAD_LETTER_RUN_MAX is 3"
    )


def test_reason_of_a_share_names_the_numbers_and_the_setting() -> None:
    """Who reads it knows what to change."""
    passed = Lines(run_max=0, ratio_max=0.25).read("g" * 800 + "b" * 251)
    assert passed is not None
    assert passed.reason == (
        "251 of the last 1000 lines of partition 0 cannot be counted, MILLRACE_DEAD_LETTER_RATIO_MAX is 0.25"
    )


@given(
    text=st.lists(st.tuples(st.sampled_from("gb"), st.integers(1, 700)), max_size=12).map(
        lambda runs: "".join(kind * count for kind, count in runs)
    ),
    cut=st.integers(1, 400),
)
def test_limits_agree_with_counting_line_by_line(text: str, cut: int) -> None:
    """However the lines are cut into batches, the first window with too many bad ones is the one that is found."""
    expected = next(
        (
            end
            for end in range(WINDOW_LINES, len(text) + 1)
            if text[end - 1] == "b" and text[end - WINDOW_LINES : end].count("b") > 400
        ),
        None,
    )
    lines, found = Lines(run_max=0, ratio_max=0.4), None
    for start in range(0, len(text), cut):
        passed = lines.read(batch := text[start : start + cut])
        if passed is not None:
            found = start + [n for n, kind in enumerate(batch) if kind == "b"][passed.index] + 1
            break
    assert found == expected
