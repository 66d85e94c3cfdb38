"""APInalytics: events of customers' own APIs, and time series over them."""
