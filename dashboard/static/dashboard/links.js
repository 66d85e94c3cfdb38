// Links from a figure to its details.

import { address } from "./api.js";
import * as zone from "./zone.js";

const KEPT_SECONDS = 7 * 86400;
const quoted = (text) => (text ? `"${text}"` : "");

/**
 * The log of the requests that match a panel's parameters, and the host and error if given; null if the log no longer
 * has them.
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

/** The charts for the same parameters, with further filters. */
export const explore = ({ from, to, tz, orderId, domain, country, proxyUser }, more) =>
  address("/dashboard/explore", { from, to, tz, order: orderId, domain, country, login: proxyUser, ...more });
