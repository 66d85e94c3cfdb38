"""Admin forms with sizes in GB."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest

from accounts.audit import AuditedAdmin
from orders.size_field import GigabytesField


class SizesAdmin(AuditedAdmin):
    """Lets staff enter the fields in ``sizes`` in GB; the values are labels and options of the form fields."""

    sizes: ClassVar[dict[str, dict[str, Any]]] = {}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.sizes:
            return GigabytesField(**self.sizes[db_field.name])
        return super().formfield_for_dbfield(db_field, request, **kwargs)
