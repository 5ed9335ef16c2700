"""where users are served and since when, cutovers, who is frozen, who is to be moved ahead of his wave."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "homes",
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("was", sa.String(length=8), nullable=False),
        sa.Column("home", sa.String(length=8), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("wave_id", KEY, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_homes_plan_id_plans")),
        sa.ForeignKeyConstraint(["wave_id"], ["waves.id"], name=op.f("fk_homes_wave_id_waves")),
        sa.PrimaryKeyConstraint("plan_id", "user_key", "version", name=op.f("pk_homes")),
    )
    op.create_table(
        "cutovers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("wave_id", KEY, nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("step_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("live", sa.Integer(), server_default="0", nullable=False),
        sa.Column("undone", sa.Integer(), server_default="0", nullable=False),
        sa.Column("longest", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_cutovers_plan_id_plans")),
        sa.ForeignKeyConstraint(["wave_id"], ["waves.id"], name=op.f("fk_cutovers_wave_id_waves")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cutovers")),
    )
    op.create_index("ix_cutovers_plan_id_cutovers_wave_id", "cutovers", ["plan_id", "wave_id"], unique=False)
    op.create_table(
        "frozen",
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("cutover_id", KEY, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_frozen_plan_id_plans")),
        sa.ForeignKeyConstraint(["cutover_id"], ["cutovers.id"], name=op.f("fk_frozen_cutover_id_cutovers")),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name=op.f("pk_frozen")),
    )
    op.create_table(
        "requests",
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("cut_over", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("batch_id", KEY, nullable=True),
        sa.Column("taken_at", MOMENT, nullable=True),
        sa.Column("rung_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_requests_plan_id_plans")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_requests_batch_id_batches")),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name=op.f("pk_requests")),
    )
    op.create_index("ix_requests_status_requests_asked_at", "requests", ["status", "asked_at"], unique=False)
    op.create_index("ix_requests_batch_id", "requests", ["batch_id"], unique=False)


def downgrade() -> None:
    for table in ("requests", "frozen", "cutovers", "homes"):
        op.drop_table(table)
