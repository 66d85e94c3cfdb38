"""The files of ``ops`` for a production host, checked by the programs that read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fonproxy.settings import env
from tests.serving import ROOT

OPS = ROOT / "ops"
UNITS = ["fonproxy@.service", "fonproxy-worker@.service", "fonproxy-beat.service", "fonproxy-backup.service"]


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    program = _program("nginx")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"]
    pair = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([_program("openssl"), *made, *pair], check=True, capture_output=True)
    text = (OPS / "nginx/fonproxy.conf").read_text()
    text = text.replace("/etc/ssl/fonproxy.crt", str(tmp_path / "certificate"))
    (tmp_path / "site.conf").write_text(text.replace("/etc/ssl/fonproxy.key", str(tmp_path / "key")))
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy"))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}"
        f" http {{ access_log off; {temporary} include {tmp_path}/site.conf; }}"
    )
    checked = subprocess.run([program, "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_caddy_accepts_its_configuration() -> None:
    command = [_program("caddy"), "validate", "--adapter", "caddyfile", "--config", str(OPS / "caddy/Caddyfile")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_nginx_and_caddy_allow_large_bodies_on_the_same_routes() -> None:
    caddy = re.search(r"@rows path (.+)", (OPS / "caddy/Caddyfile").read_text())
    nginx = re.search(
        r"location ~ (\^\(.+\)\$) \{\n +client_max_body_size 64m", (OPS / "nginx/fonproxy.conf").read_text()
    )
    assert caddy
    assert nginx
    routes = caddy[1].replace("*", "sessions").split()
    assert len(routes) > 5
    assert [route for route in routes if not re.fullmatch(nginx[1], route)] == []


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    program = _program("systemd-analyze")
    text = (OPS / "systemd" / unit).read_text()
    file = tmp_path / unit.replace("@", "@8000")
    file.write_text(re.sub(r"/opt/fonproxy/bin/\w+", "/bin/true", text))
    checked = subprocess.run([program, "verify", file], capture_output=True, text=True)
    # Other units of the machine that runs the test may have faults of their own.
    assert [line for line in checked.stderr.splitlines() if "fonproxy" in line] == []


def test_the_environment_file_names_settings_that_exist() -> None:
    text = (OPS / "systemd/fonproxy.env").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    assert len(named) > 5
    assert named <= env.known
