// Calls to the JSON APIs with the session cookie, and the same calls as curl commands.

export class Problem extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  return query.size ? `${path}?${query}` : path;
}

// The server handles four requests of an account at once; more would wait there and might be refused.
const AT_ONCE = 4;
const waiting = [];
let running = 0;

async function inTurn(ask) {
  if (running < AT_ONCE) running++;
  else await new Promise((start) => waiting.push(start));
  try {
    return await ask();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

/** The JSON of the response; throws Problem, or AbortError if the signal aborts. */
export async function read(path, params, signal) {
  let response;
  try {
    response = await inTurn(() => fetch(address(path, params), { headers: { Accept: "application/json" }, signal }));
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Problem(0, gettext("Cannot reach the server. Check your connection."), 5);
  }
  await checkAccount(response);
  if (response.ok) return response.json();
  if (response.status === 401) {
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const body = await response.json().catch(() => ({}));
  throw new Problem(response.status, errorMessage(body), Number(response.headers.get("Retry-After")) || 0);
}

// A sign-in or a switch in another tab also applies to this one, whose page shows another account.
const ACCOUNT = document.querySelector("meta[name=account]")?.content;
const RELOADED = "reloaded for";

/** Reloads the page if the response is about another account than the page's; then this never resolves. */
async function checkAccount(response) {
  const account = response.headers.get("X-Account");
  if (!ACCOUNT || !account) return;
  if (account === ACCOUNT) {
    sessionStorage.removeItem(RELOADED);
  } else if (sessionStorage.getItem(RELOADED) !== account) {
    sessionStorage.setItem(RELOADED, account);
    location.reload();
    await new Promise(() => {});
  } else throw new Problem(409, gettext("You are now signed in to another account. Reload this page."));
}

// Each API family has its own shape of errors.
function errorMessage(body) {
  const details = (body.errors || []).map((error) => `${error.field}: ${error.message}`).join("; ");
  const named = Object.entries(body.error?.details || {}).map(([field, found]) => `${field}: ${found[0]}`).join("; ");
  const text = body.detail || body.error?.message || (body.error && body.message) || body.error;
  return [typeof text === "string" ? text : gettext("Something went wrong. Try again."), details || named].filter(Boolean).join(" ");
}

export const curl = (path, params) => `curl -H 'x-api-key: YOUR_API_KEY' ${quoted(path, params)}`;
export const publicCurl = (path, params) => `curl ${quoted(path, params)}`;

/** The URL of a call, quoted for a shell. */
export const quoted = (path, params) => `'${new URL(address(path, params), location.origin).href.replaceAll("'", "%27")}'`;

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS scripts have no clipboard access; a selection can still be copied.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(said);
}

export function toast(text) {
  const note = document.createElement("p");
  note.className = "toast";
  note.role = "status";
  document.body.append(note);
  note.textContent = text;
  setTimeout(() => note.remove(), 2500);
}
