// The range of a view: a preset, or two instants.

import { set } from "./state.js";
import * as zone from "./zone.js";

const HOUR = 3600;
const DAY = 86400;
const YEAR_10000 = 253402300800;
export const MAX_DAYS = 62;
export const USUAL = "7d";

const startOfMonth = (face, back = 0) => {
  const date = new Date(face * 1000);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - back, 1) / 1000;
};

/** By name: start and end in the zone's local time, as seconds. They include the current hour or day. */
export const PRESETS = new Map([
  ["24h", (now) => [Math.floor(now / HOUR) * HOUR - 23 * HOUR, now]],
  ["7d", (now) => [Math.floor(now / DAY) * DAY - 6 * DAY, now]],
  ["30d", (now) => [Math.floor(now / DAY) * DAY - 29 * DAY, now]],
  ["month", (now) => [startOfMonth(now), now]],
  ["last-month", (now) => [startOfMonth(now, 1), startOfMonth(now)]],
]);

/** The two instants, in seconds, that the URL gives instead of a preset; null if it gives fewer. */
export function custom({ range, from, to }) {
  if (range) return null;
  const ends = [from, to].map((text) => Date.parse(text) / 1000);
  return ends.every((at) => at >= 0 && at < YEAR_10000) ? ends : null;
}

/** The start and end of the state's range, as instants in seconds. */
export function instants(given, tz, now = Date.now() / 1000) {
  const ends = custom(given);
  if (ends) return ends;
  const { range } = given;
  const [start, end] = (PRESETS.get(range) || PRESETS.get(USUAL))(zone.shown(now, tz));
  return [zone.instant(start, tz), range === "last-month" ? zone.instant(end, tz) : Math.ceil(now / 60) * 60];
}

/** The range as parameters of the analytics API. */
export function params(given, tz, now) {
  const [from, to] = instants(given, tz, now);
  return { from: zone.iso(from), to: zone.iso(to), tz };
}

/** Shows the start and end, and puts them into the form's `from` and `to`. */
export function showEnds({ from, to }, start, end, tz) {
  const faces = [start, end].map((at) => zone.shown(at, tz));
  document.getElementById("ends").textContent = `${faces.map((face) => zone.label(face)).join(" – ")} ${tz}`;
  [from.value, to.value] = faces.map(zone.field);
}

export const countFilters = (count) => (document.getElementById("filter-count").textContent = count ? `(${count})` : "");

/** Takes over a preset that was chosen while the scripts were still loading. */
export function takeEarly(fields) {
  const range = fields.range.value;
  if (range && range !== "custom") set({ range, from: "", to: "", page: "" }, { replace: true });
}

/** Opens `from` and `to` below the choice *Custom*, whether it is chosen already or not. */
export function offerCustom(fields) {
  const box = document.getElementById("custom");
  const choice = [...fields.range].find(({ value }) => value === "custom");
  choice.addEventListener("click", () => {
    if (!box.matches(":popover-open")) box.showPopover();
    const { left, bottom } = choice.parentElement.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(left + scrollX, innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${bottom + scrollY + 6}px`;
    fields.from.focus();
  });
}

/** The form's `from` and `to`, local times in its `tz`, as changes of the state; if invalid, reports that and returns null. */
export function typed({ from, to, tz }, longestDays, tooLong) {
  to.setCustomValidity("");
  if (![from, to].every((field) => field.reportValidity())) return null;
  const [start, end] = [from, to].map((field) => zone.instant(zone.face(field.value), tz.value));
  const isBackwards = !(start < end);
  to.setCustomValidity(
    isBackwards ? gettext("The end must be after the start.") : end - start > longestDays * 86400 ? tooLong : "");
  return to.reportValidity() ? { range: "", from: zone.iso(start), to: zone.iso(end) } : null;
}
