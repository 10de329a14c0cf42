// Keeps the page of processes current while somebody can see it.
(() => {
    "use strict";
    const EVERY_MS = 2000;
    const part = document.getElementById("processes");
    const note = document.getElementById("processes-note");
    let shown = "";

    async function look() {
        if (document.hidden) return;
        try {
            const answer = await fetch(part.dataset.part, { credentials: "same-origin", redirect: "error" });
            if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
            const text = await answer.text();
            // What has not changed is not read out again, and keeps a selection.
            if (text !== shown) part.innerHTML = shown = text;
            note.textContent = `Updates by itself; looked at ${new Date().toISOString().slice(11, 19)} UTC.`;
            part.style.opacity = "";
        } catch {
            note.textContent = "The server does not answer; this is what was known last.";
            part.style.opacity = ".6";
        }
    }

    document.addEventListener("visibilitychange", look);
    look();
    setInterval(look, EVERY_MS);
})();
