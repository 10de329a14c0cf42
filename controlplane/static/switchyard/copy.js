// Buttons with data-copy put the text of the named field on the clipboard.
(() => {
    "use strict";
    const told = document.querySelector("[data-copied]");
    for (const button of document.querySelectorAll("[data-copy]")) {
        const field = document.getElementById(button.dataset.copy);
        field.addEventListener("focus", () => field.select());
        button.addEventListener("click", async () => {
            field.focus();
            try {
                await navigator.clipboard.writeText(field.value);
                told.textContent = "Copied.";
            } catch {
                // Without https browsers have no clipboard; what is selected can still be copied.
                told.textContent = document.execCommand("copy") ? "Copied." : "Press Ctrl-C: it is selected.";
            }
        });
    }
    // By hand: a browser ignores autofocus where something else had the focus first.
    window.addEventListener("load", () => document.getElementById("made-key")?.focus());
})();
