// Numbers as people read them, with the separators of the page. Sizes are in units of 1024, as everywhere in FonProxy.

// Django's formats of the page's language, so that scripts write numbers as the server does, in every browser.
const SEPARATORS = { decimal: get_format("DECIMAL_SEPARATOR"), group: get_format("THOUSAND_SEPARATOR") };
const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"].map((unit, power) => [unit, 1024 ** power]);
const TIMES = [["µs", 1], ["ms", 1e3], ["s", 1e6]];
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const written = (numbers, value) =>
  numbers.formatToParts(value).map((part) => SEPARATORS[part.type] ?? part.value).join("");
const rounded = (value, least, most) =>
  written(new Intl.NumberFormat("en", { minimumFractionDigits: least, maximumFractionDigits: most }), value);

/** The largest unit that the value reaches. */
const unitOf = (units, value) => units.findLast(([, size]) => Math.abs(value) >= size) || units[0];

/** A size in the unit that suits it; on an axis all ticks use the unit that suits the largest value, `scale`. */
export function bytes(value, scale) {
  const [unit, size] = unitOf(SIZES, Number(scale ?? value));
  const amount = Number(value) / size;
  const digits = size === 1 || Math.abs(amount) >= 100 ? 0 : Math.abs(amount) >= 10 ? 1 : 2;
  return `${rounded(amount, scale === undefined ? digits : 0, digits)} ${unit}`;
}

export const count = (value) => written(whole, Number(value));
export const compact = (value) => written(short, Number(value));
export const percent = (value) => `${rounded(Number(value), 0, 1)} %`;

/** Microseconds as text; on an axis in the unit of `scale`. Zero has no unit. */
export function duration(value, scale) {
  if (!Number(value)) return "0";
  const [unit, size] = unitOf(TIMES, Number(scale ?? value));
  const amount = value / size;
  return `${rounded(amount, 0, amount < 10 ? 2 : amount < 100 ? 1 : 0)} ${unit}`;
}

/** The signed difference from the value of another period. */
export function change(value, before) {
  if (!before) return value ? gettext("none before") : "";
  const difference = (100 * (value - before)) / before;
  if (Math.abs(difference) < 0.05) return gettext("no change");
  return `${difference < 0 ? "−" : "+"}${percent(Math.abs(difference) < 100 ? Math.abs(difference) : Math.round(Math.abs(difference)))}`;
}

/** How long ago the instant was, in words. */
export function ago(instant, now = Date.now()) {
  const minutes = Math.round((now - instant) / 60000);
  if (minutes < 1) return gettext("just now");
  if (minutes < 120) return interpolate(ngettext("%s minute ago", "%s minutes ago", minutes), [minutes]);
  const hours = Math.round(minutes / 60);
  if (hours < 48) return interpolate(ngettext("%s hour ago", "%s hours ago", hours), [hours]);
  const days = Math.round(hours / 24);
  return interpolate(ngettext("%s day ago", "%s days ago", days), [days]);
}

const regions = new Intl.DisplayNames("en", { type: "region" });

/** The name of a country by its two-letter code, in upper or lower case. */
export function country(code) {
  const letters = (code || "").toUpperCase();
  return /^[A-Z]{2}$/.test(letters) && letters !== "XX" ? regions.of(letters) : gettext("Unknown");
}
