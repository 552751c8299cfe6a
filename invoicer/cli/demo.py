"""`millrace demo`: the tutorial of usage billing, walked over the real HTTP API of a fresh embedded instance."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from invoicer.cli.demo_story import CUSTOMER, METRIC, PLAN, SUBSCRIPTION, TAX, USAGE, Json
from invoicer.cli.free_port import port_or_free_one
from invoicer.embedded import EmbeddedMillrace
from schemas.money import currency_exponent
from schemas.settings import Settings
from schemas.time_text import iso_seconds, parse_iso


class DemoFailedError(Exception):
    """A step did not give what it must."""


@dataclass(frozen=True)
class DemoApi:
    """The API as the demo uses it: what it sends and gets is JSON under a root key."""

    client: httpx.Client

    def post(self, path: str, body: Json) -> Json:
        return self._answer(self.client.post(f"/api/v1/{path}", json=body))

    def put(self, path: str, body: Json) -> Json:
        return self._answer(self.client.put(f"/api/v1/{path}", json=body))

    def get(self, path: str, **params: str) -> Json:
        return self._answer(self.client.get(f"/api/v1/{path}", params=params))

    @staticmethod
    def _answer(response: httpx.Response) -> Json:
        if response.status_code != httpx.codes.OK:
            request = response.request
            raise DemoFailedError(
                f"{request.method} {request.url} answered {response.status_code}: {response.text}"
            )
        body: Json = response.json()
        return body


def run_demo(settings: Settings, console: Console, *, leave: bool) -> int:
    """Run the walk; the exit code: 0, or 1 when a step did not give what it must.

    Without `leave` the instance goes on running until Ctrl-C, so that it can be looked at.
    """
    with (
        tempfile.TemporaryDirectory(prefix="millrace-demo-") as data_dir,
        _instance(settings, Path(data_dir)) as instance,
    ):
        try:
            _walk(instance, console)
        except DemoFailedError as error:
            console.print(f"The demo failed: {error}", style="bold red", markup=False)
            return 1
        _print_summary(instance, console, running=not leave)
        if not leave:
            instance.wait()
    return 0


@contextmanager
def _instance(settings: Settings, data_dir: Path) -> Iterator[EmbeddedMillrace]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    demo_settings = settings.model_copy(
        update={
            "data_dir": data_dir,
            "test_clock": now,
            "log_level": "warning",
            "port": port_or_free_one(settings.host, settings.port),
            "clickhouse_http_port": port_or_free_one("127.0.0.1", settings.clickhouse_http_port),
        }
    )
    with EmbeddedMillrace(demo_settings) as instance:
        yield instance


def _walk(instance: EmbeddedMillrace, console: Console) -> None:
    headers = {"Authorization": f"Bearer {instance.api_key}"}
    with httpx.Client(base_url=instance.url, headers=headers, timeout=60) as client:
        api = DemoApi(client)
        console.print(Panel(f"Millrace is running at [link]{instance.url}[/link], with a clock that we move."))
        _step_metric(api, console)
        _step_plan(api, console)
        _step_customer(api, console)
        started_at = _step_subscription(api, console)
        _step_events(api, console, started_at)
        _step_period_end(api, console)


def _step_metric(api: DemoApi, console: Console) -> None:
    _title(console, 1, "A billable metric: how events become units")
    metric = api.post("billable_metrics", {"billable_metric": METRIC})["billable_metric"]
    console.print(
        f"  {metric['name']} ([b]{metric['code']}[/b]): {metric['aggregation_type']} on {metric['field_name']}"
    )


def _step_plan(api: DemoApi, console: Console) -> None:
    _title(console, 2, "A plan: USD 120 a month in advance, and a price for usage")
    metric = api.get(f"billable_metrics/{METRIC['code']}")["billable_metric"]
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "graduated",
        "properties": {"graduated_ranges": USAGE},
    }
    plan = api.post("plans", {"plan": {**PLAN, "charges": [charge]}})["plan"]
    table = Table("from", "to", "per unit", "flat", title=f"{plan['name']}: {METRIC['name']}")
    for tier in plan["charges"][0]["properties"]["graduated_ranges"]:
        upper = "∞" if tier["to_value"] is None else f"{tier['to_value']:,}"
        table.add_row(f"{tier['from_value']:,}", upper, tier["per_unit_amount"], tier["flat_amount"])
    console.print(table)


def _step_customer(api: DemoApi, console: Console) -> None:
    _title(console, 3, "A customer who pays 12.5 % tax")
    api.post("taxes", {"tax": TAX})
    customer = api.post("customers", {"customer": CUSTOMER})["customer"]
    console.print(f"  {customer['name']} ([b]{customer['external_id']}[/b]), taxes: {_codes(customer['taxes'])}")


def _step_subscription(api: DemoApi, console: Console) -> datetime:
    _title(console, 4, "A subscription: paid in advance, so the first invoice comes at once")
    subscription = api.post("subscriptions", {"subscription": SUBSCRIPTION})["subscription"]
    console.print(
        f"  {subscription['name']} ([b]{subscription['external_id']}[/b]) is {subscription['status']} since "
        f"{subscription['started_at']}"
    )
    invoice = _newest_invoice(api)
    console.print(_invoice_table(invoice))
    _expect("first invoice", invoice, fees=12_000, taxes=1_500, total=13_500)
    started_at = parse_iso(subscription["started_at"])
    if started_at is None:
        raise DemoFailedError(f"no start in {subscription}")
    return started_at


def _step_events(api: DemoApi, console: Console, started_at: datetime) -> None:
    _title(console, 5, "Events: three, of which two share a user; then one of them again")
    for number, user in enumerate(("ada", "grace", "ada"), start=1):
        answer = _send_event(api, f"tx-{number}", user, started_at)
        console.print(f"  {answer['transaction_id']}: user {user}")
    repeat = _send_event(api, "tx-1", "ada", started_at)
    console.print(f"  {repeat['transaction_id']} again: duplicate = [b]{repeat['duplicate']}[/b]")
    if repeat["duplicate"] is not True:
        raise DemoFailedError(f"a repeated transaction id must be answered as a duplicate, got {repeat}")
    usage = _current_usage(api)
    console.print(_usage_table(usage))
    charge = usage["charges_usage"][0]
    if (charge["units"], charge["amount_cents"]) != ("2.0", 0):
        raise DemoFailedError(f"2 units for 0 cents were due, got {charge['units']} for {charge['amount_cents']}")


def _step_period_end(api: DemoApi, console: Console) -> None:
    _title(console, 6, "The period ends: the clock moves past it, and Millrace bills by itself")
    period_end = parse_iso(_current_usage(api)["to_datetime"])
    if period_end is None:
        raise DemoFailedError("current usage has no end")
    target = period_end + timedelta(hours=1)
    clock = api.put("test_clock", {"test_clock": {"now": iso_seconds(target)}})["test_clock"]
    console.print(f"  it is now {clock['now']}")
    invoice = _newest_invoice(api)
    console.print(_invoice_table(invoice))
    _expect("period invoice", invoice, fees=12_000, taxes=1_500, total=13_500)
    usage_fees = [fee for fee in invoice["fees"] if fee["item"]["type"] == "charge"]
    if [fee["units"] for fee in usage_fees] != ["2.0"]:
        raise DemoFailedError(f"one usage line of 2 units was due, got {usage_fees}")


def _send_event(api: DemoApi, transaction_id: str, user: str, at: datetime) -> Json:
    event = {
        "transaction_id": transaction_id,
        "external_subscription_id": SUBSCRIPTION["external_id"],
        "code": METRIC["code"],
        "timestamp": int(at.timestamp()) + 60,
        "properties": {"user_id": user},
    }
    answer: Json = api.post("events", {"event": event})["event"]
    return answer


def _current_usage(api: DemoApi) -> Json:
    path = f"customers/{CUSTOMER['external_id']}/current_usage"
    usage: Json = api.get(path, external_subscription_id=SUBSCRIPTION["external_id"])["customer_usage"]
    return usage


def _newest_invoice(api: DemoApi) -> Json:
    listed = api.get("invoices", external_customer_id=CUSTOMER["external_id"])["invoices"]
    if not listed:
        raise DemoFailedError("an invoice was due, and there is none")
    newest = max(listed, key=lambda invoice: invoice["sequential_id"])
    invoice: Json = api.get(f"invoices/{newest['lago_id']}")["invoice"]
    return invoice


def _expect(what: str, invoice: Json, *, fees: int, taxes: int, total: int) -> None:
    got = (invoice["fees_amount_cents"], invoice["taxes_amount_cents"], invoice["total_amount_cents"])
    if got != (fees, taxes, total):
        raise DemoFailedError(f"{what}: fees, taxes and total {(fees, taxes, total)} were due, got {got}")


def _title(console: Console, number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")


def _usage_table(usage: Json) -> Table:
    table = Table("metric", "units", "events", "amount", title=f"Current usage until {usage['to_datetime']}")
    for charge in usage["charges_usage"]:
        amount = _money(charge["amount_cents"], usage["currency"])
        table.add_row(charge["billable_metric"]["name"], charge["units"], str(charge["events_count"]), amount)
    return table


def _invoice_table(invoice: Json) -> Table:
    currency = invoice["currency"]
    title = f"Invoice {invoice['number']}, issued {invoice['issuing_date']}, {invoice['status']}"
    table = Table("item", "from", "to", "units", "amount", title=title, show_footer=False)
    for fee in invoice["fees"]:
        days = (str(fee["from_date"])[:10], str(fee["to_date"])[:10])
        table.add_row(fee["item"]["name"], *days, fee["units"], _money(fee["amount_cents"], currency))
    table.add_section()
    for label, key in (
        ("fees", "fees_amount_cents"),
        ("taxes", "taxes_amount_cents"),
        ("total", "total_amount_cents"),
    ):
        table.add_row(f"[b]{label}", "", "", "", f"[b]{_money(invoice[key], currency)}")
    for column in table.columns[-2:]:
        column.justify = "right"
    return table


def _money(cents: int, currency: str) -> str:
    exponent = currency_exponent(currency)
    whole, rest = divmod(cents, 10**exponent)
    return f"{currency} {whole:,}.{rest:0{exponent}d}" if exponent else f"{currency} {whole:,}"


def _codes(taxes: list[dict[str, Any]]) -> str:
    return ", ".join(f"{tax['code']} ({tax['rate']} %)" for tax in taxes)


def _print_summary(instance: EmbeddedMillrace, console: Console, *, running: bool) -> None:
    console.print()
    console.rule("[bold]Done", align="left")
    console.print(
        "  2 invoices of USD 135.00; 3 events accepted and 1 repeat that changed nothing; 2 units counted."
    )
    if running:
        console.print("  Still running, until Ctrl-C; then its data is removed:\n")
        for line in instance.addresses():
            console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
