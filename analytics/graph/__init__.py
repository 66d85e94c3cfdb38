"""The graph and the breakdown of the tracking API: traffic of any age, from whichever table still holds it."""
