// Takes the pictures of the README. With DASHBOARD_URL of a parent whose machines have been there for ten minutes they are full.
import { join } from "node:path";
import { startBrowser, startParent, until } from "./fixture.mjs";

const [directory] = process.argv.slice(2);
const WIDE = { viewport: { width: 1360, height: 800 } };
const PHONE = { viewport: { width: 390, height: 800 }, deviceScaleFactor: 1.5, isMobile: true, hasTouch: true };
const PICTURES = [
  ["fleet", "/?sort=-cpu&group=label:role", { ...WIDE, colorScheme: "light" }],
  ["heat-map", "/?view=map&by=cpu&group=label:region", { ...WIDE, colorScheme: "dark" }],
  ["host", "/host/web-0016/", { ...WIDE, colorScheme: "light" }, async (page) => {
    const box = await page.locator("article .u-over").first().boundingBox();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 70);
  }],
  ["compare", "/compare?context=system.cpu&q=db&hosts=db-0002,db-0007", { ...WIDE, colorScheme: "dark" }],
  ["phone", "/host/web-0016/", { ...PHONE, colorScheme: "dark" }],
];

const parent = await startParent(1500);
const browser = await startBrowser(parent.url);
for (const [name, path, options, act] of PICTURES) {
  const page = await browser.open(path, options);
  await page.locator("article canvas, .virtual [role=row], .cells canvas").first().waitFor();
  // CPU and memory come with a second answer.
  if (name === "compare") await until("all hosts", async () => /^(\d+) of \1 hosts have/.test(await page.locator(".charts [role=status]").last().innerText()));
  else await page.waitForTimeout(3000);
  await act?.(page);
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(directory, `${name}.png`) });
  await page.context().close();
}
await browser.stop();
await parent.stop();
