// Instants and local times. The APIs take instants and return labels in local time; charts draw instants.

const KEPT = "zone";
const ACCOUNTS = document.querySelector("meta[name=zone]")?.content;
const browsers = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function isKnown(zone) {
  try {
    return Boolean(zone && formatter(zone));
  } catch {
    return false;
  }
}

/** The account's zone; without one, the zone last chosen in this browser, or the browser's own. */
export const own = () => [ACCOUNTS, localStorage.getItem(KEPT), browsers()].find(isKnown) || "UTC";
export const keep = (zone) => localStorage.setItem(KEPT, zone);

/** The zone that the URL names; the reader's own if it names none that this browser knows. */
export const chosen = (name) => (isKnown(name) ? name : own());

/** A local time, "2026-11-21 14:00:00" or "2026-11-21T14:00", as seconds since 1970 as if it were in UTC. */
export function face(label) {
  const text = label.replace(" ", "T");
  return Date.parse(`${text.length === 10 ? `${text}T00:00` : text}Z`) / 1000;
}

const formatters = new Map();

function formatter(zone) {
  if (!formatters.has(zone)) {
    formatters.set(zone, new Intl.DateTimeFormat("en-CA", {
      timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    }));
  }
  return formatters.get(zone);
}

/** The local time in the zone at an instant, in such seconds. */
export function shown(instant, zone) {
  const formatted = formatter(zone).formatToParts(new Date(instant * 1000));
  const parts = Object.fromEntries(formatted.map((part) => [part.type, part.value]));
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) / 1000;
}

const offset = (at, zone) => shown(at, zone) - at;

/** The instants with that local time, earliest first: two where clocks go back, none where they go forward. */
function occurrences(faceSeconds, zone) {
  const offsets = [offset(faceSeconds - 86400, zone), offset(faceSeconds + 86400, zone)];
  const found = [...new Set(offsets)].map((seconds) => faceSeconds - seconds);
  return found.filter((at) => shown(at, zone) === faceSeconds).sort((one, other) => one - other);
}

/** The first instant with that local time; a time that clocks skip counts as if they had not gone forward. */
export function instant(faceSeconds, zone) {
  return occurrences(faceSeconds, zone)[0] ?? faceSeconds - offset(faceSeconds - 86400, zone);
}

/** The instants of the local times of consecutive points, the first of which covers `from`. */
export function instants(faces, zone, from) {
  const widths = faces.slice(1).map((face, number) => face - faces[number]).filter((width) => width > 0);
  const width = widths.reduce((least, one) => Math.min(least, one), widths[0] ?? 3600);
  let at = from - width;
  return faces.map((face) => {
    // Usually the next point is one width away; searching for it takes several times as long.
    const next = at + width;
    if (shown(next, zone) === face) at = next;
    else {
      const found = occurrences(face, zone);
      at = found.length === 1 ? found[0] : found.find((one) => one > at) ?? next;
    }
    return at;
  });
}

/** An instant in the format of the APIs. */
export const iso = (seconds) => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");

/** Seconds on a clock face as a field of the type datetime-local takes them. */
export const field = (faceSeconds) => new Date(faceSeconds * 1000).toISOString().slice(0, 16);

/** The date on a clock face, by Django's format of that name, as the server writes it. */
export function date(faceSeconds, format = "DATE_FORMAT") {
  const [Y, m, d] = field(faceSeconds).slice(0, 10).split("-");
  return get_format(format).replace(/[Ymd]/g, (part) => ({ Y, m, d })[part]);
}

export const clock = (faceSeconds, seconds = false) =>
  new Date(faceSeconds * 1000).toISOString().slice(11, seconds ? 19 : 16);

/** Date and time on a clock face as a person reads them. */
export const label = (faceSeconds, seconds = false) => `${date(faceSeconds)} ${clock(faceSeconds, seconds)}`;

/** An instant as a person reads it, with the offset from UTC in an hour that occurs twice. */
export function moment(at, zone) {
  return `${label(shown(at, zone))} ${which(at, zone)}`.trim();
}

/** Of an hour that comes twice, the offset of the one that the instant is in; else empty. */
export function which(at, zone) {
  const on = shown(at, zone);
  return occurrences(on, zone).length < 2 ? "" : `${on < at ? "-" : "+"}${clock(Math.abs(on - Math.floor(at)))}`;
}

/** Shows the page's times, which arrive in UTC, in the zone, and names the zone if the page has a place for that. */
export function localise(zone) {
  document.getElementById("zone")?.replaceChildren(zone);
  for (const time of document.querySelectorAll("time[datetime*=T]")) {
    time.textContent = moment(Date.parse(time.dateTime) / 1000, zone);
  }
}

export function offer(select, chosen) {
  const names = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];
  if (!names.includes(chosen)) names.unshift(chosen);
  select.replaceChildren(...names.map((name) => new Option(name, name, name === chosen, name === chosen)));
}
