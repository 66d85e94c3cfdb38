// Available proxies by country, public.

import { publicCurl } from "./api.js";
import { WorldMap } from "./map.js";
import { Panel } from "./panel.js";
import { table } from "./table.js";
import * as format from "./format.js";
import { onChange, set, state } from "./state.js";

const form = document.getElementById("filters");
const fields = form.elements;
let shownType;

const COLUMNS = [
  { label: gettext("Country"), sort: "name", text: (row) => row.name },
  { label: gettext("Code"), sort: "code", text: (row) => row.code },
  { label: gettext("Proxies"), sort: "count", kind: "number", text: (row) => format.count(row.count) },
];

const map = new WorldMap(document.getElementById("counts-map"), {
  text: format.count,
  go: ({ code }) => set({ q: format.country(code) }),
});

const counts = new Panel("counts", {
  path: "/geo/counts",
  curl: publicCurl,
  empty: gettext("No proxies of this type are available right now."),
  clear: () => map.show([]),
  isEmpty: (answer) => Object.keys(answer.counts).length === 0,
  draw: (body, answer) => {
    const [pools] = Object.values(answer.counts);
    const given = state();
    const pool = chosen("pool", pools, given.pool, "default");
    const service = chosen("service", pools[pool], given.service, typeChosen().dataset.service);
    const all = Object.entries(pools[pool][service])
      .filter(([, count]) => count > 0)
      .map(([code, count]) => ({ code, count, name: format.country(code) }));
    const wanted = (given.q || "").trim().toLowerCase();
    const found = all.filter((row) => row.name.toLowerCase().includes(wanted) || row.code.toLowerCase() === wanted);
    tell(all, found);
    map.show(all.map(({ code, count: value }) => ({ code, value })));
    const sort = given.sort || "count_desc";
    const [by, direction] = sort.split("_");
    table(body, COLUMNS, sorted(found, by, direction === "desc"), {
      by,
      isDescending: direction === "desc",
      go: (name, isDescending) => set({ sort: `${name}_${isDescending ? "desc" : "asc"}` }, { replace: true }),
    });
  },
});

const types = [...form.querySelectorAll("[name=type]")];
const typeChosen = () => types.find((choice) => choice.value === state().type) || types[0];

/** Fills a select, hidden if there is only one choice. Returns the chosen one. */
function chosen(name, choices, wanted, usual) {
  const names = Object.keys(choices).sort();
  const found = [wanted, usual, names[0]].find((one) => names.includes(one));
  fields[name].replaceChildren(...names.map((one) => new Option(one, one, one === found, one === found)));
  fields[name].parentElement.hidden = names.length < 2;
  return found;
}

function sorted(rows, by, isDescending) {
  const byName = (one, other) => one.name.localeCompare(other.name);
  const order = by === "count" ? (one, other) => one.count - other.count || -byName(one, other)
    : by === "code" ? (one, other) => one.code.localeCompare(other.code) : byName;
  return rows.sort((one, other) => (isDescending ? -order(one, other) : order(one, other)));
}

function tell(all, found) {
  const sum = (rows) => format.count(rows.reduce((total, row) => total + row.count, 0));
  const amount = found.length < all.length ? interpolate(gettext("%s of %s"), [sum(found), sum(all)]) : sum(all);
  document.getElementById("total").textContent = found.length === 0
    ? gettext("No proxies in a country with that name. Check the spelling.")
    : interpolate(ngettext("%s proxies in %s country", "%s proxies in %s countries", found.length), [amount, found.length]);
}

function load() {
  const given = state();
  typeChosen().checked = true;
  if (fields.q.value.trim() !== (given.q || "")) fields.q.value = given.q || "";
  const type = typeChosen().value;
  if (type !== shownType) document.getElementById("total").textContent = "";
  if (type === shownType && counts.answer) counts.show(counts.answer);
  else counts.load({ type }).then((answer) => (counts.answer = answer));
  shownType = type;
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", ({ target: { name, value } }) => {
  if (name === "type") set({ type: value, pool: "", service: "" });
  else if (name === "pool") set({ pool: value, service: "" });
  else if (name === "service") set({ service: value });
});
form.addEventListener("input", ({ target: { name, value } }) => {
  if (name === "q") set({ q: value.trim() }, { replace: true });
});
onChange(load);
load();
