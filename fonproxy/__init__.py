"""The project and the floor every app stands on; it imports no app."""

from fonproxy.celery import app as celery_app

__all__ = ["celery_app"]
