// Ctrl-K of the theme: Enter opens the first line where none is chosen, and nothing where nothing
// was found; the theme's own fails at both.
document.addEventListener("alpine:init", () => {
  const theirs = window.searchCommand;
  window.searchCommand = () => {
    const made = theirs();
    const { selectItem, handleContentLoaded } = made;
    made.selectItem = function (...rest) {
      if (this.items?.[this.currentIndex - 1]?.querySelector("a")) selectItem.apply(this, rest);
    };
    made.handleContentLoaded = function (event) {
      handleContentLoaded.call(this, event);
      if (event.target.id === "command-results" && this.totalItems) this.currentIndex = 1;
    };
    return made;
  };
});
