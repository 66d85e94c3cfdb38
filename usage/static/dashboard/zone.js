// Moments and what clocks show. The APIs take and give labels of a zone's clocks; charts draw those labels as they are.

const KEPT = "zone";

export const own = () => localStorage.getItem(KEPT) || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
export const keep = (zone) => localStorage.setItem(KEPT, zone);

/** "2026-11-21 14:00:00" or "2026-11-21T14:00" as seconds on a clock face, whatever zone it hangs in. */
export function face(label) {
  const text = label.replace(" ", "T");
  return Date.parse(`${text.length === 10 ? `${text}T00:00` : text}Z`) / 1000;
}

/** What clocks in the zone show at an instant, in seconds on their face. */
export function shown(instant, zone) {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-CA", {
      timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    }).formatToParts(new Date(instant * 1000)).map((part) => [part.type, part.value]),
  );
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) / 1000;
}

/** The instant at which clocks in the zone show that. */
export function instant(faceSeconds, zone) {
  let at = faceSeconds;
  for (let round = 0; round < 2; round += 1) at += faceSeconds - shown(at, zone);
  return at;
}

/** An instant as the APIs take it. */
export const iso = (seconds) => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");

/** Seconds on a clock face as a person reads them. */
export const label = (faceSeconds, seconds = false) =>
  new Date(faceSeconds * 1000).toISOString().slice(0, seconds ? 19 : 16).replace("T", " ");

/** Has the page's moments, which came in UTC, shown by clocks in the zone, and named if the page has a place for that. */
export function localise(zone) {
  document.getElementById("zone")?.replaceChildren(zone);
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = label(shown(Date.parse(time.dateTime) / 1000, zone));
  }
}

export function offer(select, chosen) {
  const names = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];
  if (!names.includes(chosen)) names.unshift(chosen);
  select.replaceChildren(...names.map((name) => new Option(name, name, name === chosen, name === chosen)));
}
