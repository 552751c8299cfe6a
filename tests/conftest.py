"""What every test may use: the services as fixtures, and the frame of the fault suite."""

import pytest
import structlog

pytest_plugins = ["tests.services.fixtures", "tests.faults.plugin", "tests.faults.installations"]


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Errors are logged as the processes log them: structlog's default draws the locals of each frame for 5 s."""
    *others, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, renderer])
