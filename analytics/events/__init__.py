"""Events of our customers' own APIs, and time series over them: the APInalytics API."""
