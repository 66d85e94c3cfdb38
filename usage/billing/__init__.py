"""Usage of all customers, for a billing system."""
