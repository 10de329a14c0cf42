// After a form was refused: a list of what is wrong, each a link to its field, and the first has
// the focus. Without this script each field still says what is wrong with it.
document.addEventListener("DOMContentLoaded", () => {
    "use strict";
    const note = document.querySelector(".errornote");
    const wrong = [...document.querySelectorAll("[aria-invalid=true]")].filter((field) => field.id);
    if (!note || !wrong.length) return;

    function lookAt(field) {
        for (let inside = field.closest("details"); inside; inside = inside.parentElement.closest("details")) {
            inside.open = true;
        }
        field.focus();
    }

    function nameOf(field) {
        const label = document.querySelector(`label[for="${CSS.escape(field.id)}"]`);
        const column = field.closest("td")?.dataset.label;
        return (label?.textContent || column || field.name).replace("*", "").trim();
    }

    function wordsOf(field) {
        const place = field.closest(".field-line, .form-row, td, .group") ?? field.parentElement;
        const said = document.getElementById(`${field.id}_error`) ?? place.querySelector(".errorlist");
        return said ? [...said.querySelectorAll("li")].map((line) => line.textContent.trim()).join(" ") : "";
    }

    const list = document.createElement("ul");
    list.className = "list-disc mt-2 pl-5";
    for (const field of wrong) {
        const link = document.createElement("a");
        link.href = `#${field.id}`;
        link.style.textDecoration = "underline";
        link.textContent = nameOf(field);
        link.addEventListener("click", (event) => {
            event.preventDefault();
            lookAt(field);
        });
        const line = document.createElement("li");
        const words = wordsOf(field);
        line.append(link, words ? `: ${words}` : "");
        list.append(line);
    }
    note.setAttribute("role", "alert");
    note.append(list);
    lookAt(wrong[0]);
    // What other scripts have yet to show cannot have the focus before.
    window.addEventListener("load", () => {
        if (document.activeElement === document.body) lookAt(wrong[0]);
    });
});
