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
    lines: () => [
      { label: gettext("Received by you"), name: "total_bytes_received", filled: true },
      { label: gettext("Sent by you"), name: "total_bytes_sent" },
    ],
  },
  requests: {
    path: "/analytics/requests",
    format: format.compact,
    exact: format.count,
    lines: () => [
      { label: gettext("Requests"), name: "total_count", filled: true },
      { label: gettext("Errors"), name: "total_errors" },
    ],
  },
  concurrency: {
    path: "/analytics/concurrency",
    format: format.compact,
    exact: format.count,
    lines: () => [{ label: gettext("At once, at most"), name: "max_concurrency", filled: true }],
  },
};

/** The chart panel of that id; `onZoom(from, to)` gets instants. */
export function chartPanel(id, onZoom) {
  const kind = CHARTS[id];
  return new Panel(id, {
    path: kind.path,
    isEmpty: (answer) => answer.data.every((row) => kind.lines().every((line) => Number(row[line.name]) === 0)),
    draw: (body, answer, asked) => draw(body, kind, whole(answer), asked, onZoom),
  });
}

/** Without the last interval while nothing of it has come in: it would look like a fall to nothing. */
const whole = ({ data, last_data_at: last }) => (data.at(-1).bucket > (last || "") ? data.slice(0, -1) : data);

function draw(body, kind, data, { from, tz }, onZoom) {
  chart(body, {
    title: body.closest("section").querySelector("h2").textContent,
    times: zone.instants(data.map((row) => zone.face(row.bucket)), tz, Date.parse(from) / 1000),
    tz,
    series: kind.lines().map((line) => ({
      label: line.label, values: column(data, line.name), format: kind.exact || kind.format, filled: line.filled,
    })),
    format: kind.format,
    binary: kind.binary,
    onZoom,
  });
}
