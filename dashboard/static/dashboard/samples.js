// Connection strings and samples with the customer's password, which stays in this page.

import "./manage.js";

const PLACEHOLDER = "YOUR_PASSWORD";
const WRITTEN = {
  // encodeURIComponent leaves the apostrophe, which would end a quoted argument of a shell.
  url: (password) => encodeURIComponent(password).replaceAll("'", "%27"),
  literal: (password) => JSON.stringify(password).slice(1, -1),
  plain: (password) => password,
};
const samples = [...document.querySelectorAll("[data-password]")].map((place) => [place, place.textContent]);
const password = document.getElementById("password");

function fill() {
  for (const [place, text] of samples) {
    const written = password.value ? WRITTEN[place.dataset.password](password.value) : PLACEHOLDER;
    place.textContent = text.replace(PLACEHOLDER, () => written);
  }
}
password?.addEventListener("input", fill);
if (password?.value) fill();  // kept by the browser over a reload
