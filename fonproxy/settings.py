"""All settings. They come from the environment only; with nothing set, everything runs embedded in one process."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from fonproxy.clickhouse.address import Address, cluster_name
from fonproxy.env import Environment, private_directory, secret_kept_in

# Lets `ModelAdmin[Order]` and its like be written: Django's own classes are generic for type checkers only.
django_stubs_ext.monkeypatch()

env = Environment()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = private_directory(Path(env.text("FONPROXY_DATA_DIR") or BASE_DIR / "var").resolve())

# --- who may call, and as whom -------------------------------------------------------------------------------------
DEBUG = env.flag("FONPROXY_DEBUG", False)
SECRET_KEY = env.secret("FONPROXY_SECRET_KEY") or secret_kept_in(DATA_DIR / "secret_key")
# What was signed with these is still accepted.
SECRET_KEY_FALLBACKS = env.secrets("FONPROXY_SECRET_KEY_FALLBACKS")


def derived(secret: str, purpose: bytes) -> str:
    """Never the secret itself: a hashid can be analysed for its salt."""
    return hmac.new(secret.encode(), purpose, hashlib.sha256).hexdigest()


# Published ids depend on this salt.
ID_SALT = env.text("FONPROXY_ID_SALT") or derived(SECRET_KEY, b"published ids")
if SECRET_KEY_FALLBACKS and not env.text("FONPROXY_ID_SALT"):
    raise ImproperlyConfigured(
        "FONPROXY_SECRET_KEY_FALLBACKS needs FONPROXY_ID_SALT as it was before, or every published id changes:"
        " docs/secrets.md says how to read it."
    )
# API keys are stored under the first; those stored under one of the others are found.
KEY_PEPPERS = env.secrets("FONPROXY_KEY_PEPPERS") or [
    derived(secret, b"key pepper") for secret in (SECRET_KEY, *SECRET_KEY_FALLBACKS)
]
ALLOWED_HOSTS = env.names("FONPROXY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("FONPROXY_TRUSTED_ORIGINS", "") if env.text("FONPROXY_TRUSTED_ORIGINS") else []
TRUSTED_PROXIES = env.whole("FONPROXY_TRUSTED_PROXIES", 0, least=0, most=10)
# Some messages show a new key; in a cookie, which is the default, they would be kept by whoever keeps cookies.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "fonproxy.error_views.csrf_failure"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "sign-in", "overview", "sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# --- the two stores and what stands between ------------------------------------------------------------------------
DATABASE_URL = env.address("DATABASE_URL", "postgres://user:password@host/name", ("postgres", "postgresql"))
if DATABASE_URL:
    DATABASES = {"default": Env.db_url_config(DATABASE_URL)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "fonproxy.sqlite3",
            "OPTIONS": {
                # IMMEDIATE takes the write lock when a transaction begins, so that none fails halfway for lack of it.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;"
                f"PRAGMA synchronous={'FULL' if env.flag('FONPROXY_FSYNC', False) else 'NORMAL'};",
            },
        }
    }
DATABASES["default"]["CONN_MAX_AGE"] = 60  # opening one costs more than most requests ask of it
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CLICKHOUSE_URL = env.text("CLICKHOUSE_URL")
CLICKHOUSE = Address.parse(CLICKHOUSE_URL) if CLICKHOUSE_URL else None
ENGINE_MEMORY_BYTES = env.whole("FONPROXY_ENGINE_MEMORY_MB", 4096, least=512, most=1_000_000) * 2**20
FSYNC = env.flag("FONPROXY_FSYNC", False)
CLICKHOUSE_CLUSTER = cluster_name(env.text("CLICKHOUSE_CLUSTER"), CLICKHOUSE)
# Needs a server with Keeper; the embedded engine has its own repair instead.
CLICKHOUSE_REPLICATED = env.flag("FONPROXY_CLICKHOUSE_REPLICATED", CLICKHOUSE_CLUSTER is not None)
TRAFFIC_RETENTION_MONTHS = env.whole("FONPROXY_TRAFFIC_RETENTION_MONTHS", 13, least=3, most=120)

EVENTS_RETENTION_MONTHS = env.whole("FONPROXY_EVENTS_RETENTION_MONTHS", 13, least=3, most=120)
# What one question for time series may cost.
EVENTS_MAX_ROWS = env.whole("FONPROXY_EVENTS_MAX_ROWS", 200_000_000, least=1, most=10**12)
EVENTS_MAX_GROUPS = env.whole("FONPROXY_EVENTS_MAX_GROUPS", 1000, least=1, most=10_000)
EVENTS_MAX_POINTS = env.whole("FONPROXY_EVENTS_MAX_POINTS", 200_000, least=1, most=900_000)
# Parameters of reported URLs whose names have one of these words are stored without their values.
SECRET_PARAMETERS = frozenset(
    name.lower()
    for name in env.names(
        "FONPROXY_SECRET_PARAMETERS",
        "token,key,apikey,password,passwd,pwd,pass,secret,authorization,auth,credential,credentials,signature,sig,jwt",
    )
)
KEY_GRACE_HOURS = env.whole("FONPROXY_KEY_GRACE_HOURS", 24, least=0, most=8760)
JOURNAL_MAX_ROWS = env.whole("FONPROXY_JOURNAL_MAX_ROWS", 5_000_000, least=1, most=10**9)
JOURNAL_MAX_BYTES = env.whole("FONPROXY_JOURNAL_MAX_MB", 2048, least=1, most=10**6) * 2**20

REDIS_URL = env.address("REDIS_URL", "redis://host:6379/0", ("redis", "rediss", "unix"))
CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            # Every read counts itself there first: one that stands still must not hold a thread for long.
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
    )
}

# --- available proxies -----------------------------------------------------------------------------------------------
GEO_RESIDENTIAL_URL, GEO_MOBILE_URL, GEO_DATACENTER_URL = (
    env.address(f"FONPROXY_GEO_{kind}_URL", "https://provider.example/counts", ("http", "https"))
    for kind in ("RESIDENTIAL", "MOBILE", "DATACENTER")
)
GEOIP_DATABASE = env.text("GEOIP_DATABASE")
GEO_PROVIDER_TOKEN = env.text("FONPROXY_GEO_PROVIDER_TOKEN")

# --- mail and alerts -----------------------------------------------------------------------------------------------
PUBLIC_URL = env.address("FONPROXY_PUBLIC_URL", "https://usage.example.com", ("http", "https"))
PUBLIC_URL = (PUBLIC_URL or "http://127.0.0.1:8000").rstrip("/")
# Behind TLS, as the public address says, cookies travel by TLS alone and browsers remember to use it.
IS_TLS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_TLS
SECURE_HSTS_SECONDS = 31_536_000 if IS_TLS else 0
# The proxy that ends TLS says how it was called; without one in front nobody could tell, and every call would be sent
# around in a circle.
SECURE_SSL_REDIRECT = IS_TLS and TRUSTED_PROXIES > 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_SSL_REDIRECT else None
# Probes and Prometheus call from inside.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
# Everything a page needs comes from here, as files: what somebody smuggles into a page is not run.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Whether the other names under the provider's domain speak TLS is not ours to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
DEFAULT_ALERTS = env.flag("FONPROXY_DEFAULT_ALERTS", True)
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.flag("FONPROXY_WEBHOOKS_TO_PRIVATE_ADDRESSES", False)
DEFAULT_FROM_EMAIL = env.text("FONPROXY_MAIL_FROM") or "FonProxy <fonproxy@localhost>"
EMAIL_TIMEOUT = 10
if email_url := env.address("EMAIL_URL", "smtp://user:password@host:587", ("smtp", "smtps", "smtp+tls", "smtp+ssl")):
    vars().update(Env.email_url_config(email_url))
else:
    EMAIL_BACKEND, EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", DATA_DIR / "mail"

# --- jobs ----------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {} if REDIS_URL else {"polling_interval": 0.2}
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"
CELERY_IMPORTS = ["fonproxy.beat"]
# What has waited for so many seconds is dropped: the next one does the same work.
CELERY_BEAT_SCHEDULE = {
    # Rows taken while the engine was away, or by a process that died, reach the engine within seconds of its return.
    "replay-journal": {
        "task": "analytics.tasks.replay_journal",
        "schedule": timedelta(seconds=2),
        "options": {"expires": 2},
    },
    "refresh-geo-counts": {
        "task": "geo.tasks.refresh_counts",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
    # An order that runs out is to be cut off within five seconds of the rows that did it.
    "keep-accounts": {
        "task": "usage.tasks.keep_accounts",
        "schedule": timedelta(seconds=2),
        "options": {"expires": 2},
    },
    "reconcile-ledgers": {"task": "usage.tasks.reconcile_ledgers", "schedule": crontab(hour="3", minute="20")},
    "evaluate-alerts": {
        "task": "usage.tasks.evaluate_alerts",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "send-alerts": {"task": "usage.tasks.send_alerts", "schedule": timedelta(seconds=5), "options": {"expires": 5}},
    # Idempotency keys are remembered for 24 hours.
    "forget-settled-batches": {
        "task": "analytics.tasks.forget_settled_batches",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
}

# --- HTTP ----------------------------------------------------------------------------------------------------------
SERVER_THREADS = env.whole("FONPROXY_THREADS", 24, least=2, most=256)
INGEST_CONCURRENCY = env.whole("FONPROXY_INGEST_CONCURRENCY", 16, least=1, most=256)
# Bodies that wait for their turn hold a thread too; what is left of the threads is for reads.
INGEST_WAITING = 4
if INGEST_CONCURRENCY + INGEST_WAITING >= SERVER_THREADS:
    raise ImproperlyConfigured(
        f"FONPROXY_INGEST_CONCURRENCY must be at least {INGEST_WAITING + 1} less than FONPROXY_THREADS."
    )
INGEST_MAX_BYTES = 64 * 2**20
INGEST_MAX_ROWS = 100_000
ROOT_URLCONF = "fonproxy.urls"
WSGI_APPLICATION = "fonproxy.wsgi.application"
APPEND_SLASH = False
INSTALLED_APPS = [
    "fonproxy",
    "accounts",
    "geo",
    "analytics",
    "usage",
    "rest_framework",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "fonproxy.middleware.RequestLog",
    "fonproxy.middleware.StorableCookies",
    "fonproxy.middleware.SecureHeaders",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Any web page may call the public counts, and the events of the API that it was given a key for; no cookies travel.
CORS_URLS_REGEX = r"^/(geo|1)/"
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_METHODS = ["GET", "HEAD", "OPTIONS", "POST"]
CORS_ALLOW_HEADERS = [
    "accept",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "x-auth-key",
    "x-auth-user",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["ETag", "Retry-After", "X-Groups-Left-Out", "X-Request-Id"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "fonproxy.formats"
COUNTRIES_OVERRIDE = {"US": "United States", "XK": "Kosovo"}
STATIC_URL = "/static/"
# Files are served from where the apps keep them: the one-command install has no collectstatic step.
WHITENOISE_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.JwtAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.CanRead"],
    "DEFAULT_RENDERER_CLASSES": ["fonproxy.api.renderers.JsonRenderer", "fonproxy.api.renderers.CsvRenderer"],
    "DEFAULT_PARSER_CLASSES": ["fonproxy.api.parsers.SmallJsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "fonproxy.api.negotiation.FormatNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["fonproxy.api.throttles.ReadThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "read": env.rate("FONPROXY_THROTTLE_READ", "600/min"),
        "public": env.rate("FONPROXY_THROTTLE_PUBLIC", "600/min"),
        "provisioning": env.rate("FONPROXY_THROTTLE_PROVISIONING", "6000/min"),
        "token": env.rate("FONPROXY_THROTTLE_TOKEN", "10/min"),
    },
    "EXCEPTION_HANDLER": "fonproxy.api.handler.exception_handler",
    "NUM_PROXIES": TRUSTED_PROXIES,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=1),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    # A changed password ends the tokens that were issued before it.
    "CHECK_REVOKE_TOKEN": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "FonProxy API",
    "DESCRIPTION": "Usage and analytics of a proxy provider.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "AlertStatus": ["armed", "fired"],
        "LedgerReason": "usage.models.Reason",
        "OrderStatus": "accounts.models.OrderStatus",
        "ProxyType": "accounts.models.ProxyType",
    },
    "PREPROCESSING_HOOKS": ["fonproxy.api.docs.without_second_places"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "displayRequestDuration": True},
}

# --- logs ----------------------------------------------------------------------------------------------------------
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"fonproxy": {"()": "fonproxy.logs.formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "fonproxy"}},
    "root": {"handlers": ["stderr"], "level": env.choice("FONPROXY_LOG_LEVEL", "INFO", LOG_LEVELS)},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # The access log says the same with more: status, time, account.
        "django.request": {"level": "ERROR"},
        # Scanners send any Host; they get their 400 and need no stack trace.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "waitress.queue": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
        # What it has to say comes with the error that it raises.
        "clickhouse_driver": {"level": "ERROR"},
    },
}

env.refuse_unknown()
