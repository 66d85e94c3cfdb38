"""Products and the kinds of proxies they sell."""

from __future__ import annotations

from django.db import models


class ProxyType(models.TextChoices):
    RESIDENTIAL_GIGA = "residential-giga"
    MOBILE_GIGA = "mobile-giga"
    DATACENTER_GIGA = "datacenter-giga"
    SERVER_STATIC = "server-static"
    PRIVATE_PROXY = "private-proxy"
    SHARED_PROXY = "shared-proxy"


class Network(models.TextChoices):
    DATACENTER = "datacenter"
    ISP = "isp", "ISP"
    RESIDENTIAL = "residential"
    MOBILE = "mobile"


class Product(models.Model):
    """A product: the proxy type sold and the network its traffic is counted under."""

    name = models.CharField(max_length=100)
    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices)
    network = models.CharField(max_length=16, choices=Network.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "proxy_type", "network"], name="product_once")]

    def __str__(self) -> str:
        return self.name
