// Keeps the bench board as it is now: rows every second, times counted down, forms sent in passing.
// Without this script the page shows what was so when it was loaded, and its forms work all the same.
(() => {
    "use strict";
    const EVERY_MS = 1000;
    const table = document.querySelector(".bench-table");
    const body = table.tBodies[0];
    const nobody = document.querySelector(".bench-nobody");
    const told = document.querySelector(".bench-said");
    let ahead = Number(table.dataset.now) * 1000 - Date.now(); // the server's clock before ours
    const past = document.querySelector("[data-past]");
    let isLost = false;
    let isPastOld = false; // somebody has left the board since what is over was asked for

    const isInUse = (row) => row.contains(document.activeElement) || row.querySelector("details[open]");

    function say(words) {
        if (told.textContent !== words) told.textContent = words;
    }

    function rowOf(html) {
        const template = document.createElement("template");
        template.innerHTML = html.trim(); // rendered and escaped by the server
        return template.content.firstElementChild;
    }

    // Rows that somebody is using stay as they are until they are left, or their bench is gone.
    function show(answer) {
        ahead = answer.now * 1000 - Date.now();
        if (answer.problem || isLost) say(answer.problem);
        isLost = Boolean(answer.problem);
        if (answer.problem) return;
        const kept = new Set(answer.rows.map((row) => `bench-${row.id}`));
        for (const row of [...body.rows]) {
            if (kept.has(row.id)) continue;
            row.remove();
            isPastOld = true;
        }
        if ("past" in answer && past.innerHTML !== answer.past) past.innerHTML = answer.past; // escaped by the server
        answer.rows.forEach((row, place) => {
            let shown = document.getElementById(`bench-${row.id}`);
            if (!shown) {
                shown = rowOf(row.html);
                body.insertBefore(shown, body.rows[place] ?? null);
            } else if (shown.dataset.stamp !== row.stamp && !isInUse(shown)) {
                const fresh = rowOf(row.html);
                shown.replaceWith(fresh);
            }
        });
        nobody.hidden = answer.rows.length > 0;
        count();
    }

    function left(seconds) {
        const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
        const at = parts.findIndex(([size]) => seconds >= size);
        if (at < 0) return "0 s";
        return parts.slice(at, at + 2)
            .map(([size, unit], place) => `${Math.floor((place ? seconds % parts[at][0] : seconds) / size)} ${unit}`)
            .join(" ");
    }

    function count() {
        const now = (Date.now() + ahead) / 1000;
        for (const cell of body.querySelectorAll("[data-until]")) {
            const seconds = Number(cell.dataset.until) - now;
            if (seconds > 0) cell.textContent = `${left(seconds)} left`;
            else cell.textContent = cell.dataset.manual ? "over" : "its next request is a trial";
        }
    }

    async function ask(url, options) {
        const answer = await fetch(url, {
            credentials: "same-origin",
            headers: { Accept: "application/json" },
            ...options,
        });
        if (!answer.ok) throw new Error(answer.status === 403 ? "You may not do this." : `The server answered ${answer.status}.`);
        return answer.json();
    }

    async function look() {
        if (!document.hidden) {
            try {
                const isAsked = isPastOld;
                isPastOld = false;
                show(await ask(`${table.dataset.rows}${isAsked ? "?past" : ""}`));
            } catch (error) {
                isLost = true;
                say(`The board cannot be brought up to date: ${error.message}`);
            }
        }
        setTimeout(look, EVERY_MS);
    }

    // What is wrong stands in red at its field; the first one gets the keyboard.
    function complain(form, errors) {
        for (const old of form.querySelectorAll(".bench-error")) old.remove();
        for (const field of form.elements) field.removeAttribute("aria-invalid");
        for (const [name, problems] of Object.entries(errors).reverse()) {
            const field = form.elements[name];
            if (!field || field.type === "hidden") continue;
            const words = document.createElement("p");
            words.className = "bench-error";
            words.setAttribute("role", "alert");
            words.textContent = problems.join(" ");
            field.closest("label, .field-row, div").append(words);
            field.setAttribute("aria-invalid", "true");
            field.focus();
        }
    }

    document.addEventListener("submit", async (event) => {
        const form = event.target;
        if (!form.matches("[data-bench-act]")) return;
        event.preventDefault();
        const button = form.querySelector("[type=submit]");
        button.disabled = true;
        try {
            const answer = await ask(form.getAttribute("action") || location.pathname, {
                method: "POST",
                body: new FormData(form),
            });
            if (answer.is_good) {
                form.reset();
                form.closest("details")?.removeAttribute("open");
            }
            if (form.closest("tr") && answer.is_good) told.focus(); // the row may be gone now
            show(answer);
            complain(form, answer.errors);
            say(Object.keys(answer.errors).length ? "" : answer.said);
        } catch (error) {
            say(error.message);
        } finally {
            button.disabled = false;
        }
    });

    document.addEventListener("visibilitychange", () => document.hidden || count());
    setInterval(count, 1000);
    count();
    setTimeout(look, EVERY_MS);
})();
