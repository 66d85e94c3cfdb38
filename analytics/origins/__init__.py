"""Where traffic runs, and how many client addresses logins have. Spans all accounts: for staff only."""
