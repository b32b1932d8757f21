// Light or dark: as the system says, unless a person has chosen.

import { computed, signal } from "@preact/signals";
import { remember, remembered } from "./memory";

export type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", (event) => (system.value = event.matches));

export const theme = signal<Theme>(THEMES.find((known) => known === remembered("theme")) ?? "system");
export const isDark = computed(() => (theme.value === "system" ? system.value : theme.value === "dark"));

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
  remember("theme", theme.value === "system" ? "" : theme.value);
}

const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);

/** A colour of the style sheet as `rgb(…)`, for what is painted and not styled: of this theme, which only an element's style tells. */
export function colour(name: string): string {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Dimensions' colours, in their order: distinct in either theme, and for those who see red and green alike. */
const PALETTE = [
  "#3d82c4", "#e08b3e", "#4ba387", "#c9618a", "#8878d0", "#b0a03c", "#48a9bd", "#cf6a55",
  "#7b8ea3", "#74a858", "#b07fb8", "#a87d57",
];

export function seriesColour(place: number): string {
  return PALETTE[place % PALETTE.length] as string;
}
