"""What is new since 0001. Written by ``make revision``, and by nobody after its release."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema here, from the revision before."""
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
        info={"transient": True},
    )
    op.create_table(
        "guesses",
        sa.Column("who", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("who", name=op.f("pk_guesses")),
        info={"transient": True},
    )
    op.create_index(op.f("ix_guesses_last_at"), "guesses", ["last_at"], unique=False)
    op.create_table(
        "report_networks",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("share", sa.Text(), nullable=False),
        sa.Column("met", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "network", "share", "met", name=op.f("pk_report_networks")),
    )
    op.create_index(
        op.f("ix_report_networks_share_report_networks_day"),
        "report_networks",
        ["share", "day"],
        unique=False,
    )
    op.add_column(
        "certificates", sa.Column("told", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("chains", sa.Column("told", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("chains", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column("chains", sa.Column("share", sa.Text(), server_default="", nullable=False))
