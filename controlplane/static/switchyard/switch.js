// One click turns a switch, by the API; a panel then says what it did and takes reason and end.
// Without this script the controls are links to the switch's own form.
(() => {
    "use strict";
    const API = "/api/routing-state";
    let panel = null;
    let turned = null; // what the panel is about: {toggle, before}

    const same = (toggle) => [...document.querySelectorAll(".switch-toggle")]
        .filter((other) => other.dataset.switch === toggle.dataset.switch);
    const entryOf = (toggle) => JSON.parse(toggle.dataset.entry);
    const isOn = (entry) => entry === null || entry.enabled;
    const utc = (iso) => `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;

    // The entry that the API has now: null stands for none.
    async function ask(toggle, wanted) {
        const names = JSON.parse(toggle.dataset.switch);
        const answer = await fetch(API, {
            method: wanted === null ? "DELETE" : "PUT",
            credentials: "same-origin",
            headers: {
                "Content-Type": "application/json",
                "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "",
            },
            body: JSON.stringify({ ...names, ...wanted }),
        });
        if (answer.status === 204) return null;
        const said = await answer.json().catch(() => ({}));
        if (!answer.ok) throw new Error(wordsOf(said) || `The server answered ${answer.status}.`);
        return said;
    }

    function wordsOf(refusal) {
        return Object.entries(refusal)
            .map(([field, words]) => (field === "detail" ? words : `${field}: ${[words].flat().join(" ")}`))
            .join(" ");
    }

    function show(toggle, entry) {
        const kept = entry && { enabled: entry.enabled, reason: entry.reason, until: entry.until };
        for (const each of same(toggle)) {
            each.dataset.entry = JSON.stringify(kept);
            each.dataset.on = String(isOn(entry));
            each.setAttribute("aria-checked", each.dataset.on);
            each.querySelector(".switch-word").textContent = isOn(entry) ? "on" : "off";
            each.parentElement.querySelector(".switch-note").textContent = entry ? noteOf(entry) : "";
        }
        endInTime(toggle);
    }

    // A switch ends by itself; a page that is open then shows it.
    function endInTime(toggle) {
        const shown = toggle.dataset.entry;
        const until = entryOf(toggle)?.until;
        const wait = until ? new Date(until) - Date.now() + 1000 : Infinity;
        if (wait > 86400000) return;
        setTimeout(() => {
            if (toggle.dataset.entry === shown) show(toggle, null);
        }, wait);
    }

    function noteOf(entry) {
        const words = `${utc(entry.updated_at).slice(0, 16)} by ${entry.set_by}`;
        return words + (entry.reason ? `: ${entry.reason}` : "") + (entry.until ? `, until ${utc(entry.until)}` : "");
    }

    async function turn(toggle, wanted) {
        if (toggle.getAttribute("aria-busy") === "true") return false;
        const before = entryOf(toggle);
        toggle.setAttribute("aria-busy", "true");
        try {
            const entry = await ask(toggle, wanted);
            show(toggle, entry);
            tell(toggle, before, entry);
            return true;
        } catch (error) {
            tell(toggle, before, before, error.message);
            return false;
        } finally {
            toggle.removeAttribute("aria-busy");
        }
    }

    function makePanel() {
        const made = document.createElement("dialog");
        made.className = "switch-panel";
        made.setAttribute("aria-labelledby", "switch-said");
        made.innerHTML = `
            <form novalidate>
                <div role="status"><p class="switch-said" id="switch-said"></p><p class="switch-warning" hidden></p></div>
                <p class="switch-error" role="alert" hidden></p>
                <div class="switch-more">
                    <label for="switch-reason">Reason</label>
                    <input id="switch-reason" maxlength="500" autocomplete="off">
                    <label for="switch-until">Until (UTC); empty: until somebody switches it on</label>
                    <input id="switch-until" type="datetime-local" step="1">
                    <div class="switch-row">
                        <button type="button" data-minutes="15">15 min</button>
                        <button type="button" data-minutes="60">1 h</button>
                        <button type="button" data-minutes="480">8 h</button>
                        <button type="button" data-minutes="">no end</button>
                    </div>
                </div>
                <div class="switch-row">
                    <button type="submit">Save</button>
                    <button type="button" data-undo>Undo</button>
                    <button type="button" data-close>Close</button>
                </div>
            </form>`;
        document.body.append(made);
        made.querySelector("form").addEventListener("submit", save);
        made.addEventListener("click", (event) => press(event.target.dataset));
        return made;
    }

    // `error` says why nothing has changed.
    function tell(toggle, before, entry, error = "") {
        panel ??= makePanel();
        const find = (selector) => panel.querySelector(selector);
        const fill = (selector, words) => {
            find(selector).textContent = words;
            find(selector).hidden = !words;
        };
        const on = isOn(entry);
        if (!(error && turned?.toggle === toggle && panel.open)) turned = { toggle, before };
        const until = entry?.until ? `, until ${utc(entry.until)}` : "";
        find(".switch-said").textContent = `${toggle.title} is ${on ? "on" : "off"}${until}.`;
        fill(".switch-warning", (entry?.warnings ?? []).join(" "));
        fill(".switch-error", error);
        find(".switch-more").hidden = find("[type=submit]").hidden = on;
        find("[data-undo]").hidden = Boolean(error);
        if (!error) {
            find("#switch-reason").value = entry?.reason ?? "";
            find("#switch-until").value = entry?.until ? new Date(entry.until).toISOString().slice(0, 19) : "";
        }
        const was = document.activeElement;
        if (!panel.open) panel.show();
        // Off: the next thing to say is why. On: nothing is asked, so the keyboard stays there.
        (on ? was : find("#switch-reason")).focus();
    }

    function save(event) {
        event.preventDefault();
        const until = panel.querySelector("#switch-until").value;
        const reason = panel.querySelector("#switch-reason").value;
        const { toggle } = turned;
        turn(toggle, { enabled: false, reason, until: until ? `${until}Z` : null }).then((done) => {
            if (done) close();
        });
    }

    function press(data) {
        if ("close" in data) close();
        if ("undo" in data) turn(turned.toggle, turned.before).then(() => turned.toggle.focus());
        if ("minutes" in data) {
            const end = data.minutes && new Date(Date.now() + data.minutes * 60000).toISOString();
            panel.querySelector("#switch-until").value = end.slice(0, 19);
        }
    }

    function close() {
        panel.close();
        turned.toggle.focus();
    }

    function click(toggle) {
        const entry = entryOf(toggle);
        return turn(toggle, isOn(entry) ? { enabled: false } : null);
    }

    document.addEventListener("click", (event) => {
        const toggle = event.target.closest(".switch-toggle");
        if (!toggle || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        click(toggle);
    });
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && panel?.open) close();
        if (event.key !== " " || !event.target.matches?.(".switch-toggle")) return;
        event.preventDefault();
        click(event.target);
    });
    document.addEventListener("DOMContentLoaded", () => {
        for (const toggle of document.querySelectorAll(".switch-toggle")) {
            toggle.setAttribute("role", "switch");
            toggle.setAttribute("aria-checked", toggle.dataset.on);
            toggle.setAttribute("aria-label", toggle.title);
            endInTime(toggle);
        }
    });
})();
