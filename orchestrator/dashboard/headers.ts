/**
 * What browsers are told to refuse: nothing runs, and nothing is fetched, that this server has not sent itself. Only
 * bull-board's own pages, which bring inline styles, have a looser policy, for styles alone.
 */
import type { MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";

const NOTHING_ELSE = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  imgSrc: ["'self'", "data:"],
  connectSrc: ["'self'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

const COMMON = {
  // A server that is reached over plain HTTP on a private network must not pin HTTPS.
  strictTransportSecurity: false,
  xFrameOptions: "DENY",
} as const;

const PAGES = secureHeaders({
  ...COMMON,
  contentSecurityPolicy: { ...NOTHING_ELSE, styleSrc: ["'self'"], baseUri: ["'none'"] },
});

const QUEUES = secureHeaders({
  ...COMMON,
  contentSecurityPolicy: {
    ...NOTHING_ELSE,
    styleSrc: ["'self'", "'unsafe-inline'"],
    fontSrc: ["'self'", "data:"],
    baseUri: ["'self'"],
  },
});

export const securityHeaders: MiddlewareHandler = (c, next) =>
  c.req.path === "/queues" || c.req.path.startsWith("/queues/") ? QUEUES(c, next) : PAGES(c, next);
