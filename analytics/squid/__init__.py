"""Ships a Squid proxy's access log to the intake. Imports neither Django nor the engine: it runs on proxy machines."""
