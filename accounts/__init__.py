"""Who is asking, with which credential, and what they bought."""
