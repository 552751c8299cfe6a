"""The commands for API keys, beside a Millrace that is running."""

import re
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from invoicer.cli import app
from invoicer.context import Context
from invoicer.db import CatalogSnapshotRow
from invoicer.db.session import transaction
from schemas.catalog import decode_snapshot, hash_api_key
from schemas.settings import Settings
from tests.invoicer.conftest import API_KEY

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def run(settings: Settings, *arguments: str) -> Result:
    environ = {"MILLRACE_DATABASE_URL": settings.database_url, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["api-keys", *arguments], env=environ)


def key_ids(settings: Settings) -> list[str]:
    return [found[0] for found in UUID.finditer(run(settings, "list").output)]


def status(client: httpx.Client, key: str) -> int:
    return client.get("/api/v1/plans", headers={"Authorization": f"Bearer {key}"}).status_code


def test_new_key_takes_the_place_of_one_that_leaked(
    settings: Settings, context: Context, client: httpx.Client
) -> None:
    """The old one is refused from then on, by the stream too, and the list shows no key itself."""
    [leaked] = key_ids(settings)
    added = run(settings, "add").output.strip()
    assert [status(client, key) for key in (API_KEY, added)] == [200, 200]
    assert key_ids(settings)[0] == leaked
    assert added not in run(settings, "list").output
    revoked = run(settings, "revoke", leaked)
    assert (revoked.exit_code, revoked.output) == (0, f"{leaked} is no key any more\n")
    assert [status(client, key) for key in (API_KEY, added)] == [401, 200]
    with transaction(context.sessions, reads_only=True) as session:
        snapshot = decode_snapshot(session.get_one(CatalogSnapshotRow, 1).document)
    assert list(snapshot.api_keys) == [hash_api_key(added)]


def test_last_key_cannot_be_revoked(settings: Settings, client: httpx.Client) -> None:
    """Nobody could act for the organization then."""
    [only] = key_ids(settings)
    refused = run(settings, "revoke", only)
    assert refused.exit_code == 1
    assert "this is the only key of its organization" in refused.output
    assert status(client, API_KEY) == 200


@pytest.mark.usefixtures("organization")
def test_unknown_key_is_told_apart(settings: Settings) -> None:
    """A sentence, and nothing changes."""
    refused = run(settings, "revoke", "00000000-0000-0000-0000-000000000000")
    assert refused.exit_code == 1
    assert "there is no key 00000000-0000-0000-0000-000000000000" in refused.output
    assert len(key_ids(settings)) == 1


@pytest.mark.usefixtures("organization")
def test_keys_of_an_embedded_instance_are_in_its_data_directory(settings: Settings, tmp_path: Path) -> None:
    """Wherever the settings point."""
    elsewhere = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/none.sqlite"})
    assert len(UUID.findall(run(elsewhere, "list", "--data-dir", str(tmp_path)).output)) == 1


def test_database_that_is_not_there_is_not_made(settings: Settings, tmp_path: Path) -> None:
    """Somebody is in the wrong folder."""
    refused = run(settings, "list")
    assert refused.exit_code == 1
    assert f"there is no database {tmp_path}/catalog.sqlite" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_database_without_a_millrace_is_told_apart(settings: Settings, tmp_path: Path) -> None:
    """An empty file, or some other database."""
    (tmp_path / "catalog.sqlite").touch()
    refused = run(settings, "list")
    assert refused.exit_code == 1
    assert "has no Millrace yet: start it once" in refused.output
