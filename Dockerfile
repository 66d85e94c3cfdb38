# One image for the web, worker and beat processes; compose.yaml starts it as each of them.
FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

FROM python:3.11-slim-bookworm
# pg_dump and pg_restore, for manage.py backup and restore; as new as the server of compose.yaml.
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client-15 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin fonproxy && \
    install -d -o fonproxy -g fonproxy -m 700 /data /backups
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY fonproxy fonproxy
COPY accounts accounts
COPY geo geo
COPY analytics analytics
COPY usage usage
COPY templates templates
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FONPROXY_DATA_DIR=/data
USER fonproxy
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
