"""The Celery app: configuration only. Each setting has a reason; a test holds them."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one per child; the children are the parallelism

from celery import Celery
from celery.signals import setup_logging, worker_process_init
from kombu.entity import Queue

from migrator import settings
from migrator.edges.queue import NAMES

#: Redis forgets a message when it is taken, as the dispatcher rings again for what was not done. To acknowledge is more than
#: needless: where Redis dies between the taking and that, Kombu counts the message as being at work for ever, and as many of
#: them as a worker has slots make it deaf (celery/celery#8384, #10205 and their like).
TAKEN_IS_GONE = True
GARBAGE = 20_000  # new objects before a search for garbage: a batch makes many at once, and few that point in circles

app = Celery("migrator", include=["tasks.batches", "tasks.waves", "tasks.notices", "tasks.users", "tasks.chores"])
app.conf.update(
    broker_url=os.environ.get("MIGRATOR_BROKER_URL") or settings.load().broker.url,
    result_backend=None,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_serializer="json",
    accept_content=["json"],
    result_accept_content=["json"],
    event_serializer="json",
    enable_utc=True,
    task_acks_late=False,  # the lease is the redelivery; late acks only add loops, and see TAKEN_IS_GONE
    task_reject_on_worker_lost=False,
    task_track_started=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_pool="prefork",
    worker_pool_start_method="spawn",  # Polars must not be forked
    worker_proc_alive_timeout=60.0,
    worker_concurrency=2,
    worker_max_tasks_per_child=200,
    worker_max_memory_per_child=600_000,  # KB
    task_time_limit=600,
    task_soft_time_limit=None,  # a soft limit raises anywhere, also in COMMIT
    worker_soft_shutdown_timeout=0.0,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_prefetch_count_reduction=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_timeout=3.0,
    broker_connection_retry=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    broker_pool_limit=2,
    broker_pool_acquire_timeout=5.0,
    broker_transport_options={
        "socket_timeout": 5.0,
        "socket_connect_timeout": 3.0,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,
        "queue_order_strategy": "round_robin",
    },
    task_publish_retry=True,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
    task_default_queue="mig.batch",
    task_create_missing_queues=False,
    task_queues=[Queue(name, no_ack=TAKEN_IS_GONE) for name in NAMES],  # type: ignore[no-untyped-call]
)


@setup_logging.connect
def _log(**_: object) -> None:
    """Celery logs as we do: what it says of an error would quote it."""
    from migrator import logs
    from tasks import project

    logs.forgive()
    project.runtime().begin_logs()


@worker_process_init.connect
def _warm_up(**_: object) -> None:
    """Only the children do the work: what they need is there before the first message comes, and not in their parent."""
    from migrator.flows.checking import verify  # noqa: F401
    from migrator.flows.moving import batches, warming  # noqa: F401
    from tasks import project

    warming.warm_up(lambda: project.runtime().parts)
    gc.freeze()  # what has been loaded stays; to search it for garbage again and again costs a hundredth of each batch
    gc.set_threshold(GARBAGE)
