"""users who left a batch whose books go on."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "leavers",
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("batch_id", KEY, nullable=False),
        sa.Column("parted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_leavers_plan_id_plans")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_leavers_batch_id_batches")),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name=op.f("pk_leavers")),
    )
    op.create_index("ix_leavers_batch_id", "leavers", ["batch_id"], unique=False)


def downgrade() -> None:
    op.drop_table("leavers")
