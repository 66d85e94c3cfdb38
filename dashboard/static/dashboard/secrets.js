// The page shows secrets once: a reload would send the form again and create new ones.

import "./manage.js";

history.replaceState(null, "", document.getElementById("done").href);
