// Names for parts that Django's and the theme's scripts make without one, once they have.
document.addEventListener("DOMContentLoaded", () => {
  const skip = document.querySelector(".skip-link");
  if (skip) document.body.prepend(skip); // the first thing that Tab meets
});
window.addEventListener("load", () => setTimeout(() => {
  for (const tip of document.querySelectorAll(".help-tooltip[aria-label]")) tip.setAttribute("role", "img");
  for (const select of document.querySelectorAll("select.admin-autocomplete")) {
    const name = select.getAttribute("aria-label") || select.labels?.[0]?.textContent.trim();
    for (const part of select.parentElement.querySelectorAll(".select2-selection, .select2-selection__rendered")) {
      part.removeAttribute("aria-labelledby");
      part.setAttribute("aria-label", name);
    }
  }
}));
