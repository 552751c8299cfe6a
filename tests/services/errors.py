"""The one error of the services the tests run against."""

from __future__ import annotations


class ServiceUnavailable(RuntimeError):
    """A service could not be found or started; the message says which program or variable is missing."""
