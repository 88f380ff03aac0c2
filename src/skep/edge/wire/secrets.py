"""Secrets: values go in and never come out."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from skep.edge.wire.common import Answer, RequestBody, SecretName, Time

MAX_SECRET = 65_536


def _fits(value: SecretStr) -> SecretStr:
    size = len(value.get_secret_value().encode("utf-8", "surrogatepass"))
    if size == 0:
        raise ValueError("is empty")
    if size > MAX_SECRET:
        raise ValueError(f"a secret is limited to {MAX_SECRET} bytes (64 KiB) as UTF-8, and this has {size}")
    return value


_Value = Annotated[
    SecretStr,
    AfterValidator(_fits),
    Field(
        description=f"1 to {MAX_SECRET} bytes of UTF-8; what is no text has to be encoded, as base64 for example.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_SECRET},
    ),
]


class PutSecretValue(RequestBody):
    """`PUT /secrets/{name}`."""

    value: _Value


class PutSecret(PutSecretValue):
    """`POST /secrets`: adds the secret, or replaces its value."""

    name: SecretName


class SecretView(Answer):
    """A secret as it may be shown."""

    id: str
    name: str
    created_at: Time
    updated_at: Time
