// The URL holds the state of the page, so that it can be shared and the back button works.

const listeners = [];

export function state() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** Changes some values and removes empty ones; adds an entry to the history unless `replace`. */
export function set(changes, { replace = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, value);
  }
  const next = query.size ? `${location.pathname}?${query}` : location.pathname;
  if (next === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  listeners.forEach((listener) => listener());
}

/** This page's URL with some values changed; links to it are followed without a reload. */
export function hrefWith(changes) {
  const query = new URLSearchParams({ ...state(), ...changes });
  for (const [name, value] of [...query]) if (value === "") query.delete(name);
  return `?${query}`;
}

/** Goes to a URL from `hrefWith`. */
export function follow(href) {
  history.pushState(null, "", href);
  listeners.forEach((listener) => listener());
}

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='?']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  follow(link.getAttribute("href"));
});

export function onChange(listener) {
  listeners.push(listener);
}

addEventListener("popstate", () => listeners.forEach((listener) => listener()));
