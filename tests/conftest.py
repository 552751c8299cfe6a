"""What every test may use: the services as fixtures."""

pytest_plugins = ["tests.services.fixtures"]
