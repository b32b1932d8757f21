// Netdata's own dashboard (Debian's netdata-web) as this parent serves it below /v1/, for a real Netdata child: does it find all that it
// asks for, and does it move?
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KEY, ended, freePort, startBrowser, until } from "./fixture.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
// High, so that few turns show all of a page.
const VIEWPORT = { width: 1440, height: 2400 };
const running = [];
let directory;
let url;
let browser;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "mainstem-netdata-web-"));
  const address = `127.0.0.1:${await freePort()}`;
  url = `http://${address}`;
  await writeFile(join(directory, "netdata.conf"), `[global]\n  hostname = parent-1\n[web]\n  bind to = ${address}\n[registry]\n  enabled = yes\n`);
  await writeFile(join(directory, "stream.conf"), `[${KEY}]\n  type = api\n  enabled = yes\n`);
  const start = (command, log) => {
    const process = spawn("/bin/sh", ["-c", `exec ${command} >"$0" 2>&1`, join(directory, log)], { stdio: "ignore", cwd: ROOT });
    running.push(process);
  };
  const binary = process.env.MAINSTEM ?? join(ROOT, "target/debug/mainstem");
  start(`"${binary}" run --config "${directory}" --state "${directory}/state"`, "parent.log");
  await until("the parent", async () => (await fetch(`${url}/-/healthy`)).ok);
  start(`tests/peer/run.sh machine "${directory}/child" PORT=${await freePort()} KEY=${KEY} PARENT=${address} NAME=child`, "child.log");
  await until("samples of the child", async () => {
    const { charts } = await (await fetch(`${url}/host/child/api/v1/charts`)).json();
    return charts["system.cpu"]?.last_entry - charts["system.cpu"]?.first_entry > 5 && charts["system.load"]?.first_entry > 0;
  });
  browser = await startBrowser(url);
}, { timeout: 120_000 });

after(async () => {
  await browser?.stop();
  for (const one of running.reverse()) one.kill("SIGTERM");
  await Promise.all(running.map(ended));
  if (directory) await rm(directory, { recursive: true, force: true });
});

/** What went wrong between the page and this parent, and the newest sample that each chart was told of; what the page wants of others is kept
 *  from it and is not counted. */
async function open(path) {
  const failures = [];
  const newest = new Map();
  const page = await browser.open("/version.txt", { viewport: VIEWPORT });
  await page.route((target) => !target.href.startsWith(url), (route) => route.abort());
  page.on("response", async (response) => {
    if (response.status() >= 400) failures.push(`${response.status()} ${response.url()}`);
    const target = new URL(response.url());
    if (!target.pathname.endsWith("/host/child/api/v1/data") || !response.ok()) return;
    // A page that is closed takes the rest of its answers with it.
    const answer = await response.json().catch(() => undefined);
    if (answer) newest.set(target.searchParams.get("chart"), answer.last_entry);
  });
  page.on("pageerror", (error) => failures.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && message.location().url.startsWith(url)) failures.push(`${message.text()} (${message.location().url})`);
  });
  await page.goto(url + path);
  return { page, failures, newest };
}

/** The sections of the menu, each with the charts of its own, in the order of the page. */
function sections() {
  const found = [];
  for (const link of document.querySelectorAll('#sidebar a[href^="#menu_"], .dashboard-sidebar a[href^="#menu_"]')) {
    const id = link.getAttribute("href").slice(1);
    if (!id.includes("_submenu_")) found.push({ id, name: link.innerText.trim(), heading: document.getElementById(id), charts: 0 });
  }
  for (const chart of document.querySelectorAll("[data-netdata]")) {
    const isBehind = ({ heading }) => heading.compareDocumentPosition(chart) & Node.DOCUMENT_POSITION_FOLLOWING;
    const own = found.filter(isBehind).at(-1);
    if (own) {
      chart.dataset.section = own.id;
      own.charts++;
    }
  }
  return found.map(({ id, name, charts }) => ({ id, name, charts }));
}

/** Scrolls to the first chart of a section that nobody has seen yet; false when there is none. */
function showNext(section) {
  const next = document.querySelector(`[data-netdata][data-section="${section}"]:not([data-seen])`);
  next?.scrollIntoView({ block: "start", behavior: "instant" });
  return next !== null;
}

/** Marks what is drawn as seen; the charts of this section that are in view and have nothing drawn on them. */
function blank(section) {
  const hasInk = (canvas) =>
    canvas.width > 0 && canvas.height > 0 && canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
  const left = [];
  for (const chart of document.querySelectorAll(`[data-netdata][data-section="${section}"]:not([data-seen])`)) {
    const { top, bottom } = chart.getBoundingClientRect();
    if (bottom <= 0 || top >= innerHeight) continue;
    const canvases = [...chart.querySelectorAll("canvas")];
    // A line of nothing but zeros, and without axes, is none.
    const isDrawn = chart.dataset.dygraphTheme === "sparkline" ? canvases.length > 0 : canvases.some(hasInk);
    if (isDrawn) chart.dataset.seen = "yes";
    else left.push(chart.dataset.netdata);
  }
  return left;
}

test("every section of a mirrored host's dashboard draws its charts when looked at, and what was drawn goes on", async () => {
  const { page, failures, newest } = await open("/v1/host/child/");
  await until("gauges", async () => (await page.locator("canvas").count()) > 3);
  const begun = await until("samples of a gauge", async () => newest.get("system.cpu"));

  const menu = await page.evaluate(sections);
  const names = menu.map(({ name }) => name);
  for (const section of ["System Overview", "CPUs", "Memory", "Disks", "Network Interfaces"]) assert.ok(names.includes(section), `${section} in ${names}`);
  for (const { id, name, charts } of menu) {
    assert.ok(charts > 0, `${name} has charts`);
    await page.locator(`a[href="#${id}"]`).first().click();
    while (await page.evaluate(showNext, id)) {
      let left = [];
      const isDrawn = async () => (left = await page.evaluate(blank, id)).length === 0;
      await until("charts to be drawn", isDrawn, 10_000).catch((error) => assert.fail(`${error.message}, ${name}: ${left}`));
    }
  }
  const seen = await page.locator("[data-netdata][data-seen]").count();
  assert.equal(seen, menu.reduce((sum, { charts }) => sum + charts, 0));

  // A page asks for as many points as the host has seconds of a past, and again when one of them is over: late for a young host. By now
  // it is.
  await page.evaluate(() => scrollTo({ top: 0, behavior: "instant" }));
  await until("gauges that move", async () => newest.get("system.cpu") > begun);
  assert.deepEqual(failures, []);
});

test("the node menu leads to every host", async () => {
  const { page, failures } = await open("/v1/");
  await until("a chart", async () => (await page.locator("canvas").count()) > 0);
  await until("the child in the menu", async () => (await page.content()).includes("/v1/host/child/"));
  assert.deepEqual(failures, []);
});
