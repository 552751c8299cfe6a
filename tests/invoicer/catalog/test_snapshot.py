"""The catalog as the stream reads it."""

from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from invoicer.catalog.bootstrap import ensure_organization
from invoicer.catalog.snapshot import load_metric_definitions, publish_catalog
from invoicer.context import Context
from invoicer.db import CatalogSnapshotRow, Organization
from invoicer.db.session import transaction
from schemas.catalog import CatalogSnapshot, decode_snapshot, hash_api_key
from schemas.metrics import AggregationType, MetricDefinition
from tests.invoicer.api.bodies import make_charge, make_customer, make_metric, make_plan, make_tax, post
from tests.invoicer.conftest import API_KEY


def published(context: Context) -> CatalogSnapshot:
    """The snapshot that is published now."""
    with transaction(context.sessions, reads_only=True) as session:
        row = session.scalars(select(CatalogSnapshotRow)).one()
    snapshot = decode_snapshot(row.document)
    assert snapshot.version == row.version
    return snapshot


def test_snapshot_after_the_first_start_holds_the_key(context: Context, organization: Organization) -> None:
    """Its hash, never the key."""
    snapshot = published(context)

    assert snapshot.version == 1
    assert snapshot.api_keys == {hash_api_key(API_KEY): str(organization.id)}
    assert snapshot.metrics == ()


def test_snapshot_tells_how_a_metric_is_measured(
    context: Context, organization: Organization, client: httpx.Client
) -> None:
    """Field, expression and the keys its events are told apart by, sorted."""
    metric = post(
        client,
        "billable_metrics",
        make_metric(aggregation_type="unique_count_agg", recurring=True, expression="event.properties.gb"),
    )

    assert published(context).metrics == (
        MetricDefinition(
            id=metric["lago_id"],
            organization_id=str(organization.id),
            code="storage",
            aggregation_type=AggregationType.UNIQUE_COUNT,
            field_name="gb",
            expression="event.properties.gb",
            recurring=True,
            dimensions=("region", "tier"),
        ),
    )


def test_snapshot_dimensions_follow_the_charges(context: Context, client: httpx.Client) -> None:
    """Group keys of charges and of their filters count; a removed charge's do not."""
    metric = post(client, "billable_metrics", make_metric(filters=[{"key": "tier", "values": ["hot"]}]))
    plain = make_charge(metric["lago_id"], properties={"amount": "1", "pricing_group_keys": ["cloud"]})
    grouped = {"amount": "1", "grouped_by": ["account", "tier"]}
    filtered = make_charge(metric["lago_id"], filters=[{"values": {"tier": ["hot"]}, "properties": grouped}])
    plan = post(client, "plans", make_plan(charges=[plain, filtered]))
    assert published(context).metrics[0].dimensions == ("account", "cloud", "tier")

    charges = "/api/v1/plans/startup/charges"
    filter_id = plan["charges"][1]["filters"][0]["lago_id"]
    client.delete(f"{charges}/storage_2/filters/{filter_id}")
    assert published(context).metrics[0].dimensions == ("cloud", "tier")

    client.put("/api/v1/plans/startup", json={"plan": {"charges": []}})
    assert published(context).metrics[0].dimensions == ("tier",)


def test_snapshot_keeps_the_dimensions_of_a_deleted_plan(context: Context, client: httpx.Client) -> None:
    """The last period of its subscriptions is still billed by them."""
    metric = post(client, "billable_metrics", make_metric(filters=[]))
    grouped = make_charge(metric["lago_id"], properties={"amount": "1", "pricing_group_keys": ["cloud"]})
    post(client, "plans", make_plan(charges=[grouped]))

    client.delete("/api/v1/plans/startup")

    assert published(context).metrics[0].dimensions == ("cloud",)


def test_snapshot_changes_version_only_when_it_says_something_new(context: Context, client: httpx.Client) -> None:
    """Names, prices, taxes and customers mean nothing to the stream."""
    metric = post(client, "billable_metrics", make_metric())
    version = published(context).version

    post(client, "plans", make_plan(charges=[make_charge(metric["lago_id"])]))
    post(client, "taxes", make_tax())
    post(client, "customers", make_customer())
    client.put("/api/v1/billable_metrics/storage", json={"billable_metric": {"name": "Disk"}})
    assert published(context).version == version

    client.delete("/api/v1/billable_metrics/storage")
    assert (published(context).version, published(context).metrics) == (version + 1, ())


def test_snapshot_of_a_refused_change_is_not_published(context: Context, client: httpx.Client) -> None:
    """It is part of the same transaction."""
    version = published(context).version

    post(client, "billable_metrics", make_metric())
    client.post("/api/v1/billable_metrics", json=make_metric())

    assert published(context).version == version + 1


def test_snapshot_when_published_again_is_the_same(context: Context, client: httpx.Client) -> None:
    """Publishing is idempotent."""
    post(client, "billable_metrics", make_metric())
    before = published(context)

    with transaction(context.sessions) as session:
        assert publish_catalog(session, context.clock.now()) == before.version

    assert published(context) == before


def test_definitions_for_reading_are_those_that_are_published(
    context: Context, organization: Organization, client: httpx.Client
) -> None:
    """The same evaluation name, so that stored values are used as they are."""
    metric = post(client, "billable_metrics", make_metric())
    other = post(client, "billable_metrics", make_metric(code="other"))
    grouped = make_charge(metric["lago_id"], properties={"amount": "1", "pricing_group_keys": ["cloud"]})
    post(client, "plans", make_plan(charges=[grouped]))

    with transaction(context.sessions, reads_only=True) as session:
        loaded = load_metric_definitions(session, organization.id, [UUID(metric["lago_id"])])

    by_code = {each.code: each for each in published(context).metrics}
    assert loaded == {UUID(metric["lago_id"]): by_code["storage"]}
    assert loaded[UUID(metric["lago_id"])].evaluation == by_code["storage"].evaluation
    assert by_code["other"].id == other["lago_id"]


@pytest.mark.parametrize("keys", [[API_KEY], [API_KEY, API_KEY], [API_KEY, "another"]])
def test_bootstrap_when_repeated_adds_only_new_keys(context: Context, keys: list[str]) -> None:
    """One organization, however often the process starts."""
    ids = set()
    for key in keys:
        with transaction(context.sessions) as session:
            ids.add(ensure_organization(session, context.settings, context.clock.now(), key).id)

    assert len(ids) == 1
    assert set(published(context).api_keys) == {hash_api_key(key) for key in keys}
    assert published(context).version == len(set(keys))
