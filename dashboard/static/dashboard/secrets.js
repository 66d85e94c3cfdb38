// What is shown once: to load this page again would send the form again, and make another one.

import "./manage.js";

history.replaceState(null, "", document.getElementById("done").href);
