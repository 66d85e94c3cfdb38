// A panel's world map: countries shaded by a number in the panel's table.

import * as format from "./format.js";

const LEVELS = 5;

export class WorldMap {
  /** `text(value)` formats a number; `go(row)`, if given, is called on a click or Enter on a country. */
  constructor(figure, { text, go }) {
    this.picture = figure.querySelector(".map-picture");
    this.caption = figure.querySelector("output");
    this.most = figure.querySelector(".map-most");
    this.hint = this.caption.textContent;
    this.name = this.picture.ariaLabel;
    this.rows = [];
    Object.assign(this, { text, go });
    this.picture.classList.toggle("picks", Boolean(go));
    this.outlines = this.load(figure);
    this.picture.addEventListener("pointerover", ({ target }) => this.choose(this.of(target)));
    this.picture.addEventListener("pointerleave", () => this.choose());
    // A tap shows the value, because there is no other way to see it.
    this.picture.addEventListener("click", ({ target, pointerType }) => pointerType === "mouse" && this.open(this.of(target)));
    this.picture.addEventListener("keydown", (event) => this.walk(event));
  }

  async load(figure) {
    const answer = await fetch(figure.dataset.outlines).catch(() => null);
    if (!answer?.ok) return figure.remove(); // the table is enough
    const image = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
    this.picture.replaceChildren(document.importNode(image, true));
  }

  /** Rows are {code, value}. The largest value has the strongest shade; each halving is one shade weaker. */
  async show(rows) {
    await this.outlines;
    this.rows = rows.filter(({ code, value }) => value > 0 && this.shape(code)).sort((one, other) => other.value - one.value);
    for (const shape of this.picture.querySelectorAll("[data-level]")) delete shape.dataset.level;
    const most = this.rows[0]?.value;
    for (const { code, value } of this.rows) {
      this.shape(code).dataset.level = Math.max(1, LEVELS + Math.ceil(Math.log2(value / most)));
    }
    this.most.textContent = most ? this.text(most) : "";
    const first = this.rows.slice(0, 3).map((row) => this.words(row));
    this.picture.ariaLabel = [this.name, ...first].join("; ");
    this.choose();
  }

  shape(code) {
    return this.picture.querySelector(`#${CSS.escape(code)}`);
  }

  of(shape) {
    return shape.id && (this.rows.find(({ code }) => code === shape.id) || { code: shape.id, value: 0 });
  }

  words({ code, value }) {
    return `${format.country(code)}: ${this.text(value)}`;
  }

  choose(row) {
    this.picture.querySelector(".is-chosen")?.classList.remove("is-chosen");
    this.chosen = row;
    if (row) this.shape(row.code).classList.add("is-chosen");
    this.caption.textContent = row ? this.words(row) : this.hint;
  }

  open(row) {
    if (row?.value && this.go) this.go(row);
  }

  /** Arrow keys move from the largest to the smallest. */
  walk(event) {
    if (event.key === "Enter") this.open(this.chosen);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !this.rows.length) return;
    event.preventDefault();
    const place = this.rows.indexOf(this.chosen) + step;
    this.choose(this.rows[Math.min(Math.max(place, 0), this.rows.length - 1)]);
  }
}
