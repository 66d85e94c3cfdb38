"""Users, their credentials and sign-ins, teams, permissions and the audit trail."""
