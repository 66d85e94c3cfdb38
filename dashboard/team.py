"""The team of the current account: members, invitations, and switching between accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.forms import SetPasswordForm
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView
from rest_framework.throttling import SimpleRateThrottle

from accounts import proof, team, viewing
from accounts.models import Invitation, Membership, Role, User
from accounts.sign_in import ThrottledForm
from accounts.throttles import InvitationThrottle
from dashboard.pages import CustomerPage, PersonPage, ProvedPage
from fonproxy import ids
from fonproxy.api.errors import Conflict
from fonproxy.mail_addresses import validate_address

ROLE_HELP = _(
    "Viewers see everything and change nothing. Managers also change alerts, proxy logins and share links. "
    "Owners also create API keys and applications, and manage the team."
)


class RoleForm(forms.Form):
    role = forms.ChoiceField(
        label=_("Role"), choices=Role.choices, initial=Role.VIEWER, widget=forms.RadioSelect, help_text=ROLE_HELP
    )


class InviteForm(RoleForm):
    address = forms.EmailField(
        label=_("E-mail address"), max_length=150, widget=forms.EmailInput({"autocomplete": "off"})
    )
    field_order = ("address", "role")

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"]
        validate_address(address)
        return address


class TeamPage(ProvedPage, FormView[InviteForm]):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/team.html"
    form_class = InviteForm
    write_role = Role.OWNER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            members=team.members_of(self.customer),
            invitations=team.invitations_of(self.customer, timezone.now()),
            **kwargs,
        )

    def form_valid(self, form: InviteForm) -> HttpResponse:
        if not InvitationThrottle().allow_request(self.request, self):  # type: ignore[arg-type]  # reads the user alone
            form.add_error(None, _("You can send twenty invitations an hour. Try again later."))
            return self.form_invalid(form)
        address, role = form.cleaned_data["address"], Role(form.cleaned_data["role"])
        try:
            team.invite(self.customer, address, role, self.viewed.person, timezone.now())
        except Conflict as refusal:
            form.add_error("address", str(refusal.detail))
            return self.form_invalid(form)
        messages.success(self.request, gettext("Invitation sent to %s.") % address)
        return redirect("team")


class WithdrawPage(CustomerPage):
    """Withdraws an invitation."""

    http_method_names = ["post"]
    write_role = Role.OWNER

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        team.withdraw(self.customer, id, self.viewed.person, timezone.now())
        messages.success(request, gettext("Invitation withdrawn. Its link no longer works."))
        return redirect("team")


class MemberPage(ProvedPage, FormView[RoleForm]):
    """Changes the role of a member."""

    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/member.html"
    form_class = RoleForm
    read_role = write_role = Role.OWNER

    @cached_property
    def member(self) -> Membership:
        return team.find_member(self.customer, self.kwargs["id"])

    def get_initial(self) -> dict[str, Any]:
        return {"role": self.member.role}

    def form_valid(self, form: RoleForm) -> HttpResponse:
        team.change_role(self.member, Role(form.cleaned_data["role"]), self.viewed.person, timezone.now())
        messages.success(self.request, gettext("Role of %s changed.") % self.member.person.display_name)
        return redirect("team")


class RemoveMemberPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"
    read_role = write_role = Role.OWNER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        member = team.find_member(self.customer, kwargs["id"])
        lead = _("This person loses access immediately, in every browser.")
        if member.role == Role.OWNER:
            lead = _(
                "This person loses access immediately, in every browser. API keys keep working: revoke those that "
                "only this person used."
            )
        return super().get_context_data(
            heading=gettext("Remove %s from the team?") % member.person.display_name,
            lead=lead,
            button=_("Remove from team"),
            back=reverse("team"),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        member = team.find_member(self.customer, id)
        team.remove(member, self.viewed.person, timezone.now())
        messages.success(request, gettext("%s removed from the team.") % member.person.display_name)
        return redirect("team")


class LeaveTeamPage(CustomerPage, TemplateView):
    """Ends the person's own membership in the team of the current account."""

    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"
    write_role = Role.VIEWER

    def membership(self) -> Membership:
        member = team.members_of(self.customer).filter(person=self.viewed.person).first()
        if member is None:
            raise Http404
        return member

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            heading=gettext("Leave the team of %s?") % self.membership().account.display_name,
            lead=_("You lose access immediately. To come back, you need a new invitation."),
            button=_("Leave team"),
            back=reverse("team"),
            **kwargs,
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        member = self.membership()
        team.remove(member, self.viewed.person, timezone.now())
        messages.success(request, gettext("You left the team of %s.") % member.account.display_name)
        return redirect("overview")


class SwitchPage(PersonPage):
    """Switches to another account of the person."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        number = ids.decode("user", request.POST.get("account", ""))
        account = User.objects.filter(pk=number).first() if number else None
        if account is None or not viewing.switch(request, self.viewed.person, account, timezone.now()):
            raise Http404
        return redirect("overview")


class JoinPage(ThrottledForm, FormView[Any]):
    """The page of a mailed invitation: for the signed-in person or, with a new password, a new user.

    Nothing changes until its button is pressed, because mail scanners open links too.
    """

    template_name = "dashboard/join.html"
    success_url = reverse_lazy("overview")
    request: HttpRequest

    def throttles(self) -> tuple[SimpleRateThrottle, ...]:
        return ()

    @cached_property
    def invitation(self) -> Invitation | None:
        return team.find_invitation(self.kwargs["token"], timezone.now())

    def get(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        return super().get(request, *args, **kwargs) if self.invitation else self._invalid()

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs) if self.invitation else self._invalid()

    def _invalid(self) -> HttpResponse:
        self.invitation = None
        return self.render_to_response({"view": self}, status=404)

    @cached_property
    def needs_sign_in(self) -> bool:
        """Whether the invited address already has a user: then no second one is created."""
        assert self.invitation
        return not self.request.user.is_authenticated and team.has_sign_in(self.invitation.address)

    def get_form(self, *args: Any, **kwargs: Any) -> forms.Form:
        data = self.request.POST if self.request.method == "POST" else None
        if self.request.user.is_authenticated or self.needs_sign_in:
            return forms.Form(data)
        assert self.invitation
        return SetPasswordForm(team.new_person(self.invitation), data)

    def form_valid(self, form: forms.Form) -> HttpResponse:
        if self.needs_sign_in:
            return self.form_invalid(form)
        assert self.invitation
        now, token = timezone.now(), self.kwargs["token"]
        try:
            with transaction.atomic():
                person = form.save() if isinstance(form, SetPasswordForm) else self.request.user
                assert isinstance(person, User)
                member = team.accept(token, person, now)
                if member is None:
                    transaction.set_rollback(True)
        except Conflict as refusal:
            form.add_error(None, str(refusal.detail))
            return self.form_invalid(form)
        except IntegrityError:  # a user with this address was created concurrently: the page asks to sign in
            return redirect(self.request.path)
        if member is None:
            return self._invalid()
        if not self.request.user.is_authenticated:
            proof.sign_in(self.request, person, has_factor=False)
        viewing.switch(self.request, person, member.account, now)
        messages.success(self.request, gettext("You joined the team of %s.") % member.account.display_name)
        return redirect("overview")
