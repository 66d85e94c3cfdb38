// The first page: figures of the month, the current minute, charts and tables of the week.

import { Panel } from "./panel.js";
import { LIVE_MS, livePanel, tiles } from "./live.js";
import { read } from "./api.js";
import { linked, sortableTable } from "./table.js";
import { showTotals } from "./totals.js";
import * as links from "./links.js";
import { chartPanel } from "./traffic.js";
import { errorsPanel } from "./errors.js";
import * as format from "./format.js";
import * as range from "./range.js";
import * as zone from "./zone.js";

const REFRESH_MS = 60000;
const STALE_MINUTES = 60;
// A search of the log by more than the time counts no further.
const MAX_COUNTED = 100000;
const tz = zone.own();

const month = new Panel("month", {
  path: "/api/v1/usage",
  isEmpty: () => false,
  draw: (body, { data: { total } }) => tiles(body, [
    [gettext("Traffic"), format.bytes(total.bytes_used)],
    [gettext("Requests"), format.compact(total.requests)],
    [gettext("Successful"), format.percent(total.success_rate)],
  ]),
});

const live = livePanel();

const REQUESTS = { label: gettext("Requests"), kind: "number", sort: "count",
  text: (row) => format.count(row.total_count), value: (row) => Number(row.total_count) };
const TRAFFIC = { label: gettext("Traffic"), kind: "number", sort: "bytes",
  text: (row) => format.bytes(row.bytes_total), value: (row) => Number(row.bytes_total) };
const explore = (more) => links.explore({}, { range: "7d", ...more });

const domains = new Panel("domains", {
  path: "/analytics/domains",
  draw: (body, { data }) => sortableTable(body, [
    { label: gettext("Domain"), kind: "breakable", sort: "domain", text: (row) => row.domain || gettext("(unknown)"),
      href: (row) => row.domain && explore({ domain: row.domain }) },
    REQUESTS,
    TRAFFIC,
  ], data, "bytes"),
});

const countries = new Panel("countries", {
  path: "/analytics/countries",
  draw: (body, { data, totals }) => sortableTable(body, [
    { label: gettext("Country"), sort: "country", text: (row) => format.country(row.country),
      href: (row) => explore({ country: row.country }) },
    REQUESTS,
    TRAFFIC,
    { label: gettext("Share of traffic"), kind: "number optional",
      text: (row) => format.percent((100 * row.bytes_total) / (Number(totals.bytes_total) || 1)) },
  ], data, "bytes"),
});

const at = (seconds) => zone.iso(Math.round(seconds / 60) * 60);
const onZoom = (from, to) => location.assign(links.explore({ from: at(from), to: at(to), tz }));
const onPick = (from, to) => location.assign(links.log({ from: at(from), to: at(to), tz }) || location.href);
const traffic = chartPanel("traffic", { onZoom, onPick });
const requests = chartPanel("requests", { onZoom, onPick });
const errors = errorsPanel();

/** Shows the age of the newest data, with a warning beyond an hour. */
function showFreshness(answer) {
  const place = document.getElementById("freshness");
  if (!answer?.last_data_at) return;
  const at = zone.instant(zone.face(answer.last_data_at), tz);
  const minutes = (Date.now() / 1000 - at) / 60;
  place.textContent = interpolate(gettext("Newest data: %s (%s)"), [zone.label(zone.face(answer.last_data_at)), format.ago(at * 1000)]);
  place.className = minutes > STALE_MINUTES ? "warn" : "faint";
}

/** How often sites answered with an error of their own, where the proxies report requests one by one. */
async function tellStatuses() {
  const count = async (hundreds) => {
    const { total_count: found } = await read("/log/search", {
      min_log_status_code: `${hundreds}00`, max_log_status_code: `${hundreds}99`, per_page: 1,
    });
    const number = format.count(Math.min(found, MAX_COUNTED));
    const words = found > MAX_COUNTED ? interpolate(gettext("more than %s"), [number]) : number;
    return found && linked(`${hundreds}xx: ${words}`, `/dashboard/logs?status=${hundreds}xx`);
  };
  const counts = (await Promise.all([count(4), count(5)]).catch(() => [])).filter(Boolean);
  if (!counts.length) return;
  const parts = counts.flatMap((one, number) => (number ? [", ", one] : [one]));
  document.getElementById("statuses").replaceChildren(gettext("Responses with an HTTP error in the log:"), " ", ...parts);
}

async function load() {
  const week = range.params({ range: "7d" }, tz);
  const chartOf = { ...week, interval: "1h", fill: "true", compare: "previous" };
  month.load({ period: "month", tz });
  requests.load(chartOf).then(showTotals);
  // The panels call the same service and show its errors.
  read("/analytics/concurrency", { ...chartOf, interval: "1d" }).then(showTotals, () => {});
  domains.load({ ...week, limit: 10 });
  errors.load({ ...week, limit: 8 });
  countries.load({ ...week, limit: 10 });
  const answer = await traffic.load(chartOf);
  showTotals(answer);
  showFreshness(answer);
}

zone.localise(tz);
live.load({ tz });
// Last: the server answers few reads at once, and the panels come first.
load().then(tellStatuses);
// A hidden tab sends no requests.
setInterval(() => document.hidden || live.load(), LIVE_MS);
setInterval(() => document.hidden || load(), REFRESH_MS);
