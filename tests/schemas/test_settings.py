"""The environment's settings, as a starting process reads them."""

import os
import subprocess
import sys

import pytest

from schemas.settings import Settings, settings_or_exit


def test_faulty_variables_are_named_each_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a process is told all of them at once, by the names they were set under."""
    monkeypatch.setenv("MILLRACE_PORT", "abc")
    monkeypatch.setenv("MILLRACE_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as ended:
        settings_or_exit()
    port, level = str(ended.value).splitlines()
    assert port.startswith("MILLRACE_PORT: Input should be a valid integer")
    assert level.startswith("MILLRACE_LOG_LEVEL: String should match pattern")


@pytest.mark.parametrize("level", ["info", "WARNING", "Debug"])
def test_log_level_is_known_in_any_case(level: str) -> None:
    """`INFO` and `info` are the same level."""
    assert Settings(log_level=level).log_level == level


@pytest.mark.parametrize("package", ["ingest", "aggregator", "invoicer"])
def test_process_with_a_faulty_setting_ends_with_a_sentence(package: str) -> None:
    """Exit code 1, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", package],
        env={**os.environ, "MILLRACE_LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("MILLRACE_LOG_LEVEL: ")
    assert "Traceback" not in done.stderr
