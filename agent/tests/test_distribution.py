"""What the agent needs on the machine on which it runs."""

from __future__ import annotations

import ast
import gzip
import json
import re
import sys
import time
import tomllib
from pathlib import Path

import msgspec
from fonproxy_agent import config, files
from running import AGENT, run_agent
from stand_in import StandIn, stand_in

MAX_MEMORY = 40 * 10**6


def imported_packages(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names


def test_the_agent_imports_only_the_packages_it_declares() -> None:
    imported = set[str]().union(*map(imported_packages, AGENT.glob("fonproxy_agent/**/*.py")))
    project = tomllib.loads((AGENT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[><=]", requirement)[0] for requirement in project["dependencies"]}
    assert imported == {"fonproxy_agent", *declared}


def test_every_package_directory_is_installed() -> None:
    packages = tomllib.loads((AGENT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    directories = {path.parent.relative_to(AGENT) for path in AGENT.glob("fonproxy_agent/**/*.py")}
    assert sorted(packages) == sorted(".".join(directory.parts) for directory in directories)


def test_the_example_configuration_is_valid_and_shows_every_setting() -> None:
    text = (AGENT / "agent.example.toml").read_text()
    msgspec.convert(tomllib.loads(text), config.Config)
    uncommented = re.sub(r"(?m)^# (\w+ = )", r"\1", text)
    example = msgspec.convert(tomllib.loads(uncommented), config.Config)
    shown = tomllib.loads(uncommented)
    assert shown.keys() == set(config.Config.__struct_fields__)
    for name in shown:
        table = getattr(example, name)
        if isinstance(table, msgspec.Struct):
            assert shown[name].keys() == set(table.__struct_fields__)


def test_shipping_needs_less_than_40_mb(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    lines = gzip.decompress((AGENT / "tests" / "data" / "access.log.gz").read_bytes()).splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: 3 * files.MAX_LINES]))
    for raw in ([], ["--raw"]):
        with stand_in() as server:
            peak = peak_memory(log, server, raw)
        assert peak < MAX_MEMORY


def peak_memory(log: Path, server: StandIn, options: list[str]) -> int:
    """The maximum resident memory in bytes of an agent that ships the whole log."""
    state = log.with_name("access.log.fonproxy")
    state.unlink(missing_ok=True)
    process = run_agent("ship", "squid", str(log), "--url", server.url, "--follow", *options, FONPROXY_KEY="fnp_1")
    try:
        deadline = time.monotonic() + 120
        while not (state.exists() and json.loads(state.read_text())["offset"] == log.stat().st_size):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    finally:
        process.terminate()
        process.communicate()


def test_the_key_is_read_from_a_file_or_the_environment(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes((AGENT / "tests" / "data" / "native.log").read_bytes())
    key_file = tmp_path / "key"
    key_file.write_text("fnp_1\n")
    with stand_in() as server:
        for number, (options, environment) in enumerate(
            [(["--key-file", str(key_file)], {}), ([], {"FONPROXY_KEY": "fnp_2"})]
        ):
            log.with_name("access.log.fonproxy").unlink(missing_ok=True)
            process = run_agent("ship", "squid", str(log), "--url", server.url, *options, **environment)
            assert process.communicate()[1] == ""
            assert process.returncode == 0
            assert server.keys[-1] == f"fnp_{number + 1}"


def test_a_missing_key_url_or_file_is_a_usage_error(tmp_path: Path) -> None:
    for arguments, environment in (
        (["access.log", "--url", "http://127.0.0.1:1"], {}),
        (["access.log", "--url", "http://127.0.0.1:1", "--key-file", str(tmp_path / "none")], {}),
        (["access.log"], {"FONPROXY_KEY": "fnp_1"}),
        (["--url", "http://127.0.0.1:1"], {"FONPROXY_KEY": "fnp_1"}),
        (["--config", str(tmp_path / "none.toml")], {}),
    ):
        process = run_agent("ship", "squid", *arguments, **environment)
        assert "Traceback" not in process.communicate()[1]
        assert process.returncode == 2, arguments


def test_the_command_line_overrides_the_configuration_file(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes((AGENT / "tests" / "data" / "native.log").read_bytes())
    (tmp_path / "agent.toml").write_text('url = "http://127.0.0.1:1"\n[ship]\nfile = "none.log"\nraw = true\n')
    with stand_in() as server:
        options = ["--config", str(tmp_path / "agent.toml"), "--url", server.url]
        process = run_agent("ship", "squid", str(log), *options, FONPROXY_KEY="fnp_1")
        assert process.communicate()[1] == ""
    assert len(server.rows) == 299
    assert "log_request_datetime" in server.rows[0]


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('adress = "http://127.0.0.1:1"\n')
    process = run_agent("ship", "--config", str(tmp_path / "agent.toml"))
    assert "adress" in process.communicate()[1]
    assert process.returncode == 2


def test_metrics_and_json_logs_report_shipping_progress(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes((AGENT / "tests" / "data" / "native.log").read_bytes() + b"unfinished")
    with stand_in() as server:
        config_file = tmp_path / "agent.toml"
        config_file.write_text(f'url = "{server.url}"\nlog_format = "json"\nmetrics_dir = "{tmp_path}"\n')
        process = run_agent("ship", "squid", str(log), "--config", str(config_file), FONPROXY_KEY="fnp_1")
        message = json.loads(process.communicate()[1])
    assert (message["level"], message["message"]) == (
        "warning",
        "The last line is unfinished and left for the next run.",
    )
    metrics = dict(line.rsplit(" ", 1) for line in (tmp_path / "fonproxy_agent_ship.prom").read_text().splitlines())
    assert metrics['fonproxy_agent_requests_shipped_total{command="ship"}'] == "299"
    assert metrics['fonproxy_agent_left_out_total{command="ship",reason="failed_sign_in"}'] == "1"
    assert float(metrics['fonproxy_agent_lag_seconds{command="ship"}']) >= 0
