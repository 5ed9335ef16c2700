"""users are counted from one index, and the others hold only what is looked for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNTS = ["plan_id", "status", "kind", "tier", "wave_id"]
BEFORE = {
    "ix_users_plan_id_users_status": ["plan_id", "status"],
    "ix_users_batch_id": ["batch_id"],
    "ix_users_plan_id_users_email_print": ["plan_id", "email_print"],
    "ix_users_plan_id_users_group_key": ["plan_id", "group_key"],
}
SET = (["batch_id"], ["plan_id", "email_print"], ["plan_id", "group_key"])


def upgrade() -> None:
    for name in BEFORE:
        op.drop_index(name, "users")
    op.create_index("ix_users_counts", "users", COUNTS, unique=False)
    for columns in SET:
        is_set = sa.column(columns[-1]).is_not(None)
        op.create_index(
            f"ix_users_{columns[-1]}", "users", columns, unique=False, sqlite_where=is_set, postgresql_where=is_set
        )


def downgrade() -> None:
    op.drop_index("ix_users_counts", "users")
    for columns in SET:
        op.drop_index(f"ix_users_{columns[-1]}", "users")
    for name, columns in BEFORE.items():
        op.create_index(name, "users", columns, unique=False)
