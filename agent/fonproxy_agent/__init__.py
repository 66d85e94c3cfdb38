"""Programs that run beside a proxy server and report to FonProxy."""
