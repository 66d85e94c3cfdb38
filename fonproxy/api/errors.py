"""The errors of the API.

::

    APIException (Django REST framework)
    ├── NotAuthenticated, AuthenticationFailed, PermissionDenied, NotFound, MethodNotAllowed, Throttled …
    ├── ValidationError         400  a serializer's findings
    └── ApiError
        ├── InvalidInput        400  a parameter or a body that is not as documented
        ├── ViewedOnly          403  a session that looks at a customer's data, and would change it
        ├── Conflict            409
        ├── TooLarge            413
        ├── UnsupportedEncoding 415
        ├── OutOfRange          422  sound, but beyond what is offered (tracking API)
        ├── TooBusy             429  with Retry-After
        └── Unavailable         503  with Retry-After

``code`` is a stable key for programs, ``detail`` one sentence for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rest_framework.exceptions import APIException


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; ``index`` is the row's position where the body is a list of rows."""

    field: str
    message: str
    index: int | None = None


class ApiError(APIException):
    """An error of ours: a stable code, a sentence, and the fields at fault."""

    code: str

    def __init__(self, detail: str, *, code: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail, code or self.code)
        self.stable_code = code or self.code
        self.errors = tuple(errors)


class InvalidInput(ApiError):
    status_code = 400
    code = "request.invalid"


class ViewedOnly(ApiError):
    status_code = 403
    code = "auth.viewed_only"


class Conflict(ApiError):
    status_code = 409
    code = "request.conflict"


class TooLarge(ApiError):
    status_code = 413
    code = "request.too_large"


class UnsupportedEncoding(ApiError):
    status_code = 415
    code = "request.unsupported_encoding"


class OutOfRange(ApiError):
    status_code = 422
    code = "request.out_of_range"


class RetryLater(ApiError):
    """An error that passes; ``wait`` is the number of seconds for ``Retry-After``."""

    def __init__(self, detail: str, *, wait: int, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.wait = wait


class TooBusy(RetryLater):
    status_code = 429
    code = "request.throttled"


class Unavailable(RetryLater):
    status_code = 503
    code = "service.unavailable"
