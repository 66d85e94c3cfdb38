// An application's page: the eight charts of the published dashboard, each over its own time or all over one.

import "./manage.js";
import { Panel } from "./panel.js";
import { chart } from "./chart.js";
import { table } from "./table.js";
import { address } from "./api.js";
import * as format from "./format.js";
import * as zone from "./zone.js";
import { onChange, set, state } from "./state.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
// As many as lines of different colours and dashes can be told apart.
const MOST_LINES = 6;
const OTHERS = "__other__";

const form = document.getElementById("filters");
const id = form.dataset.application;
const tz = zone.own();

/** Seconds, the width of a point for that many, and both in words; then without points. */
const RANGES = {
  "1h": [HOUR, MINUTE, gettext("one hour, by the minute"), gettext("one hour")],
  "24h": [DAY, HOUR, gettext("24 hours, by the hour"), gettext("24 hours")],
  "7d": [7 * DAY, HOUR, gettext("seven days, by the hour"), gettext("seven days")],
  "30d": [30 * DAY, DAY, gettext("30 days, by the day"), gettext("30 days")],
};

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

const named = (group) => ({ "": gettext("(not told)"), [OTHERS]: gettext("all others") })[group] ?? group;

/** The call that a reader's program makes for the same. */
const published = (path, params) => {
  const url = new URL(address(path.replace(`/applications/${id}/timeseries`, "/1/timeseries"), params), location.origin);
  return `curl -H 'X-Auth-User: ${id}' -H 'X-Auth-Key: YOUR_READ_KEY' '${url.href.replaceAll("'", "%27")}'`;
};

function makePanel(name, kind) {
  return new Panel(name, {
    empty: gettext("No events in this time."),
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
  const names = Object.keys(groups);
  const lines = names.slice(0, MOST_LINES).map((name) => {
    const values = new Array(times.length).fill(isAdded ? 0 : null);
    for (const [at, value] of groups[name]) values[place.get(at)] = value;
    const label = group ? named(name) : gettext("All calls");
    return { label, values, format: isCount ? format.count : format.duration, filled: names.length === 1 };
  });
  chart(body, {
    title: body.closest("section").querySelector("h2").textContent,
    times: times.map((at) => zone.shown(at, tz)),
    series: lines,
    format: isCount ? format.compact : format.duration,
  });
  if (names.length > MOST_LINES) {
    const note = document.createElement("p");
    note.className = "faint";
    note.textContent = interpolate(gettext("The %s largest of %s. The CSV has them all."), [MOST_LINES, names.length]);
    body.append(note);
  }
}

function drawShares(body, { groups }) {
  const rows = Object.entries(groups).map(([name, [[, calls]]]) => ({ name: named(name), calls }));
  const total = rows.reduce((sum, row) => sum + row.calls, 0);
  const share = (row) => (100 * row.calls) / total;
  table(body, [
    { label: gettext("Name"), kind: "breakable", text: (row) => row.name },
    { label: gettext("Calls"), kind: "number", text: (row) => format.count(row.calls) },
    { label: gettext("Share"), kind: "share", node: (row) => bar(row.name, share(row)) },
  ], rows.slice(0, 20));
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
  const chosen = RANGES[given.range] ? given.range : "";
  for (const choice of form.elements.range) choice.checked = choice.value === chosen;
  form.elements.measure.value = given.measure || "";
  const now = Math.floor(Date.now() / 1000);
  document.getElementById("total-time").classList.toggle("half", !chosen);
  for (const [panel, kind] of panels) {
    const range = chosen || kind.range;
    // With one range for all, this one would be the same as its neighbour.
    panel.root.hidden = Boolean(chosen && kind.isOfItsOwn);
    if (panel.root.hidden) continue;
    const [span, step, byPoints, inAll] = RANGES[range];
    panel.root.querySelector("header .faint").textContent = kind.isWhole ? inAll : byPoints;
    // A point that is cut off at its start would look like a lull.
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
