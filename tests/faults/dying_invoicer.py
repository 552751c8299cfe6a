"""`python -m tests.faults.dying_invoicer STEP N [up]`: an invoicer, or all of Millrace, killed as it bills.

Steps: `usage_read` (nothing is written), `invoice_written` and `numbered` (in a transaction that is open),
`committing` (COMMIT is about to be sent), `committed` (nobody knows but the database), `never`. The triggers sit
in the usage reader and in SQLAlchemy's events, which see what is written however it is written. Few customers are
closed together, so that few subscriptions are enough for two invoicers, or for one that dies, to leave work over.
"""

import sys
import threading
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from aggregator.usage import ClickHouseUsageReader
from invoicer.jobs import due_jobs
from tests.faults.dying import Death

STEPS = ("usage_read", "invoice_written", "numbered", "committing", "committed")
NEVER = "never"
CUSTOMERS_TOGETHER = 3
_NUMBER_COLUMN = "last_invoice_sequential_id="


def arm(death: Death) -> None:
    """Put the triggers in place, before any engine is opened."""
    for name in [name for name in vars(ClickHouseUsageReader) if not name.startswith("_")]:
        death.around(ClickHouseUsageReader, name, before="usage_asked", after="usage_read")
    billing = threading.local()

    def executed(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO invoices "):
            billing.has_invoice = True
            death.pass_step("invoice_written")
        elif statement.startswith("UPDATE ") and _NUMBER_COLUMN in statement:
            death.pass_step("numbered")

    def committing(_connection: Connection) -> None:
        if getattr(billing, "has_invoice", False):
            death.pass_step("committing")

    def committed(_session: Session) -> None:
        if getattr(billing, "has_invoice", False):
            billing.has_invoice = False
            death.pass_step("committed")

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "commit", committing)
    event.listen(Session, "after_commit", committed)


def close_few_together() -> None:
    """Make the batches of due jobs small."""
    setattr(due_jobs, "TOGETHER_MAX", CUSTOMERS_TOGETHER)  # noqa: B010 - nobody else may change a constant


def run(mode: list[str]) -> None:
    """The real entry point of the mode, with the arguments that are left."""
    if mode:
        from invoicer.cli import main  # noqa: PLC0415 - chDB is heavy: only the embedded mode loads it

        sys.argv[1:] = mode
        main()
    else:
        from invoicer.__main__ import main as serve  # noqa: PLC0415 - see above

        serve()


if __name__ == "__main__":
    arm(Death(sys.argv[1], int(sys.argv[2])))
    close_few_together()
    run(sys.argv[3:])
