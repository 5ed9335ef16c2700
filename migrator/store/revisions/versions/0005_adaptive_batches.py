"""batches that are cut while a wave runs, and what holds them back."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("waves", schema=None) as batch_op:
        batch_op.add_column(sa.Column("uncut_from", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("batch_size", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("measured", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("orders", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("waiting", sa.JSON(), nullable=True))

    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.add_column(sa.Column("memory", sa.Integer(), nullable=True))

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("place", sa.BigInteger(), nullable=True))
        batch_op.drop_index("ix_users_plan_id_users_wave_id_users_status")
        batch_op.create_index("ix_users_wave_id_users_status_users_place", ["wave_id", "status", "place"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index("ix_users_wave_id_users_status_users_place")
        batch_op.create_index(
            "ix_users_plan_id_users_wave_id_users_status", ["plan_id", "wave_id", "status"], unique=False
        )
        batch_op.drop_column("place")

    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.drop_column("memory")

    with op.batch_alter_table("waves", schema=None) as batch_op:
        batch_op.drop_column("waiting")
        batch_op.drop_column("orders")
        batch_op.drop_column("measured")
        batch_op.drop_column("batch_size")
        batch_op.drop_column("uncut_from")
