/** Single values by key: how far the event stream has been applied, measured speeds, the method that made the stored fits. */
import { eq } from "drizzle-orm";
import { settings } from "../../schema/database/tables.ts";
import { type Database, given, prepared, proposed } from "./connection.ts";

const read = prepared(({ orm }) =>
  orm
    .select({ value: settings.value })
    .from(settings)
    .where(eq(settings.key, given("key")))
    .prepare(),
);

export const readSetting = (db: Database, key: string): string | undefined => read(db).get({ key })?.value;

const write = prepared(({ orm }) =>
  orm
    .insert(settings)
    .values({ key: given("key"), value: given("value") })
    .onConflictDoUpdate({ target: settings.key, set: { value: proposed("value") } })
    .prepare(),
);

export const writeSetting = (db: Database, key: string, value: string): void =>
  void write(db).run({ key, value });
