"""Where traffic runs, and the number of client addresses of logins. Spans all accounts: for staff only."""
