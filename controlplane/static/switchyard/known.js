// Proposes names while somebody types: an input with data-known gets them from that address; a
// textarea with it, which has one name a line, gets an input beside it that adds a line.
// data-known-of names the field of the same row whose value narrows what is proposed.
(() => {
    "use strict";
    const WAIT_MS = 150;
    let made = 0;

    function narrowedBy(input) {
        const other = input.dataset.knownOf;
        if (!other) return "";
        const name = input.name.replace(/[^-]+$/, other); // candidates-0-model: candidates-0-…
        return document.getElementsByName(name)[0]?.value ?? "";
    }

    function propose(input) {
        const list = document.createElement("datalist");
        list.id = `known-${(made += 1)}`;
        input.after(list);
        input.setAttribute("list", list.id);
        let asked = 0;
        let timer = 0;
        async function ask() {
            const mine = (asked += 1);
            const address = new URL(input.dataset.known, location.href);
            address.searchParams.set("q", input.value);
            address.searchParams.set("in", narrowedBy(input));
            const answer = await fetch(address, {headers: {accept: "application/json"}});
            if (!answer.ok || mine !== asked) return;
            const {names} = await answer.json();
            list.replaceChildren(...names.map((name) => new Option(name, name)));
        }
        input.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(ask, WAIT_MS);
        });
        input.addEventListener("focus", ask);
        ask();
    }

    function addLines(lines) {
        const input = document.createElement("input");
        input.dataset.known = lines.dataset.known;
        input.autocomplete = "off";
        input.placeholder = "add a known name: type, choose, Enter";
        input.className = lines.className;
        input.style.marginTop = ".5rem";
        input.setAttribute("aria-label", "Add a known name");
        input.addEventListener("keydown", (event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            const name = input.value.trim();
            const names = lines.value.split("\n").map((line) => line.trim()).filter(Boolean);
            if (name && !names.includes(name)) lines.value = [...names, name].join("\n");
            lines.dispatchEvent(new Event("input", {bubbles: true}));
            input.value = "";
        });
        lines.after(input);
    }

    document.addEventListener("focusin", ({target}) => {
        // Rows are added while the page is open.
        if (target.matches("input[data-known]") && !target.hasAttribute("list")) propose(target);
    });
    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("textarea[data-known]").forEach(addLines);
    });
})();
