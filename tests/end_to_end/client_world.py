"""What the official client's calls act on: a billed January, a February in use, and fresh resources to spend."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from lago_python_client.client import Client
from lago_python_client.models import (
    BatchEvent,
    BillableMetric,
    BillableMetricFilter,
    BillableMetricFilters,
    Charge,
    ChargeFilter,
    Charges,
    Customer,
    CustomerBillingConfiguration,
    Event,
    Invoice,
    Plan,
    Subscription,
    Tax,
)
from lago_python_client.models.credit_note import CreditNote, Item, Items

from tests.end_to_end.story import move_clock
from tests.services.millrace import Instance

JANUARY_15TH = 1_768_478_400
"""2026-01-15T12:00:00Z."""
FEBRUARY_2ND = 1_770_033_600
"""2026-02-02T12:00:00Z."""


@dataclass(frozen=True)
class World:
    """An instance with one customer who used 4 tokens in January and 6 in February, at 0.50 each."""

    instance: Instance
    lago: Client
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def code(self) -> str:
        """A code or external id that nothing has yet."""
        return f"fresh-{next(self.numbers)}"

    def metric(self) -> Any:
        """A metric that nothing uses."""
        return self.lago.billable_metrics.create(metric_of(self.code()))

    def plan(self, **changes: Any) -> Any:
        """A plan nobody has, with one charge for a metric of its own, which is also the charge's code."""
        code = self.metric().code
        return self.lago.plans.create(plan_of(code, [self.charge(code)], **changes))

    def charge(self, metric_code: str, **changes: Any) -> Charge:
        """A charge of 0.50 a unit of a metric, with the metric's code, to be created."""
        metric = self.lago.billable_metrics.find(metric_code)
        values = {"charge_model": "standard", "code": metric_code, "properties": {"amount": "0.5"}} | changes
        return Charge(billable_metric_id=metric.lago_id, **values)

    def charge_filter(self) -> tuple[str, str, str]:
        """A filter of its own: the codes of its plan and charge, and its id."""
        plan = self.plan()
        created = self.lago.plans.create_charge_filter(plan.code, plan.code, charge_filter("eu"))
        return plan.code, plan.code, created.lago_id

    def customer(self, **changes: Any) -> Any:
        """A customer without a subscription."""
        return self.lago.customers.create(Customer(external_id=self.code(), **changes))

    def subscription(self, plan_code: str = "pro", **changes: Any) -> Any:
        """An active subscription of a customer of its own."""
        values = {"external_customer_id": self.code(), "external_id": self.code(), "plan_code": plan_code}
        return self.lago.subscriptions.create(Subscription(**values | changes))

    def invoice(self, *, grace_days: int = 0) -> Any:
        """An invoice of 20.00 for a month paid in advance: a draft if there is a grace period, else finalized."""
        configuration = CustomerBillingConfiguration(invoice_grace_period=grace_days)
        customer = self.customer(billing_configuration=configuration)
        self.subscription("advance", external_customer_id=customer.external_id)
        [invoice] = self.lago.invoices.find_all({"external_customer_id": customer.external_id})["invoices"]
        return invoice

    def fee(self) -> Any:
        """The only fee of an invoice of its own."""
        [fee] = self.lago.invoices.find(self.invoice().lago_id).fees.__root__
        return fee

    def credit_note(self, *, is_paid: bool = False, **changes: Any) -> Any:
        """A note of 5.00 over an invoice of its own: as credit, or refunded where the invoice is paid."""
        invoice = self.invoice()
        if is_paid:
            self.lago.invoices.update(Invoice(payment_status="succeeded"), invoice.lago_id)
        share = {"refund_amount_cents" if is_paid else "credit_amount_cents": 500}
        return self.lago.credit_notes.create(self.credit_note_of(invoice.lago_id, **share | changes))

    def credit_note_of(self, invoice_id: str, **values: Any) -> CreditNote:
        """A note of 5.00 over an invoice, to be created."""
        return CreditNote(invoice_id=invoice_id, items=Items(__root__=[self.credit_item(invoice_id)]), **values)

    def credit_item(self, invoice_id: str) -> Item:
        """5.00 of the first fee of an invoice."""
        fee = self.lago.invoices.find(invoice_id).fees.__root__[0]
        return Item(fee_id=fee.lago_id, amount_cents=500)

    def tax(self) -> Any:
        """A tax that nothing applies."""
        return self.lago.taxes.create(Tax(name="VAT", code=self.code(), rate=20.0))

    def event(self, transaction_id: str, **changes: Any) -> Event:
        """An event of 1 token of a subscription that nothing bills, to be sent."""
        values = {"external_subscription_id": "nobody", "code": "tokens", "properties": {"count": 1}} | changes
        return Event(transaction_id=transaction_id, **values)


def metric_of(code: str) -> BillableMetric:
    """A sum of `count`, told apart by region."""
    regions = BillableMetricFilters(__root__=[BillableMetricFilter(key="region", values=["eu", "us"])])
    return BillableMetric(
        name="Tokens", code=code, aggregation_type="sum_agg", field_name="count", filters=regions
    )


def plan_of(code: str, charges: list[Charge], **changes: Any) -> Plan:
    """A monthly plan in US dollars that costs nothing but its usage."""
    values = {"name": "Pro", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"} | changes
    return Plan(code=code, charges=Charges(__root__=charges), **values)


def charge_filter(region: str) -> ChargeFilter:
    """A price of 0.25 in a region."""
    return ChargeFilter(properties={"amount": "0.25"}, values={"region": [region]})


def settle(world: World) -> None:
    """Make the metric, plans and customer of the calls, bill January, and use something in February.

    The instance's clock stands in January before and at 2026-02-03T00:00:00Z after.
    """
    lago = world.lago
    lago.billable_metrics.create(metric_of("tokens"))
    lago.plans.create(plan_of("pro", [world.charge("tokens")]))
    lago.plans.create(plan_of("advance", [], amount_cents=2000, pay_in_advance=True))
    lago.customers.create(Customer(external_id="acme", name="Acme", currency="USD"))
    lago.subscriptions.create(
        Subscription(external_customer_id="acme", external_id="acme-pro", plan_code="pro", name="Acme pro")
    )
    own = {"external_subscription_id": "acme-pro"}
    january = [world.event(f"january-{n}", timestamp=JANUARY_15TH, **own) for n in range(4)]
    move_clock(world.instance, "2026-01-20T00:00:00Z")
    lago.events.batch_create(BatchEvent(events=january))
    move_clock(world.instance, "2026-02-03T00:00:00Z")
    used = world.event("february", timestamp=FEBRUARY_2ND, properties={"count": "6"}, **own)
    lago.events.create(used)
