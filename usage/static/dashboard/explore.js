// Any range, order and domain; the address holds them all.

import { Panel } from "./panel.js";
import { pager, table } from "./table.js";
import { chartPanel } from "./traffic.js";
import { errorsPanel } from "./errors.js";
import * as format from "./format.js";
import * as range from "./range.js";
import * as zone from "./zone.js";
import { onChange, set, state } from "./state.js";

const PER_PAGE = 25;
const form = document.getElementById("filters");
const fields = form.elements;

const zoom = (from, to) => {
  const at = (seconds) => zone.iso(Math.round(seconds / 60) * 60);
  set({ range: "", from: at(from), to: at(to), page: "" });
};
const charts = ["traffic", "requests", "concurrency"].map((id) => chartPanel(id, zoom));
const errors = errorsPanel();
const websites = new Panel("websites", {
  path: "/analytics/websites",
  draw: (body, answer) => {
    table(body, [
      { label: gettext("Website"), kind: "breakable", text: (row) => row.domain || gettext("(not told)") },
      { label: gettext("Requests"), kind: "number", text: (row) => format.count(row.total_count) },
      { label: gettext("Traffic"), kind: "number", text: (row) => format.bytes(row.bytes_total) },
      { label: gettext("First visit"), kind: "number", text: (row) => row.first_visit.slice(0, 16) },
      { label: gettext("Last visit"), kind: "number", text: (row) => row.last_visit.slice(0, 16) },
    ], answer.data);
    pager(body, answer.page, answer.totalPages, answer.total, (page) => set({ page: page > 1 ? page : "" }));
  },
});

function load() {
  const given = state();
  const tz = zone.chosen(given.tz);
  fill(given, tz);
  const shared = { ...range.params(given, tz), orderId: given.order, domain: given.domain };
  for (const chart of charts) chart.load({ ...shared, interval: given.interval, fill: "true" });
  websites.load({ ...shared, page: given.page, limit: PER_PAGE });
  errors.load({ ...shared, limit: 50 });
}

/** The controls say what the address says. */
function fill(given, tz) {
  const [from, to] = range.instants(given, tz);
  const preset = range.custom(given) ? "custom" : range.PRESETS.has(given.range) ? given.range : range.USUAL;
  for (const choice of fields.range) choice.checked = choice.value === preset;
  document.getElementById("custom").hidden = preset !== "custom";
  const shown = (at) => zone.label(zone.shown(at, tz)).replace(" ", "T");
  fields.from.value = shown(from);
  fields.to.value = shown(to);
  zone.offer(fields.tz, tz);
  fields.order.value = given.order || "";
  fields.domain.value = given.domain || "";
  fields.interval.value = given.interval || "";
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  const { name, value } = event.target;
  if (name === "range" && value === "custom") {
    document.getElementById("custom").hidden = false;
    fields.from.focus();
  }
  if (name === "from" || name === "to" || (name === "range" && value === "custom")) {
    const chosen = range.typed(fields, range.LONGEST_DAYS, gettext("At most two months can be shown at once."));
    if (chosen) set({ ...chosen, page: "" });
    return;
  }
  if (name === "tz") zone.keep(value);
  set({ [name]: value.trim(), page: "", ...(name === "range" ? { from: "", to: "" } : {}) });
});
document.getElementById("share").addEventListener("click", async () => {
  const { copy } = await import("./api.js");
  copy(location.href, gettext("The link to this view is on your clipboard."));
});
onChange(load);
load();
