# One image for the web, worker and beat processes; compose.yaml starts it as each of them.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM ${BASE}
# pg_dump and pg_restore, for manage.py backup and restore; as new as the server of compose.yaml.
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client-15 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 fonproxy && \
    useradd --uid 10001 --gid fonproxy --no-create-home --home-dir /app --shell /usr/sbin/nologin fonproxy && \
    install -d -o fonproxy -g fonproxy -m 700 /data /backups
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY fonproxy fonproxy
COPY accounts accounts
COPY orders orders
COPY geo geo
COPY analytics analytics
COPY usage usage
COPY dashboard dashboard
COPY console console
COPY demo demo
COPY agent agent
COPY templates templates
COPY docs/runbook.md docs/runbook.md
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FONPROXY_DATA_DIR=/data
USER fonproxy
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
