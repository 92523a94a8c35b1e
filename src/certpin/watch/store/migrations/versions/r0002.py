"""What is new since 0001. Written by ``make revision``, and by nobody after its release."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema here, from the revision before."""
    op.create_table(
        "guesses",
        sa.Column("who", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("who", name=op.f("pk_guesses")),
        info={"transient": True},
    )
    op.create_index(op.f("ix_guesses_last_at"), "guesses", ["last_at"], unique=False)
