"""An hour of real requests to large language models, replayed twice and billed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end import story
from tests.services.millrace import ROOT, Instance, millrace_environ

DATA = Path(os.environ.get("MILLRACE_TEST_DATA", ROOT.parent / "shared" / "data")) / "azure_llm_inference_code.csv"
ROWS = 8_819
CONTEXT_TOKENS = "18059974.0"
GENERATED_TOKENS = "245896.0"
INVOICES: dict[str, story.Json] = {}
"""What each mode billed, to be compared; ids and instants of creation left out."""

TIERS = [
    {"from_value": 0, "to_value": 1_000_000, "per_unit_amount": "0", "flat_amount": "0"},
    {"from_value": 1_000_001, "to_value": 10_000_000, "per_unit_amount": "0.000003", "flat_amount": "1"},
    {"from_value": 10_000_001, "to_value": None, "per_unit_amount": "0.000002", "flat_amount": "0"},
]
CONTEXT_CENTS = 4_412
"""9,000,000 × 0.000003 + 1 flat + 8,059,974 × 0.000002 = 27 + 1 + 16.119948 = 44.119948."""
GENERATED_CENTS = 246
"""245,896 × 0.00001 = 2.45896."""

pytestmark = pytest.mark.skipif(
    not DATA.exists() and "CI" not in os.environ,
    reason=f"the public trace is not at {DATA} (MILLRACE_TEST_DATA names its folder); CI has it",
)


def replay(instance: Instance, code: str, column: str) -> str:
    command = [
        sys.executable, "-m", "invoicer.cli", "replay", str(DATA), "--subscription", "llm", "--code", code,
        "--timestamp", "TIMESTAMP", "--property", column, "--url", instance.ingest_url, "--batch-size", "500",
    ]  # fmt: skip
    environ = millrace_environ({"api_key": instance.api_key}) | {"COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def without_identity(value: object) -> object:
    """The same invoice without ids and times of creation, which differ between any two runs."""
    if isinstance(value, dict):
        return {
            key: without_identity(each)
            for key, each in value.items()
            if "lago_id" not in key
            and not key.startswith("lago_")
            and key not in ("created_at", "updated_at", "slug", "number")
        }
    return [without_identity(each) for each in value] if isinstance(value, list) else value


def test_real_requests_replayed_twice_are_billed_once(instance: Instance, request: pytest.FixtureRequest) -> None:
    """Units equal the trace's own sums, a second replay changes nothing, and both modes bill alike."""
    context = story.sum_metric(instance, "context_tokens", "ContextTokens")
    generated = story.sum_metric(instance, "generated_tokens", "GeneratedTokens")
    graduated = {
        "billable_metric_id": context["lago_id"],
        "charge_model": "graduated",
        "properties": {"graduated_ranges": TIERS},
    }
    story.plan(instance, "llm-plan", [graduated, story.standard_charge(generated, "0.00001")])
    story.subscribe(instance, "copilot", "llm-plan", "llm", billing_time="anniversary")
    for _ in range(2):
        lines = [
            replay(instance, "context_tokens", "ContextTokens"),
            replay(instance, "generated_tokens", "GeneratedTokens"),
        ]
    assert all(
        line.startswith(f"sent {ROWS:,}, accepted 0, duplicates {ROWS:,}, rejected 0,") for line in lines
    ), lines
    expected = {"context_tokens": CONTEXT_TOKENS, "generated_tokens": GENERATED_TOKENS}
    story.wait_for_units(instance, "copilot", "llm", expected)

    story.move_clock(instance, "2023-12-16T06:00:00Z")
    (invoice,) = story.invoices_of(instance, "copilot")
    fees = {
        fee["item"]["code"]: (fee["units"], fee["amount_cents"])
        for fee in invoice["fees"]
        if fee["item"]["type"] == "charge"
    }
    assert fees == {
        "context_tokens": (CONTEXT_TOKENS, CONTEXT_CENTS),
        "generated_tokens": (GENERATED_TOKENS, GENERATED_CENTS),
    }
    assert invoice["total_amount_cents"] == CONTEXT_CENTS + GENERATED_CENTS
    INVOICES[request.node.callspec.id] = invoice


@pytest.mark.cluster
def test_both_modes_made_the_same_invoice() -> None:
    """Everything but ids and times of creation is equal, line by line."""
    if len(INVOICES) < 2:
        pytest.fail(f"only {sorted(INVOICES)} billed the trace: run this file as a whole")
    first, second = (without_identity(invoice) for invoice in INVOICES.values())
    assert first == second
