// The dashboard in a real browser, with a parent of 1 500 machines behind it: what a person does, and what must hold while they do.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { measure, startBrowser, startParent, until } from "./fixture.mjs";

const MACHINES = 1500;
const BUNDLE_LIMIT = 150_000;
/** A frame of 50 a second; the main thread may use half of it. */
const FRAME_MS = 20;
const BUSY_LIMIT_MS = FRAME_MS / 2;
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let parent;
let browser;
before(async () => {
  parent = await startParent(MACHINES);
  browser = await startBrowser(parent.url);
}, { timeout: 120_000 });
after(async () => {
  await browser?.stop();
  await parent?.stop();
});

const rows = (page) => page.locator(".virtual [role=row]");
const names = (page) => page.locator(".virtual [role=row] .host a").allInnerTexts();
const parameters = (page) => Object.fromEntries(new URL(page.url()).searchParams);
const parameter = (page, name, wanted) => until(`${name} in ${page.url()}`, async () => wanted(parameters(page)[name]));
const chart = (page, id) => page.locator(`article[id="${id}"]`);
/**
 * What is painted on a picture between two parts of its width: how many pixels that have a colour, which grids and texts have not, and
 * how many colours there are.
 */
const painted = (canvas, from = 0, to = 1) =>
  canvas.evaluate((picture, [from, to]) => {
    const copy = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
    const paint = copy.getContext("2d", { willReadFrequently: true });
    paint.drawImage(picture, 0, 0);
    const { data } = paint.getImageData(copy.width * from, 0, copy.width * (to - from), copy.height);
    let coloured = 0;
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue, opaque] = data.subarray(at, at + 4);
      if (opaque > 100 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40) {
        coloured += 1;
        colours.add((red << 16) | (green << 8) | blue);
      }
    }
    return { coloured, colours: colours.size };
  }, [from, to]);
const isDrawn = (page, id) => until(`the picture of ${id}`, async () => (await painted(chart(page, id).locator("canvas"))).coloured > 50);
/** What each page has when it is there. */
const isThere = (page) => page.locator("article canvas, .virtual [role=row], .cells canvas, .tier").first().waitFor();

async function openHost(host = "web-0001", query = "", options = {}) {
  const page = await browser.open(`/host/${host}/${query}`, options);
  await isDrawn(page, "system.cpu");
  return page;
}

/** The first machine whose name begins so. */
async function someHost(role) {
  const { mirrored_hosts: all } = await (await fetch(`${parent.url}/api/v1/info`)).json();
  return all.filter((name) => name.startsWith(role)).sort()[0];
}

test("all that a page loads is small, compressed, and from here", async () => {
  const page = await browser.open("/");
  await rows(page).first().waitFor();
  const timing = await page.evaluate(() => {
    const [navigation] = performance.getEntriesByType("navigation");
    return { paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime, loaded: navigation.loadEventEnd };
  });
  const assets = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/assets/")));
  assert.ok(assets.length >= 3, assets.join());
  let bytes = 0;
  for (const asset of [page.url(), ...assets]) bytes += gzipSync(Buffer.from(await (await fetch(asset)).arrayBuffer())).length;
  console.log(`# bundle ${bytes} bytes gzip; first paint after ${timing.paint?.toFixed(0)} ms, loaded after ${timing.loaded.toFixed(0)} ms`);
  assert.ok(bytes < BUNDLE_LIMIT, `${bytes} bytes`);
  await page.context().close();
});

test("the fleet is searched, sorted, grouped and chosen by state, and its address says so", async () => {
  const page = await browser.open("/");
  await rows(page).first().waitFor();
  await until("the number of hosts", async () => (await page.locator(".status").innerText()).includes("hosts"));
  assert.ok((await rows(page).count()) < 100, "only rows in view are elements");

  await page.keyboard.press("/");
  await page.keyboard.type("role=db web");
  await page.getByText("No host is like this.").waitFor();
  await page.getByRole("searchbox").fill("role=db");
  await until("databases alone", async () => (await names(page)).every((name) => name.startsWith("db")) && (await names(page)).length > 10);
  await parameter(page, "q", (value) => value === "role=db");

  await page.getByRole("columnheader", { name: "CPU" }).getByRole("button").click();
  await parameter(page, "sort", (value) => value === "-cpu");
  const cpu = async () => (await rows(page).locator(".bar-text").allInnerTexts()).filter((_, place) => place % 2 === 0).map(parseFloat);
  await until("the busiest first", async () => {
    const values = await cpu();
    return values.length > 10 && values.every((value, place) => place === 0 || value <= values[place - 1]);
  });

  await page.getByLabel("Group").selectOption("label:region");
  await page.locator(".group-row").first().waitFor();
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: /offline/ }).click();
  await until("those that left", async () => (await names(page)).sort().join() === "gone-0001,gone-0002,gone-0003");

  await parameter(page, "state", (value) => value === "offline");
  await page.reload();
  await until("the same after a reload", async () => (await names(page)).length === 3);
  assert.deepEqual(parameters(page), { sort: "-cpu", group: "label:region", state: "offline" });
  await page.context().close();
});

test("the heat map shows all hosts, tells of one under the pointer, and opens it", async () => {
  const page = await browser.open("/?view=map&by=cpu&group=label:role");
  const canvas = page.locator(".cells canvas");
  await canvas.waitFor();
  await until("colours", async () => (await painted(canvas)).colours > 20);
  await canvas.hover({ position: { x: 30, y: 34 } });
  const tip = page.locator(".tip");
  await tip.waitFor();
  assert.match(await tip.innerText(), /CPU [\d.]+ %/);
  await canvas.focus();
  await page.keyboard.press("ArrowRight");
  const host = (await tip.locator("b").innerText()).trim();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/host/${host}/`);
  await page.context().close();
});

test("a host's charts come in sections, live, and only those in view are asked for", async () => {
  const host = await someHost("web");
  const page = await openHost(host, "", { viewport: { width: 1440, height: 560 } });
  assert.deepEqual(await page.locator(".sections nav > ul > li > a").allInnerTexts(), ["System", "Disks"]);
  const asked = () => browser.requests.filter((url) => url.includes(`/host/${host}/api/v1/data`));
  const ids = new Set(asked().map((url) => new URL(url).searchParams.get("chart")));
  assert.ok(ids.has("system.cpu") && !ids.has("disk_util.nvme0n1"), [...ids].join());

  const before = asked().length;
  await until("questions for what is new", async () => asked().length > before + 4);
  const newest = new URL(asked().at(-1)).searchParams;
  assert.ok(newest.get("before") - newest.get("after") < 60, `asked for ${newest}: no more than what is missing`);

  await page.getByRole("link", { name: "Disks" }).click();
  await isDrawn(page, "disk_util.nvme0n1");
  await page.getByRole("searchbox").fill("network bandwidth");
  await until("one chart", async () => (await page.locator("article").count()) === 1);
  await page.context().close();
});

test("a window is chosen, moved, zoomed and left again, for all charts at once", async () => {
  const host = await someHost("web");
  // The machines came less than a minute ago, and a window without samples is not asked for.
  const page = await openHost(host, "?last=60");
  const live = page.getByRole("button", { name: "Live" });
  assert.equal(await live.getAttribute("aria-pressed"), "true");
  const surface = chart(page, "system.cpu").locator(".u-over");
  const box = await surface.boundingBox();
  const drag = async (from, to) => {
    await page.mouse.move(box.x + box.width * from, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * (from + to) / 2, box.y + 60, { steps: 4 });
    await page.mouse.move(box.x + box.width * to, box.y + 60, { steps: 4 });
    await page.mouse.up();
  };

  await drag(0.5, 0.95);
  await parameter(page, "after", (value) => value !== undefined);
  const chosen = parameters(page);
  assert.ok(Math.abs(chosen.before - chosen.after - 27) <= 2, JSON.stringify(chosen));
  assert.equal(await live.getAttribute("aria-pressed"), "false");
  await until("both charts of the window", async () => {
    const windows = browser.requests.filter((url) => url.includes(`/host/${host}/`) && Math.abs(new URL(url).searchParams.get("before") - chosen.before) <= 1);
    return new Set(windows.map((url) => new URL(url).searchParams.get("chart"))).size >= 2;
  });

  await page.keyboard.down("Shift");
  await drag(0.3, 0.6);
  await page.keyboard.up("Shift");
  const moved = await until("an earlier window", async () => parameters(page).after < chosen.after && parameters(page));
  assert.ok(Math.abs(moved.before - moved.after - (chosen.before - chosen.after)) <= 1, "its length stays");

  await page.mouse.move(box.x + box.width / 2, box.y + 60);
  await page.keyboard.down("Shift");
  await page.mouse.wheel(0, -240);
  await page.keyboard.up("Shift");
  await parameter(page, "after", (value) => value > moved.after);
  await page.keyboard.press("-");
  await page.keyboard.press("ArrowLeft");

  await page.keyboard.press("l");
  await until("live", async () => (await live.getAttribute("aria-pressed")) === "true");
  await drag(0.2, 0.4);
  await parameter(page, "after", (value) => value !== undefined);
  await surface.dblclick();
  await until("the newest ten minutes", async () => (await live.getAttribute("aria-pressed")) === "true" && parameters(page).after === undefined);
  await page.context().close();
});

test("the pointer on one chart tells the values of all of them at that time", async () => {
  const page = await openHost(await someHost("db"));
  await isDrawn(page, "system.load");
  const values = (id) => chart(page, id).locator(".legend .value").allInnerTexts();
  const surface = await chart(page, "system.cpu").locator(".u-over").boundingBox();
  // Samples are there since the machines came: the newest of them are at the right edge.
  const at = async (part) => {
    await page.mouse.move(surface.x + surface.width * part, surface.y + 50);
    return until("a time", async () => (await chart(page, "system.cpu").locator(".stamp").textContent()) || undefined);
  };
  await at(0.99);
  const first = await values("system.load");
  await chart(page, "system.cpu").locator(".surface").focus();
  await page.keyboard.press("Shift+ArrowLeft");
  await until("other values", async () => (await values("system.load")).join() !== first.join());
  await page.context().close();
});

test("rows that are missing in the middle are a gap, in lines and in stacks", async () => {
  const host = await someHost("web");
  const page = await browser.open("/");
  // The parent's own answer, without the rows of its middle third.
  await page.route(/api\/v1\/data/, async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    const rows = answer.result.data;
    rows.slice(rows.length / 3, (rows.length * 2) / 3).forEach((row) => row.fill(null, 1));
    await route.fulfill({ response, json: answer });
  });
  const before = Math.floor(Date.now() / 1000) - 2;
  await page.goto(`${parent.url}/host/${host}/?after=${before - 9}&before=${before}`);
  for (const id of ["system.load", "system.cpu"]) {
    await isDrawn(page, id);
    // The plot begins behind the axis, and ends before the margin.
    const [left, width] = await chart(page, id).evaluate((card) => {
      const [canvas, over] = [card.querySelector("canvas"), card.querySelector(".u-over")];
      return [over.offsetLeft / canvas.clientWidth, over.clientWidth / canvas.clientWidth];
    });
    const coloured = [];
    for (const [from, to] of [[0.1, 0.25], [0.42, 0.58], [0.75, 0.9]]) {
      coloured.push((await painted(chart(page, id).locator("canvas"), left + width * from, left + width * to)).coloured);
    }
    assert.ok(coloured[0] > 0 && coloured[1] === 0 && coloured[2] > 0, `${id}: ${coloured}`);
  }
  await page.context().close();
});

test("dimensions are hidden, the kind is changed, and a chart leaves as PNG and CSV", async () => {
  const host = await someHost("cache");
  const page = await openHost(host);
  const card = chart(page, "system.cpu");
  const user = card.getByRole("button", { name: /^user/ });
  await user.click();
  assert.equal(await user.getAttribute("aria-pressed"), "false");
  await user.click({ modifiers: ["Shift"] });
  assert.equal(await card.locator(".legend [aria-pressed=false]").count(), 6);
  await card.hover();
  await card.getByRole("combobox").selectOption("line");
  await isDrawn(page, "system.cpu");

  const saved = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), card.getByRole("button", { name }).click()]);
    return [download.suggestedFilename(), await readFile(await download.path())];
  };
  const [table, csv] = await saved(/as CSV/);
  assert.equal(table, `${host}-system.cpu.csv`);
  assert.match(csv.toString(), /^time,iowait,irq,nice,softirq,steal,system,user\r\n\d{4}-\d\d-\d\dT[\d:]+Z,/);
  const [picture, png] = await saved(/as PNG/);
  assert.equal(picture, `${host}-system.cpu.png`);
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  await page.context().close();
});

test("hosts are compared with one another and with the fleet", async () => {
  const [one, other] = [await someHost("web"), await someHost("db")];
  const page = await browser.open(`/compare?context=system.cpu&q=web&hosts=${one},${other}`);
  await isDrawn(page, "comparison");
  await until("all that were asked", async () => {
    const [, found, of] = /(\d+) of (\d+) hosts have/.exec(await page.locator(".charts [role=status]").last().innerText()) ?? [];
    return found !== undefined && found === of && Number(of) > 100;
  });
  const legend = [one, other, "fleet: 90 %", "fleet: middle", "fleet: 10 %"].join();
  await until("the chosen hosts and the fleet", async () => (await chart(page, "comparison").locator(".legend .name").allInnerTexts()).join() === legend);
  const third = page.locator(".ranking li").nth(3).getByRole("checkbox");
  const asked = () => browser.requests.filter((url) => url.includes("/api/v2/data?") && url.includes("=instance")).length;
  const before = asked();
  await third.check();
  await parameter(page, "hosts", (value) => value?.split(",").length === 3);
  await until("three lines", async () => (await chart(page, "comparison").locator(".legend .name").count()) === 6);
  assert.ok(before >= 1 && before <= 5, `one question is about all hosts: ${before} were asked`);
  assert.ok(asked() - before <= 1, "the fleet is not asked again for a choice");
  await page.context().close();
});

test("the tree of streams and the tiers of the storage are told", async () => {
  const page = await browser.open("/streaming");
  await rows(page).first().waitFor();
  await page.getByRole("searchbox").fill("gone");
  await until("three", async () => (await rows(page).count()) === 3);
  assert.match(await rows(page).first().innerText(), /offline/);
  await page.getByRole("link", { name: "Storage" }).click();
  await page.getByRole("heading", { name: /Tier 0/ }).waitFor();
  assert.equal(await page.locator(".tier").count(), 3);
  await page.context().close();
});

test("the menu of hosts lists all of them, and leads to one", async () => {
  const page = await browser.open("/");
  await rows(page).first().waitFor();
  await page.keyboard.press("h");
  await page.getByText(`${MACHINES + 4} of ${MACHINES + 4} hosts`, { exact: false }).waitFor();
  await page.keyboard.type("gone-0002");
  await page.getByRole("option").first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/host/gone-0002/");
  await page.getByRole("heading", { name: "gone-0002" }).waitFor();
  await page.goBack();
  await rows(page).first().waitFor();
  await page.context().close();
});

test("a link to a chart in a window of the past shows just that", async () => {
  const host = await someHost("queue");
  const now = Math.floor(Date.now() / 1000);
  const query = `?after=${now - 120}&before=${now - 60}&tz=Asia/Tokyo#disk_util.nvme0n1`;
  const page = await browser.open(`/host/${host}/${query}`);
  await chart(page, "disk_util.nvme0n1").waitFor();
  await until("the chart in view", () => chart(page, "disk_util.nvme0n1").evaluate((element) => element.getBoundingClientRect().top < innerHeight));
  const tokyo = new Date((now - 120) * 1000).toLocaleTimeString("en-GB", { timeZone: "Asia/Tokyo" });
  assert.ok((await page.locator(".window").innerText()).includes(tokyo));
  await page.context().close();
});

test("a phone sees everything without scrolling sideways", async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  for (const path of ["/", "/?view=map", `/host/${await someHost("web")}/`, "/compare?q=db-000", "/streaming", "/storage"]) {
    const page = await browser.open(path, phone);
    await isThere(page);
    const [width, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= inner, `${path} is ${width} wide`);
    await page.context().close();
  }
});

test("nothing stands in the way of those who use a screen reader or the keyboard", async () => {
  const host = await someHost("web");
  const some = ["/", `/host/${host}/`, "/compare?q=db-000"];
  for (const [colorScheme, paths] of [["light", [...some, "/?view=map", "/streaming", "/storage"]], ["dark", some]]) {
    for (const path of paths) {
      const page = await browser.open(path, { colorScheme });
      await isThere(page);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`);
      assert.deepEqual(told, [], `${path} in ${colorScheme}`);
      await page.context().close();
    }
  }
});

/** Scrolls for some seconds, a little each frame; how many frames there were. */
const scroll = (page, selector) => page.evaluate(async (found) => {
  const element = found ? document.querySelector(found) : document.scrollingElement;
  const end = performance.now() + 4000;
  let frames = 0;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    frames += 1;
    element.scrollTop += 40;
    if (element.scrollTop + element.clientHeight >= element.scrollHeight - 1) element.scrollTop = 0;
  }
  return frames;
}, selector);

// Frames that were shown depend on what else the machine does; what the main thread spent on each does not.
for (const [what, path, selector] of [
  ["the list of all hosts", "/", ".virtual"],
  ["a host's live charts", null, null],
]) {
  test(`${what}: scrolling and live updates leave half of each frame free, at 50 frames a second`, async () => {
    const page = await browser.open(path ?? `/host/${await someHost("web")}/`);
    await isThere(page);
    const { frames, seconds, busy, script, layout } = await measure(page, () => scroll(page, selector));
    const each = (time) => ((time / frames) * 1000).toFixed(2);
    console.log(`# ${what}: ${(frames / seconds).toFixed(1)} frames a second; of each the main thread's CPU ${each(busy)} ms, script ${each(script)}, layout ${each(layout)}`);
    assert.ok((busy / frames) * 1000 < BUSY_LIMIT_MS, `${each(busy)} ms a frame`);
    await page.context().close();
  });
}

test("no page has complained, and none has asked anybody but the parent", () => {
  assert.deepEqual(browser.complaints, []);
  assert.deepEqual(browser.requests.filter((url) => !url.startsWith(parent.url) && !/^(data|blob):/.test(url)), []);
});
