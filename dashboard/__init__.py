"""The customers' pages. They show data of the JSON APIs, called with the session cookie."""
