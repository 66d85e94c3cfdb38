// Any range, order and domain; the URL holds them all.

import { address, copy } from "./api.js";
import { COMPARED, chartPanel } from "./traffic.js";
import { errorsPanel } from "./errors.js";
import { countriesPanel, websitesPanel } from "./rankings.js";
import * as range from "./range.js";
import * as zone from "./zone.js";
import { showTotals } from "./totals.js";
import * as links from "./links.js";
import { follow, hrefWith, onChange, set, state } from "./state.js";

const PER_PAGE = 25;
const form = document.getElementById("filters");
const fields = form.elements;

const at = (seconds) => zone.iso(Math.round(seconds / 60) * 60);
const onZoom = (from, to) => set({ range: "", from: at(from), to: at(to), page: "" });

/** A click on a point opens its requests, or zooms into it if the log no longer has them. */
function onPick(from, to) {
  const given = state();
  const log = links.log({ ...panelParams(given, zone.chosen(given.tz)), from: at(from), to: at(to) });
  if (log) location.assign(log);
  else onZoom(from, to);
}

const compares = () => COMPARED.get(state().compare);
const charts = ["traffic", "requests", "concurrency"].map((id) => chartPanel(id, { onZoom, onPick, compares }));
const errors = errorsPanel();
const countries = countriesPanel({ href: (row) => hrefWith({ country: row.country, page: "" }), follow });
const websites = websitesPanel({
  href: (row) => row.domain && hrefWith({ domain: row.domain, page: "" }),
  by: () => state().sort,
  go: set,
});

function load() {
  const given = state();
  const tz = zone.chosen(given.tz);
  fill(given, tz);
  const publish = document.getElementById("publish");
  if (publish) publish.href = address(publish.pathname, { ...given, tz });
  const shared = panelParams(given, tz);
  // Totals stand beside those of another period in any case.
  const compare = compares()?.compare || "previous";
  for (const chart of charts) chart.load({ ...shared, interval: given.interval, fill: "true", compare }).then(showTotals);
  countries.load({ ...shared, limit: 100 });
  websites.load({ ...shared, sortBy: given.sort, page: given.page, limit: PER_PAGE });
  errors.load({ ...shared, limit: 50 });
}

/** The parameters of every panel. */
const panelParams = (given, tz) => ({
  ...range.params(given, tz),
  orderId: given.order,
  domain: given.domain,
  country: given.country,
  proxyUser: given.login,
});

/** Sets the controls to the state in the URL. */
function fill(given, tz) {
  const [from, to] = range.instants(given, tz);
  const preset = range.custom(given) ? "custom" : range.PRESETS.has(given.range) ? given.range : range.USUAL;
  for (const choice of fields.range) choice.checked = choice.value === preset;
  range.showEnds(fields, from, to, tz);
  range.countFilters(["order", "domain", "country", "login"].filter((name) => given[name]).length);
  zone.offer(fields.tz, tz);
  for (const name of ["order", "domain", "country", "login", "interval", "compare"]) fields[name].value = given[name] || "";
  if (fields.compare.selectedIndex < 0) fields.compare.value = "";
  document.getElementById("compared").textContent = compares()?.line === "lastYear"
    ? gettext("change from the same period last year") : gettext("change from the previous period of the same length");
  document.getElementById("reset").hidden = preset !== "custom";
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  const { name, value } = event.target;
  if (name === "from" || name === "to" || (name === "range" && value === "custom")) {
    const chosen = range.typed(fields, range.MAX_DAYS, gettext("The range can span at most two months. Choose a shorter one."));
    if (chosen) set({ ...chosen, page: "" });
    return;
  }
  if (name === "tz") zone.keep(value);
  set({ [name]: value.trim(), page: "", ...(name === "range" ? { from: "", to: "" } : {}) });
});
range.offerCustom(fields);
document.getElementById("save-view")?.addEventListener("submit", ({ target }) => {
  target.elements.query.value = location.search.slice(1);
});
document.getElementById("reset").addEventListener("click", () => set({ range: "", from: "", to: "", page: "" }));
document.getElementById("share").addEventListener("click", () => copy(location.href, gettext("Link copied to clipboard.")));
range.takeEarly(fields);
onChange(() => {
  document.getElementById("saved").hidePopover();
  load();
});
load();
