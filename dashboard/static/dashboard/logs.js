// Single requests: the URL holds range, filters and the opened request.

import { Panel } from "./panel.js";
import { Problem, copy, curl, read } from "./api.js";
import { pager, table } from "./table.js";
import { explained } from "./errors.js";
import * as format from "./format.js";
import * as range from "./range.js";
import * as zone from "./zone.js";
import { onChange, set, state } from "./state.js";

const PER_PAGE = 50;
const KEPT_DAYS = 7;
// A count one above this, or above the pages so far, means that there are more.
const MAX_COUNTED = 100000;
const SECONDS = new Map([["1h", 3600], ["24h", 86400]]);
const FILTERS = ["host", "status", "error", "method", "login", "order", "kb", "country", "session"];
const NEWEST_FIRST = "log_request_datetime_desc";
const form = document.getElementById("filters");
const fields = form.elements;
const dialog = document.getElementById("details");
const shown = new Map();
let loadedQuery;

const zoneOf = (given) => zone.chosen(given.tz);
const when = (row) => zone.label(zone.face(row.log_request_datetime), true);

const COLUMNS = [
  { label: gettext("Time"), sort: "log_request_datetime", kind: "stamp", node: opener },
  { label: gettext("Host"), sort: "log_hostname", kind: "breakable wide", text: (row) => row.log_hostname },
  { label: gettext("Method"), sort: "log_method", text: (row) => row.log_method ?? "" },
  { label: gettext("Status"), sort: "log_status_code", kind: "number status", text: (row) => row.log_status_code ?? "" },
  { label: gettext("Traffic"), sort: "log_total_bytes", kind: "number", text: (row) => format.bytes(row.log_total_bytes) },
  { label: gettext("Duration"), sort: "log_total_elapsed_ms", kind: "number", text: (row) => took(row) },
  { label: gettext("Country"), sort: "country_id", text: (row) => format.country(row.country_id) },
  { label: gettext("Proxy user"), text: (row) => row.proxy_user_id ?? "" },
  { label: gettext("Error"), sort: "log_error", kind: "breakable error", text: (row) => row.log_error ?? "" },
];

const took = (row) => `${format.count(row.log_total_elapsed_ms)} ms`;

const requests = new Panel("requests", {
  path: "/log/search",
  empty: gettext("No matching requests. Remove a filter or choose a longer range. Requests are kept for seven days if the proxies report them individually."),
  draw: (body, answer) => {
    shown.clear();
    answer.data.forEach((row) => shown.set(row.log_id, row));
    const sort = state().sort || NEWEST_FIRST;
    table(body, COLUMNS, answer.data, {
      by: sort.replace(/_(asc|desc)$/, ""),
      isDescending: sort.endsWith("_desc"),
      go: (by, isDescending) => {
        const next = `${by}_${isDescending ? "desc" : "asc"}`;
        set({ sort: next === NEWEST_FIRST ? "" : next, page: "" });
      },
    });
    body.classList.add("cards");
    body.querySelectorAll("tbody tr").forEach((line, number) => {
      line.className = "opens";
      line.addEventListener("click", () => {
        if (getSelection().isCollapsed) set({ log: answer.data[number].log_id });
      });
    });
    const isMore = answer.total_count === Math.max(MAX_COUNTED, answer.page * answer.per_page) + 1;
    pager(body, answer.page, Math.ceil(answer.total_count / answer.per_page), answer.total_count - isMore, (page) =>
      set({ page: page > 1 ? page : "" }), isMore);
  },
});

/** A button for those who cannot click a row; a click on it counts as one on the row. */
function opener(row) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = when(row);
  button.title = gettext("Details of this request");
  return button;
}

// --- query ---

function load() {
  const { log, ...given } = state();
  const query = JSON.stringify(given);
  if (query !== loadedQuery) {
    loadedQuery = query;
    fill(given);
    requests.load(params(given));
  }
  show(log);
}

function params(given) {
  return {
    ...period(given),
    ...status(given.status),
    ...wanted("log_hostname", given.host),
    ...wanted("log_error", given.error || (given.failed && "%")),
    log_method: given.method,
    proxy_user_id: given.login,
    service_id: given.order,
    min_log_total_bytes: given.kb && Math.round(Number(given.kb) * 1024),
    country_id: given.country,
    log_session_id: given.session,
    sort_by: given.sort || NEWEST_FIRST,
    page: given.page,
    per_page: PER_PAGE,
    tz: zoneOf(given),
  };
}

/** Without bounds a search covers everything that is kept. */
function period(given) {
  const ends = range.custom(given)?.map(zone.iso);
  if (ends) return { min_log_request_datetime: ends[0], max_log_request_datetime: ends[1] };
  const seconds = SECONDS.get(given.range);
  return seconds ? { min_log_request_datetime: zone.iso(Math.floor(Date.now() / 1000) - seconds) } : {};
}

function status(text) {
  const hundreds = /^(\d)xx$/i.exec(text)?.[1];
  return hundreds ? { min_log_status_code: `${hundreds}00`, max_log_status_code: `${hundreds}99` } : { log_status_code: text };
}

/** Text in quotation marks is matched exactly; other text as a part, or as a pattern if it contains %. */
function wanted(field, text) {
  const exact = /^"(.+)"$/s.exec(text)?.[1];
  if (exact) return { [field]: exact };
  return text ? { [`like_${field}`]: text.includes("%") ? text : `%${text}%` } : {};
}

const exactly = (text) => `"${text}"`;

/** Sets the controls to the state in the URL. */
function fill(given) {
  const tz = zoneOf(given);
  const custom = range.custom(given);
  const preset = custom ? "custom" : SECONDS.has(given.range) ? given.range : range.USUAL;
  for (const choice of fields.range) choice.checked = choice.value === preset;
  const now = Date.now() / 1000;
  const [from, to] = custom || [now - (SECONDS.get(preset) || KEPT_DAYS * 86400), now];
  range.showEnds(fields, Math.max(from, now - KEPT_DAYS * 86400 + 60), to, tz);
  range.countFilters([...FILTERS, "failed"].filter((name) => given[name]).length);
  zone.offer(fields.tz, tz);
  for (const name of FILTERS) fields[name].value = given[name] || "";
  fields.failed.checked = Boolean(given.failed);
}

/** The filters of all controls, including one that is still being typed in. */
const filters = () => ({
  ...Object.fromEntries(FILTERS.map((name) => [name, fields[name].value.trim()])),
  failed: fields.failed.checked ? "1" : "",
});

range.offerCustom(fields);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  loadedQuery = undefined;
  set({ ...filters(), page: "" });
  if (loadedQuery === undefined) load();
});
form.addEventListener("change", ({ target }) => {
  const { name } = target;
  const isTyped = name === "from" || name === "to" || (name === "range" && target.value === "custom");
  if (isTyped) {
    const chosen = range.typed(fields, KEPT_DAYS, gettext("Requests are kept for seven days. Choose a shorter range."));
    if (chosen) set({ ...chosen, page: "" });
    return;
  }
  if (!target.reportValidity()) return;
  if (name === "tz") zone.keep(target.value);
  const more = name === "range" ? { range: target.value, from: "", to: "" } : name === "tz" ? { tz: target.value } : {};
  set({ ...filters(), ...more, page: "" });
});

// --- one request ---

const orderName = (id) => [...fields.order.options].find((option) => option.value === id)?.text || id;

// For each field: its label, its format, the filter for its value, and the filter's form of the value.
const FACTS = [
  [gettext("Time"), (row) => `${when(row)} (${zoneOf(state())})`],
  [gettext("Host"), (row) => row.log_hostname, "host", exactly],
  [gettext("Method"), (row) => row.log_method, "method"],
  [gettext("Status"), (row) => row.log_status_code, "status"],
  [gettext("Error"), (row) => row.log_error, "error", exactly],
  [gettext("Received"), (row) => format.bytes(row.log_bytes_received)],
  [gettext("Sent"), (row) => format.bytes(row.log_bytes_sent)],
  [gettext("Duration"), took],
  [gettext("Concurrency"), (row) => row.log_concurrency && interpolate(
    ngettext("%s connection", "%s connections", row.log_concurrency), [format.count(row.log_concurrency)])],
  [gettext("Order"), (row) => orderName(row.service_id)],
  [gettext("Proxy user"), (row) => row.proxy_user_id, "login"],
  [gettext("Session"), (row) => row.log_session_id, "session"],
  [gettext("Network"), (row) => row.log_network],
  [gettext("Protocol"), (row) => row.log_protocol],
  [gettext("Authentication"), (row) => row.log_authentication_type],
  [gettext("Country"), (row) => format.country(row.country_id)],
  [gettext("City"), (row) => row.city_alias],
  [gettext("ASN"), (row) => row.asn_id],
  [gettext("Exit IP address"), (row) => row.log_egress_ip_address],
  [gettext("Your IP address"), (row) => row.log_client_ip_address],
  [gettext("Proxy IP address"), (row) => row.log_local_ip_address],
  [gettext("Proxy port"), (row) => row.log_local_port],
  [gettext("ID"), (row) => row.log_id],
];

async function show(id) {
  if (!id) {
    dialog.close();
    return;
  }
  const facts = document.getElementById("facts");
  facts.replaceChildren();
  document.getElementById("advice").replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    const row = shown.get(id) || (await read(`/log/retrieve/${encodeURIComponent(id)}`, { tz: zoneOf(state()) })).data;
    if (state().log === id) describe(facts, row);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    facts.textContent = problem.status === 404 ? gettext("This request no longer exists. Requests are deleted after seven days.") : problem.message;
  }
}

function describe(facts, row) {
  facts.replaceChildren();
  for (const [label, text, filter, taken = String] of FACTS) {
    const value = text(row);
    if (value === null || value === undefined || value === "" || value === 0) continue;
    const term = document.createElement("dt");
    term.textContent = label;
    const description = document.createElement("dd");
    description.textContent = value;
    if (filter) description.append(" ", more(label, value, { [filter]: taken(value) }));
    facts.append(term, description);
  }
  if (row.log_error) document.getElementById("advice").replaceChildren(explained({ error: row.log_error }));
}

function more(label, value, filter) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = gettext("filter by this");
  button.ariaLabel = interpolate(gettext("Show only requests with %s %s"), [label, value]);
  button.addEventListener("click", () => set({ ...filter, log: "", page: "" }));
  return button;
}

dialog.addEventListener("close", () => set({ log: "" }));
document.getElementById("close").addEventListener("click", () => dialog.close());
document.getElementById("copy-one").addEventListener("click", () =>
  copy(curl(`/log/retrieve/${encodeURIComponent(state().log)}`), gettext("API call copied to clipboard.")));
range.takeEarly(fields);
onChange(load);
load();
