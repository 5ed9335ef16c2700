"""users are counted as they change, no index has their status, and a batch takes its users when it is taken itself."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BY = ("plan_id", "wave_id", "status", "kind", "tier")
#: Of a page of users PostgreSQL leaves half free: a row that changes stays in it, and no index learns of it.
HALF, FULL = "ALTER TABLE users SET (fillfactor = 50)", "ALTER TABLE users RESET (fillfactor)"


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("wave_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("writer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("users", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"]),
        sa.PrimaryKeyConstraint("plan_id", "wave_id", "status", "kind", "tier", "writer", name="pk_tallies"),
    )
    op.create_index("ix_tallies_wave_id", "tallies", ["wave_id"], unique=False)
    op.execute(_counted())
    op.add_column("batches", sa.Column("from_place", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("to_place", sa.BigInteger(), nullable=True))
    op.drop_index("ix_users_counts", "users")
    op.drop_index("ix_users_wave_id_users_status_users_place", "users")
    op.create_index("ix_users_wave_id_users_place", "users", ["wave_id", "place"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(HALF)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FULL)
    op.drop_index("ix_users_wave_id_users_place", "users")
    op.create_index("ix_users_wave_id_users_status_users_place", "users", ["wave_id", "status", "place"], unique=False)
    op.create_index("ix_users_counts", "users", ["plan_id", "status", "kind", "tier", "wave_id"], unique=False)
    for name_them in _name_users():
        op.execute(name_them)
    op.drop_column("batches", "to_place")
    op.drop_column("batches", "from_place")
    op.drop_index("ix_tallies_wave_id", "tallies")
    op.drop_table("tallies")


def _counted() -> sa.Insert:
    """What there is by now, counted once."""
    users = sa.table("users", *(sa.column(name) for name in BY))
    tallies = sa.table("tallies", *(sa.column(name) for name in (*BY, "writer", "users")))
    wave = sa.func.coalesce(users.c.wave_id, 0)
    by: list[sa.ColumnElement[object]] = [wave if name == "wave_id" else users.c[name] for name in BY]
    counted = sa.select(*by, sa.literal(0), sa.func.count()).group_by(*by)
    return sa.insert(tallies).from_select([*BY, "writer", "users"], counted)


def _name_users() -> list[sa.Update]:
    """Batches that nobody has taken get their users by name."""
    batches = sa.table("batches", *(sa.column(name) for name in ("id", "wave_id", "status", "from_place", "to_place")))
    users = sa.table("users", *(sa.column(name) for name in ("wave_id", "batch_id", "status", "place")))
    untaken = sa.select(batches).where(batches.c.from_place.is_not(None), batches.c.status == "ready")
    waiting = op.get_bind().execute(untaken).all()
    return [
        sa.update(users)
        .where(users.c.wave_id == batch.wave_id, users.c.batch_id.is_(None), users.c.status == "planned")
        .where(users.c.place >= batch.from_place, users.c.place < batch.to_place)
        .values(batch_id=batch.id)
        for batch in waiting
    ]
