// Draws the overview's charts with the Chart.js that Unfold brings, anew whenever live.js has shown
// newer figures, and counts the benches down.
(() => {
    "use strict";
    const charts = new Map();
    const frame = document.querySelector("[data-charts]");

    function colours() {
        const style = getComputedStyle(document.documentElement);
        const isDark = document.documentElement.classList.contains("dark");
        return {
            grid: style.getPropertyValue(isDark ? "--color-base-700" : "--color-base-200").trim(),
            text: style.getPropertyValue(isDark ? "--color-base-300" : "--color-base-600").trim(),
        };
    }

    function optionsOf(told) {
        const { grid, text } = colours();
        const isStacked = told.kind === "bar";
        return {
            animation: false,
            responsive: true,
            maintainAspectRatio: false,
            interaction: { mode: "index", intersect: false },
            plugins: {
                legend: { display: told.lines.length > 1, position: "bottom", labels: { color: text, boxWidth: 10, boxHeight: 10 } },
            },
            scales: {
                x: { stacked: isStacked, grid: { display: false }, ticks: { color: text, maxTicksLimit: 6, maxRotation: 0, autoSkipPadding: 12 } },
                y: { stacked: isStacked, beginAtZero: true, grid: { color: grid }, ticks: { color: text, maxTicksLimit: 5 }, title: { display: true, text: told.unit, color: text } },
            },
        };
    }

    function draw() {
        const data = document.getElementById("chart-data");
        if (!data || !frame) return;
        const told = JSON.parse(data.textContent);
        frame.hidden = told[0].lines.every((line) => line.values.every((value) => !value));
        for (const one of told) {
            const canvas = document.getElementById(one.id);
            if (!canvas) continue;
            const isBlank = one.lines.every((line) => line.values.every((value) => !value));
            canvas.closest("figure").hidden = isBlank; // no price is known, for instance
            if (isBlank) continue;
            const shown = {
                labels: one.labels,
                datasets: one.lines.map((line) => ({
                    label: line.label,
                    data: line.values,
                    borderColor: line.colour,
                    backgroundColor: line.colour,
                    borderWidth: one.kind === "line" ? 2 : 0,
                    pointRadius: one.kind === "line" ? 1.5 : 0,
                    spanGaps: false,
                })),
            };
            const chart = charts.get(one.id);
            if (chart) {
                chart.data = shown;
                chart.options = optionsOf(one);
                chart.update("none");
            } else {
                charts.set(one.id, new Chart(canvas, { type: one.kind, data: shown, options: optionsOf(one) }));
            }
        }
    }

    function left(seconds) {
        if (seconds <= 0) return "no time";
        if (seconds < 90) return `${Math.ceil(seconds)} s`;
        return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
    }

    function count() {
        for (const cell of document.querySelectorAll("#overview [data-until]")) {
            const words = left(Number(cell.dataset.until) - Date.now() / 1000);
            if (cell.textContent !== words) cell.textContent = words;
        }
    }

    document.addEventListener("part-shown", () => { draw(); count(); });
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    draw();
    count();
    setInterval(count, 1000);
})();
