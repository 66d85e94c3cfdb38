// The page works without this; it copies the call behind it.

import { copy, curl } from "./api.js";

document.getElementById("copy-api")?.addEventListener("click", () =>
  copy(curl(document.getElementById("api").getAttribute("href")), gettext("API call copied to clipboard.")));
