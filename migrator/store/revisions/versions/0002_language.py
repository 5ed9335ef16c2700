"""users who merge, rows of nobody, records of several sources, cleaning."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(length=8), nullable=False, server_default="user"))
        batch_op.add_column(sa.Column("group_key", sa.Text(), nullable=True))
        batch_op.create_index(batch_op.f("ix_users_plan_id_users_group_key"), ["plan_id", "group_key"], unique=False)

    op.create_table(
        "records",
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("record_key", sa.Text(), nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("rule", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_records_plan_id_plans")),
        sa.PrimaryKeyConstraint("plan_id", "source", "record_key", name=op.f("pk_records")),
    )
    with op.batch_alter_table("records", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_records_plan_id_records_user_key"), ["plan_id", "user_key"], unique=False)

    op.create_table(
        "cleaned",
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_cleaned_batch_id_batches")),
        sa.PrimaryKeyConstraint("batch_id", "mapping", "rule", name=op.f("pk_cleaned")),
    )


def downgrade() -> None:
    op.drop_table("cleaned")
    with op.batch_alter_table("records", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_records_plan_id_records_user_key"))

    op.drop_table("records")
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_users_plan_id_users_group_key"))
        batch_op.drop_column("group_key")
        batch_op.drop_column("kind")
