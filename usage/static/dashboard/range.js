// The range a view is about: a preset, or two instants.

import * as zone from "./zone.js";

const HOUR = 3600;
const DAY = 86400;
const YEAR_10000 = 253402300800;
export const LONGEST_DAYS = 62;
export const USUAL = "7d";

const startOfMonth = (face, back = 0) => {
  const date = new Date(face * 1000);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - back, 1) / 1000;
};

/** Names and, by the zone's clock, from and to on its face. The newest hour or day is included. */
export const PRESETS = new Map([
  ["24h", (now) => [Math.floor(now / HOUR) * HOUR - 23 * HOUR, now]],
  ["7d", (now) => [Math.floor(now / DAY) * DAY - 6 * DAY, now]],
  ["30d", (now) => [Math.floor(now / DAY) * DAY - 29 * DAY, now]],
  ["month", (now) => [startOfMonth(now), now]],
  ["last-month", (now) => [startOfMonth(now, 1), startOfMonth(now)]],
]);

/** The two instants in seconds that an address names instead of a preset; null unless it names two. */
export function custom({ range, from, to }) {
  if (range) return null;
  const ends = [from, to].map((text) => Date.parse(text) / 1000);
  return ends.every((at) => at >= 0 && at < YEAR_10000) ? ends : null;
}

/** The instants in seconds between which the state's range lies. */
export function instants(given, tz, now = Date.now() / 1000) {
  const ends = custom(given);
  if (ends) return ends;
  const { range } = given;
  const [start, end] = (PRESETS.get(range) || PRESETS.get(USUAL))(zone.shown(now, tz));
  return [zone.instant(start, tz), range === "last-month" ? zone.instant(end, tz) : Math.ceil(now / 60) * 60];
}

/** The same as the parameters of the analytics API. */
export function params(given, tz, now) {
  const [from, to] = instants(given, tz, now);
  return { from: zone.iso(from), to: zone.iso(to), tz };
}

/** What the form's `from` and `to` say on the clocks of its `tz`, as changes of the state; null, and said, if wrong. */
export function typed({ from, to, tz }, longestDays, tooLong) {
  to.setCustomValidity("");
  if (![from, to].every((field) => field.reportValidity())) return null;
  const [start, end] = [from, to].map((field) => zone.instant(zone.face(field.value), tz.value));
  const isBackwards = !(start < end);
  to.setCustomValidity(
    isBackwards ? gettext("The end lies before the start.") : end - start > longestDays * 86400 ? tooLong : "");
  return to.reportValidity() ? { range: "", from: zone.iso(start), to: zone.iso(end) } : null;
}
