"""Routes of the pages."""

from __future__ import annotations

from django.urls import path

from dashboard import account, alerts, applications, keys, proxy_users, saved_views, security, sharing, team
from dashboard.connect import ConnectPage
from dashboard.explore import ExplorePage
from dashboard.guide import GuidePage
from dashboard.ledger import LedgerPage
from dashboard.logs import LogsPage
from dashboard.overview import OverviewPage
from dashboard.proxies import ProxiesPage
from dashboard.realtime import RealtimePage
from dashboard.strings import StringsCatalog

urlpatterns = [
    path("dashboard", OverviewPage.as_view(), name="overview"),
    path("dashboard/realtime", RealtimePage.as_view(), name="realtime"),
    path("dashboard/explore", ExplorePage.as_view(), name="explore"),
    path("dashboard/logs", LogsPage.as_view(), name="logs"),
    path("dashboard/ledger", LedgerPage.as_view(), name="ledger"),
    path("dashboard/alerts", alerts.AlertsPage.as_view(), name="alerts"),
    path("dashboard/alerts/new", alerts.NewAlertPage.as_view(), name="new-alert"),
    path("dashboard/alerts/<str:id>", alerts.AlertPage.as_view(), name="alert"),
    path("dashboard/alerts/<str:id>/test", alerts.SendTestPage.as_view(), name="test-alert"),
    path("dashboard/alerts/<str:id>/delete", alerts.DeleteAlertPage.as_view(), name="delete-alert"),
    path("dashboard/keys", keys.KeysPage.as_view(), name="keys"),
    path("dashboard/keys/<str:id>/rotate", keys.RotateKeyPage.as_view(), name="rotate-key"),
    path("dashboard/keys/<str:id>/revoke", keys.RevokeKeyPage.as_view(), name="revoke-key"),
    path("dashboard/connect", ConnectPage.as_view(), name="connect"),
    path("dashboard/proxy-users", proxy_users.ProxyUsersPage.as_view(), name="proxy-users"),
    path("dashboard/proxy-users/<str:id>", proxy_users.ProxyUserPage.as_view(), name="proxy-user"),
    path("dashboard/proxy-users/<str:id>/password", proxy_users.NewPasswordPage.as_view(), name="proxy-user-password"),
    path("dashboard/account", account.AccountPage.as_view(), name="account"),
    path("dashboard/account/email", account.EmailPage.as_view(), name="email"),
    path("dashboard/account/email/cancel", account.CancelEmailPage.as_view(), name="cancel-email"),
    path("dashboard/account/email/confirm/<str:token>", account.ConfirmEmailPage.as_view(), name="confirm-email"),
    path("dashboard/account/password", account.PasswordPage.as_view(), name="password"),
    path("dashboard/account/report", account.ReportPage.as_view(), name="report"),
    path("dashboard/account/mails/<str:id>", account.ResumeMailsPage.as_view(), name="resume-mails"),
    path("dashboard/account/sessions/<slug:name>", security.EndSessionPage.as_view(), name="end-session"),
    path("dashboard/account/factor", security.NewFactorPage.as_view(), name="new-factor"),
    path("dashboard/account/factor/remove", security.RemoveFactorPage.as_view(), name="remove-factor"),
    path("dashboard/account/recovery-codes", security.RecoveryCodesPage.as_view(), name="recovery-codes"),
    path("dashboard/switch", team.SwitchPage.as_view(), name="switch-account"),
    path("dashboard/team", team.TeamPage.as_view(), name="team"),
    path("dashboard/team/leave", team.LeaveTeamPage.as_view(), name="leave-team"),
    path("dashboard/team/invitations/<str:id>", team.WithdrawPage.as_view(), name="withdraw-invitation"),
    path("dashboard/team/<str:id>", team.MemberPage.as_view(), name="member"),
    path("dashboard/team/<str:id>/remove", team.RemoveMemberPage.as_view(), name="remove-member"),
    path("dashboard/views", saved_views.SaveViewPage.as_view(), name="save-view"),
    path("dashboard/views/<str:id>/delete", saved_views.DeleteViewPage.as_view(), name="delete-view"),
    path("dashboard/shares", sharing.SharesPage.as_view(), name="shares"),
    path("dashboard/shares/new", sharing.NewSharePage.as_view(), name="new-share"),
    path("dashboard/shares/<str:id>/revoke", sharing.RevokeSharePage.as_view(), name="revoke-share"),
    path("shared/<str:token>", sharing.SharedPage.as_view(), name="shared-view"),
    path("join/<str:token>", team.JoinPage.as_view(), name="join-team"),
    path("dashboard/applications", applications.ApplicationsPage.as_view(), name="applications"),
    path("dashboard/applications/<str:id>", applications.ApplicationPage.as_view(), name="application"),
    path(
        "dashboard/applications/<str:id>/rotate",
        applications.RotateApplicationPage.as_view(),
        name="rotate-application",
    ),
    path("dashboard/strings/<slug:language>.js", StringsCatalog.as_view(), name="strings"),
    path("docs/guide", GuidePage.as_view(), name="guide"),
    path("proxies", ProxiesPage.as_view(), name="proxies"),
]
