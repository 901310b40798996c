/** Every page, in the order of the navigation. */
import type { Page } from "./page.ts";
import { apiPage } from "./pages/api/api-page.ts";
import { comparePage } from "./pages/compare/compare-page.ts";
import { sweepsComparedPage } from "./pages/compare/sweeps-compared-page.ts";
import { dataPage } from "./pages/data/data-page.ts";
import { metricsPage } from "./pages/metrics/metrics-page.ts";
import { queuesPage } from "./pages/queues/queues-page.ts";
import { runPage } from "./pages/run/run-page.ts";
import { sqlPage } from "./pages/sql/sql-page.ts";
import { submitPage } from "./pages/submit/submit-page.ts";
import { sweepPage } from "./pages/sweep/sweep-page.ts";
import { sweepsPage } from "./pages/sweeps/sweeps-page.ts";
import { workersPage } from "./pages/workers/workers-page.ts";

export const PAGES: readonly Page[] = [
  sweepsPage,
  submitPage,
  sweepPage,
  runPage,
  comparePage,
  sweepsComparedPage,
  workersPage,
  queuesPage,
  sqlPage,
  metricsPage,
  apiPage,
  dataPage,
];
