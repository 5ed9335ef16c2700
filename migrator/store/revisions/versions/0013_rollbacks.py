"""what becomes of what the new system has changed, when users go back after it has served them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "carries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("batch_id", KEY, nullable=False),
        sa.Column("policy", sa.String(length=12), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("set_hash", sa.String(length=64), nullable=False),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=True),
        sa.Column("kept_at", TIME, nullable=True),
        sa.Column("begun_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("expired_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"]),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"]),
        sa.ForeignKeyConstraint(["set_hash"], ["mapping_sets.hash"]),
        sa.PrimaryKeyConstraint("id", name="pk_carries"),
    )
    op.create_index("ix_carries_plan_id_carries_batch_id", "carries", ["plan_id", "batch_id"], unique=False)
    op.create_table(
        "returners",
        sa.Column("plan_id", KEY, nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("carry_id", KEY, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"]),
        sa.ForeignKeyConstraint(["carry_id"], ["carries.id"]),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name="pk_returners"),
    )


def downgrade() -> None:
    op.drop_table("returners")
    op.drop_index("ix_carries_plan_id_carries_batch_id", "carries")
    op.drop_table("carries")
