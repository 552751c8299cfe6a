"""Where an INSERT statement ends and its data begins.

ClickHouse takes the statement from the URL, from the head of the body, or from both; the data is whatever follows
`FORMAT name` or `VALUES`. Only the statement is text: the data may be binary, so the split works on bytes.

Source: ClickHouse HTTP interface; INSERT INTO statement.
"""

import re
from dataclasses import dataclass

STATEMENT_BYTES_MAX = 256 * 1024
"""How far to look for the end of a statement: ClickHouse's default `max_query_size`."""

TABLE_WORDS = 3
"""`INSERT INTO name`: a keyword can only follow these, so a table may be called `values`."""

_TOKEN = re.compile(
    rb"""
      (?P<space>\s+|--[^\n]*(?:\n|\Z)|\#[ !][^\n]*(?:\n|\Z)|/\*.*?\*/)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE_AND_ONE_NEWLINE = re.compile(rb"[ \t]*\r?\n?")


@dataclass(frozen=True)
class InsertStatement:
    """An INSERT without its data: `INSERT INTO …`, `SETTINGS …` or nothing, the format, where the data begins."""

    target: str
    settings: str
    data_format: str
    data_start: int


def split_insert(text: bytes) -> InsertStatement | None:
    """Find the data of an INSERT that carries data; None for any other statement (SELECT, INSERT … SELECT, …)."""
    words = _top_level_words(text)
    if not words or words[0][0] != b"INSERT":
        return None
    settings_start: int | None = None
    for (word, start, end), following in list(zip(words, [*words[1:], None], strict=True))[TABLE_WORDS:]:
        match word:
            case b"SELECT" | b"WITH" | b"FROM" | b"WATCH" | b"EXPLAIN":
                return None
            case b"SETTINGS" if settings_start is None:
                settings_start = start
            case b"VALUES":
                return _build(text[:start], settings_start, "Values", end)
            case b"FORMAT" if following is not None and not text[end : following[1]].strip():
                name = text[following[1] : following[2]].decode()
                return _build(text[:start], settings_start, name, _skip_one_newline(text, following[2]))
    return None


def _build(statement: bytes, settings_start: int | None, data_format: str, data_start: int) -> InsertStatement:
    target = statement if settings_start is None else statement[:settings_start]
    settings = b"" if settings_start is None else statement[settings_start:]
    return InsertStatement(target.decode(), settings.decode(), data_format, data_start)


def _skip_one_newline(text: bytes, position: int) -> int:
    newline = _SPACE_AND_ONE_NEWLINE.match(text, position)
    return newline.end() if newline else position


def is_insert(text: bytes) -> bool:
    """Say whether a statement begins with INSERT, whatever follows."""
    for token in _TOKEN.finditer(text):
        if token.lastgroup != "space":
            return token.group().upper() == b"INSERT"
    return False


def _top_level_words(text: bytes) -> list[tuple[bytes, int, int]]:
    """List the words and quoted names outside comments and parentheses, as (WORD, start, end).

    Stops after `FORMAT name` or at VALUES: what follows is data and no longer text.
    """
    words: list[tuple[bytes, int, int]] = []
    depth = 0
    for token in _TOKEN.finditer(text[:STATEMENT_BYTES_MAX]):
        if token.lastgroup == "other":
            depth += {b"(": 1, b")": -1}.get(token.group(), 0)
        if token.lastgroup not in {"word", "quoted"} or depth:
            continue
        words.append((token.group().upper(), token.start(), token.end()))
        if words[0][0] != b"INSERT" or (len(words) > TABLE_WORDS and _ends_statement(words[-2][0], words[-1][0])):
            break
    return words


def _ends_statement(word_before: bytes, word: bytes) -> bool:
    return word == b"VALUES" or word_before == b"FORMAT"
