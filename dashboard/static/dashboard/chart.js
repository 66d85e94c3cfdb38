// Charts over time with uPlot, in the page's colours, with a table as an alternative and keys for the cursor.

import * as zone from "./zone.js";
import { table } from "./table.js";

const COLOURS = 6;
const drawn = new Set();

function colour(name) {
  // A canvas does not support custom properties, only the colour that the browser computes from one for an element.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const translucent = (found) => found.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)");

/**
 * Draws into the body. `times` are instants in seconds, ascending, labelled in the zone `tz`; `series` is
 * [{label, values, format, filled?, dashed?}], where a dashed one has the colour of the first. `onZoom(from, to)`
 * receives the instants of a dragged selection, `onPick(index)` the clicked point; `binary` puts ticks at powers of two.
 */
export function chart(body, { times, tz, series, title, format, onZoom, onPick, binary = false }) {
  const place = document.createElement("div");
  place.className = "chart";
  place.tabIndex = 0;
  place.role = "img";
  place.ariaLabel = `${title}: ${summary(times, tz, series)}`;
  const data = document.createElement("details");
  data.className = "chart-data";
  const words = document.createElement("summary");
  words.textContent = gettext("Show as table");
  const rows = document.createElement("div");
  data.append(words, rows);
  data.addEventListener("toggle", () => {
    if (data.open) asTable(rows, times, tz, series);
  });
  forget(body);
  body.replaceChildren(place, data);
  const draw = () => {
    place.plot?.destroy();
    const chosen = options(place, { series, tz, format, onZoom, binary, count: times.length });
    place.plot = new uPlot(chosen, [times, ...series.map((one) => one.values)], place);
  };
  draw();
  const resized = new ResizeObserver(() => place.plot.setSize(size(place)));
  resized.observe(place);
  place.addEventListener("keydown", (event) => moveCursor(event, place.plot, times, onPick));
  // A tap shows the values, because there is no other way to see them.
  place.addEventListener("click", (event) => {
    if (onPick && event.pointerType === "mouse" && event.target.closest(".u-over")) pick(place.plot, onPick);
  });
  place.classList.toggle("picks", Boolean(onPick));
  drawn.add({ body, place, draw, resized });
}

function forget(body) {
  for (const one of drawn) {
    if (one.body !== body && document.contains(one.place)) continue;
    one.resized.disconnect();
    one.place.plot.destroy();
    drawn.delete(one);
  }
}

for (const [target, name] of [[window, "themechange"], [matchMedia("(prefers-color-scheme: dark)"), "change"]]) {
  target.addEventListener(name, () => drawn.forEach((one) => one.draw()));
}

const POWERS_OF_TWO = Array.from({ length: 52 }, (_, power) => 2 ** power);

/** The time, and below it the date where a day begins. */
function tick(at, tz, step, isFirst) {
  const face = zone.shown(at, tz);
  const day = zone.date(face, "MONTH_DAY_FORMAT");
  if (step >= 28 * 86400) return zone.date(face, "YEAR_MONTH_FORMAT");
  if (step >= 86400) return day;
  const clock = zone.clock(face);
  return isFirst || clock === "00:00" ? `${clock}\n${day}` : `${clock}\n${zone.which(at, tz)}`.trim();
}

const size = (place) => ({ width: Math.max(place.clientWidth, 200), height: place.clientWidth < 500 ? 200 : 240 });

function options(place, { series, tz, format, onZoom, binary, count }) {
  const line = colour("--line");
  const axis = { stroke: colour("--faint"), grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const points = (values) => ({ show: count < 40 || values.some(isLone), size: 5 });
  return {
    ...size(place),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), tz),
    scales: { y: { range: (_, least, most) => [Math.min(least, 0), most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, values: (_, ticks, __, ___, step) => ticks.map((at, number) => tick(at, tz, step, number === 0)) },
      { ...axis, size: 70, incrs: binary ? POWERS_OF_TWO : undefined, values: (_, ticks) => ticks.map((at) => format(at, ticks.at(-1))) },
    ],
    series: [
      { label: gettext("Time"), value: (_, at) => (at === null ? "—" : zone.moment(at, tz)) },
      ...series.map((one, number) => {
        const stroke = colour(`--series-${one.dashed ? 1 : (number % COLOURS) + 1}`);
        return {
          label: one.label,
          stroke,
          width: one.dashed ? 1.5 : 2,
          dash: one.dashed || number >= COLOURS ? [6, 4] : undefined,
          fill: one.filled ? translucent(stroke) : undefined,
          points: points(one.values),
          value: (_, value) => (value === null || value === undefined ? "—" : one.format(value)),
        };
      }),
    ],
    cursor: { drag: { x: Boolean(onZoom), y: false, setScale: false } },
    hooks: {
      setSelect: [(plot) => {
        if (!onZoom || plot.select.width < 5) return;
        const { left, width } = plot.select;
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      }],
    },
  };
}

/** Whether no line leads to or from a value. */
const isLone = (value, at, values) => value !== null && (values[at - 1] ?? values[at + 1] ?? null) === null;

const pick = (plot, onPick) => plot.cursor.idx !== null && plot.cursor.idx !== undefined && onPick(plot.cursor.idx);

function moveCursor(event, plot, times, onPick) {
  if (event.key === "Enter" && onPick) pick(plot, onPick);
  const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
  if (!step) return;
  event.preventDefault();
  const at = Math.min(Math.max((plot.cursor.idx ?? (step > 0 ? -1 : times.length)) + step, 0), times.length - 1);
  plot.setCursor({ left: plot.valToPos(times[at], "x"), top: 10 });
}

function summary(times, tz, series) {
  if (!times.length) return "";
  const parts = series.map((one) => {
    const most = one.values.reduce((found, value) => Math.max(found, value ?? 0), 0);
    return interpolate(gettext("%s: max. %s"), [one.label, one.format(most)]);
  });
  return `${zone.moment(times[0], tz)} – ${zone.moment(times.at(-1), tz)}; ${parts.join("; ")}`;
}

function asTable(body, times, tz, series) {
  const columns = [
    { label: gettext("Time"), text: (at) => zone.moment(times[at], tz) },
    ...series.map((one) => ({
      label: one.label, kind: "number",
      text: (at) => (one.values[at] === null || one.values[at] === undefined ? "—" : one.format(one.values[at])),
    })),
  ];
  table(body, columns, times.map((_, at) => at));
}
