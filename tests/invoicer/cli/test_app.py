"""What the command says of itself."""

import re
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from invoicer.cli import app

COMMANDS = ["up", "demo", "replay", "dead-letters list", "dead-letters replay"]
COMMANDS += ["api-keys list", "api-keys add", "api-keys revoke"]


def printed(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"}).output


def test_version_is_the_packages() -> None:
    """A report of a fault can name it."""
    assert printed("--version") == f"{version('millrace')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_in_a_narrow_terminal_cuts_nothing(command: str) -> None:
    """Options that begin alike can be told apart, and typed, at 80 columns."""
    text = printed(*command.split(), "--help")
    assert "…" not in text
    assert not re.search(r"\w\.\.\.", text)


def test_list_of_commands_in_a_narrow_terminal_cuts_nothing() -> None:
    """Each command is said in one line."""
    assert not re.search(r"\w\.\.\.", printed() + printed("dead-letters") + printed("api-keys"))
