"""The product's settings with one more route, for comparison."""

from fonproxy.settings import *  # noqa: F403

ROOT_URLCONF = "bench.gateway_urls"
