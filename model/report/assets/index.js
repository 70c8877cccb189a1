"use strict";

// Sorts the table of cases by the column whose head is pressed; pressed again, the other way round. Cells without a
// value, as failed cases have them, stay at the end both ways.
const table = document.getElementById("cases");
const heads = [...table.tHead.rows[0].cells];
const words = new Intl.Collator(undefined, { numeric: true });

function compare(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? words.compare(a, b) : difference;
}

function sortBy(column) {
  const rising = heads[column].getAttribute("aria-sort") !== "ascending";
  const valueOf = (row) => row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows];
  const filled = rows.filter((row) => valueOf(row) !== "");
  const empty = rows.filter((row) => valueOf(row) === "");
  filled.sort((a, b) => (rising ? 1 : -1) * compare(valueOf(a), valueOf(b)));
  table.tBodies[0].append(...filled, ...empty);
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
}

heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));
