"""What is done about an event that came too late, and how far that is."""

from enum import StrEnum


class LateEventPolicy(StrEnum):
    """What an organization wants done about late events."""

    NEXT_INVOICE = "next_invoice"
    """The difference is a line on the subscription's next invoice."""
    CREDIT_NOTE_OR_INVOICE = "credit_note_or_invoice"
    """The difference is settled at once, by an invoice of its own or a credit note."""
    IGNORE = "ignore"
    """Late events are listed and change nothing."""


class LateEventStatus(StrEnum):
    """What became of a late event."""

    PENDING = "pending"
    """Found, its difference not computed yet."""
    AWAITING_INVOICE = "awaiting_invoice"
    """Its difference is owed, and put on the next invoice."""
    BILLED = "billed"
    CREDITED = "credited"
    NO_CHANGE = "no_change"
    """Counted, and the period comes to what was billed for it."""
    IGNORED = "ignored"


OPEN = (LateEventStatus.PENDING, LateEventStatus.AWAITING_INVOICE)
"""Still to be settled."""
