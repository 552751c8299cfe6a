"""The installations that scenarios share, as fixtures: one cluster whose services may be killed, one process."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.site import CLOCK_START, OutageSite
from tests.faults.installation import Installation, cluster_installation, embedded_installation
from tests.services.millrace import EmbeddedInstance

BOTH_MODES = pytest.mark.parametrize(
    "installation",
    [pytest.param("embedded", id="embedded"), pytest.param("installed", id="cluster", marks=pytest.mark.cluster)],
    indirect=True,
)


@pytest.fixture(scope="session")
def site() -> Iterator[OutageSite]:
    """A cluster whose services may be killed: each story leaves all of them running."""
    with OutageSite() as started:
        yield started


@pytest.fixture(scope="session")
def installed(site: OutageSite) -> Installation:
    """The cluster of `site`."""
    return cluster_installation(site.cluster, site.clickhouse_url, site.database_url)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One process that is not killed; its clock stands where the cluster's starts."""
    data_dir = tmp_path_factory.mktemp("faults") / "data"
    with EmbeddedInstance(data_dir, test_clock=CLOCK_START, clickhouse_http_writable=True) as instance:
        yield embedded_installation(instance)


@pytest.fixture
def installation(request: pytest.FixtureRequest) -> Installation:
    """The shared installation of the mode that `BOTH_MODES` names."""
    found: Installation = request.getfixturevalue(request.param)
    return found
