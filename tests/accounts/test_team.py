"""Members of a team view its account, within their role and as long as they are members."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone
from rest_framework.exceptions import NotFound

from accounts import team
from accounts.audit_trail import Actor
from accounts.erasure import erase
from accounts.models import ApiKey, Application, AuditRecord, Invitation, Membership, Role, Session, User
from orders.models import Order, ProxyUser
from tests.accounts.helpers import PASSWORD, access
from usage.ids import alert_id, subscription_id
from usage.models import Alert

pytestmark = pytest.mark.django_db

LINK = re.compile(r"http://\S+(/join/\S+)")
NEW = "another horse that is right"
Sent = Callable[[], list[Any]]


@pytest.fixture(autouse=True)
def both_orders(alice: User, bob: User, make_order: Callable[..., Order]) -> None:
    make_order(alice, name="hers", limit=10**9)
    make_order(bob, name="his")


def signed_in(user: User) -> Client:
    cache.clear()
    browser = Client()
    browser.force_login(user)
    return browser


def join(account: User, person: User, role: Role) -> Client:
    """A member's browser, which views the account."""
    Membership.objects.create(account=account, person=person, role=role, created_at=timezone.now())
    browser = signed_in(person)
    switch(browser, account)
    return browser


def switch(browser: Client, account: User) -> Any:
    return browser.post("/dashboard/switch", {"account": account.published_id})


def names_of_orders(browser: Client) -> list[str]:
    return [order["name"] for order in browser.get("/orders").json()["orders"]]


def invited(owner: Client, address: str, role: str, sent: Sent) -> str:
    """The path of the link in the mail."""
    answer = owner.post("/dashboard/team", {"address": address, "role": role})
    assert answer.headers["Location"] == "/dashboard/team"
    [mail] = sent()
    assert mail.to == [address]
    found = LINK.search(mail.body)
    assert found
    return found[1]


def test_an_existing_user_joins_by_the_mailed_link_and_views_the_account(alice: User, bob: User, sent: Sent) -> None:
    link = invited(signed_in(alice), "bob@example.com", "viewer", sent)
    stranger = Client()
    assert f"/sign-in?next={link.replace('/', '%2F')}" in stranger.get(link).content.decode()
    his = signed_in(bob)
    assert "bob@example.com is invited as viewer" in his.get(link).content.decode()
    assert names_of_orders(his) == ["his"]
    assert his.post(link).headers["Location"] == "/dashboard"
    assert names_of_orders(his) == ["hers"]
    [notice] = sent()
    assert notice.to == ["alice@example.com"]
    assert "a person joined the team of your account (bob, as viewer)." in notice.body
    assert his.get(link).status_code == 404
    assert his.post(link).status_code == 404


def test_a_new_person_sets_a_password_and_is_signed_in(alice: User, sent: Sent) -> None:
    link = invited(signed_in(alice), "kim@example.com", "manager", sent)
    browser = Client()
    refused = browser.post(link, {"new_password1": "short", "new_password2": "short"})
    assert (refused.status_code, User.objects.filter(username="kim@example.com").exists()) == (200, False)
    assert browser.post(link, {"new_password1": NEW, "new_password2": NEW}).headers["Location"] == "/dashboard"
    assert names_of_orders(browser) == ["hers"]
    kim = User.objects.get(username="kim@example.com")
    assert (kim.email, kim.is_staff, Membership.objects.get().role) == ("kim@example.com", False, "manager")
    again = Client()
    again.post("/sign-in", {"username": "kim@example.com", "password": NEW})
    assert names_of_orders(again) == ["hers"]


def test_no_second_user_is_created_for_a_known_address(alice: User, bob: User, sent: Sent) -> None:
    link = invited(signed_in(alice), "bob@example.com", "owner", sent)
    answer = Client().post(link, {"new_password1": NEW, "new_password2": NEW})
    assert "You already have a sign-in." in answer.content.decode()
    assert User.objects.count() == 2
    assert not Membership.objects.exists()


def test_a_user_created_concurrently_is_used(alice: User, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    link = invited(signed_in(alice), "kim@example.com", "viewer", sent)
    User.objects.create_user("kim@example.com", "kim@example.com", PASSWORD)
    before = iter([False])  # when it was looked up
    monkeypatch.setattr(team, "has_sign_in", lambda address: next(before, True))
    browser = Client()
    assert browser.post(link, {"new_password1": NEW, "new_password2": NEW}).headers["Location"] == link
    assert "You already have a sign-in." in browser.get(link).content.decode()
    assert (User.objects.filter(username="kim@example.com").count(), Membership.objects.count()) == (1, 0)


def test_an_invitation_ends_by_expiry_replacement_or_withdrawal(alice: User, bob: User, sent: Sent) -> None:
    owner, his = signed_in(alice), signed_in(bob)
    first = invited(owner, "kim@example.com", "viewer", sent)
    second = invited(owner, "kim@example.com", "viewer", sent)
    assert (his.get(first).status_code, his.get(second).status_code) == (404, 200)
    with time_machine.travel(timezone.now() + team.LIFETIME + timedelta(seconds=1), tick=False):
        assert his.get(second).status_code == 404
    invitation = Invitation.objects.get()
    owner.post(f"/dashboard/team/invitations/{invitation.published_id}")
    assert his.post(second).status_code == 404
    assert not Membership.objects.exists()


def test_the_table_alone_does_not_reveal_a_link(alice: User, sent: Sent) -> None:
    link = invited(signed_in(alice), "kim@example.com", "viewer", sent)
    assert link.rpartition("/")[2] not in str(Invitation.objects.values().get())


def test_a_link_is_not_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/join/c0ffee-secret")
    assert "/join/<str:token> 404" in caplog.text
    assert "c0ffee" not in caplog.text


@pytest.mark.parametrize(
    "address", ["", "nonsense", "a@b\r\nCc: c@d", "alice@example.com", f"{'a' * 150}@example.com", "a@א1.com"]
)
def test_an_invalid_address_and_the_account_s_own_are_refused(address: str, alice: User, sent: Sent) -> None:
    answer = signed_in(alice).post("/dashboard/team", {"address": address, "role": "viewer"})
    assert answer.status_code == 200
    assert sent() == []


def test_a_role_that_does_not_exist_is_refused(alice: User) -> None:
    browser = signed_in(alice)
    assert browser.post("/dashboard/team", {"address": "kim@example.com", "role": "root"}).status_code == 200
    assert not Invitation.objects.exists()


def test_invitation_mails_are_throttled(alice: User) -> None:
    browser = signed_in(alice)
    for number in range(21):
        answer = browser.post("/dashboard/team", {"address": f"{number}@example.com", "role": "viewer"})
    assert "twenty invitations an hour" in answer.content.decode()
    assert Invitation.objects.count() == 20


def test_a_team_has_a_maximum_size(alice: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "MAX_PLACES", 2)
    browser = signed_in(alice)
    for number in range(3):
        answer = browser.post("/dashboard/team", {"address": f"{number}@example.com", "role": "viewer"})
    assert "at most 2 members and invitations" in answer.content.decode()
    browser.post("/dashboard/team", {"address": "1@example.com", "role": "owner"})  # takes no new place
    assert list(Invitation.objects.order_by("pk").values_list("role", flat=True)) == ["viewer", "owner"]


@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}])
def test_staff_do_not_join_a_team(alice: User, bob: User, sent: Sent, flags: dict[str, bool]) -> None:
    link = invited(signed_in(alice), "kim@example.com", "viewer", sent)
    User.objects.filter(pk=bob.pk).update(**flags)
    bob.refresh_from_db()
    assert "Staff cannot join" in signed_in(bob).post(link).content.decode()
    assert "own account" in signed_in(alice).post(link).content.decode()
    assert not Membership.objects.exists()


@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}, {"is_active": False}])
def test_a_members_access_ends_when_the_account_becomes_staff_or_is_locked(
    alice: User, bob: User, flags: dict[str, bool]
) -> None:
    his = join(alice, bob, Role.OWNER)
    User.objects.filter(pk=alice.pk).update(**flags)
    assert names_of_orders(his) == ["his"]
    assert switch(his, alice).status_code == 404


@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}])
def test_a_member_who_becomes_staff_loses_access_to_the_account(alice: User, bob: User, flags: dict[str, bool]) -> None:
    his = join(alice, bob, Role.OWNER)
    bob.user_permissions.set(
        [Permission.objects.get(codename="view_user")]
    )  # may view customers, but has not started to
    User.objects.filter(pk=bob.pk).update(**flags)
    assert names_of_orders(his) == ["his"]
    User.objects.filter(pk=bob.pk).update(is_staff=False, is_superuser=False)
    assert names_of_orders(his) == ["his"]


def test_a_removal_ends_access_at_once_in_every_browser(alice: User, bob: User) -> None:
    first = join(alice, bob, Role.MANAGER)
    second = signed_in(bob)
    switch(second, alice)
    member = Membership.objects.get()
    owner = signed_in(alice)
    assert "loses access immediately" in owner.get(f"/dashboard/team/{member.published_id}/remove").content.decode()
    owner.post(f"/dashboard/team/{member.published_id}/remove")
    for browser in (first, second, signed_in(bob)):
        assert names_of_orders(browser) == ["his"]
        assert switch(browser, alice).status_code == 404


def test_a_withdrawn_role_ends_access_at_once(alice: User, bob: User) -> None:
    his = join(alice, bob, Role.OWNER)
    member = Membership.objects.get()
    assert his.get("/dashboard/keys").status_code == 200
    signed_in(alice).post(f"/dashboard/team/{member.published_id}", {"role": "viewer"})
    assert his.get("/dashboard/keys").status_code == 403
    assert his.get("/api-keys").status_code == 403


def test_a_removed_owner_does_not_come_back_by_an_invitation_of_their_own(alice: User, bob: User, sent: Sent) -> None:
    hers, his = signed_in(alice), join(alice, bob, Role.OWNER)
    of_his = invited(his, "bob.again@example.com", "owner", sent)
    of_hers = invited(hers, "kim@example.com", "viewer", sent)
    page = hers.get("/dashboard/team").content.decode()
    assert ("by bob" in page, "by alice" in page) == (True, True)
    hers.post(f"/dashboard/team/{Membership.objects.get().published_id}/remove")
    for browser in (Client(), his):
        assert (browser.get(of_his).status_code, browser.post(of_his).status_code) == (404, 404)
    assert Client().get(of_hers).status_code == 200


def test_a_role_for_a_member_who_is_removed_at_the_same_moment_is_not_found(alice: User, bob: User) -> None:
    join(alice, bob, Role.VIEWER)
    member, now = Membership.objects.get(), timezone.now()
    team.remove(Membership.objects.get(), alice, now)
    with pytest.raises(NotFound):
        team.change_role(member, Role.OWNER, alice, now)
    assert not Membership.objects.exists()


@pytest.mark.parametrize("role", [Role.MANAGER, Role.VIEWER, None])
def test_an_invitation_sent_concurrently_ends_with_its_maker_s_ownership(
    alice: User, bob: User, role: Role | None, sent: Sent
) -> None:
    join(alice, bob, Role.OWNER)
    member, now = Membership.objects.get(), timezone.now()
    team.change_role(member, role, alice, now) if role else team.remove(member, alice, now)
    with pytest.raises(PermissionDenied):  # the page has already admitted the request
        team.invite(alice, "bob.again@example.com", Role.OWNER, bob, now)
    assert (Invitation.objects.count(), sent()) == (0, [])


@pytest.mark.parametrize(("role", "invitations"), [("owner", 1), ("manager", 0), ("viewer", 0)])
def test_invitations_end_when_their_maker_is_no_longer_an_owner(
    alice: User, bob: User, role: str, invitations: int, sent: Sent
) -> None:
    invited(join(alice, bob, Role.OWNER), "bob.again@example.com", "owner", sent)
    signed_in(alice).post(f"/dashboard/team/{Membership.objects.get().published_id}", {"role": role})
    assert Invitation.objects.count() == invitations


def test_an_invitation_to_a_locked_user_does_not_work(alice: User, bob: User, sent: Sent) -> None:
    link = invited(join(alice, bob, Role.OWNER), "kim@example.com", "owner", sent)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert Client().get(link).status_code == 404
    assert Client().post(link, {"new_password1": NEW, "new_password2": NEW}).status_code == 404
    assert not User.objects.filter(username="kim@example.com").exists()


def test_an_invitation_of_the_previous_version_without_a_maker_works(alice: User, sent: Sent) -> None:
    owner = signed_in(alice)
    link = invited(owner, "kim@example.com", "viewer", sent)
    Invitation.objects.update(maker=None)
    assert "by alice" not in owner.get("/dashboard/team").content.decode()
    assert Client().get(link).status_code == 200


def test_other_owners_cannot_demote_or_remove_the_account_s_own_user(alice: User, bob: User) -> None:
    his = join(alice, bob, Role.OWNER)
    assert his.get("/dashboard/team").status_code == 200
    for path in (alice.published_id, f"{alice.published_id}/remove"):
        assert his.post(f"/dashboard/team/{path}", {"role": "viewer"}).status_code == 404
    assert signed_in(alice).get("/dashboard/keys").status_code == 200


def test_a_member_leaves_and_an_account_s_own_user_cannot(alice: User, bob: User) -> None:
    his = join(alice, bob, Role.VIEWER)
    assert his.get("/dashboard/team/leave").status_code == 200
    assert his.post("/dashboard/team/leave").headers["Location"] == "/dashboard"
    assert names_of_orders(his) == ["his"]
    assert signed_in(alice).post("/dashboard/team/leave").status_code == 404


def test_members_of_other_teams_are_not_found(alice: User, bob: User) -> None:
    join(alice, bob, Role.OWNER)
    member = Membership.objects.get()
    stranger = signed_in(User.objects.create_user("carol"))
    for path in (member.published_id, f"{member.published_id}/remove", "invitations/x", "x"):
        assert stranger.post(f"/dashboard/team/{path}", {"role": "owner"}).status_code == 404
    assert switch(stranger, alice).status_code == 404
    assert switch(stranger, bob).status_code == 404
    assert stranger.post("/dashboard/switch", {"account": "\0"}).status_code == 404
    assert stranger.post("/dashboard/switch").status_code == 404


def test_a_member_of_two_teams_switches_and_returns_to_the_last_one(alice: User, bob: User) -> None:
    kim = User.objects.create_user("kim", "kim@example.com", PASSWORD)
    browser = join(alice, kim, Role.VIEWER)
    Membership.objects.create(account=bob, person=kim, role=Role.OWNER, created_at=timezone.now())
    page = browser.get("/dashboard/account").content.decode()
    assert ("alice" in page, "bob" in page) == (True, True)
    switch(browser, bob)
    assert names_of_orders(browser) == ["his"]
    assert browser.get("/orders").headers["X-Account"] == bob.published_id
    assert names_of_orders(signed_in(kim)) == ["his"]
    switch(browser, kim)
    assert names_of_orders(browser) == []
    assert names_of_orders(signed_in(kim)) == []


def test_a_form_opened_before_switching_accounts_is_refused(alice: User, bob: User) -> None:
    join(alice, bob, Role.OWNER)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    token = browser.get("/dashboard/keys").context["csrf_token"]
    switched = browser.post("/dashboard/switch", {"account": bob.published_id, "csrfmiddlewaretoken": str(token)})
    assert switched.status_code == 302
    answer = browser.post("/dashboard/keys", {"name": "a key", "scopes": "read", "csrfmiddlewaretoken": str(token)})
    assert answer.status_code == 403
    assert not ApiKey.objects.exists()


def test_a_members_keys_and_tokens_act_for_the_members_own_account(
    alice: User, bob: User, make_key: Callable[..., str]
) -> None:
    his = join(alice, bob, Role.OWNER)
    for headers in ({"x-api-key": make_key(bob)}, {"Authorization": f"Bearer {access(bob)}"}):
        answer = his.get("/orders", headers=headers)
        assert [order["name"] for order in answer.json()["orders"]] == ["his"]


def test_an_owner_creates_a_key_for_the_account_and_its_user_is_notified(alice: User, bob: User, sent: Sent) -> None:
    his = join(alice, bob, Role.OWNER)
    assert his.post("/dashboard/keys", {"name": "of the team", "scopes": "read"}).status_code == 200
    assert ApiKey.objects.get().user == alice
    assert [mail.to for mail in sent()] == [["alice@example.com"]]


def test_the_audit_trail_says_which_person_changed_keys_and_applications(alice: User, bob: User) -> None:
    actions = ["api key issued", "application created", "application keys rotated", "api key revoked"]
    his = join(alice, bob, Role.OWNER)
    his.post("/dashboard/keys", {"name": "of the team", "scopes": "read"})
    his.post("/dashboard/applications", {"name": "API"})
    application, key = Application.objects.get(), ApiKey.objects.get()
    his.post(f"/dashboard/applications/{application.published_id}/rotate", {"immediately": "true"})
    for _ in range(2):  # the second one ends nothing
        his.post(f"/dashboard/keys/{key.published_id}/revoke")
    rows = AuditRecord.objects.order_by("pk").values_list("action", "kind", "number", "actor_id")
    assert list(rows.all()) == [(action, "user", alice.pk, bob.pk) for action in actions]
    json = "application/json"
    assert his.post("/api-keys", {"name": "of a program", "scopes": ["read"]}, content_type=json).status_code == 201
    assert his.post("/applications", {"name": "another"}, content_type=json).status_code == 201
    application, key = Application.objects.latest("pk"), ApiKey.objects.latest("pk")
    assert his.post(f"/applications/{application.published_id}/rotate-keys", {}, content_type=json).status_code == 200
    for _ in range(2):
        assert his.delete(f"/api-keys/{key.published_id}").status_code == 204
    assert list(rows.all()) == [(action, "user", alice.pk, bob.pk) for action in actions * 2]
    her_own = signed_in(alice)
    her_own.post("/dashboard/keys", {"name": "hers", "scopes": "read"})
    assert AuditRecord.objects.latest("pk").actor_id == alice.pk


def test_the_audit_trail_says_which_person_changed_alerts_and_logins(alice: User, bob: User, engine: object) -> None:
    [order] = Order.objects.filter(user=alice)
    login = ProxyUser.objects.create(login="alice-1", order=order)
    his = join(alice, bob, Role.MANAGER)
    rows = AuditRecord.objects.order_by("pk").values_list("action", "kind", "number", "actor_id")
    actions = ["alert created", "alert changed", "alert deleted", "login changed", "login password changed"]
    new = {"subscription_id": subscription_id(order.pk), "notification_method": "email"}
    his.post("/dashboard/alerts/new", {**new, "kind": "usage_percent", "threshold": "70"})
    alert = alert_id(Alert.objects.get(threshold=70).pk)
    his.post(f"/dashboard/alerts/{alert}", {"threshold": "71"})
    his.post(f"/dashboard/alerts/{alert}", {"threshold": "0"})  # refused
    his.post(f"/dashboard/alerts/{alert}/delete")
    his.post(f"/dashboard/proxy-users/{login.published_id}", {"dayBytes": "1"})
    his.post(f"/dashboard/proxy-users/{login.published_id}/password")
    assert list(rows.all()) == [(action, "user", alice.pk, bob.pk) for action in actions]

    json = "application/json"
    made = his.post("/api/v1/usage/alerts", {**new, "threshold_percent": 70}, content_type=json)
    path = f"/api/v1/usage/alerts/{made.json()['data']['id']}"
    assert his.post("/api/v1/usage/alerts", {**new, "threshold_percent": 70}, content_type=json).status_code == 409
    assert his.patch(path, {"threshold_percent": 71}, content_type=json).status_code == 200
    assert his.delete(path).status_code == 204
    for change in ({"limits": {"dayBytes": None}}, {"password": None}):
        path = f"/proxy-users/{login.published_id}"
        assert his.patch(path, change, content_type=json).status_code == 200
    assert list(rows.all()) == [(action, "user", alice.pk, bob.pk) for action in actions * 2]


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("manager", 201), ("owner", 201)])
def test_the_api_accepts_changes_by_managers_and_owners(alice: User, bob: User, role: str, status: int) -> None:
    his = join(alice, bob, Role(role))
    [order] = Order.objects.filter(user=alice)
    body = {"subscription_id": f"sub_{order.published_id}", "threshold_percent": 42, "notification_method": "email"}
    answer = his.post("/api/v1/usage/alerts", body, content_type="application/json")
    assert answer.status_code == status
    assert Alert.objects.filter(order=order, threshold=42).exists() == (status == 201)


def test_a_person_s_own_settings_stay_separate_from_the_account(alice: User, bob: User) -> None:
    her_own = signed_in(alice)
    his = join(alice, bob, Role.OWNER)
    page = his.get("/dashboard/account").content.decode()
    assert ("User name: bob" in page, "alice@example.com" in page) == (True, False)
    his.post("/dashboard/account", {"first_name": "Robert", "time_zone": "Asia/Tokyo"})
    his.post("/dashboard/account/password", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW})
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.first_name, alice.time_zone, bob.first_name) == ("", "", "Robert")
    assert (alice.check_password(PASSWORD), bob.check_password(NEW)) == (True, True)
    session = Session.objects.get(user=alice)
    assert his.post(f"/dashboard/account/sessions/{session.pk}").status_code == 404
    assert his.post("/auth/sign-out").status_code == 204
    assert his.get("/orders").status_code == 401
    assert names_of_orders(her_own) == ["hers"]


def test_times_are_in_the_members_own_zone(alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(time_zone="Asia/Tokyo")
    page = join(alice, bob, Role.VIEWER).get("/dashboard/team").content.decode()
    assert '<span id="zone">Asia/Tokyo</span>' in page


def test_viewers_are_offered_no_forbidden_actions(alice: User, bob: User, make_order: Callable[..., Order]) -> None:
    ProxyUser.objects.create(order=make_order(alice), login="shop")
    his, her_own = join(alice, bob, Role.VIEWER), signed_in(alice)
    names = ("alerts", "applications", "team", "connect", "shares")
    for browser, is_offered in ((his, False), (her_own, True)):
        pages = "".join(browser.get(f"/dashboard/{name}").content.decode() for name in names)
        for words in (
            "New alert",
            "New application",
            "Send invitation",
            "API keys",
            "Change role",
            "Create a new password",
            "then “Share without sign-in”",
        ):
            assert (words in pages) == is_offered, words


def test_each_change_of_a_team_is_in_the_audit_trail(alice: User, bob: User, sent: Sent) -> None:
    owner, his = signed_in(alice), signed_in(bob)
    his.post(invited(owner, "kim@example.com", "viewer", sent))
    member = Membership.objects.get()
    owner.post(f"/dashboard/team/{member.published_id}", {"role": "manager"})
    owner.post(f"/dashboard/team/{member.published_id}/remove")
    a, b = alice.pk, bob.pk
    assert list(AuditRecord.objects.order_by("pk").values_list("action", "number", "actor_id")) == [
        ("team: invited", a, a),
        ("team: joined", a, b),
        ("team: joined", b, b),
        ("team: now manager", a, a),
        ("team: now manager", b, a),
        ("team: removed", a, a),
        ("team: removed", b, a),
    ]


def test_erasing_a_person_or_an_account_ends_its_teams(alice: User, bob: User, engine: Any, sent: Sent) -> None:
    join(alice, bob, Role.VIEWER)
    signed_in(alice).post("/dashboard/team", {"address": "kim@example.com", "role": "viewer"})
    team.invite(bob, "Kim@example.com", Role.VIEWER, bob, timezone.now())
    kim = User.objects.create_user("kim", "kim@example.com")
    erase(kim, timezone.now(), Actor())
    assert not Invitation.objects.exists()
    erase(bob, timezone.now(), Actor())
    assert not Membership.objects.exists()
    assert User.objects.filter(pk=alice.pk).exists()


def test_team_changes_need_a_recent_sign_in(alice: User) -> None:
    browser = signed_in(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        answer = browser.post("/dashboard/team", {"address": "kim@example.com", "role": "owner"})
    assert answer.headers["Location"].startswith("/confirm")
    assert not Invitation.objects.exists()
