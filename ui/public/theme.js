// Sets the stored theme before the first paint; a file of its own, because the page allows no inline script.
const root = document.documentElement;
try {
  const stored = localStorage.getItem("updraft.theme");
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
} catch {
  // Storage may be forbidden; the system's theme holds then.
}
