import { effect } from "@preact/signals";
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/fleet.css";
import "./style/host.css";
import "./style/chart.css";
import "./style/tables.css";
import { watchLocation } from "./location";
import { App } from "./shell/app";
import { theme } from "./theme";
import { startClock } from "./timeline";

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
});
watchLocation();
startClock();
const root = document.getElementById("app");
if (root) render(<App />, root);
