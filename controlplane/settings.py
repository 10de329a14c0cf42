"""Django settings. Everything that a deployment may change comes from the environment or `.env`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.templatetags.static import static
from django.urls import reverse_lazy

from providers.files import keep_private, keep_private_database
from providers.secrets.encryption import read_or_create
from providers.secrets.redaction import known

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if (BASE_DIR / ".env").exists():
    env.read_env(BASE_DIR / ".env")

DATA_DIR = (BASE_DIR / env.str("DATA_DIR", default="var")).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
keep_private(DATA_DIR)

DEBUG: bool = env.bool("DEBUG", default=False)
SECRET_KEY: str = env.str("SECRET_KEY", default="") or read_or_create(
    DATA_DIR / "secret_key", get_random_secret_key
)
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=LOOPBACK_NAMES)
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
MASTER_KEY: str = env.str("SWITCHYARD_MASTER_KEY", default="")
known.remember(SECRET_KEY, MASTER_KEY)


def sender_of(email_url: str) -> str:
    """Who mails are from: `?from=`, or the user's own address if it is one."""
    parts = urlsplit(email_url)
    user = unquote(parts.username or "")
    usual = user if "@" in user else f"switchyard@{parts.hostname or 'localhost'}"
    return parse_qs(parts.query).get("from", [usual])[0]


def _networks(addresses: list[str]) -> list[str]:
    """TRUSTED_PROXIES as networks. Only the door reads it: Django sees what it made of it."""
    try:
        return [str(ipaddress.ip_network(address, strict=False)) for address in addresses]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES: {error}; allowed are addresses and networks such as 10.0.0.0/8"
        ) from error


TRUSTED_PROXIES = _networks(env.list("TRUSTED_PROXIES", default=[]))

# Processes that show no pages (manage.py says which) load no admin modules.
SHOWS_PAGES: bool = env.bool("SWITCHYARD_PAGES", default=True)
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin" if SHOWS_PAGES else "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "simple_history",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "servestatic",
    "providers",
    "failover",
    "routing",
    "controlplane",
    "django.contrib.staticfiles",  # behind us, whose runserver refuses what serve does
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "controlplane.middleware.ContentSecurityPolicy",
    "controlplane.door.text.OrdinaryText",
    "controlplane.door.text.KnownHosts",
    "controlplane.middleware.HostCookies",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "controlplane.signin.forms.TooManyTriesStatus",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "controlplane.middleware.tell_what_is_not_live",
]

ROOT_URLCONF = "controlplane.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "controlplane.nonces.Filesystem",
                        "controlplane.nonces.AppDirectories",
                    ],
                ),
            ],
            "builtins": [
                "controlplane.nonces",
                "providers.saying.ages",
                "providers.saying.rows_called",
            ],
            "libraries": {
                "decision_words": "controlplane.decisions.words",
                "docs": "controlplane.overview.docs",
            },
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# database
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'switchyard.sqlite3'}"),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    keep_private_database(str(DATABASES["default"]["NAME"]))
    DATABASES["default"]["OPTIONS"] = {
        # Readers never wait for the writer, and a writer waits its turn instead of failing when
        # a read it began with turns into a write.
        "transaction_mode": "IMMEDIATE",
        # A person is told after four seconds; who writes on its own waits longer.
        "timeout": 4 if SHOWS_PAGES else 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Under ASGI each request has a thread of its own: a connection that it left open would be
    # found by nobody, and a few dozen requests would use up what the server allows.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # A server that is cut off says nothing: without these its clients wait for minutes.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# sign-in
PASSWORD_HASHERS = [
    "controlplane.signin.hashing.Argon2",
    "controlplane.signin.hashing.PBKDF2",
    "controlplane.signin.hashing.Scrypt",
]
AUTHENTICATION_BACKENDS = ["controlplane.signin.backend.CountedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

# alerts
ALERTS_ALLOW_PRIVATE: bool = env.bool("ALERTS_ALLOW_PRIVATE", default=False)
EMAIL_TIMEOUT = 5  # seconds
EMAIL_URL: str = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    known.remember_url(EMAIL_URL)
    globals().update(env.email_url("EMAIL_URL"))
    DEFAULT_FROM_EMAIL = sender_of(EMAIL_URL)

# logs: every process configures them the same way (routing.gateway.telemetry.logs)
LOGGING_CONFIG = None

# what a request may be: the door (controlplane.door) has read it into memory by then
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 4 << 20

# what browsers are told
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Cookies are for https alone once every named origin is https; on a bare loopback address they
# could not be.
IS_SERVED_BY_HTTPS = bool(CSRF_TRUSTED_ORIGINS) and all(
    origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS
)
SESSION_COOKIE_SECURE = IS_SERVED_BY_HTTPS
CSRF_COOKIE_SECURE = IS_SERVED_BY_HTTPS
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS and the redirect to https belong to the proxy that ends TLS:
    "security.W008",  # this server also answers callers of the API inside the network
]

# words and files
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = ["controlplane.formats"]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "controlplane" / "static"]
# Static files are served from where the packages have them: nothing to collect, nothing stale.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_USE_MANIFEST = False
SERVESTATIC_MAX_AGE = 3600

# API
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "controlplane.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["controlplane.authentication.IsOperator"],
    "DEFAULT_SCHEMA_CLASS": "controlplane.openapi.Schema",
    "DEFAULT_THROTTLE_RATES": {"drafts": "20/min"},
    "DEFAULT_FILTER_BACKENDS": ["providers.managed.filters.Filtering"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["providers.managed.parsing.StorableJSONParser"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Switchyard admin API",
    "DESCRIPTION": "Providers, pools, failover and keys of this gateway.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["controlplane.openapi.without_trailing_slash"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "controlplane.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ManagedSourceEnum": "providers.managed.models.ManagedSource",
        "OutcomeEnum": "controlplane.models.RequestRecord.OUTCOMES",
        "RunOutcomeEnum": "controlplane.jobs.models.RunOutcome",
        "HealthStatusEnum": ["healthy", "degraded", "unhealthy", "unknown"],
        "SuggestionKindEnum": "controlplane.advice.models.SuggestionKind",
        "SwitchKindEnum": "routing.models.SwitchKind",
    },
}

# admin


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Switchyard",
    "SITE_HEADER": "Switchyard",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_SYMBOL": "alt_route",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("switchyard/favicon.svg"),
        },
    ],
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "controlplane.signin.forms.SignInForm"},
    "STYLES": [
        lambda _request: static("switchyard/switch.css"),
        lambda _request: static("switchyard/reading.css"),
        lambda _request: static("switchyard/lists.css"),
    ],
    "SCRIPTS": [
        lambda _request: static("switchyard/palette.js"),
        lambda _request: static("switchyard/labels.js"),
        lambda _request: static("switchyard/ages.js"),
    ],
    "DASHBOARD_CALLBACK": "controlplane.overview.dashboard.dashboard",
    "TABS": "controlplane.menu.entries.tabs",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "controlplane.menu.entries.navigation",
    },
}
