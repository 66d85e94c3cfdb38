"""Writes the world map of the pages from the outlines of the npm package world-atlas (Natural Earth, public domain).

One element per country, with the id of its ISO code: its outline from the coarse map, or a dot for a country that only
the fine map has, which would be too small to see. The projection is Equal Earth; Antarctica is left out.

    npm pack world-atlas@2.0.2 && tar -xzf world-atlas-2.0.2.tgz
    python ops/world_map.py package > fonproxy/static/vendor/world-atlas-2.0.2/world.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

from django_countries.data import ALT_CODES

Point: TypeAlias = tuple[float, float]
Ring: TypeAlias = list[Point]

SCALES: Final = ("110m", "50m")
WIDTH: Final = 1600
DOT_RADIUS: Final = 5
SMALLEST: Final = 4  # square units; islands below it are left out, unless a country is nothing else
CODES: Final = {numeric: code for code, (_, numeric) in ALT_CODES.items()}
# Areas without a code of their own, which ISO 3166 counts as part of these.
UNNUMBERED: Final = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO"}
LEFT_OUT: Final = {"AQ"}
TOP: Final = 84
BOTTOM: Final = -56


def main() -> None:
    sys.stdout.write("\n".join(svg(Path(sys.argv[1]))) + "\n")


def svg(package: Path) -> Iterator[str]:
    coarse, fine = (countries(json.loads((package / f"countries-{scale}.json").read_text())) for scale in SCALES)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT:.0f}">'
    for code, rings in sorted(coarse.items()):
        yield f'<path id="{code}" d="{"".join(map(path, visible(rings)))}"/>'
    for code, rings in sorted(fine.items()):
        if code not in coarse:
            x, y = centre(max(map(drawn, rings), key=area))
            yield f'<circle id="{code}" cx="{x:.0f}" cy="{y:.0f}" r="{DOT_RADIUS}"/>'
    yield "</svg>"


def countries(topology: dict[str, Any]) -> dict[str, list[Ring]]:
    """The rings of each country by its ISO code, in degrees, cut where they cross the 180th meridian."""
    found: dict[str, list[Ring]] = {}
    arcs = [decoded(arc, topology["transform"]) for arc in topology["arcs"]]
    for geometry in topology["objects"]["countries"]["geometries"]:
        code = CODES.get(int(geometry["id"])) if "id" in geometry else UNNUMBERED.get(geometry["properties"]["name"])
        if code is None or code in LEFT_OUT:
            continue
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for indices in polygon:
                found.setdefault(code, []).extend(cut(joined(arcs, indices)))
    return found


def decoded(arc: list[list[int]], transform: dict[str, list[float]]) -> Ring:
    """TopoJSON stores each point as its difference to the one before, in steps of a grid."""
    (x_step, y_step), (left, bottom) = transform["scale"], transform["translate"]
    points, x, y = [], 0, 0
    for right, up in arc:
        x, y = x + right, y + up
        points.append((left + x * x_step, bottom + y * y_step))
    return points


def joined(arcs: list[Ring], indices: list[int]) -> Ring:
    """A ring of arcs; a negative index is the arc of its complement, walked backwards."""
    ring: Ring = []
    for index in indices:
        ring += (arcs[index] if index >= 0 else arcs[~index][::-1])[1 if ring else 0 :]
    return ring


def cut(ring: Ring) -> list[Ring]:
    """The ring's parts on the map: one that crosses the 180th meridian has one at each edge."""
    unwrapped = [ring[0]]
    for longitude, latitude in ring[1:]:
        turns = round((unwrapped[-1][0] - longitude) / 360)
        unwrapped.append((longitude + 360 * turns, latitude))
    parts = []
    for turn in (-360, 0, 360):
        moved = [(longitude + turn, latitude) for longitude, latitude in unwrapped]
        parts.append(clipped(clipped(moved, 180, 1), -180, -1))
    return [part for part in parts if len(part) > 2]


def clipped(ring: Ring, meridian: float, sign: int) -> Ring:
    """What lies on the inner side of a meridian (Sutherland and Hodgman)."""
    found: Ring = []
    for (x, y), (next_x, next_y) in zip(ring, ring[1:] + ring[:1], strict=True):
        is_inside, is_next_inside = (sign * one <= sign * meridian for one in (x, next_x))
        if is_inside:
            found.append((x, y))
        if is_inside != is_next_inside:
            found.append((meridian, y + (next_y - y) * (meridian - x) / (next_x - x)))
    return found


def equal_earth(longitude: float, latitude: float) -> Point:
    """The projection of a unit sphere (Šavrič, Patterson and Jenny 2018), from degrees."""
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    a, b, c, d = 1.340264, -0.081106, 0.000893, 0.003796
    slope = a + 3 * b * theta**2 + theta**6 * (7 * c + 9 * d * theta**2)
    x = 2 * math.sqrt(3) * math.radians(longitude) * math.cos(theta) / (3 * slope)
    return x, theta * (a + b * theta**2 + theta**6 * (c + d * theta**2))


SCALE: Final = WIDTH / 2 / equal_earth(180, 0)[0]
HEIGHT: Final = SCALE * (equal_earth(0, TOP)[1] - equal_earth(0, BOTTOM)[1])


def projected(point: Point) -> Point:
    """In units of the picture, from its upper left corner."""
    x, y = equal_earth(*point)
    return WIDTH / 2 + SCALE * x, SCALE * (equal_earth(0, TOP)[1] - y)


def drawn(ring: Ring) -> Ring:
    """In whole units, without points that come to lie on the one before."""
    points: Ring = []
    for point in ring:
        x, y = projected(point)
        if not points or points[-1] != (round(x), round(y)):
            points.append((round(x), round(y)))
    return points[:-1] if len(points) > 1 and points[0] == points[-1] else points


def visible(rings: list[Ring]) -> list[Ring]:
    by_size = sorted(map(drawn, rings), key=area, reverse=True)
    return [ring for number, ring in enumerate(by_size) if number == 0 or area(ring) >= SMALLEST]


def area(ring: Ring) -> float:
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs)) / 2


def centre(ring: Ring) -> Point:
    return sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring)


def path(ring: Ring) -> str:
    """Relative lines in the shortest form: a minus sign separates numbers as a space does."""
    steps = [(x - last_x, y - last_y) for (last_x, last_y), (x, y) in pairwise(ring)]
    numbers = " ".join(f"{x:.0f} {y:.0f}" for x, y in steps).replace(" -", "-")
    return f"M{ring[0][0]:.0f} {ring[0][1]:.0f}l{numbers}z"


if __name__ == "__main__":
    main()
