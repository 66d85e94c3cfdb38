// The first page: the month in numbers, the minute, the week's charts and tables.

import { Panel } from "./panel.js";
import { table } from "./table.js";
import { chartPanel } from "./traffic.js";
import { errorsPanel } from "./errors.js";
import * as format from "./format.js";
import * as range from "./range.js";
import * as zone from "./zone.js";

const LIVE_MS = 5000;
const REFRESH_MS = 60000;
const STALE_MINUTES = 60;
const tz = zone.own();

function tiles(body, found) {
  const list = document.createElement("dl");
  list.className = "tiles";
  for (const [name, value] of found) {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    term.textContent = name;
    const text = document.createElement("dd");
    text.textContent = value;
    pair.append(term, text);
    list.append(pair);
  }
  body.replaceChildren(list);
}

const month = new Panel("month", {
  path: "/api/v1/usage",
  isEmpty: () => false,
  draw: (body, { data: { total } }) => tiles(body, [
    [gettext("Traffic"), format.bytes(total.bytes_used)],
    [gettext("Requests"), format.compact(total.requests)],
    [gettext("Successful"), format.percent(total.success_rate)],
  ]),
});

const live = new Panel("live", {
  path: "/api/v1/usage/realtime",
  isEmpty: () => false,
  draw: (body, { data }) => tiles(body, [
    [gettext("Connections"), format.count(data.active_connections.total)],
    [gettext("Requests this minute"), format.count(data.current_minute.requests)],
    [gettext("Traffic this minute"), format.bytes(data.current_minute.bytes)],
    [gettext("Traffic in an hour"), format.bytes(data.last_hour.bytes)],
    [gettext("Average time"), `${format.count(data.last_hour.avg_response_time_ms)} ms`],
  ]),
});

const domains = new Panel("domains", {
  path: "/analytics/domains",
  draw: (body, { data }) => table(body, [
    { label: gettext("Domain"), kind: "breakable", text: (row) => row.domain || gettext("(not told)"),
      href: (row) => `/dashboard/explore?domain=${encodeURIComponent(row.domain)}` },
    { label: gettext("Traffic"), kind: "number", text: (row) => format.bytes(row.bytes_total) },
    { label: gettext("Requests"), kind: "number", text: (row) => format.count(row.total_count) },
  ], data),
});

const countries = new Panel("countries", {
  path: "/api/v1/usage/by-country",
  isEmpty: (answer) => answer.data.countries.length === 0,
  draw: (body, { data }) => table(body, [
    { label: gettext("Country"), text: (row) => row.country_name || row.country_code || gettext("(not told)") },
    { label: gettext("Requests"), kind: "number", text: (row) => format.count(row.requests) },
    { label: gettext("Traffic"), kind: "number", text: (row) => format.bytes(row.bytes) },
    { label: gettext("Share"), kind: "number", text: (row) => format.percent(row.percentage) },
  ], data.countries),
});

const traffic = chartPanel("traffic");
const requests = chartPanel("requests");
const errors = errorsPanel();

/** How new the newest numbers are; beyond an hour that is worth a warning. */
function tellFreshness(answer) {
  const place = document.getElementById("freshness");
  if (!answer?.last_data_at) return;
  const at = zone.instant(zone.face(answer.last_data_at), tz);
  const minutes = (Date.now() / 1000 - at) / 60;
  place.textContent = interpolate(gettext("Newest data: %s (%s)"), [answer.last_data_at.slice(0, 16), format.ago(at * 1000)]);
  place.className = minutes > STALE_MINUTES ? "warn" : "faint";
}

async function load() {
  const week = range.params({ range: "7d" }, tz);
  const days = { start_date: week.from, end_date: week.to };
  const chartOf = { ...week, interval: "1h", fill: "true" };
  month.load({ period: "month", tz });
  requests.load(chartOf);
  domains.load({ ...week, limit: 10 });
  errors.load({ ...week, limit: 8 });
  countries.load({ ...days, limit: 10 });
  tellFreshness(await traffic.load(chartOf));
}

zone.localise(tz);
live.load({ tz });
load();
// A tab that nobody looks at asks for nothing.
setInterval(() => document.hidden || live.load(), LIVE_MS);
setInterval(() => document.hidden || load(), REFRESH_MS);
