"""E-mail preferences, stored as the topics that a user has opted out of."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, all_, bindparam, column, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.notifications.models import TOPICS, Topic, opt_outs
from chalicelib.users.models import credentials

_user_id = bindparam("of_user", type_=Uuid)
_topics = bindparam("topics", type_=ARRAY(Text))

_GET = select(opt_outs.c.topic).where(opt_outs.c.user_id == _user_id)

_topic = func.unnest(_topics).table_valued(column("topic", Text), name="topic")
# Locks the account row: a deleted account keeps no preferences.
_ADD = (
    insert(opt_outs)
    .from_select(
        ["user_id", "topic"],
        select(credentials.c.user_id, _topic.c.topic)
        .select_from(credentials.join(_topic, literal_column("true")))
        .where(credentials.c.user_id == _user_id)
        .with_for_update(read=True, key_share=True, of=credentials),
    )
    .on_conflict_do_nothing()
)
_REMOVE_OTHERS = delete(opt_outs).where(opt_outs.c.user_id == _user_id, opt_outs.c.topic != all_(_topics))


def get(connection: Connection, user_id: UUID) -> dict[Topic, bool]:
    """Whether a user wants e-mails, by topic."""
    unwanted = frozenset(connection.scalars(_GET, {"of_user": user_id}))
    return {topic: topic not in unwanted for topic in TOPICS}


def replace(connection: Connection, user_id: UUID, wanted: Mapping[Topic, bool]) -> None:
    """Set whether a user wants e-mails, for all topics.

    The caller must have locked the account for update: two concurrent calls could mix their topics.
    """
    unwanted = [topic for topic in TOPICS if not wanted[topic]]
    connection.execute(_REMOVE_OTHERS, {"of_user": user_id, "topics": unwanted})
    opt_out(connection, user_id, unwanted)


def opt_out(connection: Connection, user_id: UUID, topics: Collection[Topic]) -> None:
    """Stop the e-mails about some topics. Idempotent. Does nothing if the account is deleted."""
    connection.execute(_ADD, {"of_user": user_id, "topics": list(topics)})
