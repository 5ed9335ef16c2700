"""The tables of the control database. Imported by this room only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(column_0_N_label)s",
    }
)

BigKey = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up INTEGER keys only


class Utc(TypeDecorator[datetime]):
    """An aware UTC moment in every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """SQLite keeps no zone: UTC is understood."""
        return value.astimezone(UTC).replace(tzinfo=None if dialect.name == "sqlite" else UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """UTC again: SQLite gives no zone, PostgreSQL that of the session."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


mapping_sets = sa.Table(
    "mapping_sets",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("texts", sa.JSON, nullable=False),
    sa.Column("stored_at", Utc, nullable=False),
)

tiers = sa.Table(
    "tiers",
    metadata,
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("tier", sa.String(16), nullable=False),
    sa.Column("code", sa.String(3), nullable=False),
    sa.Column("r", sa.Integer),
    sa.Column("f", sa.Integer, nullable=False),
    sa.Column("m", sa.Text, nullable=False),
)

tier_runs = sa.Table(
    "tier_runs",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("thresholds", sa.JSON, nullable=False),
    sa.Column("set_hash", sa.String(64), nullable=False),
    sa.Column("assigned_at", Utc, nullable=False),
)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("set_hash", sa.ForeignKey("mapping_sets.hash"), nullable=False),
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("approved_at", Utc),
    sa.Column("approved_by", sa.Text),
    sa.Column("schemas", sa.JSON),  # what it was approved against: mapping/fingerprint.py
)

waves = sa.Table(
    "waves",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("tier", sa.String(16)),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("share", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("users", sa.Integer, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("checking_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Column("rung_at", Utc),
    sa.Column("verdict", sa.String(8)),
    sa.Column("findings", sa.JSON),
    sa.Column("uncut_from", sa.BigInteger),  # place from which on users have no batch yet; none: all are cut
    sa.Column("batch_size", sa.Integer),  # users of the batch that is cut next
    sa.Column("measured", sa.Integer, nullable=False, server_default="0"),  # ended batches that this size goes by
    sa.Column("orders", sa.JSON),  # what was set while it runs: batch_size, workers, max_lag, …
    sa.Column("waiting", sa.JSON),  # why no batch is handed out, and since when
    sa.UniqueConstraint("plan_id", "ordinal"),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("wave_id", sa.ForeignKey("waves.id"), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("ramp", sa.Boolean, nullable=False, default=False),
    sa.Column("users", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False, default=0),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", Utc),
    sa.Column("progress_at", Utc),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("interruptions", sa.Integer, nullable=False, default=0),
    sa.Column("not_before", Utc),
    sa.Column("dispatch_no", sa.Integer, nullable=False, default=0),
    sa.Column("rung_at", Utc),
    sa.Column("error", sa.Text),
    sa.Column("started_at", Utc),
    sa.Column("finished_at", Utc),
    sa.Column("rows", sa.BigInteger),
    sa.Column("memory", sa.Integer),  # megabytes that its worker held when it was done
    sa.Index(None, "wave_id", "status"),
)


def _where_set(*columns: str) -> sa.Index:
    """An index of those rows alone that have a value in the last column: few have one, or not from the start."""
    # The condition stands in the revisions alone: an index that names a dialect here would import it, and that of
    # PostgreSQL is a twentieth of the start of every command.
    return sa.Index(f"ix_users_{columns[-1]}", *columns)


users = sa.Table(
    "users",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False, server_default="user"),  # user | rows (of nobody: its own owner)
    sa.Column("group_key", sa.Text),  # users who are one after the merge: the key of the one who survives
    sa.Column("tier", sa.String(16), nullable=False),
    sa.Column("code", sa.String(3), nullable=False),
    sa.Column("r", sa.Integer),
    sa.Column("f", sa.Integer, nullable=False),
    sa.Column("m", sa.Text, nullable=False),
    sa.Column("wave_id", sa.ForeignKey("waves.id")),
    sa.Column("batch_id", sa.ForeignKey("batches.id")),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("home", sa.String(8), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("locale", sa.String(35)),
    sa.Column("email_print", sa.String(64)),
    sa.Column("contact", sa.LargeBinary),  # sealed: e-mail and name
    sa.Column("fence", sa.BigInteger),  # of the snapshot that holds him
    sa.Column("generation", sa.BigInteger),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("place", sa.BigInteger),  # the order in which a wave is cut into batches: near rows lie together
    sa.Index(None, "wave_id", "status", "place"),
    sa.Index("ix_users_counts", "plan_id", "status", "kind", "tier", "wave_id"),  # all that is counted is in it
    _where_set("batch_id"),
    _where_set("plan_id", "email_print"),
    _where_set("plan_id", "group_key"),
)

#: Which record of which legacy source is which user: the identity rule's answer, or a person's.
records = sa.Table(
    "records",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("record_key", sa.Text, primary_key=True),
    sa.Column("user_key", sa.Text, nullable=False),
    sa.Column("rule", sa.String(16), nullable=False),  # own | id | email | link | person | doubtful
    sa.Index(None, "plan_id", "user_key"),
)

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("source_key", sa.Text, nullable=False),
    sa.Column("item_key", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("cause", sa.String(12), nullable=False),
    sa.Column("value", sa.LargeBinary),  # sealed
    sa.Column("sensitive", sa.Boolean, nullable=False, default=False),
    sa.Column("note", sa.Text),
    sa.Column("file", sa.Text),
    sa.Column("line", sa.Integer),
    sa.Column("position", sa.Integer),
    sa.Column("holds", sa.Boolean, nullable=False),  # the user, not just the row
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("action", sa.String(24)),
    sa.Column("resolution", sa.LargeBinary),  # sealed
    sa.Column("resolution_user", sa.Text),  # whose value it is, where several share the case
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_at", Utc),
    sa.Column("attempts", sa.Integer, nullable=False, default=1),
    sa.Column("first_seen", Utc, nullable=False),
    sa.Column("last_seen", Utc, nullable=False),
    sa.UniqueConstraint("plan_id", "mapping", "source_key", "item_key", "field", "rule"),
    sa.Index(None, "plan_id", "status", "cause"),
)

case_users = sa.Table(
    "case_users",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Index(None, "user_key"),
)

warnings = sa.Table(
    "warnings",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True),
    sa.Column("mapping", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("sample", sa.LargeBinary),  # sealed: before -> after of the first
)

books = sa.Table(
    "books",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True),
    sa.Column("mapping", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("read", "expanded", "written", "folded", "filtered", "skipped", "review", "blocked")
    ),
)

#: Rows that a cleaning rule took out of a batch, by rule.
cleaned = sa.Table(
    "cleaned",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True),
    sa.Column("mapping", sa.Text, primary_key=True),
    sa.Column("rule", sa.String(64), primary_key=True),
    sa.Column("action", sa.String(8), nullable=False),  # drop | archive | hold
    sa.Column("rows", sa.BigInteger, nullable=False),
)

#: Cleaning rules that a person took back: they take nothing in this plan any more.
exemptions = sa.Table(
    "exemptions",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("mapping", sa.Text, primary_key=True),
    sa.Column("rule", sa.String(64), primary_key=True),
    sa.Column("taken_back_by", sa.Text, nullable=False),
    sa.Column("taken_back_at", Utc, nullable=False),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True),
    sa.Column("fence", sa.BigInteger, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("set_hash", sa.String(64), nullable=False),
    sa.Column("users", sa.Integer, nullable=False),
    sa.Column("kept_at", Utc, nullable=False),
)

verifications = sa.Table(
    "verifications",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("wave_id", sa.ForeignKey("waves.id")),
    sa.Column("checked_users", sa.Integer, nullable=False),
    sa.Column("differences", sa.Integer, nullable=False),
    sa.Column("drift", sa.Integer, nullable=False),
    sa.Column("summary", sa.JSON, nullable=False),
    sa.Column("at", Utc, nullable=False),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("wave_id", sa.ForeignKey("waves.id")),
    sa.Column("user_key", sa.Text, nullable=False),
    sa.Column("event", sa.String(24), nullable=False),
    sa.Column("channel", sa.String(16), nullable=False),
    sa.Column("locale", sa.String(35), nullable=False),
    sa.Column("template", sa.String(64), nullable=False),  # hash of the template's text
    sa.Column("unique_key", sa.Text, nullable=False, unique=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("address", sa.LargeBinary),  # sealed
    sa.Column("variables", sa.LargeBinary, nullable=False),  # sealed
    sa.Column("content_hash", sa.String(64)),
    sa.Column("not_before", Utc),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("error", sa.Text),
    sa.Column("queued_at", Utc, nullable=False),
    sa.Column("claimed_at", Utc),
    sa.Column("sent_at", Utc),
    sa.Index(None, "status", "not_before"),
    sa.Index(None, "plan_id", "user_key"),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", BigKey, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("noun", sa.String(16), nullable=False),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("digest", sa.String(64)),  # over the users of the effect
    sa.Index(None, "noun", "ref"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("until", Utc, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("seen_at", Utc, nullable=False),
)
