"""Ring a worker's doorbell. The names of the tasks live here; a message is ids and nothing else."""

from __future__ import annotations

from migrator.errors import Unreachable

BATCH = "tasks.batches.move"
CHECK = "tasks.waves.check"
DELIVER = "tasks.notices.deliver"
MOVE_NOW = "tasks.batches.move_now"
CUT_OVER = "tasks.users.cut_over"
PURGE = "tasks.chores.purge"
#: Workers take from these in turn: what has a queue of its own does not stand behind the batches of a wave.
QUEUES = {
    BATCH: "mig.batch",
    CHECK: "mig.verify",
    DELIVER: "mig.notify",
    MOVE_NOW: "mig.ctl",
    CUT_OVER: "mig.ctl",
    PURGE: "mig.verify",
}
#: The queues themselves, each once.
NAMES = tuple(dict.fromkeys(QUEUES.values()))
EXPIRES = 300  # seconds; a message that waited longer is rung again anyway


class Queue:
    """Sends by name, so that this package never imports `tasks`."""

    def __init__(self, broker_url: str) -> None:
        from celery import Celery

        self._app = Celery(broker=broker_url, set_as_current=False)
        self._app.conf.update(
            result_backend=None,
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            task_send_sent_event=False,
            broker_connection_timeout=3.0,
            broker_pool_limit=2,
            broker_transport_options={
                "socket_timeout": 5.0,
                "socket_connect_timeout": 3.0,
                "socket_keepalive": True,
                "retry_on_timeout": False,
            },
            task_publish_retry=True,
            task_publish_retry_policy={
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0.2,
                "interval_max": 0.2,
            },
        )

    def wake(self, task: str, *ids: int) -> None:
        """Send one message. Unreachable if Redis is away or takes nothing: harmless, the dispatcher rings again."""
        from kombu.exceptions import OperationalError
        from redis import ResponseError

        try:
            self._app.send_task(task, args=ids, queue=QUEUES[task], expires=EXPIRES)
        except (OperationalError, OSError) as exc:
            said = exc.__cause__ or exc.__context__
            if isinstance(said, ResponseError):  # it answers: its memory is full, or our rights were taken away
                raise Unreachable(f"Redis takes no messages ({type(said).__name__}); they will be sent again") from exc
            raise Unreachable("cannot reach Redis; the message will be sent again") from exc

    def close(self) -> None:
        """Give back the connections."""
        self._app.close()
