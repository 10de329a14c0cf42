// Keeps the part of a page that changes current while somebody can see it: [data-part] names where
// it is asked for, [data-part-note] says when it was looked at last.
(() => {
    "use strict";
    const part = document.querySelector("[data-part]");
    const note = document.querySelector("[data-part-note]");
    const everyMs = 1000 * Number(part.dataset.every || 2);
    let shown = "";

    async function look() {
        if (document.hidden) return;
        try {
            const answer = await fetch(part.dataset.part, { credentials: "same-origin", redirect: "error" });
            if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
            const text = await answer.text();
            // What has not changed is not read out again, and keeps a selection.
            if (text !== shown) {
                const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
                part.innerHTML = shown = text;
                if (focused) document.getElementById(focused)?.focus();
                part.dispatchEvent(new Event("part-shown", { bubbles: true }));
            }
            note.textContent = `Updates by itself; looked at ${new Date().toISOString().slice(11, 19)} UTC.`;
            part.style.opacity = "";
        } catch {
            note.textContent = "The server does not answer; this is what was known last.";
            part.style.opacity = ".6";
        }
    }

    document.addEventListener("visibilitychange", look);
    look();
    setInterval(look, everyMs);
})();
