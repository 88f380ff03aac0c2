"""What an answer that is no success becomes."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from skep.edge.wire.problems import Problem
from skep.kernel.errors import SkepError


class ApiError(SkepError):
    """The server answered with an error; `status` is the HTTP status, the rest is its problem details."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        hint: str | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint, fields=fields, retry_after_s=retry_after_s)
        self.status = status
        self.request_id = request_id


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Read problem details; an answer that is none (a proxy's page, say) becomes an error all the same."""
    retry_after_s = _seconds(headers.get("Retry-After"))
    try:
        problem = Problem.model_validate(json.loads(body))
    except (ValueError, ValidationError):
        return ApiError(
            f"the server answered {status} without saying why",
            status=status,
            code=f"http_{status}",
            retry_after_s=retry_after_s,
        )
    return ApiError(
        problem.detail,
        status=status,
        code=problem.code,
        hint=problem.hint,
        fields=problem.fields,
        retry_after_s=retry_after_s,
        request_id=problem.request_id,
    )


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None
