// To bench from a list of pools: one dialog for all of them. Without this script its links lead to
// the bench board, with the name filled in.
(() => {
    "use strict";
    const dialog = document.querySelector(".pools-dialog");
    if (!dialog) return;
    const form = dialog.querySelector("form");

    document.addEventListener("click", (event) => {
        const asked = event.target.closest("[data-bench]");
        if (!asked || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        form.elements.model.value = asked.dataset.bench;
        dialog.querySelector("#bench-who").textContent =
            `Nobody calls ${asked.dataset.bench} until its time is over or somebody releases it.`;
        dialog.showModal();
        form.elements.reason.focus();
    });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
})();
