"""All settings. They come from the environment only; with nothing set, everything runs embedded in one process."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from celery.schedules import crontab
from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from fonproxy.clickhouse.address import Address, cluster_name
from fonproxy.env import Environment, private_directory, secret_kept_in

# Allows `ModelAdmin[Order]` and similar: Django's classes are generic for type checkers only.
django_stubs_ext.monkeypatch()

env = Environment()

BASE_DIR = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()
data_dir = env.text("FONPROXY_DATA_DIR") or (str(BASE_DIR / "var") if IS_CHECKOUT else None)
if data_dir is None:
    raise ImproperlyConfigured("Set FONPROXY_DATA_DIR to the directory for FonProxy's data.")
DATA_DIR = private_directory(Path(data_dir).resolve())

# --- who may call, and as whom -------------------------------------------------------------------------------------
DEBUG = env.flag("FONPROXY_DEBUG", False)
SECRET_KEY = env.secret("FONPROXY_SECRET_KEY") or secret_kept_in(DATA_DIR / "secret_key")
# Signatures made with these keys are still accepted.
SECRET_KEY_FALLBACKS = env.secrets("FONPROXY_SECRET_KEY_FALLBACKS")


def derived(secret: str, purpose: bytes) -> str:
    """A value derived from the secret, never the secret itself: the salt can be recovered from hashids."""
    return hmac.new(secret.encode(), purpose, hashlib.sha256).hexdigest()


# Published ids depend on this salt.
ID_SALT = env.text("FONPROXY_ID_SALT") or derived(SECRET_KEY, b"published ids")
if SECRET_KEY_FALLBACKS and not env.text("FONPROXY_ID_SALT"):
    raise ImproperlyConfigured(
        "FONPROXY_SECRET_KEY_FALLBACKS needs FONPROXY_ID_SALT as it was before, or every published id changes:"
        " docs/secrets.md says how to read it."
    )
# API keys are stored under the first pepper; those stored under another one are found too.
KEY_PEPPERS = env.secrets("FONPROXY_KEY_PEPPERS") or [
    derived(secret, b"key pepper") for secret in (SECRET_KEY, *SECRET_KEY_FALLBACKS)
]
# Encryption uses the first key; secrets encrypted under the others can be read.
SEALING_KEYS = [derived(secret, b"sealing") for secret in (SECRET_KEY, *SECRET_KEY_FALLBACKS)]
ALLOWED_HOSTS = env.names("FONPROXY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("FONPROXY_TRUSTED_ORIGINS", "") if env.text("FONPROXY_TRUSTED_ORIGINS") else []
TRUSTED_PROXIES = env.int_("FONPROXY_TRUSTED_PROXIES", 0, least=0, most=10)
# Some messages contain a new key, which must not be stored in a cookie, the default.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_ENGINE = "accounts.sessions"
# Left out of backups.
SIGN_IN_TABLES = ("sessions", "token_families")
STAFF_SECOND_FACTOR = env.flag("FONPROXY_STAFF_SECOND_FACTOR", True)
CSRF_FAILURE_VIEW = "fonproxy.error_views.csrf_failure"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "sign-in", "overview", "sign-in"
VALIDATORS = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{VALIDATORS}.UserAttributeSimilarityValidator"},
    {"NAME": f"{VALIDATORS}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{VALIDATORS}.CommonPasswordValidator"},
    {"NAME": f"{VALIDATORS}.NumericPasswordValidator"},
]

# --- the two stores and what stands between ------------------------------------------------------------------------
DATABASE_URL = env.url("DATABASE_URL", "postgres://user:password@host/name", ("postgres", "postgresql"))
if DATABASE_URL:
    DATABASES = {"default": Env.db_url_config(DATABASE_URL)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "fonproxy.sqlite3",
            "OPTIONS": {
                # IMMEDIATE takes the write lock when a transaction begins, so that none fails halfway.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # Debian's SQLite overwrites all that is deleted, by default; FAST leaves out free pages. A large body
                # in the journal has 300 of them.
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA secure_delete=FAST;"
                f"PRAGMA synchronous={'FULL' if env.flag('FONPROXY_FSYNC', False) else 'NORMAL'};",
            },
        }
    }
DATABASES["default"]["CONN_MAX_AGE"] = 60  # opening a connection costs more than most requests need
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CLICKHOUSE_URL = env.text("CLICKHOUSE_URL")
CLICKHOUSE = Address.parse(CLICKHOUSE_URL) if CLICKHOUSE_URL else None
ENGINE_MEMORY_BYTES = env.int_("FONPROXY_ENGINE_MEMORY_MB", 4096, least=512, most=1_000_000) * 2**20
FSYNC = env.flag("FONPROXY_FSYNC", False)
# The package with the numbered SQL files and the retention of each table.
CLICKHOUSE_SCHEMA = "analytics.schema"
CLICKHOUSE_CLUSTER = cluster_name(env.text("CLICKHOUSE_CLUSTER"), CLICKHOUSE)
# Needs a server with Keeper; the embedded engine has its own repair instead.
CLICKHOUSE_REPLICATED = env.flag("FONPROXY_CLICKHOUSE_REPLICATED", CLICKHOUSE_CLUSTER is not None)
TRAFFIC_RETENTION_MONTHS = env.int_("FONPROXY_TRAFFIC_RETENTION_MONTHS", 13, least=3, most=120)

APINALYTICS_RETENTION_MONTHS = env.int_("FONPROXY_APINALYTICS_RETENTION_MONTHS", 13, least=3, most=120)
# Limits on the cost of one time series.
APINALYTICS_MAX_ROWS = env.int_("FONPROXY_APINALYTICS_MAX_ROWS", 200_000_000, least=1, most=10**12)
APINALYTICS_MAX_GROUPS = env.int_("FONPROXY_APINALYTICS_MAX_GROUPS", 1000, least=1, most=10_000)
APINALYTICS_MAX_POINTS = env.int_("FONPROXY_APINALYTICS_MAX_POINTS", 200_000, least=1, most=900_000)
# URL parameters whose names have one of these words are stored without their values.
SECRET_PARAMETERS = frozenset(
    name.lower()
    for name in env.names(
        "FONPROXY_SECRET_PARAMETERS",
        "token,key,apikey,password,passwd,pwd,pass,secret,authorization,auth,credential,credentials,signature,sig,jwt",
    )
)
KEY_GRACE_HOURS = env.int_("FONPROXY_KEY_GRACE_HOURS", 24, least=0, most=8760)
JOURNAL_MAX_ROWS = env.int_("FONPROXY_JOURNAL_MAX_ROWS", 5_000_000, least=1, most=10**9)
JOURNAL_MAX_BYTES = env.int_("FONPROXY_JOURNAL_MAX_MB", 2048, least=1, most=10**6) * 2**20

REDIS_URL = env.url("REDIS_URL", "redis://host:6379/0", ("redis", "rediss", "unix"))
if REDIS_URL and not CLICKHOUSE_URL:
    raise ImproperlyConfigured(
        "REDIS_URL needs CLICKHOUSE_URL: with Redis, jobs run in processes of their own, and the embedded ClickHouse"
        " serves one process only. Set CLICKHOUSE_URL, or leave REDIS_URL unset and run `manage.py serve`."
    )
if CLICKHOUSE_REPLICATED and not CLICKHOUSE_URL:
    raise ImproperlyConfigured(
        "FONPROXY_CLICKHOUSE_REPLICATED needs CLICKHOUSE_URL: the embedded ClickHouse has no replicas."
    )
CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            # Every read counts itself there first, so a hanging cache must not hold a thread for long.
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
    )
}

# --- available proxies -----------------------------------------------------------------------------------------------
GEO_RESIDENTIAL_URL, GEO_MOBILE_URL, GEO_DATACENTER_URL = (
    env.url(f"FONPROXY_GEO_{kind}_URL", "https://provider.example/counts", ("http", "https"))
    for kind in ("RESIDENTIAL", "MOBILE", "DATACENTER")
)
# Invented counts of residential-giga without a provider; `serve --demo` switches them on.
GEO_DUMMY = env.flag("FONPROXY_GEO_DUMMY", False)
GEOIP_DATABASE = env.text("GEOIP_DATABASE")
GEO_PROVIDER_TOKEN = env.text("FONPROXY_GEO_PROVIDER_TOKEN")

# --- mail and alerts -----------------------------------------------------------------------------------------------
PUBLIC_URL = env.url("FONPROXY_PUBLIC_URL", "https://usage.example.com", ("http", "https"))
# `serve` replaces the default by the address on which it listens.
HAS_PUBLIC_URL = PUBLIC_URL is not None
PUBLIC_URL = (PUBLIC_URL or "http://127.0.0.1:8000").rstrip("/")
# With an https:// public URL, cookies are sent over TLS only and browsers remember to use it.
IS_TLS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_TLS
if IS_TLS:  # browsers accept cookies with these names from this host only, never from a sibling under its domain
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_HSTS_SECONDS = 31_536_000 if IS_TLS else 0
# The proxy that terminates TLS reports the scheme. Without a proxy the scheme is unknown, and every call would be
# redirected in a loop.
SECURE_SSL_REDIRECT = IS_TLS and TRUSTED_PROXIES > 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_SSL_REDIRECT else None
# Probes and Prometheus call it internally.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
# Pages load only our own files, so injected markup cannot run scripts.
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
# Whether other hosts under the provider's domain use TLS is not our decision.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# What customers see: where to connect, and where to buy more.
PROXY_ENDPOINTS = env.endpoints("FONPROXY_PROXY_ENDPOINTS")
TOP_UP_URL = env.url("FONPROXY_TOP_UP_URL", "https://shop.example.com/top-up?order={order}", ("http", "https"))
DEFAULT_ALERTS = env.flag("FONPROXY_DEFAULT_ALERTS", True)
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.flag("FONPROXY_WEBHOOKS_TO_PRIVATE_ADDRESSES", False)
WEBHOOK_PORTS = env.ports("FONPROXY_WEBHOOK_PORTS", "80,443,8443")
DEFAULT_FROM_EMAIL = env.text("FONPROXY_MAIL_FROM") or "FonProxy <fonproxy@localhost>"
EMAIL_TIMEOUT = 10
if email_url := env.url("EMAIL_URL", "smtp://user:password@host:587", ("smtp", "smtps", "smtp+tls", "smtp+ssl")):
    vars().update(Env.email_url_config(email_url))
else:
    EMAIL_BACKEND, EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", DATA_DIR / "mail"

# --- jobs ----------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {} if REDIS_URL else {"polling_interval": 0.5}
CELERY_TASK_IGNORE_RESULT = True
# Celery otherwise opens a connection for each job, which reads SQLite's schema again: most of what a job costs at rest.
# It does not notice broken connections, which PostgreSQL may have.
CELERY_DB_REUSE_MAX = None if DATABASE_URL else 100
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"
CELERY_IMPORTS = ["fonproxy.job_health", "accounts.notices"]
# `expires`: drop stale runs; the next run does the same work.
CELERY_BEAT_SCHEDULE = {
    # Batches accepted while ClickHouse was unavailable, or by a process that died, are inserted within seconds.
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
    # An order that runs out must be cut off within five seconds of the rows that used it up.
    "keep-accounts": {
        "task": "usage.tasks.keep_accounts",
        "schedule": timedelta(seconds=2),
        "options": {"expires": 2},
    },
    "renew-orders": {"task": "usage.tasks.renew_orders", "schedule": timedelta(seconds=5), "options": {"expires": 5}},
    "reconcile-ledgers": {"task": "usage.tasks.reconcile_ledgers", "schedule": crontab(hour="3", minute="20")},
    "evaluate-alerts": {
        "task": "usage.tasks.evaluate_alerts",
        # Bytes of a running connection reach alerts within 15 seconds.
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "send-alerts": {"task": "usage.tasks.send_alerts", "schedule": timedelta(seconds=5), "options": {"expires": 5}},
    # The user who requested a test is waiting for the outcome.
    "send-tests": {"task": "usage.tasks.send_tests", "schedule": timedelta(seconds=2), "options": {"expires": 2}},
    "send-reports": {
        "task": "usage.tasks.send_reports",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "send-events": {"task": "orders.tasks.send_events", "schedule": timedelta(seconds=5), "options": {"expires": 5}},
    # Also the retry interval of a mail that no server accepts.
    "send-notices": {
        "task": "orders.tasks.send_notices",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "record-expiring": {
        "task": "orders.tasks.record_expiring",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "forget-events": {"task": "orders.tasks.forget_events", "schedule": crontab(hour="3", minute="40")},
    "purge-sign-ins": {"task": "accounts.tasks.purge_sign_ins", "schedule": crontab(hour="4", minute="10")},
    "forget-sessions": {"task": "analytics.tasks.forget_sessions", "schedule": crontab(minute="50")},
    # Idempotency keys are stored for 24 hours.
    "forget-settled-batches": {
        "task": "analytics.tasks.forget_settled_batches",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
}

# --- HTTP ----------------------------------------------------------------------------------------------------------
# Concurrent requests: pushes of gateways, events of applications, heavy reads, and all others.
INGEST_CONCURRENCY = env.int_("FONPROXY_INGEST_CONCURRENCY", 32, least=1, most=256)
EVENTS_CONCURRENCY = env.int_("FONPROXY_EVENTS_CONCURRENCY", 16, least=1, most=256)
HEAVY_CONCURRENCY = env.int_("FONPROXY_HEAVY_CONCURRENCY", 4, least=1, most=256)
# Reads of one account; see also the rates below.
READS_AT_ONCE = env.int_("FONPROXY_READS_AT_ONCE", 4, least=1, most=256)
SERVER_THREADS = env.int_("FONPROXY_THREADS", 16, least=2, most=256)
CONNECTIONS = env.int_("FONPROXY_CONNECTIONS", 1000, least=10, most=100_000)
CONNECTIONS_PER_ADDRESS = env.int_("FONPROXY_CONNECTIONS_PER_ADDRESS", 100, least=1, most=100_000)
INGEST_MAX_BYTES = 64 * 2**20
INGEST_MAX_ROWS = 100_000
ROOT_URLCONF = "fonproxy.urls"
WSGI_APPLICATION = "fonproxy.wsgi.application"
APPEND_SLASH = False
INSTALLED_APPS = [
    "fonproxy",
    "accounts",
    "orders",
    "geo",
    "analytics",
    "usage",
    "demo",
    "dashboard",
    "console",
    "rest_framework",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "fonproxy.middleware.RequestLog",
    "fonproxy.api.slots.HeldSlots",
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
    "fonproxy.pages.NotFoundPage",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.tz",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Families declare their paths with CORS (fonproxy/api/families.py); no cookies are sent. A page often sends the same
# headers with all its calls, whether a route needs them or not.
CORS_URLS_REGEX = r"(?!)"
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_METHODS = ["GET", "HEAD", "OPTIONS", "POST"]
CORS_ALLOW_HEADERS = [
    *default_headers,
    "cache-control",
    "content-encoding",
    "idempotency-key",
    "if-none-match",
    "pragma",
    "prefer",
    "x-api-key",
    "x-auth-key",
    "x-auth-user",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["Content-Disposition", "ETag", "Retry-After", "X-Groups-Left-Out", "X-Request-Id"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "fonproxy.formats"
COUNTRIES_OVERRIDE = {"US": "United States", "XK": "Kosovo"}
STATIC_URL = "/static/"
# Files are served from the apps' directories, because the one-command install has no collectstatic step.
WHITENOISE_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.JwtAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.OwnData"],
    "DEFAULT_RENDERER_CLASSES": ["fonproxy.api.renderers.JsonRenderer", "fonproxy.api.renderers.CsvRenderer"],
    "DEFAULT_PARSER_CLASSES": ["fonproxy.api.parsers.SmallJsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "fonproxy.api.negotiation.FormatNegotiation",
    "DEFAULT_METADATA_CLASS": "fonproxy.api.metadata.AllowOnly",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["fonproxy.api.throttles.ReadThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "read": env.rate("FONPROXY_THROTTLE_READ", "600/min"),
        "public": env.rate("FONPROXY_THROTTLE_PUBLIC", "600/min"),
        "shared": env.rate("FONPROXY_THROTTLE_SHARED", "120/min"),
        "provisioning": env.rate("FONPROXY_THROTTLE_PROVISIONING", "6000/min"),
        "token": env.rate("FONPROXY_THROTTLE_TOKEN", "10/min"),
    },
    "EXCEPTION_HANDLER": "fonproxy.api.handler.exception_handler",
    "NUM_PROXIES": TRUSTED_PROXIES,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "FonProxy API",
    "DESCRIPTION": "Usage and analytics of a proxy provider.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "AlertStatus": ["armed", "fired"],
        "DeliveredEventType": "orders.models.DELIVERED_TYPES",
        "EventType": "orders.models.EventType",
        "LedgerReason": "orders.models.LedgerReason",
        "Network": "orders.models.Network",
        "OrderStatus": "orders.models.OrderStatus",
        "ProxyType": "orders.models.ProxyType",
    },
    "PREPROCESSING_HOOKS": ["fonproxy.api.docs.without_aliases"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "fonproxy.api.docs.summarised"],
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
    "filters": {"disallowed_host": {"()": "fonproxy.logs.DisallowedHost"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "fonproxy"}},
    "root": {"handlers": ["stderr"], "level": env.choice("FONPROXY_LOG_LEVEL", "INFO", LOG_LEVELS)},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # The access log has the same with more: status, time, account.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "WARNING", "filters": ["disallowed_host"]},
        "celery": {"level": "WARNING"},
        # Its message is in the error that it raises.
        "clickhouse_driver": {"level": "ERROR"},
        # At DEBUG it logs the paths of chat webhooks, which are secret.
        "urllib3": {"level": "INFO"},
    },
}

env.refuse_unknown()
