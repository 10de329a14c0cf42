"""
What a provider's settings may be, for the models and for the configuration file alike.

Every function returns the problems as sentences for operators; an empty list means it is fine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from providers.adapters.auth import AUTHS
from providers.adapters.headers import FRAMING
from providers.transport.guard import host_refusal

# What callers of a provider put behind its address, and operators take for a part of it.
_VERSION = "|".join(rf"(?<=/v{version})" for version in ("1", "2", "3", "4", "1beta", "1alpha"))
_ENDPOINT = re.compile(
    rf"(?:/chat/completions|(?:{_VERSION})/(?:completions|embeddings|responses"
    r"|messages(?:/count_tokens)?|models/[^/]+:\w+))/?$"
)
PROVIDER_NAME = re.compile(r"[A-Za-z0-9._-]+")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text holds neither
NO_TEXT = "text must not hold NUL or half of a surrogate pair"
ADDRESS_LENGTH = 500
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
AUTH_SCHEMES = AUTHS
# What a provider may be said to speak, including what no codec of ours speaks yet.
PROTOCOL_NAMES = (
    "openai_chat",
    "openai_completions",
    "openai_embeddings",
    "openai_responses",
    "openai_images",
    "openai_speech",
    "openai_transcriptions",
    "openai_moderations",
    "rerank",
    "anthropic_messages",
    "anthropic_count_tokens",
    "gemini_generate",
    "gemini_count_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """
    What a number may be. `above` is exclusive, `least` and `most` are inclusive.

    Everything has a most, so that it can be counted with: without another, ten years in seconds.
    """

    above: float | None = None
    least: float | None = None
    most: float = 10 * 365 * 24 * 3600
    is_whole: bool = False

    @property
    def allowed(self) -> str:
        noun = "a whole number" if self.is_whole else "a number"
        if self.above is not None:
            return f"{noun} above {self.above:.10g}, at most {self.most:.10g}"
        return f"{noun} from {self.least or 0:.10g} to {self.most:.10g}"

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if self.is_whole and value != int(value):
            return False
        return not (
            (self.above is not None and value <= self.above)
            or (self.least is not None and value < self.least)
            or value > self.most
        )


def is_storable(value: object) -> bool:
    """Whether the database can hold the text in what was JSON, in names and values."""
    if isinstance(value, str):
        return UNSTORABLE.search(value) is None
    if isinstance(value, Mapping):
        return all(is_storable(key) and is_storable(inner) for key, inner in value.items())
    return not isinstance(value, list) or all(map(is_storable, value))


SECONDS = Number(above=0)
COUNT = Number(least=1, is_whole=True)
MOST_WHOLE = 2**31 - 1  # what every database takes for a whole number
MOST_TIMES = 100  # calls and retries, and what a pause grows by
NAME_LENGTH = 200  # of a model

TIMEOUTS = dict.fromkeys(
    (
        "connect_s",
        "first_token_s",
        "reasoning_first_token_s",
        "idle_s",
        "total_s",
        "stream_total_s",
    ),
    SECONDS,
)
BENCH = {
    "failures": COUNT,
    "failure_ratio": Number(above=0, most=1),
    "window_s": SECONDS,
    "cooldown_s": SECONDS,
    "max_outage_s": SECONDS,
    "max_cooldown_s": SECONDS,
    "auth_cooldown_s": SECONDS,
}


def number_problems(block: object, allowed: Mapping[str, Number]) -> list[str]:
    """The problems of a block of numbers such as `timeouts` or `bench`."""
    if not isinstance(block, Mapping):
        return ["must be a JSON object, for example {} or " + _example(allowed)]
    problems = []
    for key, value in block.items():
        if key not in allowed:
            problems.append(f"{key}: unknown key; allowed are {', '.join(allowed)}")
        elif not allowed[key].accepts(value):
            problems.append(f"{key}: {value!r} is not allowed; it must be {allowed[key].allowed}")
    return problems


def _example(allowed: Mapping[str, Number]) -> str:
    return f'{{"{next(iter(allowed))}": 5}}'


def timeouts_problems(block: object) -> list[str]:
    return number_problems(block, TIMEOUTS)


def bench_problems(block: object) -> list[str]:
    problems = number_problems(block, BENCH)
    if problems or not isinstance(block, Mapping):
        return problems
    shortest, longest = block.get("cooldown_s"), block.get("max_cooldown_s")
    if shortest is not None and longest is not None and longest < shortest:
        problems.append(f"max_cooldown_s: {longest!r} is less than cooldown_s ({shortest!r})")
    return problems


HEALTH_TEXTS = {
    "paid_probe_model": "a model id",
    "status_page": "the address of its status page",
}


def health_problems(block: object, *, is_guarded: bool) -> list[str]:
    """`is_guarded`: its status page may not lead to this machine or its network."""
    if not isinstance(block, Mapping):
        return ['must be a JSON object, for example {"interval_s": 60}']
    numbers = {key: value for key, value in block.items() if key not in HEALTH_TEXTS}
    allowed = ", ".join(("interval_s", *HEALTH_TEXTS))
    problems = [
        problem.replace("allowed are interval_s", f"allowed are {allowed}")
        for problem in number_problems(numbers, {"interval_s": SECONDS})
    ]
    for key, what in HEALTH_TEXTS.items():
        if not isinstance(block.get(key, ""), str):
            problems.append(f"{key}: must be {what}, or empty for none")
    page = block.get("status_page")
    if page and isinstance(page, str):
        found = status_page_problems(page)
        refusal = "" if found or not is_guarded else host_refusal(urlsplit(page).hostname or "")
        if refusal:
            found = [f"{refusal}, which is refused here; it may stand in the configuration file"]
        problems += [f"status_page: {problem}" for problem in found]
    return problems


def text_map_problems(block: object) -> list[str]:
    """The problems of a flat object of strings with names as its keys, such as `failure_domain`."""
    if not isinstance(block, Mapping):
        return ['must be a JSON object of strings, for example {"region": "us"}']
    wrong = [
        f"{key!r} is not allowed as a name; it must be up to {NAME_LENGTH} characters without"
        " commas and spaces"
        for key in block
        if len(key) > NAME_LENGTH or model_name_problems(key)
    ]
    return wrong + [
        f"{key}: {value!r} is not allowed; it must be a string"
        for key, value in block.items()
        if not isinstance(value, str)
    ]


def headers_problems(headers: object) -> list[str]:
    if not isinstance(headers, Mapping):
        return ['must be a JSON object of strings, for example {"x-team": "search"}']
    problems = []
    for name, value in headers.items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
            problems.append(f"{name!r} is not a header name; letters, digits and - are allowed")
        elif name.lower() in FRAMING:
            problems.append(f"{name}: this header is set by the gateway itself")
        elif not isinstance(value, str):
            problems.append(f"{name}: the value must be a string")
        elif any(not (character == "\t" or character.isprintable()) for character in value):
            problems.append(f"{name}: line breaks and control characters are not allowed")
        elif not value.isascii():
            problems.append(f"{name}: only ASCII characters are allowed")
    return problems


def provider_name_problems(name: str) -> list[str]:
    if PROVIDER_NAME.fullmatch(name):
        return []
    allowed = "letters, digits, dots, underscores and hyphens are allowed"
    return [f"{name!r} is not a provider name; {allowed}"]


def model_name_problems(name: str) -> list[str]:
    """The problems of a canonical model's or an alias's name, or of a provider's model id."""
    if not name:
        return ["a name is needed"]
    if wrong := unfit_in_names(name):
        return [f"{name!r} is not a model name; {wrong} are not allowed"]
    if "${" in name:
        return [f"{name!r} is not a model name; ${{ begins a variable in the configuration file"]
    return []


def unfit_in_names(name: str) -> str:
    """What `name` holds that no name of a model may, in words; empty if it holds nothing such."""
    spaces = any(character.isspace() for character in name)
    controls = any(not (c.isprintable() or c.isspace()) for c in name)
    found = {"commas": "," in name, "spaces": spaces, "control characters": controls}
    return " and ".join(what for what, is_there in found.items() if is_there)


def choice_problems(entries: object, known: Collection[str]) -> list[str]:
    """The problems of a list of words, each one of `known` and listed once."""
    if not isinstance(entries, list):
        return ["must be a list"]
    allowed = ", ".join(sorted(known))
    problems = [
        f"{entry!r} is not known; known are {allowed}"
        for entry in entries
        if not isinstance(entry, str) or entry not in known
    ]
    if not problems and len(set(entries)) < len(entries):
        problems.append("an entry is listed twice")
    return problems


def base_url_problems(url: str) -> list[str]:
    example = "https://api.example.com/v1"
    if problems := _url_problems(url, ("http", "https"), example, may_have_user=False):
        return problems
    if end := _ENDPOINT.search(url):
        right = url[: end.start()]
        return [f"the address must end before the endpoint ({end[0]}): {right}"]
    return []


def status_page_problems(url: str) -> list[str]:
    if len(url) > ADDRESS_LENGTH:
        return [f"an address has at most {ADDRESS_LENGTH} characters"]
    return _url_problems(url, ("http", "https"), "https://status.example.com", may_have_user=False)


def proxy_problems(url: str) -> list[str]:
    return _url_problems(
        url, ("http", "https"), "http://proxy.example.com:3128", may_have_user=True
    )


def _url_problems(
    url: str, schemes: tuple[str, ...], example: str, *, may_have_user: bool
) -> list[str]:
    # The text is not repeated where it may hold a password.
    if any(character.isspace() or not character.isprintable() for character in url):
        return ["spaces and control characters are not allowed in an address"]
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return [f"this is not an address; it should look like {example}"]
    if parts.scheme not in schemes or not host:
        beginning = " or ".join(f"{scheme}://" for scheme in schemes)
        return [f"the address must begin with {beginning} and name a host, for example {example}"]
    if not may_have_user and (parts.username is not None or parts.password is not None):
        return ["a user name or password does not belong in the address; add a credential"]
    if not may_have_user and (parts.query or parts.fragment):
        return ["the address must end with its path: no ? and no #"]
    return []


def secret_problems(secret: str) -> list[str]:
    if secret.isascii() and secret.isprintable() and " " not in secret:
        return []
    return ["spaces, line breaks and characters beyond ASCII are not allowed in a key"]
