"""What every test may use: the services as fixtures, and the frame of the fault suite."""

pytest_plugins = ["tests.services.fixtures", "tests.faults.plugin", "tests.faults.installations"]
