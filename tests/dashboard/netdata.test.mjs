// Netdata's own dashboard (Debian's netdata-web) as this parent serves it below /v1/, for a real Netdata child: does it find all that it
// asks for, and does it move?
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KEY, ended, freePort, startBrowser, until } from "./fixture.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
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

/** What went wrong between the page and this parent; what the page wants of others is kept from it and is not counted. */
async function open(path) {
  const failures = [];
  const asked = [];
  const page = await browser.open("/version.txt");
  await page.route((target) => !target.href.startsWith(url), (route) => route.abort());
  page.on("response", (response) => {
    asked.push(response.url());
    if (response.status() >= 400) failures.push(`${response.status()} ${response.url()}`);
  });
  page.on("pageerror", (error) => failures.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && message.location().url.startsWith(url)) failures.push(`${message.text()} (${message.location().url})`);
  });
  await page.goto(url + path);
  return { page, failures, asked };
}

test("the dashboard of a mirrored host draws gauges and charts, and goes on", async () => {
  const { page, failures, asked } = await open("/v1/host/child/");
  await until("a chart", async () => (await page.locator("canvas").count()) > 3);
  const menu = await page.locator("#sidebar, .dashboard-sidebar").first().innerText();
  for (const section of ["System Overview", "CPU", "Memory"]) assert.ok(menu.includes(section), `${section} in ${menu}`);
  const gauges = await page.locator(".netdata-easypiechart-container canvas, .netdata-gauge-container canvas, canvas").count();
  assert.ok(gauges >= 4, `${gauges}`);
  const questions = () => asked.filter((target) => target.includes("/host/child/api/v1/data?chart=system.cpu")).length;
  const begun = questions();
  assert.ok(begun > 0, asked.join("\n"));
  await until("charts that move", async () => questions() > begun + 2);
  assert.deepEqual(failures, []);
});

test("the node menu leads to every host", async () => {
  const { page, failures } = await open("/v1/");
  await until("a chart", async () => (await page.locator("canvas").count()) > 0);
  await until("the child in the menu", async () => (await page.content()).includes("/v1/host/child/"));
  assert.deepEqual(failures, []);
});
