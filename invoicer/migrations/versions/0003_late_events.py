"""Late events, what they changed, and how many events a period was billed with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from invoicer.db.base import ExactDecimal, UtcDateTime

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ADJUSTED_PERIOD = "fk_fees_adjusts_billing_period_id"
_PERIODS = "billing_periods"


def upgrade() -> None:
    # No batch: SQLite adds these columns itself, and copying a table would cascade to what refers to it.
    op.add_column(
        "organizations",
        sa.Column("late_event_policy", sa.String(length=32), nullable=False, server_default="next_invoice"),
    )
    op.add_column(_PERIODS, sa.Column("events_counted", sa.BigInteger(), nullable=True))
    op.add_column(_PERIODS, sa.Column("usage_read_at", UtcDateTime(), nullable=True))
    _add_adjusted_period()
    op.create_index(op.f("ix_fees_adjusts_billing_period_id"), "fees", ["adjusts_billing_period_id"])
    op.create_table(
        "late_event_mark",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("looked_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_event_mark")),
    )
    # There from the beginning, so that no two processes make it.
    op.execute("INSERT INTO late_event_mark (id, looked_until) VALUES (1, '1970-01-01 00:00:00+00:00')")
    _create_adjustments()
    _create_events()


def _add_adjusted_period() -> None:
    """SQLite takes a reference with its column only, PostgreSQL either way."""
    column = sa.Column("adjusts_billing_period_id", sa.Uuid(), nullable=True)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"ALTER TABLE fees ADD COLUMN {column.name} CHAR(32) CONSTRAINT {_ADJUSTED_PERIOD}"
            f" REFERENCES {_PERIODS} (id)"
        )
        return
    op.add_column("fees", column)
    op.create_foreign_key(_ADJUSTED_PERIOD, "fees", _PERIODS, [column.name], ["id"])


def _create_adjustments() -> None:
    op.create_table(
        "late_adjustments",
        sa.Column("billing_period_id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("charge_filter_id", sa.Uuid(), nullable=True),
        sa.Column("grouped_by", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("is_true_up", sa.Boolean(), nullable=False),
        sa.Column("fee_id", sa.Uuid(), nullable=True),
        sa.Column("credit_note_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("units", ExactDecimal(), nullable=False),
        sa.Column("events_count", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["billing_period_id"],
            [f"{_PERIODS}.id"],
            name=op.f("fk_late_adjustments_billing_period_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("fk_late_adjustments_charge_id")),
        sa.ForeignKeyConstraint(
            ["charge_filter_id"], ["charge_filters.id"], name=op.f("fk_late_adjustments_charge_filter_id")
        ),
        sa.ForeignKeyConstraint(
            ["fee_id"], ["fees.id"], name=op.f("fk_late_adjustments_fee_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["credit_note_id"],
            ["credit_notes.id"],
            name=op.f("fk_late_adjustments_credit_note_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_adjustments")),
    )
    for column in ("billing_period_id", "fee_id", "credit_note_id"):
        op.create_index(op.f(f"ix_late_adjustments_{column}"), "late_adjustments", [column])


def _create_events() -> None:
    op.create_table(
        "late_events",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("billing_period_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("ingested_at", UtcDateTime(), nullable=False),
        sa.Column("arrived_at", UtcDateTime(), nullable=False),
        sa.Column("counted_from", UtcDateTime(), nullable=False),
        sa.Column("policy", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("adjustment_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_late_events_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_late_events_subscription_id")
        ),
        sa.ForeignKeyConstraint(
            ["billing_period_id"],
            [f"{_PERIODS}.id"],
            name=op.f("fk_late_events_billing_period_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["adjustment_id"],
            ["late_adjustments.id"],
            name=op.f("fk_late_events_adjustment_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_events")),
        sa.UniqueConstraint("billing_period_id", "event_id", name="uq_late_events_once"),
    )
    op.create_index("ix_late_events_listing", "late_events", ["organization_id", "timestamp"])
    op.create_index("ix_late_events_open", "late_events", ["subscription_id", "status"])
    op.create_index("ix_late_events_status", "late_events", ["status"])
    op.create_index("ix_late_events_event_id", "late_events", ["event_id"])
    op.create_index(op.f("ix_late_events_adjustment_id"), "late_events", ["adjustment_id"])


def downgrade() -> None:
    op.drop_table("late_events")
    op.drop_table("late_adjustments")
    op.drop_table("late_event_mark")
    op.drop_index(op.f("ix_fees_adjusts_billing_period_id"), table_name="fees")
    op.drop_column("fees", "adjusts_billing_period_id")  # its reference goes with it
    op.drop_column(_PERIODS, "usage_read_at")
    op.drop_column(_PERIODS, "events_counted")
    op.drop_column("organizations", "late_event_policy")
