"use strict";

// Sorts the table of cases by the column whose head is pressed; pressed again, the other way round. Cells without a
// value, as failed cases have them, stay at the end both ways. Filters the cases by their names, and by whether they are to be reviewed.
const table = document.getElementById("cases");
const heads = [...table.tHead.rows[0].cells];
const rows = [...table.tBodies[0].rows];
const words = new Intl.Collator(undefined, { numeric: true });

function compare(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? words.compare(a, b) : difference;
}

const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;

function sortBy(column) {
  const rising = heads[column].getAttribute("aria-sort") !== "ascending";
  const filled = rows.filter((row) => valueOf(row, column) !== "");
  const empty = rows.filter((row) => valueOf(row, column) === "");
  filled.sort((a, b) => (rising ? 1 : -1) * compare(valueOf(a, column), valueOf(b, column)));
  table.tBodies[0].append(...filled, ...empty);
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
}

heads.forEach((head, column) => {
  if (head.querySelector("button")) head.addEventListener("click", () => sortBy(column)); // with the space around its button
});

const filter = document.getElementById("filter"), toReview = document.getElementById("to-review");
function show() {
  const wanted = filter.value.trim().toLowerCase(), open = toReview?.checked;
  for (const row of rows) row.hidden = !valueOf(row, 1).toLowerCase().includes(wanted) || (open && row.dataset.reviewed !== "no");
  const count = rows.filter((row) => !row.hidden).length;
  document.getElementById("shown").textContent = wanted || open ? `${count} of ${rows.length} shown` : "";
}
for (const input of [filter, toReview]) input?.addEventListener("input", show);
