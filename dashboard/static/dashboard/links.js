// Links from a figure to its details.

import { address } from "./api.js";
import * as zone from "./zone.js";

const KEPT_SECONDS = 7 * 86400;
const quoted = (text) => (text ? `"${text}"` : "");

/**
 * The log of the requests that `shared`, the parameters of a panel, is about, and of the host and error if named;
 * null if all of that is older than what the log keeps.
 */
export function log({ from, to, tz, orderId, domain, country, proxyUser }, { host = domain, error } = {}) {
  const oldest = Math.floor(Date.now() / 1000) - KEPT_SECONDS;
  if (Date.parse(to) / 1000 <= oldest) return null;
  return address("/dashboard/logs", {
    from: zone.iso(Math.max(Date.parse(from) / 1000, oldest)),
    to,
    tz,
    host: quoted(host),
    error: quoted(error),
    country: country?.toLowerCase(),
    order: orderId,
    login: proxyUser,
  });
}

/** The charts of the same, with some filters more. */
export const explore = ({ from, to, tz, orderId, domain, country, proxyUser }, more) =>
  address("/dashboard/explore", { from, to, tz, order: orderId, domain, country, login: proxyUser, ...more });
