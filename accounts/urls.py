"""Routes of the accounts app."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView
from rest_framework.routers import SimpleRouter

from accounts import sign_in, views

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("api-keys", views.ApiKeyViewSet, basename="api-key")
router.register("applications", views.ApplicationViewSet, basename="application")

urlpatterns = [
    path("admin/stop-viewing", views.StopViewingView.as_view(), name="stop-viewing"),
    # Replaces Django's own view, which does not limit guesses of the old password and ends only one session.
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/logout/", sign_in.SignOutView.as_view()),
    path("auth/token", views.TokenView.as_view(), name="token"),
    path("auth/sign-out", views.TokenSignOutView.as_view(), name="end-sign-ins"),
    path("auth/token/refresh", views.TokenRefreshView.as_view(), name="token-refresh"),
    *router.urls,
    path("sign-in", sign_in.SignInView.as_view(), name="sign-in"),
    path("sign-in/second-factor", sign_in.SecondFactorView.as_view(), name="second-factor"),
    path("confirm", sign_in.ConfirmView.as_view(), name="confirm"),
    path("sign-out", sign_in.SignOutView.as_view(), name="sign-out"),
    path("password-reset", sign_in.PasswordResetView.as_view(), name="password-reset"),
    path("password-reset/sent", sign_in.PasswordResetSentView.as_view(), name="password-reset-sent"),
    path("password-reset/done", sign_in.NewPasswordDoneView.as_view(), name="password-reset-done"),
    path("password-reset/<uidb64>/<token>", sign_in.NewPasswordView.as_view(), name="new-password"),
]
