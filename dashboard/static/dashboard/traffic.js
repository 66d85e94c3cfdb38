// The panels over the analytics API that more than one page has.

import { Panel } from "./panel.js";
import { chart } from "./chart.js";
import * as format from "./format.js";
import * as zone from "./zone.js";

const column = (rows, name) => rows.map((row) => Number(row[name]));

const CHARTS = {
  traffic: {
    path: "/analytics/traffic",
    format: format.bytes,
    binary: true,
    lines: [
      { label: gettext("Received"), name: "total_bytes_received", filled: true },
      { label: gettext("Sent"), name: "total_bytes_sent" },
    ],
    before: gettext("Received before"),
    lastYear: gettext("Received last year"),
  },
  requests: {
    path: "/analytics/requests",
    format: format.compact,
    exact: format.count,
    lines: [
      { label: gettext("Requests"), name: "total_count", filled: true },
      { label: gettext("Errors"), name: "total_errors" },
    ],
    before: gettext("Requests before"),
    lastYear: gettext("Requests last year"),
  },
  concurrency: {
    path: "/analytics/concurrency",
    format: format.compact,
    exact: format.count,
    lines: [{ label: gettext("Peak concurrency"), name: "max_concurrency", filled: true }],
    before: gettext("Peak before"),
    lastYear: gettext("Peak last year"),
  },
};

/** What a view's `compare` means: which period is drawn too, and what the API calls it. */
export const COMPARED = new Map([
  ["1", { line: "before", compare: "previous" }],
  ["year", { line: "lastYear", compare: "last_year" }],
]);

/**
 * The chart panel of that id. `onZoom(from, to)` and `onPick(from, to)`, of the point that was clicked, get instants;
 * `path` is where to ask, if not the account's own API; `compares()` is one of
 * `COMPARED` if another period is drawn too.
 */
export function chartPanel(id, { path, onZoom, onPick, compares = () => undefined } = {}) {
  const kind = CHARTS[id];
  return new Panel(id, {
    path: path || kind.path,
    isEmpty: (answer) => answer.data.every((row) => kind.lines.every((line) => Number(row[line.name]) === 0)),
    draw: (body, answer, params) => draw(body, kind, answer, params, { onZoom, onPick, compares: compares() }),
  });
}

/** Drops the last interval until its first data arrive, because it would look like a drop to zero. */
const whole = ({ data, last_data_at: last }) => (last && data.at(-1).bucket > last ? data.slice(0, -1) : data);

function draw(body, kind, answer, { from, to, tz }, { onZoom, onPick, compares }) {
  const data = whole(answer);
  const times = zone.instants(data.map((row) => zone.face(row.bucket)), tz, Date.parse(from) / 1000);
  const exact = kind.exact || kind.format;
  const series = kind.lines.map((line) => ({
    label: line.label, values: column(data, line.name), format: exact, filled: line.filled,
  }));
  const before = compares && answer.previous && column(answer.previous.data.slice(0, data.length), kind.lines[0].name);
  // A line at zero would say that there was a period to compare with.
  if (before?.some(Boolean)) series.push({ label: kind[compares.line], values: before, format: exact, dashed: true });
  chart(body, {
    title: body.closest("section").querySelector("h2").textContent,
    times,
    tz,
    series,
    format: kind.format,
    binary: kind.binary,
    onZoom,
    onPick: onPick && ((at) => onPick(times[at], times[at + 1] ?? Date.parse(to) / 1000)),
  });
}
