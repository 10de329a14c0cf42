// The form of a pool: a number that its strategy does not go by is not asked for. One that somebody
// has given stays in sight. Without this script all of them are.
(() => {
    "use strict";
    document.addEventListener("DOMContentLoaded", () => {
        const strategy = document.querySelector("select[data-uses]");
        const table = document.getElementById("candidates-data");
        if (!strategy || !table) return;
        const uses = JSON.parse(strategy.dataset.uses);

        function show() {
            for (const name of ["priority", "weight"]) {
                const given = [...table.querySelectorAll(`input[name$="-${name}"]`)];
                const isGiven = given.some((field) => field.value !== "1");
                const isUsed = (uses[strategy.value] ?? uses[""]).includes(name);
                table.classList.toggle(`without-${name}`, !isUsed && !isGiven);
            }
        }

        strategy.addEventListener("change", show);
        show();
    });
})();
