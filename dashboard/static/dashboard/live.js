// The panel of the current minute, and the tiles that it shares with others.

import { Panel } from "./panel.js";
import * as format from "./format.js";

export const LIVE_MS = 5000;

export function tiles(body, found) {
  const list = document.createElement("dl");
  list.className = "tiles";
  for (const [name, value] of found) {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    term.textContent = name;
    const text = document.createElement("dd");
    text.textContent = value;
    pair.append(term, text);
    list.append(pair);
  }
  body.replaceChildren(list);
}

export const livePanel = () => new Panel("live", {
  path: "/api/v1/usage/realtime",
  isEmpty: () => false,
  draw: (body, { data }) => tiles(body, [
    [gettext("Connections"), format.count(data.active_connections.total)],
    [gettext("Requests this minute"), format.count(data.current_minute.requests)],
    [gettext("Traffic this minute"), format.bytes(data.current_minute.bytes)],
    [gettext("Traffic in the last hour"), format.bytes(data.last_hour.bytes)],
    [gettext("Average duration"), `${format.count(data.last_hour.avg_response_time_ms)} ms`],
  ]),
});
