"""The errors of the API.

::

    APIException (Django REST framework)
    ├── NotAuthenticated, AuthenticationFailed, PermissionDenied, NotFound, MethodNotAllowed, Throttled …
    ├── ValidationError         400  a serializer's findings
    └── ApiProblem
        ├── InvalidInput        400  a parameter or a body that is not as documented
        ├── ViewedOnly          403  a session that looks at a customer's data, and would change it
        ├── ProofRequired       403  a sign-in that is too old for what it asks
        ├── SecondFactorRequired 401  a right password without its second factor
        ├── Conflict            409
        ├── TooLarge            413
        ├── UnsupportedEncoding 415
        ├── OutOfRange          422  well-formed, but out of range or unsupported (Byteful)
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
    """The error of one field; ``index`` is the row's position in a body of rows."""

    field: str
    message: str
    index: int | None = None


class ApiProblem(APIException):
    """An error with a stable code, a sentence and field errors."""

    code: str

    def __init__(self, detail: str, *, code: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail, code or self.code)
        self.stable_code = code or self.code
        self.errors = tuple(errors)


class InvalidInput(ApiProblem):
    status_code = 400
    code = "request.invalid"


class ViewedOnly(ApiProblem):
    status_code = 403
    code = "auth.viewed_only"


class ProofRequired(ApiProblem):
    status_code = 403
    code = "auth.proof_required"


class SecondFactorRequired(ApiProblem):
    status_code = 401
    code = "auth.second_factor_required"


class Conflict(ApiProblem):
    status_code = 409
    code = "request.conflict"


class TooLarge(ApiProblem):
    status_code = 413
    code = "request.too_large"


class UnsupportedEncoding(ApiProblem):
    status_code = 415
    code = "request.unsupported_encoding"


class OutOfRange(ApiProblem):
    status_code = 422
    code = "request.out_of_range"


class RetryLater(ApiProblem):
    """A temporary error; ``wait`` is ``Retry-After`` in seconds."""

    def __init__(self, detail: str, *, wait: int, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.wait = wait


class TooBusy(RetryLater):
    status_code = 429
    code = "request.throttled"


class Unavailable(RetryLater):
    status_code = 503
    code = "service.unavailable"
