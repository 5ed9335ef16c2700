"""the journal is chained, and refuses to be changed."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from migrator.errors import Refused
from migrator.store.chain import Entry, Head, Sign, add

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REFUSAL = "the journal is append-only"
#: What may be done to an entry: to take out what it says of a person. The chain still holds.
SAME = ("seq", "at", "actor", "event", "noun", "payload", "prev", "hash")
EMPTIED = "new.ref = '' and {detail} = '{{}}' and new.digest is null and new.salt is null"


def _entries() -> sa.Table:
    return sa.Table(
        "journal",
        sa.MetaData(),
        sa.Column("seq", KEY),
        sa.Column("at", sa.DateTime(timezone=True)),
        *(sa.Column(name, sa.Text) for name in ("actor", "event", "noun", "ref")),
        sa.Column("detail", sa.JSON),
        *(sa.Column(name, sa.Text) for name in ("digest", "salt", "payload", "prev", "hash")),
    )


def upgrade() -> None:
    db, sign = op.get_bind(), context.config.attributes.get("sign")
    op.create_table(
        "journal_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", KEY, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_head")),
    )
    op.rename_table("journal", "journal_before")
    before = sa.table("journal_before", *(sa.column(column.name, column.type) for column in _entries().c))
    op.drop_index("ix_journal_noun_journal_ref", "journal_before")
    if db.dialect.name == "postgresql":
        op.execute("alter table journal_before rename constraint pk_journal to pk_journal_before")
    op.create_table(
        "journal",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("noun", sa.String(length=16), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("payload", sa.String(length=64), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_noun_journal_ref", "journal", ["noun", "ref"], unique=False)
    head = _chained(db, before, sign)
    op.drop_table("journal_before")
    table = sa.table("journal_head", sa.column("id"), sa.column("seq"), sa.column("hash"))
    op.bulk_insert(table, [{"id": 1, "seq": head.seq, "hash": head.hash}])
    for statement in _guards(db.dialect.name):
        op.execute(statement)


def _chained(db: sa.Connection, before: sa.TableClause, sign: Sign | None) -> Head:
    """What was written before there was a chain is chained now, and an entry says so."""
    after, head, count = before.c.seq, Head(), 0
    old = list(db.execute(sa.select(after).order_by(after)).scalars())
    if not old:
        return head
    if sign is None:
        raise Refused(
            f"the journal has {len(old)} entries that are to be chained, and the project key is missing; "
            "put the copy of it back"
        )
    columns = [before.c[name] for name in ("at", "actor", "event", "noun", "ref", "detail", "digest")]
    for start in range(0, len(old), 500):
        rows: list[dict[str, Any]] = []
        for row in db.execute(sa.select(*columns).where(after.in_(old[start : start + 500])).order_by(after)):
            at = row.at.replace(tzinfo=UTC) if row.at.tzinfo is None else row.at
            entry = Entry(0, at, row.actor, row.event, row.noun, row.ref, json.dumps(row.detail), row.digest)
            head = _put(sign, head, entry, rows)
        db.execute(sa.insert(_entries()), rows)
        count += len(rows)
    rows = list[dict[str, Any]]()
    said = json.dumps({"entries": count, "reason": "written before the journal was chained"})
    head = _put(sign, head, Entry(0, datetime.now(UTC), "migrator", "chain", "journal", str(count), said), rows)
    db.execute(sa.insert(_entries()), rows)
    return head


def _put(sign: Sign, head: Head, entry: Entry, rows: list[dict[str, Any]]) -> Head:
    chained = add(sign, head, entry)
    names = ("seq", "at", "actor", "event", "noun", "ref", "digest", "salt", "payload", "prev", "hash")
    rows.append({name: getattr(chained, name) for name in names} | {"detail": json.loads(chained.detail)})
    return chained.head


def _guards(dialect: str) -> list[str]:
    """Triggers that let nobody change, replace or delete an entry."""
    kept = " and ".join(f"new.{name} = old.{name}" for name in SAME)
    if dialect == "sqlite":
        refuse = f"begin select raise(abort, '{REFUSAL}'); end"
        last = "(select coalesce(max(seq), 0) from journal)"
        emptied = EMPTIED.format(detail="new.detail")
        return [
            f"create trigger journal_no_edit before update on journal when not ({kept} and {emptied}) {refuse}",
            f"create trigger journal_no_delete before delete on journal {refuse}",
            f"create trigger journal_no_replace before insert on journal when new.seq <= {last} {refuse}",
        ]
    each, refuse = "on journal for each row", "execute function journal_refuses()"
    emptied = EMPTIED.format(detail="new.detail::text")
    body = f"$$ begin raise exception '{REFUSAL}'; end $$"
    return [
        f"create function journal_refuses() returns trigger language plpgsql as {body}",
        f"create trigger journal_no_edit before update {each} when (not ({kept} and {emptied})) {refuse}",
        f"create trigger journal_no_delete before delete {each} {refuse}",
        f"create trigger journal_no_truncate before truncate on journal {refuse}",
    ]


def downgrade() -> None:
    for statement in _open(op.get_bind().dialect.name):
        op.execute(statement)
    for name in ("salt", "payload", "prev", "hash"):
        op.drop_column("journal", name)
    op.drop_table("journal_head")


def _open(dialect: str) -> list[str]:
    """Take the guards away."""
    names = ("journal_no_edit", "journal_no_delete")
    if dialect == "sqlite":
        return [f"drop trigger {name}" for name in (*names, "journal_no_replace")]
    triggers = [f"drop trigger {name} on journal" for name in (*names, "journal_no_truncate")]
    return [*triggers, "drop function journal_refuses()"]
