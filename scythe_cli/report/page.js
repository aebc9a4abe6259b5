"use strict";
// Draws each figure into the element of its name. The numbers are in the tables too, so a failure here loses none.
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [name, figure] of Object.entries(figures)) {
  Plotly.newPlot(name, figure.data, figure.layout, {displayModeBar: false, responsive: true});
}
