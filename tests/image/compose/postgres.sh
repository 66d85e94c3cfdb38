#!/bin/sh
# As the original image: creates the cluster, the user and the database of the environment, then runs the server.
set -e
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  install -d -o postgres "$PGDATA"
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  chown postgres /tmp/password
  setpriv --reuid=postgres --regid=postgres --clear-groups \
    initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth-host scram-sha-256 --locale C.UTF-8 --no-sync >/dev/null
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \"$POSTGRES_DB\"" |
    setpriv --reuid=postgres --regid=postgres --clear-groups postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -c listen_addresses='*' -c unix_socket_directories=/tmp,/var/run/postgresql
