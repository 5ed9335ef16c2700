"""A server that speaks S3, on this machine, that a test may stop and start again with what it holds."""

from __future__ import annotations

import urllib.request
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import boto3
    from moto.server import ThreadedMotoServer


class S3Server:
    """`url` and `options` are those of the settings; `bucket` is there."""

    bucket = "kept"
    url = "s3://kept/shop/snapshots"

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()
        self.client.create_bucket(Bucket=self.bucket)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def options(self) -> dict[str, Any]:
        return {"endpoint_url": self.endpoint}

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
        )

    def stop(self) -> None:
        """Gone; what it holds stays in this process."""
        self._server.stop()

    def start(self) -> None:
        """Back at the same place."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def names(self) -> list[str]:
        """All objects."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def empty(self) -> None:
        """Forget everything."""
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")).close()
        self.client.create_bucket(Bucket=self.bucket)
