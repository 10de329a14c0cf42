"""
Which protocol a path is called in, and whose client calls at all.

Callers write base addresses as they know them from vendors, and their SDKs add a version or not:
`/chat/completions`, `/v1/v1/messages`, `/anthropic/v1/messages`, `/v1beta/openai/…` and
`//v1/responses/` are all meant. So what stands before the endpoint is skipped here, in one place,
and nobody is ever redirected: a client would repeat its POST as a GET.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_plus

from msgspec import Struct

from providers import protocols
from providers.protocols import Protocol
from routing.gateway.families import ANTHROPIC, FAMILIES, GEMINI, OPENAI, Family

MODELS: Final = "/models"
MODEL: Final = "{model}"  # its place in an endpoint's name
# Vendors' names and versions, as base addresses have them before the endpoint.
_VENDORS: Final[Mapping[str, Family]] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
}
_BEFORE: Final = re.compile(r"(?:/+(?:v1beta|v1|openai|anthropic|gemini)(?=/|$)){0,3}/*")
# Azure's SDK names the deployment before the endpoint.
_DEPLOYMENT: Final = re.compile(r"/*openai/+deployments/+(?P<model>.+)")
_CALLED: Final = re.compile(r"models/(?P<model>.+):(?P<verb>[a-z]+[A-Z][A-Za-z]*)", re.DOTALL)
_GEMINIS: Final = re.compile(r"/+(?:gemini|v1beta)(?=/|$)(?!/+openai/)")
# What Google takes as a credential in a query.
_QUERY_KEY: Final = "key"
_SECRET: Final = frozenset({_QUERY_KEY, "access_token"})


class Route(Struct, frozen=True, kw_only=True):
    """
    An endpoint: `endpoint` is its name in records, and never holds a caller's words.

    `target` is the path as the protocol has it. `model` is named by the path and counts instead of
    the body's, "" where the protocol itself reads it.
    """

    protocol: Protocol
    family: Family
    endpoint: str
    target: str
    model: str = ""

    def naming(self, model: str) -> str:
        """`target` for `model`, where the path names it."""
        return self.endpoint.replace(MODEL, quote(model, safe=""))

    def asked(self, query: bytes | None) -> str:
        """The path with its query, which has no credential any more."""
        if not query:
            return self.target
        pieces = query.decode("latin-1").split("&")
        kept = "&".join(p for p in pieces if unquote_plus(p.partition("=")[0]) not in _SECRET)
        return f"{self.target}?{kept}" if kept else self.target


class Routes:
    """
    The endpoints of `served` protocols, in all the forms in which they are called.

    `endpoints` are their names, the first of a protocol first.
    """

    def __init__(self, served: Iterable[Protocol], families: Mapping[str, Family]) -> None:
        self._exact: dict[str, Route] = {}
        self._bare: dict[str, Route] = {}
        self._verbs: dict[str, tuple[Protocol, Family]] = {}
        endpoints: list[str] = []
        for protocol in served:
            family = families.get(protocol.name, OPENAI)
            if protocol.verbs:
                self._verbs |= dict.fromkeys(protocol.verbs, (protocol, family))
                endpoints += [f"{protocol.path}/{MODEL}:{verb}" for verb in sorted(protocol.verbs)]
                continue
            path = protocol.path
            endpoints.append(path)
            route = Route(protocol=protocol, family=family, endpoint=path, target=path)
            self._exact[path] = route
            self._bare[_without_base(path)] = route
        self.endpoints = tuple(endpoints)
        self.first_segments = frozenset(
            {"v1", "v1beta", "models", *_VENDORS, *(bare.split("/")[0] for bare in self._bare)}
        )

    def named(self, protocol: str) -> Route | None:
        """The first endpoint of `protocol`."""
        routes = (self.find(endpoint) for endpoint in self.endpoints)
        return next((r for r in routes if r is not None and r.protocol.name == protocol), None)

    def find(self, path: str) -> Route | None:
        """What a POST to `path` calls."""
        return self._exact.get(path) or self._found(path)

    def _found(self, path: str) -> Route | None:
        bare = _without_base(path).rstrip("/")
        if (route := self._bare.get(bare)) is not None:
            return route
        if (named := _CALLED.fullmatch(bare)) is not None and named["verb"] in self._verbs:
            protocol, family = self._verbs[named["verb"]]
            ending = f":{named['verb']}"
            return Route(
                protocol=protocol,
                family=family,
                endpoint=f"{protocol.path}/{MODEL}{ending}",
                target=f"{protocol.path}/{quote(named['model'], safe='')}{ending}",
            )
        return self._of_deployment(path)

    def _of_deployment(self, path: str) -> Route | None:
        """Azure's form: what is behind /deployments/ is a model and an endpoint."""
        if (deployment := _DEPLOYMENT.fullmatch(path.rstrip("/"))) is None:
            return None
        for bare, route in sorted(self._bare.items(), key=lambda entry: -len(entry[0])):
            model = deployment["model"].removesuffix(f"/{bare}")
            if model != deployment["model"] and model:
                return Route(
                    protocol=route.protocol,
                    family=route.family,
                    endpoint=route.endpoint,
                    target=route.target,
                    model=model,
                )
        return None


def model_named(path: str) -> str | None:
    """The id behind /models/, "" for the list of all; None if `path` is no such path."""
    bare = "/" + _without_base(path).rstrip("/")
    if bare == MODELS:
        return ""
    return bare[len(MODELS) + 1 :] if bare.startswith(f"{MODELS}/") else None


def family_at(path: str, headers: Mapping[bytes, bytes], query: bytes | None = None) -> Family:
    """Whose client calls `path`: the shape of errors and of /v1/models."""
    if _GEMINIS.match(path):
        return GEMINI
    bare = _without_base(path)
    if bare.split("/")[0] == "messages":
        return ANTHROPIC
    if bare.split("/")[0] == "models":
        if b"anthropic-version" in headers:
            return ANTHROPIC
        if b"x-goog-api-key" in headers or _CALLED.fullmatch(bare.rstrip("/")):
            return GEMINI
        if query and b"authorization" not in headers and query_key(query):
            return GEMINI
    return _VENDORS.get(path.lstrip("/").split("/")[0], OPENAI)


def query_key(query: bytes) -> bytes:
    """The key in a Gemini caller's query, b"" without one."""
    given = dict(parse_qsl(query.decode("latin-1")))
    return given.get(_QUERY_KEY, "").encode("latin-1", "replace")


def is_inference(path: str) -> bool:
    """Whether `path` is this plane's where another one serves the rest."""
    return path.lstrip("/").split("/", 1)[0] in ROUTES.first_segments


def _without_base(path: str) -> str:
    before = _BEFORE.match(path)
    return path[before.end() :] if before is not None else path


ROUTES: Final = Routes(protocols.PROTOCOLS.values(), FAMILIES)
