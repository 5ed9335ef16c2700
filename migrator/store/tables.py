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
    # until it is first taken, its users are those of the wave who have no batch and stand from here to before there
    sa.Column("from_place", sa.BigInteger),
    sa.Column("to_place", sa.BigInteger),
    sa.Column("op", sa.String(8), nullable=False, server_default="move"),  # move | sync (of users who are moved)
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
    sa.Index(None, "wave_id", "place"),  # no index has the status: each change of it would cost as much as the row
    _where_set("batch_id"),
    _where_set("plan_id", "email_print"),
    _where_set("plan_id", "group_key"),
)

#: How many users are what. The sum over all writers counts: each changes rows of its own, so that none waits for another.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("wave_id", sa.BigInteger, primary_key=True, autoincrement=False),  # 0: in no wave
    sa.Column("status", sa.String(16), primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("tier", sa.String(16), primary_key=True),
    sa.Column("writer", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("users", sa.BigInteger, nullable=False),
    sa.Index(None, "wave_id"),
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

#: Users who left a batch whose books go on, until they are counted anew; `parted`: without their share.
leavers = sa.Table(
    "leavers",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("parted", sa.Boolean, nullable=False),
    sa.Index(None, "batch_id"),
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
    sa.Column("expired_at", Utc),  # since then the file is gone, on purpose
)

#: Waves whose snapshots must not expire: somebody needs them as evidence.
snapshot_holds = sa.Table(
    "snapshot_holds",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("wave_id", sa.ForeignKey("waves.id"), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("held_by", sa.Text, nullable=False),
    sa.Column("held_at", Utc, nullable=False),
    sa.Column("released_by", sa.Text),
    sa.Column("released_at", Utc),
)

project_keys = sa.Table(
    "project_keys",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("key_id", sa.String(16), nullable=False, unique=True),
    sa.Column("envelope", sa.LargeBinary),  # the keys before it, sealed with it
    sa.Column("noted_by", sa.Text, nullable=False),
    sa.Column("noted_at", Utc, nullable=False),
)

#: One request of a user to be forgotten, with all who merged with him.
erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", Utc, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("who", sa.LargeBinary),  # sealed: the keys, until all is done
    sa.Column("done", sa.JSON, nullable=False),  # counts, by step
    sa.Column("done_at", Utc),
)

#: Who was erased, as keyed hashes: nobody of them comes back.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("print", sa.String(32), primary_key=True),
    sa.Column("erasure_id", sa.ForeignKey("erasures.id"), nullable=False),
    sa.Column("at", Utc, nullable=False),
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

#: Each change of home that no batch made; what a batch made is known by the batch (see store/homes.py).
homes = sa.Table(
    "homes",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # of the user's home, counted up from 1
    sa.Column("was", sa.String(8), nullable=False),
    sa.Column("home", sa.String(8), nullable=False),
    sa.Column("since", Utc, nullable=False),
    sa.Column("wave_id", sa.ForeignKey("waves.id")),
    sa.Column("why", sa.Text, nullable=False),
)

#: One cutover of a wave or of some users: at which step it is, and what has come of it.
cutovers = sa.Table(
    "cutovers",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("wave_id", sa.ForeignKey("waves.id")),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("step", sa.String(16), nullable=False),  # begin | freeze | drain | … | done: rollout/cutting.py
    sa.Column("step_at", Utc, nullable=False),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("ended_at", Utc),
    sa.Column("live", sa.Integer, nullable=False, server_default="0"),  # users
    sa.Column("undone", sa.Integer, nullable=False, server_default="0"),  # users whose freeze was taken back
    sa.Column("longest", sa.Float),  # seconds that somebody was frozen
    sa.Index(None, "plan_id", "wave_id"),
)

#: Who is frozen now by a cutover, and until when at most: whoever takes a row out decides about the user.
frozen = sa.Table(
    "frozen",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("cutover_id", sa.ForeignKey("cutovers.id"), nullable=False),
    sa.Column("since", Utc, nullable=False),
    sa.Column("until", Utc, nullable=False),
)

#: Each time that what the new system has changed was carried back, or given up, before users went back.
carries = sa.Table(
    "carries",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("plan_id", sa.ForeignKey("plans.id"), nullable=False),
    sa.Column("batch_id", sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("policy", sa.String(12), nullable=False),  # carry_back | merge | force
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("set_hash", sa.ForeignKey("mapping_sets.hash"), nullable=False),
    sa.Column("users", sa.Integer, nullable=False),  # that were to go back
    sa.Column("counts", sa.JSON),  # what came of it; None: it was cut off
    sa.Column("kept_at", Utc),  # the sealed file is there
    sa.Column("begun_at", Utc, nullable=False),
    sa.Column("ended_at", Utc),
    sa.Column("expired_at", Utc),  # the sealed file is there no more
    sa.Index(None, "plan_id", "batch_id"),
)

#: Whom the target served, and who is served read-only while that is done, until when at most.
returners = sa.Table(
    "returners",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("carry_id", sa.ForeignKey("carries.id"), nullable=False),
    sa.Column("since", Utc, nullable=False),
    sa.Column("until", Utc, nullable=False),
)

#: Users whom somebody wants moved ahead of their wave.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", Utc, nullable=False),
    sa.Column("cut_over", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("status", sa.String(8), nullable=False),  # open | done | refused
    sa.Column("reason", sa.Text),  # why it waits, or what came of it
    sa.Column("batch_id", sa.ForeignKey("batches.id")),
    sa.Column("taken_at", Utc),  # since when it has a batch
    sa.Column("rung_at", Utc),  # for its cutover
    sa.Column("ended_at", Utc),
    sa.Index(None, "status", "asked_at"),
    sa.Index(None, "batch_id"),
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
    sa.Column("salt", sa.String(32)),  # of the payload; none: what the entry said of a person was taken out
    sa.Column("payload", sa.String(64), nullable=False),  # over salt, ref, detail, digest
    sa.Column("prev", sa.String(64), nullable=False),  # hash of the entry before it
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index(None, "noun", "ref"),
)

#: One row: the last entry of the journal. Whoever adds one holds it until he has committed.
journal_head = sa.Table(
    "journal_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", BigKey, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
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

#: What is done once in a while: when it was done last, or counting began, and since when somebody is asked to do it.
chores = sa.Table(
    "chores",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("done_at", Utc, nullable=False),
    sa.Column("rung_at", Utc),
)

#: Who may do what, as soon as there is one; whoever is removed stays, because the journal names him.
operators = sa.Table(
    "operators",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("roles", sa.JSON, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("added_at", Utc, nullable=False),
    sa.Column("removed_at", Utc),
    sa.Column("token_print", sa.String(64), unique=True),  # keyed hash of 256 random bits
    sa.Column("token_at", Utc),
    sa.Column("token_until", Utc),
)

#: What one operator asks for and another allows or refuses; used once.
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("act", sa.String(24), nullable=False),
    sa.Column("noun", sa.String(16), nullable=False),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("plan_hash", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),  # over all of the above
    sa.Column("status", sa.String(8), nullable=False),  # open | given | refused | used
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", Utc),
    sa.Column("reason", sa.Text),
    sa.Column("used_at", Utc),
    sa.Index(None, "digest"),
)

#: What is switched on for the whole project: read-only.
switches = sa.Table(
    "switches",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", Utc, nullable=False),
)

#: Moved users in whom something changed in legacy: they are to be brought over again.
changed_users = sa.Table(
    "changed_users",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),  # counts up each time a change of the user is found
    sa.Column("found_by", sa.String(16), nullable=False),  # trigger | updated_at | scan | asked
    sa.Column("found_at", Utc, nullable=False),
    sa.Column("outcome", sa.String(16)),  # why the user is still here: both | vanished | held | failed
    sa.Column("reason", sa.Text),
)

#: How far what a legacy database says of its own changes was read.
change_marks = sa.Table(
    "change_marks",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("source", sa.String(255), primary_key=True),
    sa.Column("mark", sa.Text, nullable=False),
    sa.Column("at", Utc, nullable=False),
)

#: Users whom a batch is bringing over again now, and the snapshot that holds them until it has.
syncing = sa.Table(
    "syncing",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("version", sa.BigInteger),
    sa.Column("was_batch_id", sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("was_fence", sa.BigInteger, nullable=False),
    sa.Index(None, "batch_id"),
)

#: Snapshots that held a user before he was brought over again.
generations = sa.Table(
    "generations",
    metadata,
    sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("user_key", sa.Text, primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True),
    sa.Column("fence", sa.BigInteger, primary_key=True),
    sa.Column("generation", sa.BigInteger),
    sa.Column("replaced_at", Utc, nullable=False),
)
