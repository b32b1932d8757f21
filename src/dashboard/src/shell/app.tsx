// The frame of all pages: the bar on top, and the page that the address names.

import { useComputed, useSignalEffect } from "@preact/signals";
import { ComparePage } from "../compare/page";
import { FleetPage } from "../fleet/page";
import { HostPage } from "../host/page";
import { path, readPage, type Page } from "../location";
import { StoragePage } from "../storage/page";
import { StreamingPage } from "../streaming/page";
import { nextTheme, theme } from "../theme";
import { Help, helpIsOpen, useKeys } from "./keys";
import { HostMenu } from "./host_menu";
import { Tool } from "./tool";

const PAGES = [
  ["fleet", "/", "Fleet"],
  ["compare", "/compare", "Compare"],
  ["streaming", "/streaming", "Streaming"],
  ["storage", "/storage", "Storage"],
] as const;

export function App() {
  const page = useComputed(() => readPage(path.value));
  useKeys();
  useSignalEffect(() => {
    document.title = `${titleOf(page.value)} · mainstem`;
  });
  const current = page.value;
  const themeIcon = ({ system: "system", light: "sun", dark: "moon" } as const)[theme.value];
  return (
    <>
      <a class="skip" href="#main">Skip to the page</a>
      <header class="bar">
        <a class="brand" href="/" aria-label="mainstem: the fleet">
          <svg viewBox="0 0 16 16" width="22" height="22" aria-hidden="true">
            <rect width="16" height="16" rx="4" fill="var(--accent)" />
            <path d="M3 10.5 6 6l3 3.5L13 4" fill="none" stroke="var(--surface)" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
          </svg>
          <span>mainstem</span>
        </a>
        <nav aria-label="Pages">
          {PAGES.map(([name, address, title]) => (
            <a key={name} href={address} aria-current={current.name === name ? "page" : undefined}>{title}</a>
          ))}
        </nav>
        <HostMenu current={current.name === "host" ? current.host : undefined} />
        <span class="spring" />
        <Tool label={`Theme: ${theme.value}`} icon={themeIcon} onClick={nextTheme} />
        <Tool label="Keys and gestures" icon="help" onClick={() => (helpIsOpen.value = true)} />
      </header>
      <main id="main" tabIndex={-1} class={`page ${current.name}`}>
        {pageOf(current)}
      </main>
      <Help />
    </>
  );
}

function pageOf(page: Page) {
  switch (page.name) {
    case "fleet":
      return <FleetPage />;
    case "host":
      return <HostPage key={page.host} host={page.host} />;
    case "compare":
      return <ComparePage />;
    case "streaming":
      return <StreamingPage />;
    case "storage":
      return <StoragePage />;
    case "missing":
      return <p class="note">There is no page at {page.path}. <a href="/">The fleet</a> is a good place to begin.</p>;
  }
}

function titleOf(page: Page): string {
  switch (page.name) {
    case "host":
      return page.host;
    case "missing":
      return "No such page";
    default:
      return page.name.charAt(0).toUpperCase() + page.name.slice(1);
  }
}

