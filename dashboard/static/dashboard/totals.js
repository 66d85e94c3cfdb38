// The totals above a view, each with its change from the previous period.

import * as format from "./format.js";

const success = ({ total_count: count, total_errors: errors }) =>
  Number(count) ? Math.max(0, 100 - (100 * errors) / count) : null;

const FIGURES = {
  traffic: { of: "bytes_total", value: ({ bytes_total: size }) => Number(size), format: format.bytes },
  requests: { of: "total_errors", value: ({ total_count: count }) => Number(count), format: format.compact },
  errors: { of: "total_errors", value: ({ total_errors: errors }) => Number(errors), format: format.compact },
  success: { of: "total_errors", value: success, format: format.percent, isShare: true },
  concurrency: { of: "max_concurrency", value: (totals) => Number(totals.max_concurrency), format: format.count },
};

/** Shows the figures in an answer's totals; the others keep their values. */
export function showTotals(answer) {
  if (!answer) return;
  const isCompared = Number(answer.previous?.totals.total_count) > 0;
  if (answer.previous) {
    document.getElementById("compared").hidden = !isCompared;
    document.getElementById("not-compared").hidden = isCompared;
  }
  for (const [name, figure] of Object.entries(FIGURES)) {
    if (!(figure.of in answer.totals)) continue;
    const place = document.querySelector(`#totals [data-figure=${name}]`);
    const [now, before] = [answer.totals, answer.previous?.totals].map((totals) => totals && figure.value(totals));
    place.textContent = now === null ? "—" : figure.format(now);
    place.nextElementSibling.textContent = isCompared ? compared(figure, now, before) : "\u00a0";
  }
}

function compared(figure, now, before) {
  if (before === undefined || before === null || now === null) return " ";
  if (figure.isShare) return interpolate(gettext("before: %s"), [figure.format(before)]);
  return [format.change(now, before), before ? interpolate(gettext("before: %s"), [figure.format(before)]) : ""].filter(Boolean).join(", ") || " ";
}
