// Swagger UI in the theme chosen on the other pages, or else the system's.
"use strict";
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const isDark = (localStorage.getItem("theme") ?? (system.matches ? "dark" : "light")) === "dark";
    document.documentElement.classList.toggle("dark-mode", isDark);
  };
  system.addEventListener("change", apply);
  apply();
})();
