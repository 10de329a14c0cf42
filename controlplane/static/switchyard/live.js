// Keeps the part of a page that changes current while somebody can see it: [data-part] names where
// it is asked for, [data-part-note] says when it was looked at last. Where what is asked for comes in
// pieces (elements with [data-piece] and an id), only they are replaced, and what is between stays.
(() => {
    "use strict";
    const part = document.querySelector("[data-part]");
    const note = document.querySelector("[data-part-note]");
    const everyMs = 1000 * Number(part.dataset.every || 2);
    let shown = "";

    // Without the ages of times, which go on by themselves.
    const ageless = (text) => text.replace(/(data-age="[^"]*">)[^<]*/g, "$1");

    function show(text) {
        shown = ageless(text);
        const fresh = document.createElement("template");
        fresh.innerHTML = text; // rendered and escaped by the server
        const pieces = fresh.content.querySelectorAll("[data-piece]");
        if (!pieces.length) part.replaceChildren(fresh.content);
        for (const piece of pieces) {
            const old = document.getElementById(piece.id);
            if (ageless(old.innerHTML) !== ageless(piece.innerHTML)) old.replaceWith(piece);
        }
    }

    async function look() {
        if (document.hidden) return;
        try {
            const answer = await fetch(part.dataset.part, { credentials: "same-origin", redirect: "error" });
            if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
            const text = await answer.text();
            // What has not changed is not read out again, and keeps a selection.
            if (ageless(text) !== shown) {
                const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
                show(text);
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
