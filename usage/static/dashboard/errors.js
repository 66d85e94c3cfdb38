// The panel of errors: how often, where, what each usually means and what to do about it.

import { Panel } from "./panel.js";
import { table } from "./table.js";
import * as format from "./format.js";

const HELP = JSON.parse(document.getElementById("error-help").textContent)
  .map(([pattern, ...lines]) => [new RegExp(pattern, "i"), lines]);

const help = (error) => HELP.find(([pattern]) => pattern.test(error))?.[1];

export function explained(row) {
  const cell = document.createDocumentFragment();
  const found = help(row.error);
  const lines = found || [gettext("We know no more about this one. Look at the sites it comes from.")];
  for (const [number, text] of lines.entries()) {
    const line = document.createElement("div");
    line.textContent = text;
    if (number === 0) line.className = found ? "" : "faint";
    else line.className = "faint";
    cell.append(line);
  }
  return cell;
}

export const errorsPanel = () => new Panel("errors", {
  path: "/analytics/errors",
  empty: gettext("No errors in this time."),
  draw: (body, { data }) => table(body, [
    { label: gettext("Error"), kind: "breakable", text: (row) => row.error },
    { label: gettext("Times"), kind: "number", text: (row) => format.count(row.total_errors) },
    { label: gettext("What it means, and what to do"), kind: "breakable", node: explained },
    { label: gettext("Mostly at"), kind: "breakable", text: (row) => row.sample_domains.slice(0, 3).join(", ") },
  ], data),
});
