// Draws the chart of the usage page, and shows the two date fields only for a custom range.

import { chart } from "../dashboard/chart.js";
import * as format from "../dashboard/format.js";

const form = document.getElementById("usage-form");
const showDays = () => {
  for (const name of ["first", "last"]) form[name].closest("div").hidden = form.range.value !== "custom";
};
form.range.addEventListener("change", showDays);
showDays();

const place = document.getElementById("chart");
if (place) {
  const { tz, title, times, lines } = JSON.parse(document.getElementById("chart-data").textContent);
  const series = lines.map((line) => ({ ...line, format: format.bytes }));
  const onZoom = (from, to) => {
    const days = new Intl.DateTimeFormat("en-CA", { timeZone: tz });
    const query = new URLSearchParams(location.search);
    for (const [name, at] of [["first", from], ["last", to]]) query.set(name, days.format(new Date(at * 1000)));
    query.set("range", "custom");
    location.assign(`?${query}`);
  };
  chart(place, { times, tz, series, title, format: format.bytes, onZoom, binary: true });
}

// The admin changes its theme by an attribute, without an event.
new MutationObserver(() => dispatchEvent(new Event("themechange"))).observe(document.documentElement, {
  attributeFilter: ["data-theme"],
});
