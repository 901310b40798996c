/** Every page, in the order of the navigation. */
import type { Page } from "./page.ts";
import { apiPage } from "./pages/api.ts";
import { comparePage } from "./pages/compare.ts";
import { metricsPage } from "./pages/metrics.ts";
import { queuesPage } from "./pages/queues.ts";
import { runPage } from "./pages/run.ts";
import { sqlPage } from "./pages/sql.ts";
import { submitPage } from "./pages/submit.ts";
import { sweepPage } from "./pages/sweep.ts";
import { sweepsPage } from "./pages/sweeps.ts";
import { workersPage } from "./pages/workers.ts";

export const PAGES: readonly Page[] = [
  sweepsPage,
  submitPage,
  sweepPage,
  runPage,
  comparePage,
  workersPage,
  queuesPage,
  sqlPage,
  metricsPage,
  apiPage,
];
