"""The pages customers look at. They show what the JSON APIs answer; the session cookie is their credential."""
