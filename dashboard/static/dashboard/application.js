// An application's page: the eight charts of the published dashboard, each with its own range or all with one.

import "./manage.js";
import { Panel } from "./panel.js";
import { chart } from "./chart.js";
import { table } from "./table.js";
import { quoted } from "./api.js";
import * as format from "./format.js";
import * as zone from "./zone.js";
import { onChange, set, state } from "./state.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
// The number of lines that can be distinguished by colour and dashes.
const MAX_LINES = 6;
const MAX_ROWS = 20;
const NAMES = new Map([["", gettext("(unknown)")], ["__other__", gettext("other")]]);

const form = document.getElementById("filters");
const id = form.dataset.application;
const tz = zone.own();

/** By name: seconds, seconds per point, a label with the point width, and a label without it. */
const RANGES = new Map([
  ["1h", [HOUR, MINUTE, gettext("1 hour, by minute"), gettext("1 hour")]],
  ["24h", [DAY, HOUR, gettext("24 hours, hourly"), gettext("24 hours")]],
  ["7d", [7 * DAY, HOUR, gettext("7 days, hourly"), gettext("7 days")]],
  ["30d", [30 * DAY, DAY, gettext("30 days, daily"), gettext("30 days")]],
]);

const CHARTS = {
  "calls-by-consumer": { range: "7d", group: "consumer_id" },
  "calls-by-function": { range: "24h", group: "function" },
  "times-by-function": { range: "24h", group: "function", isMeasure: true },
  "times-last-hour": { range: "1h", group: "function", isMeasure: true, isOfItsOwn: true },
  "total-time": { range: "1h", aggregation: "sum" },
  functions: { range: "24h", group: "function", isWhole: true },
  consumers: { range: "30d", group: "consumer_id", isWhole: true },
  statuses: { range: "24h", group: "status_code", isWhole: true },
};

const named = (group) => NAMES.get(group) ?? group;

/** [name, points] of each group, largest first; an object does not keep the order of numeric keys. */
function byMost(groups, most) {
  const values = (points) => points.map(([, value]) => value);
  const sized = Object.entries(groups).map(([name, points]) => [name, points, most(values(points))]);
  return sized.sort(([, , one], [, , other]) => other - one);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const greatest = (values) => values.reduce((found, value) => Math.max(found, value), 0);

function tell(body, text, numbers) {
  const note = document.createElement("p");
  note.className = "faint";
  note.textContent = interpolate(text, numbers);
  body.append(note);
}

/** The call with which a customer's program gets the same data. */
const published = (path, params) => {
  const target = quoted(path.replace(`/applications/${id}/timeseries`, "/1/timeseries"), params);
  return `curl -H 'X-Auth-User: ${id}' -H 'X-Auth-Key: YOUR_READ_KEY' ${target}`;
};

function makePanel(name, kind) {
  return new Panel(name, {
    empty: gettext("No events in this period."),
    curl: published,
    isEmpty: ({ groups }) => Object.values(groups).every((points) => points.length === 0),
    draw: kind.isWhole ? drawShares : drawLines,
  });
}

function drawLines(body, { groups, start, end, granularity }, { aggregation = "count", group }) {
  const step = granularity / 1000;
  const times = [];
  for (let at = Math.floor(start / step) * step; at < end; at += step) times.push(at);
  const place = new Map(times.map((at, number) => [at, number]));
  const isAdded = aggregation === "count" || aggregation === "sum";
  const isCount = aggregation === "count";
  const sorted = byMost(groups, isAdded ? sum : greatest);
  const lines = sorted.slice(0, MAX_LINES).map(([name, points]) => {
    const values = new Array(times.length).fill(isAdded ? 0 : null);
    for (const [at, value] of points) values[place.get(at)] = value;
    const label = group ? named(name) : gettext("All calls");
    return { label, values, format: isCount ? format.count : format.duration, filled: sorted.length === 1 };
  });
  chart(body, {
    title: body.closest("section").querySelector("h2").textContent,
    times,
    tz,
    series: lines,
    format: isCount ? format.compact : format.duration,
  });
  if (sorted.length > MAX_LINES) {
    const text = isAdded
      ? gettext("Top %s of %s by calls. The CSV contains all of them.")
      : gettext("Top %s of %s by peak value. The CSV contains all of them.");
    tell(body, text, [MAX_LINES, sorted.length]);
  }
}

function drawShares(body, { groups }) {
  const rows = byMost(groups, sum).map(([name, , calls]) => ({ name: named(name), calls }));
  const total = sum(rows.map((row) => row.calls));
  const share = (row) => (100 * row.calls) / total;
  table(body, [
    { label: gettext("Name"), kind: "breakable", text: (row) => row.name },
    { label: gettext("Calls"), kind: "number", text: (row) => format.count(row.calls) },
    { label: gettext("Share"), kind: "share", node: (row) => bar(row.name, share(row)) },
  ], rows.slice(0, MAX_ROWS));
  if (rows.length > MAX_ROWS) {
    tell(body, gettext("Top %s of %s by calls. The CSV contains all of them."), [MAX_ROWS, rows.length]);
  }
}

function bar(name, percent) {
  const cell = document.createDocumentFragment();
  const drawn = document.createElement("progress");
  drawn.max = 100;
  drawn.value = percent;
  drawn.ariaLabel = interpolate(gettext("Share of %s"), [name]);
  cell.append(format.percent(percent), drawn);
  return cell;
}

const panels = Object.entries(CHARTS).map(([name, kind]) => [makePanel(name, kind), kind]);

function load() {
  const given = state();
  const chosen = RANGES.has(given.range) ? given.range : "";
  for (const choice of form.elements.range) choice.checked = choice.value === chosen;
  form.elements.measure.value = given.measure || "";
  const now = Math.floor(Date.now() / 1000);
  document.getElementById("total-time").classList.toggle("half", !chosen);
  for (const [panel, kind] of panels) {
    const range = chosen || kind.range;
    // With one range for all, this chart would equal its neighbour.
    panel.root.hidden = Boolean(chosen && kind.isOfItsOwn);
    if (panel.root.hidden) continue;
    const [span, step, byPoints, inAll] = RANGES.get(range);
    panel.root.querySelector("header .faint").textContent = kind.isWhole ? inAll : byPoints;
    // A point whose start is cut off would look like a drop.
    const start = kind.isWhole ? now - span : Math.floor((now - span) / step) * step + step;
    panel.path = `/applications/${id}/timeseries/${start}/${now + 1}`;
    panel.load({
      group: kind.group,
      aggregation: kind.isMeasure ? given.measure || "mean" : kind.aggregation,
      granularity: kind.isWhole ? undefined : step,
    });
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", ({ target }) => set({ [target.name]: target.value }));
onChange(load);
load();
