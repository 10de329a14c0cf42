// Ages of times go on while a page stays open, in the words of providers/saying/ages.py.
(() => {
    const UNITS = [[172800, 86400, "d"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];
    const said = (at) => {
        const seconds = Math.trunc((Date.now() - at) / 1000);
        const most = Math.abs(seconds);
        const [, unit, word] = UNITS.find(([least]) => most >= least);
        return seconds < 0 ? `in ${Math.floor((most + Math.floor(unit / 2)) / unit)} ${word}` : `${Math.floor(most / unit)} ${word} ago`;
    };
    setInterval(() => {
        for (const age of document.querySelectorAll("[data-age]")) {
            const words = said(Date.parse(age.dataset.age));
            if (age.textContent !== words) age.textContent = words;
        }
    }, 10000);
})();
