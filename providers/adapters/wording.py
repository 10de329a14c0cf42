"""
What providers call their errors: the one place where codes, types and message texts are matched.

Codes and types are exact; texts are the last resort, for vendors that give no code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from providers.errors import Fault

# Exact `code`, `type` or `status` of an error object, in lower case.
_NAMES: Final[dict[str, Fault]] = {
    name: fault
    for fault, names in {
        Fault.QUOTA: (
            "insufficient_quota billing_hard_limit_reached billing_not_active billing_error "
            "insufficient_balance insufficient_credits credits_exhausted payment_required "
            "usage_limit_reached usage_not_included billing_disabled"
        ),
        Fault.RATE_LIMITED: (
            "rate_limit_exceeded rate_limit_error rate_limited too_many_requests "
            "resource_exhausted requests tokens"
        ),
        Fault.OVERLOADED: (
            "overloaded_error overloaded server_is_overloaded server_overloaded slow_down "
            "engine_overloaded engine_overloaded_error unavailable service_unavailable"
        ),
        Fault.AUTH: (
            "invalid_api_key incorrect_api_key authentication_error unauthenticated "
            "invalid_authentication invalid_authentication_error account_deactivated "
            "token_expired api_key_invalid api_key_service_blocked "
            "api_key_http_referrer_blocked api_key_ip_address_blocked access_token_expired "
            "access_token_scope_insufficient credentials_missing consumer_invalid "
            "consumer_suspended service_disabled"
        ),
        Fault.MODEL_NOT_FOUND: (
            "model_not_found model_not_available model_not_supported model_decommissioned "
            "unsupported_model unknown_model invalid_model deploymentnotfound "
            "not_found_error not_found notfounderror"
        ),
        Fault.CONTEXT_LENGTH: "context_length_exceeded context_window_exceeded",
        Fault.CONTENT_FILTER: (
            "content_filter content_policy_violation responsibleaipolicyviolation "
            "moderation_blocked data_inspection_failed invalid_prompt "
            "image_content_policy_violation"
        ),
        Fault.FORBIDDEN: "permission_error permission_denied",
        # Of Responses: what a stream or a stored answer says where there is no status.
        Fault.CALLER: (
            "request_too_large invalid_image invalid_image_format invalid_base64_image "
            "invalid_image_url invalid_image_mode image_too_large image_too_small "
            "image_parse_error image_file_too_large image_file_not_found "
            "unsupported_image_media_type empty_image_file failed_to_download_image"
        ),
    }.items()
    for name in names.split()
}

# A full stop within a model's name does not end the sentence.
_MODEL: Final = r"\b(?:model|deployment)\b(?:[^.]|\.(?!\s)){0,120}"

# Tried in this order; alternatives of each row.
_TEXTS: Final = {
    fault: re.compile("|".join(patterns), re.IGNORECASE)
    for fault, patterns in {
        # Not "exceeded your current quota": Google says that of plain rate limits too.
        Fault.QUOTA: (
            r"insufficient (?:quota|credit|balance|fund)",
            r"credit balance is too low",
            r"(?:balance|credits?) (?:is |are |has been |have been )?(?:exhausted|spent|depleted)",
            r"out of credits",
            r"requires more credits",
            r"billing (?:hard )?limit",
            r"enable billing",
            r"(?:spending|spend) (?:cap|limit)",
            r"reached your (?:specified )?(?:api )?usage limit",
        ),
        Fault.AUTH: (
            r"(?:incorrect|invalid|expired|revoked|unknown) api[ _-]?key",
            r"api[ _-]?key (?:is |was |has )?(?:not valid|invalid|expired|incorrect|revoked)",
            r"no api[ _-]?key (?:was )?(?:provided|found)",
            r"api[ _-]?key was reported as leaked",
            r"organization has been disabled",
        ),
        # Google, of the place that this process calls from: another provider may serve it.
        Fault.FORBIDDEN: (r"location is not supported",),
        # OpenRouter, of the parameters that a request uses, not of the model.
        Fault.CALLER: (r"no endpoints found that support",),
        Fault.CONTEXT_LENGTH: (
            r"maximum context length",
            r"context (?:length|window|size)[^.]{0,40}exceed",
            r"exceed[^.]{0,60}context (?:length|window|size|limit)",
            r"(?:prompt|input) is too long",
            r"input token count[^.]{0,40}exceed",
            r"reduce the length of (?:the|your)",
            r"maximum (?:input|prompt) length",
            r"request too large for model",
        ),
        Fault.CONTENT_FILTER: (
            r"content (?:management )?policy",
            r"content[ _]filter",
            r"moderation",
            r"flagged (?:by|as|for)",
            r"safety (?:system|filter|polic)",
            r"responsible ?ai",
            r"inappropriate content",
            r"usage polic",
        ),
        Fault.MODEL_NOT_FOUND: (
            _MODEL + r"(?:not found|does(?:n't| not) exist|not available|no longer|retired)",
            _MODEL + r"(?:(?:is|are) not supported|unsupported|deprecated|decommissioned)",
            r"(?:unknown|invalid|unsupported|no such|not a valid) model\b",
            r"not a chat model",
            r"(?:could not|cannot) find (?:the )?model",
        ),
        Fault.OVERLOADED: (
            r"overloaded",
            r"(?:over|at|no) capacity",
            r"(?:is|are|too) busy",
            r"high demand",
        ),
        Fault.RATE_LIMITED: (r"rate[ -]?limit", r"too many requests", r"(?:tokens|requests) per "),
    }.items()
}
_NAMES_A_MODEL: Final = re.compile(r"\bmodels?\b", re.IGNORECASE)
_LIMIT: Final = re.compile(r"\blimit:? (\d[\d,]{0,20})", re.IGNORECASE)
_REQUESTED: Final = re.compile(r"\brequested:? (\d[\d,]{0,20})", re.IGNORECASE)
# A caller's own words come back in quotes; they must not decide anything.
_QUOTED: Final = re.compile(
    r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`|\u2018[^\u2019]*\u2019|\u201c[^\u201d]*\u201d"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorObject:
    """
    An error as a provider words it. `status`: the HTTP status that the object itself names.
    `raw` is the decoded object, for what only one vendor has.
    """

    message: str = ""
    names: tuple[str, ...] = ()
    code: str | None = None
    param: str | None = None
    status: int | None = None
    raw: Any = None


def error_object(document: Any) -> ErrorObject | None:
    """The error in a decoded body; None if the body is something else."""
    if isinstance(document, list) and document:
        document = document[0]  # Google wraps the error of a streamed call in a list
    if not isinstance(document, dict):
        return None
    found = document.get("error")
    if found is None and document.get("object") == "error":
        found = document  # vLLM of 2024, Mistral
    if found is None and not document.keys() & {"choices", "data", "usage"}:
        # FastAPI's {"detail": …}, and who leaves out the wrapper: Responses' error event, servers.
        if "detail" in document:
            found = {"message": document["detail"]}
        elif isinstance(document.get("message"), str):
            found = document
    if not found:
        return None
    if not isinstance(found, dict):
        return ErrorObject(message=_text(found), raw=found)
    code = found.get("code")
    names = [
        str(value).lower()
        for value in (
            *_reasons(found),
            code,
            found.get("type"),
            found.get("status"),
            _inner_code(found),
        )
        if isinstance(value, str) and value
    ]
    return ErrorObject(
        message=_text(found.get("message")) or _text(found.get("detail")),
        names=tuple(names),
        code=str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None,
        param=param if isinstance(param := found.get("param"), str) else None,
        status=_status(code) or _status(found.get("status")) or _status(document.get("status")),
        raw=found,
    )


def named_fault(error: ErrorObject) -> Fault | None:
    """The fault that the object's code, type or status names."""
    return next((_NAMES[name] for name in error.names if name in _NAMES), None)


def worded_fault(error: ErrorObject, among: frozenset[Fault]) -> Fault | None:
    """The first of `among` that the message's own words say."""
    message = _QUOTED.sub("", error.message)
    return next(
        (fault for fault, text in _TEXTS.items() if fault in among and text.search(message)), None
    )


def names_a_model(error: ErrorObject) -> bool:
    if error.param is not None:
        return error.param == "model"
    return bool(_NAMES_A_MODEL.search(error.message)) or any("model" in n for n in error.names)


def is_bare_not_found(error: ErrorObject) -> bool:
    return error.message.strip(" .").lower() == "not found"


def asks_for_more_than_its_limit(error: ErrorObject) -> bool:
    """
    Whether a limit is named, and this one request asks for more than it: no wait would help.

    OpenAI: "Request too large for gpt-4o … on tokens per min (TPM): Limit 30000, Requested 45000".
    """
    limit, requested = _LIMIT.search(error.message), _REQUESTED.search(error.message)
    return bool(limit and requested and _whole(requested) > _whole(limit))


def _whole(found: re.Match[str]) -> int:
    return int(found[1].replace(",", ""))


def says_no_access(error: ErrorObject) -> bool:
    """Whether the key is not entitled to a model that exists for others."""
    return "access" in error.message.lower()


def _text(value: Any) -> str:
    """A message that may come as a string, or as FastAPI's list of {"msg": …, "loc": …}."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(
            str(item.get("msg", item)) if isinstance(item, dict) else str(item)
            for item in value[:5]
        )
    return "" if value is None else str(value)


def _reasons(found: dict[str, Any]) -> list[Any]:
    """
    What says more than the status: the reason in Google's ErrorInfo, Anthropic's error_code.

    Both stand in `details`, a list there and an object here.
    """
    details = found.get("details")
    if isinstance(details, dict):
        return [details.get("error_code")]
    listed = details if isinstance(details, list) else []
    return [detail.get("reason") for detail in listed if isinstance(detail, dict)]


def _inner_code(found: dict[str, Any]) -> Any:
    """Azure keeps the telling code one level down."""
    inner = found.get("innererror")
    return inner.get("code") if isinstance(inner, dict) else None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
        return value
    return None
