// "/" or Ctrl+K goes to the search, from everywhere but a field.
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping;
  const isCommand = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
  const search = document.getElementById("console-search");
  if (search && (isSlash || isCommand)) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
