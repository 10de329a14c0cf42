"""Where a provider is, and by which proxy, from what the operator wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from providers.transport import Endpoint

_PORTS: Final = {"http": 80, "https": 443}
_VERSION: Final = re.compile(r"/v[0-9]+(?:(?:alpha|beta)[0-9]*)?$")
# What RFC 3986 lets stand in a path or a query; the rest is percent-encoded.
_SAFE: Final = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`path` has no trailing slash; `query` is empty or starts with "?"; `host` is a header."""

    endpoint: Endpoint
    host: bytes
    path: bytes
    query: bytes


def completed(base_url: str, usual: str) -> str:
    """`base_url`, or the `usual` one for none and for the bare host of it."""
    if not base_url or not usual:
        return base_url or usual
    given, known = urlsplit(base_url.strip()), urlsplit(usual)
    is_bare = given.path in ("", "/") and not given.query and not given.fragment
    if not is_bare or given.hostname != known.hostname:
        return base_url
    return given._replace(path=known.path).geturl()


def address_of(
    base_url: str,
    *,
    proxy: str,
    trust_env_proxy: bool,
    environ: Mapping[str, str],
    version: str = "",
) -> Address:
    """
    The address behind `base_url`, whose path ends in `version` (such as /v1), given or not.

    Raises ValueError, which quotes no credentials.
    """
    url = _split(base_url, "base_url")
    if url.username is not None or url.password is not None:
        raise ValueError("base_url holds a user name or password; keys belong to the credentials")
    if url.fragment:
        raise ValueError("base_url has a fragment (#…), which means nothing to a server")
    scheme, host = url.scheme, _ascii_host(url.hostname or "")
    port = url.port or _PORTS[scheme]
    if not proxy and trust_env_proxy:
        proxy = _proxy_from(environ, scheme, host, port)
    if proxy:
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        _split(proxy, "proxy")
    named = f"[{host}]" if ":" in host else host
    return Address(
        endpoint=Endpoint(scheme=scheme, host=host, port=port, proxy=proxy),
        host=(named if port == _PORTS[scheme] else f"{named}:{port}").encode(),
        path=quote(_versioned(url.path.rstrip("/"), version), safe=_SAFE).encode(),
        query=("?" + quote(url.query, safe=_SAFE + "?") if url.query else "").encode(),
    )


def _versioned(path: str, version: str) -> str:
    return path if not version or _VERSION.search(path) else path + version


def _split(text: str, what: str) -> SplitResult:
    url = urlsplit(text.strip())
    if url.scheme not in _PORTS:
        raise ValueError(f"{what} must start with http:// or https://")
    if not url.hostname:
        raise ValueError(f"{what} has no host")
    try:
        _ = url.port
    except ValueError as error:
        raise ValueError(f"{what} has a port that is none") from error
    return url


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("base_url has a host name that cannot be written in DNS") from error


def _proxy_from(environ: Mapping[str, str], scheme: str, host: str, port: int) -> str:
    """What urllib would take: lower-case names win, no_proxy excepts, CGI's HTTP_PROXY is none."""
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper()]
    if scheme == "http" and "REQUEST_METHOD" in environ:
        names.pop()
    proxy = next((environ[name] for name in names if environ.get(name)), "")
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy and excepted:
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if proxy_bypass_environment(at, {"no": excepted}):
            return ""
    return proxy
