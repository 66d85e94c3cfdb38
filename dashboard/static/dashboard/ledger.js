// The page works without this module, which copies the API call behind it.

import { copy, curl } from "./api.js";

document.getElementById("copy-api")?.addEventListener("click", () =>
  copy(curl(document.getElementById("api").getAttribute("href")), gettext("API call copied to clipboard.")));
