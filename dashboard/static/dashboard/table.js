// Tables of an API's rows.

import * as format from "./format.js";

/**
 * Columns are {label, text(row), kind?: "number" | "stamp" | "breakable" | "optional", href?(row), node?(row), sort?, value?(row)}.
 * Phones hide optional ones. With `sorting`, {by, isDescending, go(by, isDescending)}, the headers of columns with a `sort` are buttons.
 */
export function table(body, columns, rows, sorting) {
  const element = document.createElement("table");
  element.className = "list";
  const head = element.createTHead().insertRow();
  for (const column of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = column.kind || "";
    if (sorting && column.sort) sortable(cell, column, sorting);
    else cell.textContent = column.label;
    head.append(cell);
  }
  const lines = element.createTBody();
  for (const row of rows) {
    const line = lines.insertRow();
    for (const column of columns) line.append(filled(column, row));
  }
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.role = "group";
  scroll.ariaLabel = body.closest("section").querySelector("h2").textContent;
  scroll.append(element);
  body.replaceChildren(scroll);
}

/** The first click sorts numbers and times in descending order, and texts from A. */
function sortable(cell, { label, sort, kind }, { by, isDescending, go }) {
  const isSorted = by === sort;
  cell.ariaSort = isSorted ? (isDescending ? "descending" : "ascending") : "none";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.textContent = label;
  button.dataset.sort = sort;
  button.addEventListener("click", () => go(sort, isSorted ? !isDescending : /^(number|stamp)/.test(kind)));
  cell.append(button);
}

function filled(column, row) {
  const cell = document.createElement("td");
  cell.className = column.kind || "";
  cell.dataset.label = column.label;
  if (column.node) cell.append(column.node(row));
  else if (column.href) cell.append(linked(column.text(row), column.href(row)));
  else cell.textContent = column.text(row);
  return cell;
}

/** The text as a link, or only the text without an `href`. */
export function linked(text, href) {
  if (!href) return text;
  const link = document.createElement("a");
  link.href = href;
  link.textContent = text;
  return link;
}

const orders = new WeakMap();

/**
 * A table that has all its rows and therefore sorts them itself, by any column with a `sort`: by its `value(row)`, or its
 * text. It expects rows in descending order of the column `by`, and keeps the chosen order when it is drawn again.
 */
export function sortableTable(body, columns, rows, by) {
  const order = orders.get(body) || { by, isDescending: true };
  const { value, text } = columns.find((column) => column.sort === order.by);
  const ascending = value ? (one, other) => value(one) - value(other) : (one, other) => text(one).localeCompare(text(other));
  const sorted = [...rows].sort(order.isDescending ? (one, other) => ascending(other, one) : ascending);
  table(body, columns, sorted, {
    ...order,
    go: (next, isDescending) => {
      orders.set(body, { by: next, isDescending });
      sortableTable(body, columns, rows, by);
      body.querySelector(`[data-sort="${next}"]`).focus();
    },
  });
}

/** "Page 2 of 7" with its two buttons; `go(page)` is called with the chosen page. */
export function pager(body, page, pages, total, go, isMore = false) {
  const bar = document.createElement("nav");
  bar.className = "pager";
  bar.ariaLabel = gettext("Pages of this table");
  const button = (text, to) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "plain";
    made.textContent = text;
    made.disabled = to < 1 || to > pages;
    made.addEventListener("click", () => go(to));
    return made;
  };
  const where = document.createElement("span");
  const text = isMore ? gettext("Page %s of more than %s (more than %s total)") : gettext("Page %s of %s (%s total)");
  where.textContent = interpolate(text, [page, Math.max(pages - isMore, 1), format.count(total)]);
  bar.append(button(gettext("Previous"), page - 1), where, button(gettext("Next"), page + 1));
  body.append(bar);
}
