// Tables of an API's rows.

/**
 * Columns are {label, text(row), kind?: "number" | "stamp" | "breakable", href?(row), node?(row), sort?}.
 * With `sorting`, {by, isDescending, go(by, isDescending)}, the heads of columns that have a `sort` are buttons.
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

/** The first click sorts as that kind is mostly wanted: the largest or latest first, texts from A. */
function sortable(cell, { label, sort, kind }, { by, isDescending, go }) {
  const isSorted = by === sort;
  cell.ariaSort = isSorted ? (isDescending ? "descending" : "ascending") : "none";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.textContent = label;
  button.addEventListener("click", () => go(sort, isSorted ? !isDescending : kind === "number" || kind === "stamp"));
  cell.append(button);
}

function filled(column, row) {
  const cell = document.createElement("td");
  cell.className = column.kind || "";
  if (column.node) cell.append(column.node(row));
  else if (column.href) {
    const link = document.createElement("a");
    link.href = column.href(row);
    link.textContent = column.text(row);
    cell.append(link);
  } else cell.textContent = column.text(row);
  return cell;
}

/** "Page 2 of 7" with its two buttons; `go(page)` is called with the page wanted. */
export function pager(body, page, pages, total, go) {
  const bar = document.createElement("nav");
  bar.className = "pager";
  bar.ariaLabel = gettext("Pages");
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
  where.textContent = interpolate(gettext("Page %s of %s (%s in all)"), [page, Math.max(pages, 1), total.toLocaleString()]);
  bar.append(button(gettext("Previous"), page - 1), where, button(gettext("Next"), page + 1));
  body.append(bar);
}
