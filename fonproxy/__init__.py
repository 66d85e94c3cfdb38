"""The Django project and shared code; it imports no app."""

from fonproxy.celery import app as celery_app

__all__ = ["celery_app"]
