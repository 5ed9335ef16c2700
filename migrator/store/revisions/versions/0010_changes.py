"""users who changed in legacy since they were moved, and batches that bring them over again."""

import sqlalchemy as sa
from alembic import op

from migrator.store.tables import Utc

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _plan() -> "sa.Column[int]":
    return sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False)


def _user() -> "list[sa.Column[int] | sa.Column[str]]":
    return [_plan(), sa.Column("user_key", sa.Text(), nullable=False)]


def _batch(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False)


def _refers(table: str, name: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([name], [f"{to}.id"])


def upgrade() -> None:
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.add_column(sa.Column("op", sa.String(8), nullable=False, server_default="move"))
    op.create_table(
        "changed_users",
        *_user(),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("found_by", sa.String(16), nullable=False),
        sa.Column("found_at", Utc(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _refers("changed_users", "plan_id", "plans"),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name=op.f("pk_changed_users")),
    )
    op.create_table(
        "change_marks",
        _plan(),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        _refers("change_marks", "plan_id", "plans"),
        sa.PrimaryKeyConstraint("plan_id", "source", name=op.f("pk_change_marks")),
    )
    op.create_table(
        "syncing",
        *_user(),
        _batch("batch_id"),
        sa.Column("version", sa.BigInteger(), nullable=True),
        _batch("was_batch_id"),
        sa.Column("was_fence", sa.BigInteger(), nullable=False),
        _refers("syncing", "plan_id", "plans"),
        _refers("syncing", "batch_id", "batches"),
        _refers("syncing", "was_batch_id", "batches"),
        sa.PrimaryKeyConstraint("plan_id", "user_key", name=op.f("pk_syncing")),
    )
    op.create_index(op.f("ix_syncing_batch_id"), "syncing", ["batch_id"], unique=False)
    op.create_table(
        "generations",
        *_user(),
        _batch("batch_id"),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("replaced_at", Utc(), nullable=False),
        _refers("generations", "plan_id", "plans"),
        _refers("generations", "batch_id", "batches"),
        sa.PrimaryKeyConstraint("plan_id", "user_key", "batch_id", "fence", name=op.f("pk_generations")),
    )


def downgrade() -> None:
    op.drop_table("generations")
    op.drop_index(op.f("ix_syncing_batch_id"), "syncing")
    op.drop_table("syncing")
    op.drop_table("change_marks")
    op.drop_table("changed_users")
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.drop_column("op")
