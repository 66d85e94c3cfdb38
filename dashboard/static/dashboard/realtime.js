// Current traffic, requested every five seconds while the page is visible.

import { WorldMap } from "./map.js";
import { Panel } from "./panel.js";
import { LIVE_MS, livePanel } from "./live.js";
import { chart } from "./chart.js";
import { sortableTable, table } from "./table.js";
import * as format from "./format.js";
import * as links from "./links.js";
import * as zone from "./zone.js";

const HOUR = 3600;
const MINUTE = 60;
const tz = zone.own();
const live = livePanel();

// --- the last hour ---

const requestsTo = (from) => links.log({ from: zone.iso(from), to: zone.iso(from + MINUTE), tz });

function draw(body, { data: { graph } }, format, lines, binary = false) {
  const times = graph.map((point) => zone.face(point.datetime));
  chart(body, {
    title: body.closest("section").querySelector("h2").textContent,
    times,
    tz,
    binary,
    format,
    series: lines.map(([name, label], number) => ({
      label, values: graph.map((point) => point[name]), format, filled: number === 0,
    })),
    onPick: (at) => location.assign(requestsTo(times[at])),
  });
}

const isEmpty = ({ data }) => data.summary.requests === 0 && data.summary.bytes === 0;
const empty = gettext("No traffic in the last hour.");
const requests = new Panel("requests", {
  path: "/analytics/graph",
  isEmpty,
  empty,
  draw: (body, answer) => draw(body, answer, format.count, [["requests", gettext("Requests")], ["error", gettext("Errors")]]),
});
const traffic = new Panel("traffic", {
  path: "/analytics/graph",
  isEmpty,
  empty,
  draw: (body, answer) => draw(body, answer, format.bytes, [["bytes", gettext("Traffic")]], true),
});

let drawnTo;

/** Loads the complete minutes of the last hour, once per minute. */
async function loadHour() {
  const end = Math.floor(Date.now() / 1000 / MINUTE) * MINUTE;
  if (end === drawnTo) return;
  drawnTo = end;
  const answer = await requests.load({ period_start: zone.iso(end - HOUR), period_end: zone.iso(end), interval: "minute" });
  if (answer) traffic.show(answer);
}

// --- connections ---

const country = ({ code }) => links.explore({ country: code }, { range: "24h" });
const map = new WorldMap(document.getElementById("connections-map"), {
  text: format.count, go: (row) => location.assign(country(row)),
});
const connections = new Panel("connections", {
  path: "/api/v1/usage/realtime",
  empty: gettext("No open connections."),
  isEmpty: ({ data }) => data.active_connections.total === 0,
  clear: () => map.show([]),
  draw: (body, { data }) => {
    const rows = Object.entries(data.active_connections.by_country).map(([code, value]) => ({ code, value }));
    map.show(rows);
    sortableTable(body, [
      { label: gettext("Country"), kind: "breakable", sort: "country", text: ({ code }) => format.country(code), href: country },
      { label: gettext("Connections"), kind: "number", sort: "count", text: ({ value }) => format.count(value), value: ({ value }) => value },
    ], rows, "count");
  },
});

// --- the newest requests ---

const clock = (row) => zone.clock(zone.shown(zone.face(row.log_request_datetime), tz), true);
const latest = new Panel("latest", {
  path: "/log/search",
  empty: gettext("No requests in the last hour. Requests appear here if the proxies report them individually."),
  draw: (body, { data }) => {
    body.classList.add("cards", "plain");
    table(body, [
      { label: gettext("Time"), kind: "stamp", text: clock, href: (row) => `/dashboard/logs?log=${row.log_id}` },
      { label: gettext("Host"), kind: "breakable wide", text: (row) => row.log_hostname },
      { label: gettext("Status"), kind: "number status", text: (row) => row.log_status_code ?? "" },
      { label: gettext("Traffic"), kind: "number", text: (row) => format.bytes(row.log_total_bytes) },
      { label: gettext("Country"), text: (row) => format.country(row.country_id) },
      { label: gettext("Error"), kind: "breakable error", text: (row) => row.log_error ?? "" },
    ], data);
  },
});

const loadLatest = () => latest.load({
  min_log_request_datetime: zone.iso(Math.floor(Date.now() / 1000) - HOUR), sort_by: "log_request_datetime_desc", per_page: 12,
});

async function load() {
  loadHour();
  loadLatest();
  const answer = await live.load({ tz });
  if (answer) connections.show(answer);
}

const pause = document.getElementById("pause");
const isPaused = () => pause.ariaPressed === "true";
pause.addEventListener("click", () => {
  pause.ariaPressed = String(!isPaused());
  if (!isPaused()) load();
});

zone.localise(tz);
load();
setInterval(() => document.hidden || isPaused() || load(), LIVE_MS);
