// Copies what a [data-copy] button names. Where a page is not served by https the browser has no
// clipboard for scripts, and others refuse it: then the text is selected in passing.
(() => {
    "use strict";
    async function copy(text) {
        try {
            await navigator.clipboard.writeText(text);
            return true;
        } catch {
            // As said above.
        }
        const field = document.createElement("textarea");
        field.value = text;
        document.body.append(field);
        field.select();
        const isDone = document.execCommand("copy");
        field.remove();
        return isDone;
    }

    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        if (!button) return;
        if (!(await copy(button.dataset.copy))) return;
        button.dataset.done = "";
        setTimeout(() => delete button.dataset.done, 1500);
    });
})();
