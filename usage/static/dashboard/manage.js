// Pages with forms: buttons that copy, and moments by the reader's own clock.

import { copy, curl } from "./api.js";
import * as zone from "./zone.js";

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () =>
    copy(document.getElementById(button.dataset.copy).textContent, gettext("It is on your clipboard.")));
}
for (const button of document.querySelectorAll("button[data-curl]")) {
  button.addEventListener("click", () => copy(curl(button.dataset.curl), gettext("The call is on your clipboard.")));
}
zone.localise(zone.own());
