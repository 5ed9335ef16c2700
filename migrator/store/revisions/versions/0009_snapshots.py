"""snapshots that expire and are held, keys that change, users who are erased."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("snapshots", sa.Column("expired_at", MOMENT, nullable=True))
    op.create_table(
        "snapshot_holds",
        sa.Column("id", KEY, nullable=False),
        sa.Column("wave_id", KEY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("held_at", MOMENT, nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("released_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["wave_id"], ["waves.id"], name=op.f("fk_snapshot_holds_wave_id_waves")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot_holds")),
    )
    op.create_table(
        "project_keys",
        sa.Column("id", KEY, nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=True),
        sa.Column("noted_by", sa.Text(), nullable=False),
        sa.Column("noted_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_project_keys_key_id")),
    )
    op.create_table(
        "erasures",
        sa.Column("id", KEY, nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("who", sa.LargeBinary(), nullable=True),
        sa.Column("done", sa.JSON(), nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "tombstones",
        sa.Column("print", sa.String(length=32), nullable=False),
        sa.Column("erasure_id", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name=op.f("fk_tombstones_erasure_id_erasures")),
        sa.PrimaryKeyConstraint("print", name=op.f("pk_tombstones")),
    )


def downgrade() -> None:
    for table in ("tombstones", "erasures", "project_keys", "snapshot_holds"):
        op.drop_table(table)
    with op.batch_alter_table("snapshots", schema=None) as batch_op:
        batch_op.drop_column("expired_at")
