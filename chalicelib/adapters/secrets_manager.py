"""Secrets that are too long for the environment of a function."""

import boto3

from chalicelib.adapters.aws import CONFIG, translate_errors


def read_secret(arn: str) -> str:
    """Return the text of a secret.

    Raises:
        Unreachable
    """
    with translate_errors("Secrets Manager"):
        client = boto3.client("secretsmanager", config=CONFIG)
        text: str = client.get_secret_value(SecretId=arn)["SecretString"]
        return text
