"""Weekly and monthly e-mail reports for customers who subscribed to them."""
