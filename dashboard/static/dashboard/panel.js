// A panel calls one API and is always in one state: loading, empty, failed, shown, or shown but out of date.

import { Problem, address, copy, curl, read } from "./api.js";

export class Panel {
  /**
   * `draw(body, answer, params)` fills the body; `isEmpty(answer)` says that there is nothing to draw;
   * `clear()` is called when there is nothing to draw; `curl(path, params)` is the call as a customer's program makes it.
   */
  constructor(id, { path, draw, isEmpty = (answer) => answer.data.length === 0, empty, clear, curl: asCurl = curl }) {
    this.root = document.getElementById(id);
    this.body = this.root.querySelector(".panel-body");
    this.status = this.root.querySelector(".panel-status");
    Object.assign(this, { path, draw, isEmpty, clear });
    this.empty = empty || gettext("No traffic in this period.");
    this.root.querySelector(".curl")?.addEventListener("click", () =>
      copy(asCurl(this.path, this.params), gettext("API call copied to clipboard.")));
    this.isShown = false;
  }

  /** Calls the API again and drops an earlier call. Resolves with the answer, or undefined. */
  async load(params = this.params) {
    clearTimeout(this.retry);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.params = params;
    const csv = this.root.querySelector("a.csv");
    if (csv) csv.href = address(this.path, { ...params, format: "csv" });
    this.root.setAttribute("aria-busy", "true");
    if (!this.isShown) this.skeleton();
    try {
      const answer = await read(this.path, params, asking.signal);
      this.show(answer);
      return answer;
    } catch (problem) {
      if (problem.name === "AbortError") return undefined;
      if (!(problem instanceof Problem)) throw problem;
      this.fail(problem);
      return undefined;
    } finally {
      if (this.asking === asking) this.root.setAttribute("aria-busy", "false");
    }
  }

  skeleton() {
    this.say("");
    const bar = document.createElement("div");
    bar.className = "skeleton";
    this.body.replaceChildren(bar);
  }

  show(answer) {
    if (this.isEmpty(answer)) {
      this.isShown = false;
      this.body.replaceChildren();
      this.clear?.();
      this.say("state", this.empty);
      return;
    }
    this.say("");
    this.draw(this.body, answer, this.params);
    this.isShown = true;
  }

  /** Keeps what is shown, marked as out of date; retries if the service is unreachable or busy. */
  fail(problem) {
    if (!this.isShown) this.body.replaceChildren();
    const text = this.isShown
      ? interpolate(gettext("Could not update. %s"), [problem.message])
      : problem.message;
    this.say(this.isShown ? "notice" : "state", text, gettext("Try again"));
    if ([0, 429, 503].includes(problem.status)) {
      this.retry = setTimeout(() => this.load(), 1000 * Math.min(Math.max(problem.retryAfter, 3), 60));
    }
  }

  say(kind, text = "", again = "") {
    this.status.className = `panel-status ${kind}`;
    this.status.replaceChildren();
    if (!text) return;
    const line = document.createElement("span");
    line.textContent = text;
    this.status.append(line);
    if (again) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain";
      button.textContent = again;
      button.addEventListener("click", () => this.load());
      this.status.append(button);
    }
  }
}
