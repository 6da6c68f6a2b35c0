// Draws the months' numbers from the table that stands below: without this script the table says it all.
"use strict";
addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".series")) {
    const rows = [...document.querySelectorAll(`#${place.dataset.table} tbody tr`)];
    if (rows.length < 2 || typeof uPlot === "undefined") { place.hidden = true; continue; }
    const names = rows.map((row) => row.cells[0].textContent.trim());
    const values = rows.map((row) => Number(row.cells[1].dataset.value));
    const draw = () => {
      place.replaceChildren();
      new uPlot({
        width: place.clientWidth, height: 240, legend: { show: false }, cursor: { show: false },
        scales: { x: { time: false } },
        axes: [{ values: (_, ticks) => ticks.map((n) => (Number.isInteger(n) && names[n]) || "") }, { size: 70 }],
        series: [{}, { label: place.dataset.label, stroke: "#17406d", width: 2, fill: "rgba(23,64,109,.12)", points: { show: true, size: 6 } }],
      }, [names.map((_, n) => n), values], place);
    };
    draw();
    addEventListener("resize", draw);
  }
});
