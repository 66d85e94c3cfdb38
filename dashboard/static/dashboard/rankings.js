// The panels of countries and websites, which more than one page has.

import { WorldMap } from "./map.js";
import { Panel } from "./panel.js";
import { pager, sortableTable, table } from "./table.js";
import * as format from "./format.js";
import * as zone from "./zone.js";

/** Countries with their map. `href(row)` is the link of a row; the map opens it with `follow(href)`. */
export function countriesPanel({ path = "/analytics/countries", href = () => "", follow } = {}) {
  const map = new WorldMap(document.getElementById("countries-map"), {
    text: format.bytes,
    go: follow && (({ code }) => follow(href({ country: code }))),
  });
  return new Panel("countries", {
    path,
    clear: () => map.show([]),
    draw: (body, { data }) => {
      map.show(data.map((row) => ({ code: row.country, value: Number(row.bytes_total) })));
      sortableTable(body, [
        { label: gettext("Country"), kind: "breakable", sort: "country", text: (row) => format.country(row.country), href },
        { label: gettext("Requests"), kind: "number", sort: "count", text: (row) => format.count(row.total_count),
          value: (row) => Number(row.total_count) },
        { label: gettext("Traffic"), kind: "number", sort: "bytes", text: (row) => format.bytes(row.bytes_total),
          value: (row) => Number(row.bytes_total) },
        { label: gettext("Errors"), kind: "number", sort: "errors", text: (row) => format.count(row.total_errors),
          value: (row) => Number(row.total_errors) },
      ], data, "bytes");
    },
  });
}

/** Websites in pages: `by()` is the current sort, `go({sort, page})` is called to change it or the page. */
export const websitesPanel = ({ path = "/analytics/websites", href = () => "", by, go }) => new Panel("websites", {
  path,
  draw: (body, answer) => {
    table(body, [
      { label: gettext("Website"), kind: "breakable", text: (row) => row.domain || gettext("(unknown)"), href },
      { label: gettext("Requests"), kind: "number", sort: "count", text: (row) => format.count(row.total_count) },
      { label: gettext("Traffic"), kind: "number", sort: "bytes", text: (row) => format.bytes(row.bytes_total) },
      { label: gettext("First visit"), kind: "number optional", text: (row) => zone.label(zone.face(row.first_visit)) },
      { label: gettext("Last visit"), kind: "number optional", text: (row) => zone.label(zone.face(row.last_visit)) },
    ], answer.data, {
      by: by() === "bytes" ? "bytes" : "count",
      isDescending: true,
      go: (next) => go({ sort: next === "bytes" ? next : "", page: "" }),
    });
    pager(body, answer.page, answer.totalPages, answer.total, (page) => go({ page: page > 1 ? page : "" }));
  },
});
