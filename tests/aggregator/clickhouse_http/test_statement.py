"""Where an INSERT ends and its data begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clickhouse_http.statement import is_insert, split_insert


@pytest.mark.parametrize(
    ("text", "statement", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", "INSERT INTO t ", "Native", b"\x01\x02"),
        (b"INSERT INTO t FORMAT TSV\n\n1\t2", "INSERT INTO t ", "TSV", b"\n1\t2"),
        (b"insert into t (a, b) format CSV \r\n1,2", "insert into t (a, b) ", "CSV", b"1,2"),
        (b"INSERT INTO t VALUES (1, 'x')", "INSERT INTO t ", "Values", b" (1, 'x')"),
        (b"INSERT INTO t FORMAT Values (1)", "INSERT INTO t ", "Values", b"(1)"),
        (b"INSERT INTO `t` VALUES (1)", "INSERT INTO `t` ", "Values", b" (1)"),
        (b"INSERT INTO values VALUES (1)", "INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO t (`FORMAT`, b) FORMAT CSV\n1", "INSERT INTO t (`FORMAT`, b) ", "CSV", b"1"),
        (b"INSERT INTO t (format, values) FORMAT CSV\n1", "INSERT INTO t (format, values) ", "CSV", b"1"),
        (b"-- FORMAT x\nINSERT INTO t FORMAT CSV\n1", "-- FORMAT x\nINSERT INTO t ", "CSV", b"1"),
        (b"/* VALUES */ INSERT INTO t FORMAT CSV\n1", "/* VALUES */ INSERT INTO t ", "CSV", b"1"),
        (
            b"INSERT INTO t SETTINGS insert_deduplication_token = 'VALUES' FORMAT JSONEachRow\n{}",
            "INSERT INTO t SETTINGS insert_deduplication_token = 'VALUES' ",
            "JSONEachRow",
            b"{}",
        ),
    ],
)
def test_split_insert_with_data_finds_statement_format_and_data(
    text: bytes, statement: str, data_format: str, data: bytes
) -> None:
    """The statement keeps its columns and settings, the data keeps every byte after one newline."""
    insert = split_insert(text)

    assert insert is not None
    assert (insert.target + insert.settings, insert.data_format) == (statement, data_format)
    assert text[insert.data_start :] == data


def test_split_insert_with_settings_parts_them_from_the_target() -> None:
    """The file clause of the engine goes between the columns and the settings."""
    insert = split_insert(b"INSERT INTO t (settings) SETTINGS a = 1, b = 'x' VALUES (1)")

    assert insert is not None
    assert (insert.target, insert.settings) == ("INSERT INTO t (settings) ", "SETTINGS a = 1, b = 'x' ")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SELECT 1 FORMAT Native",
        b"INSERT INTO t SELECT 1 FORMAT Native",
        b"INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t",
        b"INSERT INTO t FORMAT",
        b"CREATE TABLE t (a Int8) -- INSERT INTO t VALUES (1)",
    ],
)
def test_split_insert_without_data_of_its_own_finds_none(text: bytes) -> None:
    """Only an INSERT whose data follows the statement is split."""
    assert split_insert(text) is None


@given(st.binary())
def test_split_insert_whatever_the_data_keeps_it_whole(data: bytes) -> None:
    """Binary data never moves the end of the statement."""
    text = b"INSERT INTO t (a) FORMAT Native\n" + data

    insert = split_insert(text)

    assert insert is not None
    assert text[insert.data_start :] == data


def test_is_insert_looks_past_comments() -> None:
    """A comment in front does not hide the first word."""
    assert is_insert(b"/* a */ -- b\n insert")
    assert not is_insert(b"SELECT 'INSERT'")
