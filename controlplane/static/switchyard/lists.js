// Copies what a [data-copy] button names. Where a page is not served by https the browser has no
// clipboard for scripts, and the text is selected in passing.
(() => {
    "use strict";
    async function copy(text) {
        if (navigator.clipboard) return navigator.clipboard.writeText(text);
        const field = document.createElement("textarea");
        field.value = text;
        document.body.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
    }

    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        if (!button) return;
        await copy(button.dataset.copy);
        button.dataset.done = "";
        setTimeout(() => delete button.dataset.done, 1500);
    });
})();
