// The panels of countries and websites, which more than one page has.

import { Panel } from "./panel.js";
import { pager, sortableTable, table } from "./table.js";
import * as format from "./format.js";

/** `href(row)` is where a row leads. */
export const countriesPanel = ({ path = "/analytics/countries", href = () => "" } = {}) => new Panel("countries", {
  path,
  draw: (body, { data }) => sortableTable(body, [
    { label: gettext("Country"), kind: "breakable", sort: "country", text: (row) => format.country(row.country), href },
    { label: gettext("Requests"), kind: "number", sort: "count", text: (row) => format.count(row.total_count),
      value: (row) => Number(row.total_count) },
    { label: gettext("Traffic"), kind: "number", sort: "bytes", text: (row) => format.bytes(row.bytes_total),
      value: (row) => Number(row.bytes_total) },
    { label: gettext("Errors"), kind: "number", sort: "errors", text: (row) => format.count(row.total_errors),
      value: (row) => Number(row.total_errors) },
  ], data, "bytes"),
});

/** Page by page: `by()` says what they are sorted by, `go({sort, page})` is called with what is wanted. */
export const websitesPanel = ({ path = "/analytics/websites", href = () => "", by, go }) => new Panel("websites", {
  path,
  draw: (body, answer) => {
    table(body, [
      { label: gettext("Website"), kind: "breakable", text: (row) => row.domain || gettext("(unknown)"), href },
      { label: gettext("Requests"), kind: "number", sort: "count", text: (row) => format.count(row.total_count) },
      { label: gettext("Traffic"), kind: "number", sort: "bytes", text: (row) => format.bytes(row.bytes_total) },
      { label: gettext("First visit"), kind: "number", text: (row) => row.first_visit.slice(0, 16) },
      { label: gettext("Last visit"), kind: "number", text: (row) => row.last_visit.slice(0, 16) },
    ], answer.data, {
      by: by() === "bytes" ? "bytes" : "count",
      isDescending: true,
      go: (next) => go({ sort: next === "bytes" ? next : "", page: "" }),
    });
    pager(body, answer.page, answer.totalPages, answer.total, (page) => go({ page: page > 1 ? page : "" }));
  },
});
