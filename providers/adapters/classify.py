"""
From a provider's answer to a row of the verdict table.

The status decides first, then what the body says of itself. Nothing here decides what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from providers.adapters.echoes import without_secrets
from providers.adapters.resets import Stated, stated_wait
from providers.adapters.wording import (
    ErrorObject,
    asks_for_more_than_its_limit,
    error_object,
    is_bare_not_found,
    named_fault,
    names_a_model,
    says_no_access,
    worded_fault,
)
from providers.errors import Failure, Fault
from providers.protocols.bodies import decode
from providers.secrets.redaction import safe_text

PARSED_LIMIT: Final = 2 << 20

# Faults whose body may go to the caller as it is: the caller's own doing.
_KEEPS_BODY: Final = frozenset({Fault.CALLER, Fault.CONTEXT_LENGTH, Fault.CONTENT_FILTER})
_STATES_RETURN: Final = frozenset({Fault.RATE_LIMITED, Fault.OVERLOADED, Fault.QUOTA, Fault.STATUS})
# What a 4xx that is the caller's fault may turn out to be.
_BEHIND_400: Final = frozenset(
    {
        Fault.QUOTA,
        Fault.AUTH,
        Fault.FORBIDDEN,
        Fault.CALLER,
        Fault.CONTEXT_LENGTH,
        Fault.CONTENT_FILTER,
        Fault.MODEL_NOT_FOUND,
    }
)
_BEHIND_403: Final = frozenset({Fault.QUOTA, Fault.AUTH, Fault.CONTENT_FILTER})
_BEHIND_429: Final = frozenset({Fault.QUOTA, Fault.OVERLOADED})
_IN_A_REPLY: Final = _BEHIND_400 | {Fault.RATE_LIMITED, Fault.OVERLOADED}
_STATUS_OF: Final = {
    Fault.RATE_LIMITED: 429,
    Fault.OVERLOADED: 503,
    Fault.QUOTA: 429,
    Fault.AUTH: 401,
    Fault.FORBIDDEN: 403,
    Fault.FORBIDDEN_MODEL: 403,
    Fault.MODEL_NOT_FOUND: 404,
}


def classify(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    *,
    now: float,
    secrets: Sequence[str] = (),
) -> Failure:
    """The failure in an answer that is not a 200. `now` is Unix time; names are lower case."""
    error = _read_error(body) or ErrorObject()
    fault = _fault(status, error)
    kept = body if fault in _KEEPS_BODY else None
    stated = _stated(fault, headers, error, now)
    content_type = next((v for n, v in headers if n == b"content-type"), b"application/json")
    return Failure(
        fault=fault,
        message=safe_text(error.message, secrets) or _bare_message(status, content_type, body),
        status=status,
        code=_code(error, secrets),
        retry_after_s=stated.wait_s if stated else None,
        stated_by=stated.field if stated else "",
        body=None if kept is None else without_secrets(kept, secrets),
        content_type=content_type.decode("latin-1"),
    )


def failure_in_reply(
    error: ErrorObject,
    payload: bytes,
    *,
    otherwise: Fault,
    now: float,
    secrets: Sequence[str] = (),
) -> Failure:
    """
    The failure in a 200 whose body, or a stream whose event, is an error object.

    It counts as what the object says that it is; what says nothing usable is `otherwise`.
    `status` becomes the status that the provider should have sent. `now` is Unix time.
    """
    fault: Fault | None
    if error.status is not None:
        fault = _fault(error.status, error)
    else:
        fault = named_fault(error) or worded_fault(error, _IN_A_REPLY)
        if fault is None and "invalid_request_error" in error.names:
            fault = Fault.CALLER
        if fault is Fault.RATE_LIMITED and asks_for_more_than_its_limit(error):
            fault = Fault.CONTEXT_LENGTH
    if fault is None or fault in (Fault.STATUS, Fault.CONFIG):
        fault, status = otherwise, 200
    elif fault in _KEEPS_BODY:
        status = error.status or 400
    else:
        status = error.status or _STATUS_OF[fault]
    kept = payload if fault in _KEEPS_BODY else None
    stated = _stated(fault, (), error, now)
    return Failure(
        fault=fault,
        message=safe_text(error.message, secrets) or "the reply is an error object",
        status=status,
        code=_code(error, secrets),
        retry_after_s=stated.wait_s if stated else None,
        stated_by=stated.field if stated else "",
        body=None if kept is None else without_secrets(kept, secrets),
    )


def _stated(
    fault: Fault, headers: Sequence[tuple[bytes, bytes]], error: ErrorObject, now: float
) -> Stated | None:
    if fault not in _STATES_RETURN:
        return None
    return stated_wait(headers, error.raw, now=now, is_rate_limit=fault is Fault.RATE_LIMITED)


def _fault(status: int, error: ErrorObject) -> Fault:
    match status:
        case 401:
            return Fault.QUOTA if named_fault(error) is Fault.QUOTA else Fault.AUTH
        case 402:
            return Fault.QUOTA
        case 403:
            return _fault_of_403(error)
        case 404 | 410:
            return _fault_of_404(error)
        case 413 | 429 if asks_for_more_than_its_limit(error):
            return Fault.CONTEXT_LENGTH  # no wait makes room for it
        case 429:
            return _among(error, _BEHIND_429) or Fault.RATE_LIMITED
        case 508:  # only gateways say so: of the way that a request has come, not of themselves
            return Fault.LOOP
        case 529:
            return Fault.OVERLOADED
        case 408 | 424:  # 424: Azure ML, where the model's container failed
            return Fault.STATUS
        case 405 | 407 | 415 | 426 | 499 | 501 | 505:
            return Fault.CONFIG
    if 500 <= status <= 599:
        if named_fault(error) is Fault.OVERLOADED:
            return Fault.OVERLOADED
        if status == 503 and worded_fault(error, frozenset({Fault.OVERLOADED})):
            return Fault.OVERLOADED
        return Fault.STATUS
    if 400 <= status <= 499:
        return _fault_of_400(status, error)
    return Fault.CONFIG


def _fault_of_403(error: ErrorObject) -> Fault:
    if (fault := _among(error, _BEHIND_403)) is not None:
        return fault
    if not names_a_model(error):
        return Fault.FORBIDDEN
    gone = worded_fault(error, frozenset({Fault.MODEL_NOT_FOUND}))
    return Fault.MODEL_NOT_FOUND if gone and not says_no_access(error) else Fault.FORBIDDEN_MODEL


def _fault_of_404(error: ErrorObject) -> Fault:
    if worded_fault(error, frozenset({Fault.CALLER})):
        return Fault.CALLER
    # "Not Found" without a word about a model is a wrong path: a matter of configuration, though
    # Anthropic gives it the name that its models have.
    if names_a_model(error) or (error.names and not is_bare_not_found(error)):
        return Fault.MODEL_NOT_FOUND
    return Fault.CONFIG


def _fault_of_400(status: int, error: ErrorObject) -> Fault:
    fault = _among(error, _BEHIND_400)
    if fault is Fault.MODEL_NOT_FOUND and (status != 400 or error.param not in (None, "model")):
        return Fault.CALLER
    if fault is Fault.AUTH and error.param is not None:
        return Fault.CALLER
    return fault or Fault.CALLER


def _among(error: ErrorObject, faults: frozenset[Fault]) -> Fault | None:
    named = named_fault(error)
    return named if named in faults else worded_fault(error, faults)


def _read_error(body: bytes) -> ErrorObject | None:
    if not body or len(body) > PARSED_LIMIT:
        return None
    try:
        document: Any = decode(body)
    except (ValueError, RecursionError):
        return None  # HTML, plain text: the status alone speaks
    return error_object(document)


def _bare_message(status: int, content_type: bytes, body: bytes) -> str:
    """For answers without an error object; a page of HTML tells nobody anything."""
    what = safe_text(content_type.decode("latin-1"))[:60] if body else "no body"
    return f"HTTP {status} ({what})"


def _code(error: ErrorObject, secrets: Sequence[str]) -> str | None:
    code = error.code or next(iter(error.names), None)
    return safe_text(code, secrets)[:100] if code else None
