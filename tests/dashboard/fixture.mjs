// A parent with machines that stream to it, and a browser to look at it with.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const HERE = fileURLToPath(new URL(".", import.meta.url));
export const KEY = "11111111-2222-3333-4444-555555555555";
const PATIENCE_MS = 60_000;

/** Where Debian's chromium is, and what keeps it from talking to anybody. */
const BROWSER = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
  ],
};

export async function until(what, condition, patience = PATIENCE_MS) {
  const begun = Date.now();
  for (;;) {
    const found = await condition().catch(() => undefined);
    if (found) return found;
    if (Date.now() - begun > patience) throw new Error(`waited ${patience / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export function ended(process) {
  return process.exitCode !== null || process.signalCode !== null ? Promise.resolve() : new Promise((resolve) => process.once("exit", resolve));
}

/** A parent of its own, with so many machines of which a few have left again. DASHBOARD_URL is one that runs already. */
export async function startParent(count) {
  const given = process.env.DASHBOARD_URL;
  if (given) return { url: given, stop: async () => {} };
  const directory = await mkdtemp(join(tmpdir(), "mainstem-dashboard-"));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  await writeFile(join(directory, "netdata.conf"), `[global]\n  hostname = parent-1\n[web]\n  bind to = ${address}\n`);
  await writeFile(join(directory, "stream.conf"), `[${KEY}]\n  type = api\n  enabled = yes\n`);
  await writeFile(join(directory, "mainstem.toml"), "");
  const binary = process.env.MAINSTEM ?? join(HERE, "../../target/debug/mainstem");
  const log = join(directory, "log");
  const parent = spawn("/bin/sh", ["-c", `exec "$0" run --config "$1" --state "$1/state" >"$2" 2>&1`, binary, directory, log], { stdio: "ignore" });
  const url = `http://${address}`;
  const machines = (name, many) =>
    spawn(process.execPath, [join(HERE, "machines.mjs"), "--parent", address, "--key", KEY, "--count", String(many), ...name, "--every", "1"], { stdio: "inherit" });
  const running = [parent];
  const stop = async () => {
    for (const one of running) one.kill("SIGTERM");
    await Promise.all(running.map(ended));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await until("the parent", async () => (await fetch(`${url}/-/healthy`)).ok);
    running.push(machines([], count));
    const leaving = machines(["--name", "gone"], 3);
    running.push(leaving);
    await until("all machines", async () => (await hosts(url)).length === count + 4);
    await until("samples of all", async () => (await hosts(url)).every((host) => host.newest_sample !== null));
    leaving.kill("SIGTERM");
    await until("some that have left", async () => (await hosts(url)).filter((host) => host.state === "offline").length === 3);
  } catch (error) {
    console.error(await readFile(log, "utf8").catch(() => ""));
    await stop();
    throw error;
  }
  return { url, stop };
}

async function hosts(url) {
  return (await (await fetch(`${url}/api/v2/nodes`)).json()).nodes;
}

/** A browser whose pages note what they complain about, and whom they ask. */
export async function startBrowser(url) {
  const browser = await chromium.launch(BROWSER);
  const complaints = [];
  const requests = [];
  const open = async (path, options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`${path}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`${path}: ${error.stack}`));
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(url + path);
    return page;
  };
  return { open, complaints, requests, stop: () => browser.close() };
}

/** CPU time of a page's main thread in seconds, whatever else the machine does, and frames, while something happens. */
export async function measure(page, happens) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const read = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
  const before = await read();
  const begun = Date.now();
  const frames = await happens();
  const after = await read();
  return {
    frames,
    seconds: (Date.now() - begun) / 1000,
    busy: after.TaskDuration - before.TaskDuration,
    script: after.ScriptDuration - before.ScriptDuration,
    layout: after.LayoutDuration + after.RecalcStyleDuration - before.LayoutDuration - before.RecalcStyleDuration,
  };
}
