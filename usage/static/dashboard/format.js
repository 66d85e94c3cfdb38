// Numbers and moments as people read them. Sizes are in units of 1024, as everywhere in FonProxy.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export function bytes(value) {
  let size = Number(value);
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(size) >= 100 ? 0 : Math.abs(size) >= 10 ? 1 : 2;
  return `${size.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${UNITS[unit]}`;
}

export const count = (value) => whole.format(Number(value));
export const compact = (value) => short.format(Number(value));
export const percent = (value) => `${Number(value).toLocaleString(undefined, { maximumFractionDigits: 1 })} %`;

/** Microseconds. */
export function duration(value) {
  const [size, unit] = value < 1e3 ? [value, "µs"] : value < 1e6 ? [value / 1e3, "ms"] : [value / 1e6, "s"];
  return `${size.toLocaleString(undefined, { maximumFractionDigits: size < 10 ? 2 : size < 100 ? 1 : 0 })} ${unit}`;
}

/** How long ago that was, in words. */
export function ago(instant, now = Date.now()) {
  const minutes = Math.round((now - instant) / 60000);
  if (minutes < 1) return gettext("just now");
  if (minutes < 120) return interpolate(ngettext("%s minute ago", "%s minutes ago", minutes), [minutes]);
  const hours = Math.round(minutes / 60);
  if (hours < 48) return interpolate(ngettext("%s hour ago", "%s hours ago", hours), [hours]);
  const days = Math.round(hours / 24);
  return interpolate(ngettext("%s day ago", "%s days ago", days), [days]);
}

const regions = new Intl.DisplayNames(document.documentElement.lang, { type: "region" });

/** The name of a country by its two letters, in any case. */
export function country(code) {
  const letters = (code || "").toUpperCase();
  return /^[A-Z]{2}$/.test(letters) && letters !== "XX" ? regions.of(letters) : gettext("Unknown");
}
