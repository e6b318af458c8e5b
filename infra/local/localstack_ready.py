"""Creates the topology in LocalStack. LocalStack runs this file in its own process when it is ready.

The file belongs into LocalStack's folder `init/ready.d`, with this checkout in PYTHONPATH. It does not
change the environment, because LocalStack uses the environment itself.
"""

import os

import boto3

from infra.local.aws import REGION
from infra.local.provision import make_topology

_address, _, _port = os.environ.get("GATEWAY_LISTEN", ":4566").partition(",")[0].rpartition(":")
_session = boto3.Session("anything", "anything", region_name=REGION)
_endpoint = f"http://127.0.0.1:{_port}"
make_topology(
    _session.client("sns", endpoint_url=_endpoint),
    _session.client("sqs", endpoint_url=_endpoint),
    _session.client("ses", endpoint_url=_endpoint),
)
