"""Static IPs from CSV: added, changed, or rejected with a reason."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from geo import revisions
from geo.models import Revision, StaticIp
from geo.static_ip_csv import NAMED, NotCsv, Report, import_csv
from tests.serving import ROOT, environment

HEADER = "address,proxy_type,pool,geoip_country,maxmind_country,available\n"


def imported(text: str) -> Report:
    return import_csv(text.splitlines(keepends=True), timezone.now())


def rows() -> list[tuple[object, ...]]:
    return list(
        StaticIp.objects.order_by("pk").values_list(
            "address", "proxy_type", "pool", "geoip_country", "maxmind_country", "is_available"
        )
    )


@pytest.mark.django_db
def test_addresses_are_added_changed_and_left_alone() -> None:
    first = imported(HEADER + "10.0.0.1,server-static,,de,US,no\n2001:DB8:0::1,shared-proxy,vip,,,\n")
    assert (first.added, first.changed, first.unchanged) == (2, 0, 0)
    assert rows() == [
        ("10.0.0.1", "server-static", "default", "DE", "US", False),
        ("2001:db8::1", "shared-proxy", "vip", "", "", True),
    ]
    second = imported("proxy_type,address\nserver-static,::ffff:10.0.0.1\nshared-proxy,10.0.0.9\n")
    assert (second.added, second.changed, second.unchanged) == (1, 1, 0)
    assert rows()[0] == ("10.0.0.1", "server-static", "default", "", "", True)
    revision = revisions.current(Revision.Subject.STATIC_IPS)
    third = imported("proxy_type,address\nserver-static,10.0.0.1\n")
    assert (third.added, third.changed, third.unchanged) == (0, 0, 1)
    assert revisions.current(Revision.Subject.STATIC_IPS) == revision == 2


@pytest.mark.django_db
def test_of_lines_with_the_same_address_the_last_counts() -> None:
    report = imported(
        HEADER + "10.0.0.1,server-static,,DE,,\n010.0.0.1,server-static,,X,,\n10.0.0.1,server-static,,FR,,\n"
    )
    assert (report.added, rows()[0][3]) == (1, "FR")


BAD = {
    "10.0.0,server-static,,,,": "has no valid address",
    ",server-static,,,,": "has no valid address",
    "10.0.0.1/24,server-static,,,,": "has no valid address",
    "2001:db8::9%eth1,server-static,,,,": "has an address with a zone",
    "2001:db8::9%,server-static,,,,": "has an address with a zone",
    "fe80::1%25eth0,server-static,,,,": "has an address with a zone",
    "192.0.2.9%eth0,server-static,,,,": "has an address with a zone",
    "10.0.0.1,satellite,,,,": "has no proxy type of server-static, private-proxy, shared-proxy",
    "10.0.0.1,server-static,A B,,,": "has a pool that is not 1 to 32 of a-z, 0-9, - and _",
    "10.0.0.1,server-static,,ZZ,,": "has a country that ISO 3166 does not assign",
    "10.0.0.1,server-static,,,Germany,": "has a country that ISO 3166 does not assign",
    "10.0.0.1,server-static,,,,perhaps": "has a value for available that is neither true nor false",
    "10.0.0.1,server-static": "has 2 cells instead of 6",
    "10.0.0.1,server-static,,,,,": "has 7 cells instead of 6",
    "10.0.0.\0001,server-static,,,,": "contains a NUL, or bytes that are not UTF-8",
}


@pytest.mark.django_db
@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_a_bad_line_is_rejected_with_its_number_and_holds_up_no_other(line: str, reason: str) -> None:
    report = imported(f"{HEADER}10.0.0.8,server-static,,,,\n{line}\n10.0.0.9,server-static,,,,\n")
    assert (report.added, report.named) == (2, [(3, reason)])


@pytest.mark.django_db
def test_the_united_kingdom_has_one_code() -> None:
    imported(HEADER + "10.0.0.1,server-static,,UK,gb,\n")
    assert rows()[0][3:5] == ("GB", "GB")


@pytest.mark.django_db
def test_all_rejected_lines_are_counted_and_the_first_hundred_named() -> None:
    report = imported(HEADER + "x,y,,,,\n" * 250)
    assert (report.rejected.total(), len(report.named)) == (250, NAMED)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "Unknown column '10.0.0.1'"),
        ("address,proxy_type,colour\n", "Unknown column 'colour'"),
        ("address,pool\n", "The column 'proxy_type' is missing"),
        ("address,address,proxy_type\n", "named twice"),
        ("\x89PNG\r\n", "Unknown column"),
    ],
)
def test_a_file_of_another_kind_changes_nothing(header: str, said: str) -> None:
    with pytest.raises(NotCsv, match=said):
        imported(header + "10.0.0.1,server-static,x\n")
    assert rows() == []


@pytest.mark.django_db
@pytest.mark.parametrize("first", ["address", '"address"', " Address "])
def test_a_byte_order_mark_stands_before_the_header_in_any_form(first: str) -> None:
    assert imported(f"\ufeff{first},proxy_type\n10.0.0.1,server-static\n").added == 1


@pytest.mark.django_db
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_spreadsheets_delimiter_is_known_by_the_header(delimiter: str) -> None:
    lines = [
        "\ufeff" + HEADER.strip(),
        '"10.0.0.1",server-static,vip,"DE",,TRUE',
        "2001:db8::1,shared-proxy,,,,",
        '"10.0.0.1\nx",server-static,,,,',
        "10.0.0.2,private-proxy,,,,FALSE",
    ]
    report = imported("\r\n".join(line.replace(",", delimiter) for line in lines))
    assert (report.added, report.named) == (3, [(5, "has no valid address")])
    assert set(rows()) == {
        ("10.0.0.1", "server-static", "vip", "DE", "", True),
        ("10.0.0.2", "private-proxy", "default", "", "", False),
        ("2001:db8::1", "shared-proxy", "default", "", "", True),
    }


@pytest.mark.django_db
def test_the_command_imports_a_spreadsheets_csv_and_reports_the_result(tmp_path: Path) -> None:
    file = tmp_path / "ips.csv"
    file.write_bytes(("\ufeff" + HEADER + '"10.0.0.1","server-static",,"DE",,\r\nx,y,,,,\r\n').encode())
    out, err = StringIO(), StringIO()
    call_command("import_static_ips", str(file), stdout=out, stderr=err)
    assert out.getvalue() == "1 added, 0 changed, 0 unchanged, 1 rejected.\n"
    assert "line 3 has no valid address" in err.getvalue()
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_static_ips", str(tmp_path / "nothing"))
    file.write_bytes(HEADER.encode() + b"10.0.0.2,server-static,,,,\n\xff\xff,server-static,,,,\n")
    call_command("import_static_ips", str(file), stdout=out, stderr=err)
    assert "line 3 contains a NUL, or bytes that are not UTF-8" in err.getvalue()
    file.write_bytes(b"")
    with pytest.raises(CommandError, match="not CSV in UTF-8"):
        call_command("import_static_ips", str(file))


# In a process of its own, on a database file: with a database in memory the rows themselves would grow.
MILLION = """
import resource, django
django.setup()
from django.core.management import call_command
from django.utils import timezone
from geo.static_ip_csv import import_csv

def lines(first, count):
    yield "address,proxy_type,geoip_country\\n"
    for n in range(count):
        yield f"{first}.{n >> 16}.{n >> 8 & 255}.{n & 255},server-static,DE\\n"

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

call_command("migrate", verbosity=0)
import_csv(lines(11, 20_000), timezone.now())
before = peak()
print(import_csv(lines(10, 1_000_000), timezone.now()).added, peak() - before)
"""


@pytest.mark.torture
def test_a_million_lines_take_bounded_memory(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MILLION], cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    added, megabytes = map(int, ended.stdout.split())
    assert (added, megabytes < 30) == (1_000_000, True), megabytes
