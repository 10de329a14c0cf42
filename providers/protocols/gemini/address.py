"""Where Gemini's methods are: the model stands in the path, behind it a colon and the verb."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from providers.errors import ProtocolError
from providers.protocols.bodies import is_text

GENERATE: Final = "generateContent"
STREAM: Final = "streamGenerateContent"
COUNT: Final = "countTokens"
PATH: Final = "/models"
_ROOMS: Final = ("models/", "tunedModels/")


class Called(NamedTuple):
    """`is_sse`: a stream comes as events; otherwise as one JSON array."""

    model: str
    verb: str
    is_sse: bool


def called(target: str) -> Called:
    """What a path with its query calls. Raises ProtocolError."""
    path, _, query = target.partition("?")
    _, _, named = path.partition(f"{PATH}/")
    model, _, verb = unquote(named.rstrip("/")).rpartition(":")
    model = model.removeprefix(_ROOMS[0])
    if not model or not is_text(model):
        message = "The path must name a model and what it is to do: /models/MODEL:METHOD."
        raise ProtocolError(message, param="model")
    options = dict(parse_qsl(query))
    form = options.get("alt") or options.get("$alt") or ""
    return Called(model, verb, form.lower() == "sse")


def upstream_path(model: str, *, verb: str) -> str:
    """Below a provider's base address. A stream always comes as events."""
    safe = "/:@"
    if not {"", ".", ".."}.isdisjoint(model.split("/")):
        safe = ""  # such a segment would lead to another place
    if not model.startswith(_ROOMS):
        model = _ROOMS[0] + model if safe else model
    name = quote(model, safe=safe)
    path = f"/{name}:{verb}" if safe else f"{PATH}/{name}:{verb}"
    return f"{path}?alt=sse" if verb == STREAM else path
