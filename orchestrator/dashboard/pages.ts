/** Every page, in the order of the navigation. */
import type { Page } from "./page.ts";
import { apiPage } from "./pages/api.ts";
import { queuesPage } from "./pages/queues.ts";
import { submitPage } from "./pages/submit.ts";
import { sweepPage } from "./pages/sweep.ts";
import { sweepsPage } from "./pages/sweeps.ts";

export const PAGES: readonly Page[] = [sweepsPage, submitPage, sweepPage, queuesPage, apiPage];
