// A shared view, without links to other pages. The server knows its range and filters.

import { COMPARED, chartPanel } from "./traffic.js";
import { errorsPanel } from "./errors.js";
import { countriesPanel, websitesPanel } from "./rankings.js";
import { showTotals } from "./totals.js";

const PER_PAGE = 25;
const { path, from, to, tz, compare, interval, sortBy } = JSON.parse(document.getElementById("shown").textContent);
// The server takes range and filters from the link; these label the charts and name the CSV files.
const range = { from, to, tz };
const compares = () => COMPARED.get(compare);
let order = { sort: sortBy, page: "" };

for (const id of ["traffic", "requests", "concurrency"]) {
  chartPanel(id, { path: `${path}/${id}`, compares }).load({ ...range, interval, fill: "true" }).then(showTotals);
}
countriesPanel({ path: `${path}/countries` }).load({ ...range, limit: 100 });
errorsPanel({ path: `${path}/errors`, leads: false }).load({ ...range, limit: 50 });
const websites = websitesPanel({
  path: `${path}/websites`,
  by: () => order.sort,
  go: (changes) => {
    order = { ...order, ...changes };
    load();
  },
});

function load() {
  websites.load({ ...range, sortBy: order.sort, page: order.page, limit: PER_PAGE });
}
load();
