// The page of an alert: shows the outcome of a test without a reload.

import * as zone from "./zone.js";

const tests = document.getElementById("tests");
const PAUSE_MS = 2000;

async function look() {
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const shown = page.getElementById("tests");
    if (!shown) return; // signed out in the meantime
    tests.replaceChildren(...shown.childNodes);
    zone.localise(zone.own());
  } catch { /* the next look may get through */ }
  wait();
}

function wait() {
  if (tests.querySelector("[data-open]")) setTimeout(look, PAUSE_MS);
}

wait();
