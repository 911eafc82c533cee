// Runs before the first paint, ahead of the page's own code; a file of its own, because the page allows no inline script.
(() => {
  try {
    const theme = localStorage.getItem("updraft.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme holds then.
  }

  // The chunks that this address will need come beside the first one; the build fills in `[[address, files], …]`.
  const chunks = [];
  for (const [address, files] of chunks) {
    if (!new RegExp(address).test(location.pathname)) continue;
    for (const href of files) {
      const link = document.createElement("link");
      Object.assign(link, { rel: "modulepreload", href, crossOrigin: "" });
      document.head.append(link);
    }
  }

  // So does what it will show. It has to be the very read that the page makes (src/api/queries.ts), which then takes the
  // answer instead of asking again; another address is left to the page.
  const asked = new URLSearchParams(location.search);
  const only = (...keys) => [...asked.keys()].every((key) => keys.includes(key));
  const path = location.pathname.replace(/\/$/, "");
  const read = () => {
    if (path === "") return "/home";
    if (path === "/workflows") return "/workflows?limit=500";
    const [, noun, id, tasks, task, more] = path.split("/");
    if (!id || more !== undefined) return undefined;
    if (noun === "workflows" && !tasks && only()) return `/workflows/${id}/view?show=grid&runs=60`;
    if (noun === "runs" && !tasks && asked.get("tab") !== "events") return `/runs/${id}/view`;
    if (noun !== "runs" || tasks !== "tasks" || !task) return undefined;
    const which = ["map_index", "attempt", "line"].filter((key) => asked.has(key));
    if (which.some((key) => !/^\d{1,9}$/.test(asked.get(key)))) return undefined;
    const query = which.map((key) => `${key}=${asked.get(key)}`).join("&");
    return `/runs/${id}/tasks/${task}${query && `?${query}`}`;
  };
  const found = read();
  if (!found) return;
  const url = `/api/v1${found}`;
  const answer = fetch(url, {
    headers: { accept: "application/json" },
    credentials: "same-origin",
  });
  answer.catch(() => {});
  window.updraftEarly = { url, answer };
})();
