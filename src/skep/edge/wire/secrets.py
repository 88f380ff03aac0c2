"""Secrets: values go in and never come out."""

from typing import Annotated

from pydantic import Field, SecretStr

from skep.edge.wire.common import Answer, RequestBody, SecretName, Time

MAX_SECRET = 65_536


class PutSecretValue(RequestBody):
    """`PUT /secrets/{name}`."""

    value: Annotated[SecretStr, Field(min_length=1, max_length=MAX_SECRET)]


class PutSecret(PutSecretValue):
    """`POST /secrets`: adds the secret, or replaces its value."""

    name: SecretName


class SecretView(Answer):
    """A secret as it may be shown."""

    id: str
    name: str
    created_at: Time
    updated_at: Time
