"""Changes since 0001. Written by ``make revision``, and not changed after its release."""

import sqlalchemy as sa
from alembic import op

from certpin_watch.store.migrations.steps import s0002

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change the tables from the previous revision to this revision."""
    op.create_table(
        "awaited",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("port", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("vantage", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "port", "way", "vantage", name=op.f("pk_awaited")),
    )
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
        info={"transient": True},
    )
    op.create_table(
        "clock",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("leapt_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_clock")),
        info={"transient": True},
    )
    op.create_table(
        "day_places",
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("trait", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place", "day", "trait", name=op.f("pk_day_places")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_day_places_day"), "day_places", ["day"], unique=False)
    op.create_table(
        "day_traits",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("trait", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "trait", name=op.f("pk_day_traits")),
        sqlite_with_rowid=False,
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
        "identity_hours",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_identity_hours")),
    )
    op.create_table(
        "listened",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listened")),
    )
    op.create_index(op.f("ix_listened_until"), "listened", ["until"], unique=False)
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
    op.create_table(
        "report_places",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("served", sa.LargeBinary(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_places")),
        sa.UniqueConstraint("host", "served", name=op.f("uq_report_places_host_served")),
    )
    op.create_index(op.f("ix_report_places_served"), "report_places", ["served"], unique=False)
    op.create_table(
        "report_traits",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("pin_set", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("app_version", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_traits")),
        sa.UniqueConstraint("key", name=op.f("uq_report_traits_key")),
    )
    op.create_table(
        "sweeps",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_sweeps")),
    )
    op.drop_table("report_days")
    op.add_column("alerts", sa.Column("acknowledged_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "alerts", sa.Column("acknowledged_by", sa.Text(), server_default="", nullable=False)
    )
    op.add_column("alerts", sa.Column("highest", sa.Text(), server_default="info", nullable=False))
    op.add_column(
        "certificates", sa.Column("told", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("chains", sa.Column("told", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("chains", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column("chains", sa.Column("share", sa.Text(), server_default="", nullable=False))
    op.create_index(op.f("ix_report_groups_verified"), "report_groups", ["verified"], unique=False)
    op.add_column(
        "report_samples", sa.Column("share", sa.Text(), server_default="", nullable=False)
    )
    op.drop_index(op.f("ix_report_samples_received_at"), table_name="report_samples")
    op.create_index(
        op.f("ix_report_samples_received_at_report_samples_key"),
        "report_samples",
        ["received_at", "key"],
        unique=False,
    )
    op.add_column(
        "sightings", sa.Column("took", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_index(op.f("ix_sightings_served"), "sightings", ["served"], unique=False)
    op.create_index(op.f("ix_sightings_verified"), "sightings", ["verified"], unique=False)
    s0002.after(op.get_bind())
