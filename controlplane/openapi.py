"""
What the schema says beyond what the views say of themselves: every status, every required field.

The permissions, parsers and error shapes are the same everywhere, so they are described once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drf_spectacular.openapi import AutoSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

# Present in some answers only: a key when it is made, warnings after a write.
OPTIONAL: Final = frozenset({"key", "warnings"})

Json = dict[str, Any]

PROBLEM: Final[Json] = {
    "type": "object",
    "description": "Why a request was not answered.",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
REFUSAL: Final[Json] = {
    "type": "object",
    "description": "What is wrong, by field; `non_field_errors` is about the whole, `detail` about"
    " a body that could not be read at all. Parts of a list are told by their index.",
    "additionalProperties": True,
}
OVERTAKEN: Final[Json] = {
    "type": "object",
    "description": "Two wrote the same object: both versions, without secrets.",
    "properties": {
        "detail": {"type": "string"},
        "etag": {"type": "string"},
        "differing": {"type": "array", "items": {"type": "string"}},
        "stored": {"type": "object", "additionalProperties": True},
        "sent": {"type": "object", "additionalProperties": True},
    },
    "required": ["detail", "differing", "etag", "sent", "stored"],
}
IF_MATCH: Final[Json] = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag that was read: the write is refused if the object is another now.",
}
ETAG: Final[Json] = {
    "ETag": {"schema": {"type": "string"}, "description": "The version.", "required": True}
}
_WORDS: Final = {
    "400": "Something in the request is not allowed.",
    "401": "No key was shown and nobody is signed in, or the key is unknown, disabled or expired.",
    "403": "The key has no admin scope, or the person not the permission.",
    "404": "There is none of this name.",
    "412": "Someone else has changed it since the version that `If-Match` names.",
    "415": "The body is not JSON.",
    "429": "Too often; `Retry-After` says when again.",
    "503": "The database, or the gateway's own processes, do not answer; `Retry-After` says when"
    " again.",
}
_RETRY_AFTER: Final[Json] = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds.", "required": True}
}


def without_trailing_slash(endpoints: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Paths work with and without one, and are named without."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]


class Schema(AutoSchema):
    """
    Adds the statuses that follow from what a view is.

    A view that takes the names of what it deletes in a body says `deletes_by_body`.
    """

    def get_operation(self, *arguments: Any, **options: Any) -> Json | None:
        operation: Json | None = super().get_operation(*arguments, **options)
        if operation is None:
            return None
        answers: Json = operation["responses"]
        if self.is_versioned:
            operation.setdefault("parameters", []).append(IF_MATCH)
        if getattr(self.view, "has_versions", False):
            for status in {"200", "201"} & set(answers):
                if self.method != "GET" or "path" in _places(operation):
                    answers[status]["headers"] = ETAG
        for status in self._statuses(operation):
            answers.setdefault(status, {})
        for status, answer in answers.items():
            if status >= "400":
                answer.update(_error(status, answer.get("description", "")))
        operation["responses"] = dict(sorted(answers.items()))
        return operation

    def _get_request_body(self, direction: Any = "request") -> Any:
        # DELETE may have a body, though few have one: without this it would not be told of.
        if self.method != "DELETE" or not getattr(self.view, "deletes_by_body", False):
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        self.method = "POST"
        try:
            body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = "DELETE"
        return {**body, "required": False}

    @property
    def is_versioned(self) -> bool:
        """Whether the operation writes what has versions."""
        is_write = self.method in {"PUT", "PATCH", "DELETE"}
        return is_write and getattr(self.view, "has_versions", False)

    def _statuses(self, operation: Json) -> Iterator[str]:
        yield from ("401", "403")
        places = _places(operation)
        deletes = "204" in operation["responses"]
        takes_body = "requestBody" in operation
        if takes_body or deletes or "query" in places:
            yield "400"
        if takes_body:
            yield "415"
        if "path" in places:
            yield "404"
        if self.is_versioned:
            yield "412"
        if self.view.get_throttles():
            yield "429"
        yield "503"


def _places(operation: Json) -> set[str]:
    return {parameter["in"] for parameter in operation.get("parameters", ())}


def complete(result: Json, **_options: Any) -> Json:
    """Name what every answer holds, and add the shapes of errors."""
    schemas = result["components"]["schemas"]
    schemas["Problem"], schemas["Refusal"], schemas["Overtaken"] = PROBLEM, REFUSAL, OVERTAKEN
    for name, schema in schemas.items():
        if not name.endswith("Request") and name != "Refusal" and "properties" in schema:
            fields = [field for field in schema["properties"] if field not in OPTIONAL]
            schema["required"] = sorted(fields)
    return result


def _error(status: str, said: str) -> Json:
    kind = {"400": "Refusal", "412": "Overtaken"}.get(status, "Problem")
    reference = {"$ref": f"#/components/schemas/{kind}"}
    answer: Json = {
        "description": said or _WORDS[status],
        "content": {"application/json": {"schema": reference}},
    }
    return answer | ({"headers": _RETRY_AFTER} if status in {"429", "503"} else {})
