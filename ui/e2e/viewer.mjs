// What a viewer sees: everything that may be read, and of every act the reason why it is not theirs.

import assert from "node:assert/strict";
import { ready, window } from "./lib.mjs";
import { pagesOf } from "./looks.mjs";

/** Signs a new viewer in by the one-time link that an admin gets. */
async function viewer(world) {
  const admin = await window(world);
  const headers = { "sec-fetch-site": "same-origin", origin: world.base };
  const name = `reader-${Date.now().toString(36)}`;
  const made = await admin.context.request.post(`${world.base}/api/v1/users`, {
    data: { name, role: "viewer" },
    headers,
  });
  assert.ok(made.ok(), `POST /users answered ${made.status()}: ${await made.text()}`);
  const { link } = await made.json();
  await admin.close();
  const w = await window(world, { signedIn: false });
  const token = new URL(link, world.base).searchParams.get("token");
  const entered = await w.context.request.post(`${world.base}/api/v1/auth/setup`, {
    data: { token, name, password: "a long enough sentence" },
    headers,
  });
  assert.ok(entered.ok(), `POST /auth/setup answered ${entered.status()}`);
  return w;
}

export async function viewers(world, { step }) {
  await step("a viewer meets no dead end: acts say why they are refused", async () => {
    if (world.mock) return { skip: "the mock lets everybody in as admin" };
    const w = await viewer(world);
    const refused = [];
    w.page.on("response", (response) => {
      if (response.status() === 403)
        refused.push(`${response.request().method()} ${response.url()}`);
    });
    const all = await pagesOf(world);
    let acts = 0;
    for (const [name, path] of Object.entries(all)) {
      await w.goto(path);
      await w.page.waitForTimeout(200);
      if (name === "audit") {
        // Its link in the rail is refused; the address alone leads to a page that says so.
        await w.page.getByText("Your role does not allow this").waitFor();
        refused.length = 0;
        continue;
      }
      assert.deepEqual(refused, [], `${name} asks for what it may not have`);
      const ways = await w.page.locator('#content a[href*="sheet="]').count();
      assert.equal(ways, 0, `${name} leads a viewer to an act`);
      const words =
        /^(Re-run .*|Mark…|Cancel \(.*|Trigger|Trigger with.*|Pause|Unpause|New connection|Add a user)$/;
      const buttons = await w.page.getByRole("button", { name: words }).evaluateAll((all) =>
        all.map((each) => ({
          text: each.textContent,
          title: each.title,
          off: each.hasAttribute("disabled"),
          refused: each.ariaDisabled === "true",
        })),
      );
      for (const { text, title, off, refused: said } of buttons) {
        if (off) continue;
        assert.ok(said, `${name}: ${text} can be clicked`);
        assert.match(title, /needs the role \w+; you are viewer/);
        acts += 1;
      }
    }
    assert.ok(acts > 20, `only ${acts} acts were looked at`);
    await w.goto("/");
    await w.page.getByRole("button", { name: "Audit" }).click({ force: true });
    await w.page.getByText("This needs the role admin; you are viewer.").waitFor();
    await ready(w.page);
    await w.shot("viewer-home");
    await w.close();
    return `${Object.keys(all).length} pages, ${acts} acts with their reason`;
  });
}
