// The panel of errors: how often, where, their usual cause and remedy.

import { Panel } from "./panel.js";
import { linked, sortableTable } from "./table.js";
import * as format from "./format.js";
import * as links from "./links.js";

const HELP = JSON.parse(document.getElementById("error-help").textContent)
  .map(([pattern, ...lines]) => [new RegExp(pattern, "i"), lines]);

const help = (error) => HELP.find(([pattern]) => pattern.test(error))?.[1];

export function explained(row) {
  const cell = document.createDocumentFragment();
  const found = help(row.error);
  const lines = found || [gettext("Unknown error. Check which sites it comes from.")];
  for (const [number, text] of lines.entries()) {
    const line = document.createElement("div");
    line.textContent = text;
    if (number === 0) line.className = found ? "" : "faint";
    else line.className = "faint";
    cell.append(line);
  }
  return cell;
}

/** Errors and their domains link to their requests in the log, unless `leads` is false. */
export const errorsPanel = ({ path = "/analytics/errors", leads = true } = {}) => new Panel("errors", {
  path,
  empty: gettext("No errors in this period."),
  draw: (body, { data }, params) => {
    body.classList.add("cards");
    sortableTable(body, [
      { label: gettext("Error"), kind: "breakable", sort: "error", text: (row) => row.error,
        href: (row) => leads && links.log(params, { error: row.error }) },
      { label: gettext("Count"), kind: "number", sort: "count", text: (row) => format.count(row.total_errors),
        value: (row) => Number(row.total_errors) },
      { label: gettext("Meaning and fix"), kind: "breakable", node: explained },
      { label: gettext("Top domains"), kind: "breakable", node: (row) => domains(row, leads && params) },
    ], data, "count");
  },
});

function domains(row, params) {
  const cell = document.createDocumentFragment();
  for (const [number, host] of row.sample_domains.slice(0, 3).entries()) {
    cell.append(number ? ", " : "", linked(host || gettext("(unknown)"), host && params && links.log(params, { host, error: row.error })));
  }
  return cell;
}
