"""Credit notes, and what invoices took from them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from invoicer.db.base import ExactDecimal, UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "credit_notes",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("sequential_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=80), nullable=False),
        sa.Column("issuing_date", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("credit_status", sa.String(length=16), nullable=True),
        sa.Column("refund_status", sa.String(length=16), nullable=True),
        sa.Column("credit_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("refund_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("offset_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("balance_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("sub_total_excluding_taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("coupons_adjustment_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_taxes_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("precise_total_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("taxes_rate", ExactDecimal(), nullable=False),
        sa.Column("refunded_at", UtcDateTime(), nullable=True),
        sa.Column("voided_at", UtcDateTime(), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "balance_amount_cents >= 0 AND balance_amount_cents <= credit_amount_cents",
            name=op.f("ck_credit_notes_balance"),
        ),
        sa.CheckConstraint(
            "total_amount_cents = credit_amount_cents + refund_amount_cents + offset_amount_cents",
            name=op.f("ck_credit_notes_total"),
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_credit_notes_customer_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_credit_notes_invoice_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_credit_notes_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint("invoice_id", "sequential_id", name="uq_credit_notes_sequential_id"),
    )
    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credit_notes_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            "ix_credit_notes_listing", ["organization_id", "issuing_date", "created_at"], unique=False
        )

    op.create_table(
        "credit_note_applied_taxes",
        sa.Column("credit_note_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.Column("tax_name", sa.String(length=255), nullable=False),
        sa.Column("tax_code", sa.String(length=255), nullable=False),
        sa.Column("tax_rate", ExactDecimal(), nullable=False),
        sa.Column("tax_description", sa.Text(), nullable=True),
        sa.Column("base_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credit_note_id"],
            ["credit_notes.id"],
            name=op.f("fk_credit_note_applied_taxes_credit_note_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_note_applied_taxes")),
    )
    with op.batch_alter_table("credit_note_applied_taxes", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_credit_note_applied_taxes_credit_note_id"), ["credit_note_id"], unique=False
        )

    op.create_table(
        "invoice_credits",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("credit_note_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_invoice_credits_amount")),
        sa.ForeignKeyConstraint(
            ["credit_note_id"], ["credit_notes.id"], name=op.f("fk_invoice_credits_credit_note_id")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_credits_invoice_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_credits")),
        sa.UniqueConstraint("invoice_id", "credit_note_id", name="uq_invoice_credits_once"),
    )
    with op.batch_alter_table("invoice_credits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoice_credits_credit_note_id"), ["credit_note_id"], unique=False)

    op.create_table(
        "credit_note_items",
        sa.Column("credit_note_id", sa.Uuid(), nullable=False),
        sa.Column("fee_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credit_note_id"],
            ["credit_notes.id"],
            name=op.f("fk_credit_note_items_credit_note_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["fee_id"], ["fees.id"], name=op.f("fk_credit_note_items_fee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_note_items")),
    )
    with op.batch_alter_table("credit_note_items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credit_note_items_credit_note_id"), ["credit_note_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_credit_note_items_fee_id"), ["fee_id"], unique=False)

    # No batch: SQLite adds and drops this column itself, and copying the table would cascade to its fees.
    op.add_column(
        "invoices",
        sa.Column("total_offsetted_credit_note_amount_cents", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("invoices", "total_offsetted_credit_note_amount_cents")

    with op.batch_alter_table("credit_note_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_credit_note_items_fee_id"))
        batch_op.drop_index(batch_op.f("ix_credit_note_items_credit_note_id"))

    op.drop_table("credit_note_items")
    with op.batch_alter_table("invoice_credits", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invoice_credits_credit_note_id"))

    op.drop_table("invoice_credits")
    with op.batch_alter_table("credit_note_applied_taxes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_credit_note_applied_taxes_credit_note_id"))

    op.drop_table("credit_note_applied_taxes")
    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.drop_index("ix_credit_notes_listing")
        batch_op.drop_index(batch_op.f("ix_credit_notes_customer_id"))

    op.drop_table("credit_notes")
