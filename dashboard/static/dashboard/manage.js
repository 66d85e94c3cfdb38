// Pages with forms: copy buttons, and times in the reader's zone.

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
