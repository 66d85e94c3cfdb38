// Pages with forms: buttons that copy, and moments by the reader's own clock.

import { copy, curl } from "./api.js";
import * as zone from "./zone.js";

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () =>
    copy(document.getElementById(button.dataset.copy).textContent, gettext("Copied to clipboard.")));
}
for (const button of document.querySelectorAll("button[data-curl]")) {
  button.addEventListener("click", () => copy(curl(button.dataset.curl), gettext("API call copied to clipboard.")));
}
zone.localise(zone.own());
