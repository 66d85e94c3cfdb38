"""Weekly and monthly e-mail reports for customers who asked for them."""
